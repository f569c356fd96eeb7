"""Trino's client against a coordinator that speaks its protocol page by page: a statement counts with its last page."""

from __future__ import annotations

import pytest
from bridge_tests.loopback import Handler, serving

from openlineage_bridge_capture import drivers, recorder
from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.drivers import places

trino = pytest.importorskip("trino")

COLUMNS = [{"name": "n", "type": "bigint", "typeSignature": {"rawType": "bigint", "arguments": []}}]


class Coordinator(Handler):
    """Gives a row a page, ``pages`` pages; a query of ``broken`` fails with its last page, one of ``missing`` at once."""

    def do_POST(self) -> None:
        sql = self.body().decode()
        self.server.statements.append(sql)
        self.page(len(self.server.statements) - 1, 0)

    def do_GET(self) -> None:
        _, _, query, page = self.path.split("/")
        self.page(int(query), int(page))

    def do_DELETE(self) -> None:
        self.reply(status=204)

    def page(self, query: int, page: int) -> None:
        sql = self.server.statements[query]
        answer = {"id": f"q{query}", "infoUri": "http://x/", "stats": {"state": "RUNNING"}, "warnings": []}
        changes = not sql.startswith("SELECT") and not sql.startswith("EXECUTE IMMEDIATE 'SELECT")
        last = self.server.pages if not changes else 2
        if (page == last and "broken" in sql) or "missing" in sql:
            answer["error"] = {"message": "bad", "errorCode": 1, "errorName": "X", "errorType": "USER_ERROR"}
        elif page < last:
            answer["nextUri"] = f"http://127.0.0.1:{self.server.server_port}/page/{query}/{page + 1}"
            if page:
                answer |= {"columns": COLUMNS, "data": [[page]]}
        if changes:
            answer["updateType"] = sql.split()[0].upper()
        used = {}
        if sql.startswith("USE "):
            used["X-Trino-Set-Catalog"], _, used["X-Trino-Set-Schema"] = sql[4:].partition(".")
        self.reply(answer, headers=used)


@pytest.fixture
def coordinator():
    with serving(Coordinator, statements=[], pages=5) as server:
        yield server


@pytest.fixture
def connection(coordinator, host):
    """A connection to the coordinator, inside the run ``r``."""
    drivers.install()
    from trino import dbapi

    options = {"catalog": "hive", "schema": "shop", "legacy_prepared_statements": False}
    with host.running("r"):
        yield dbapi.connect(host="127.0.0.1", port=coordinator.server_port, user="u", **options)


def test_a_query_counts_when_its_last_page_was_fetched(connection, recorded):
    cursor = connection.cursor()
    cursor.execute("SELECT n FROM orders")
    assert [] == recorded()
    assert [1] == cursor.fetchone()
    assert [] == recorded()
    assert [[2], [3], [4]] == cursor.fetchall()
    assert ["SELECT n FROM orders"] == recorded()
    assert cursor.query_id == recorder.peek("r").statements[0].query_id


def test_a_query_that_is_left_or_fails_on_its_way_does_not_count(connection, recorded):
    cursor = connection.cursor()
    cursor.execute("SELECT n FROM orders")
    cursor.fetchone()
    cursor.close()
    cursor.execute("SELECT n FROM broken")
    with pytest.raises(trino.exceptions.TrinoUserError):
        cursor.fetchall()
    with pytest.raises(trino.exceptions.TrinoUserError):
        cursor.execute("INSERT INTO copies SELECT * FROM missing")
    assert [] == recorded()


def test_a_statement_that_changes_something_counts_with_execute(connection, recorded):
    connection.cursor().execute("INSERT INTO copies SELECT n FROM orders")
    assert ["INSERT INTO copies SELECT n FROM orders"] == recorded()


def test_a_query_belongs_to_the_run_that_started_it(connection, host, recorded):
    cursor = connection.cursor()
    cursor.execute("SELECT n FROM orders")
    with host.running("another"):
        cursor.fetchall()
    assert ["SELECT n FROM orders"] == recorded()
    assert () == recorder.peek("another").statements


def test_parameters_leave_the_statement_as_it_was_written(connection, coordinator, recorded):
    cursor = connection.cursor()
    cursor.execute("SELECT n FROM orders WHERE n > ?", (7,))
    cursor.fetchall()
    cursor.executemany("INSERT INTO copies VALUES (?)", [(1,), (2,)])
    cursor.fetchall()
    assert ["SELECT n FROM orders WHERE n > ?", "INSERT INTO copies VALUES (?)"] == recorded()
    assert coordinator.statements[0].startswith("EXECUTE IMMEDIATE")


def test_names_are_those_of_the_session(connection, coordinator):
    cursor = connection.cursor()
    cursor.execute("USE lake.raw")
    cursor.execute("INSERT INTO copies SELECT n FROM hive.shop.orders")
    description = describe(recorder.take("r"))
    namespace = f"trino://127.0.0.1:{coordinator.server_port}"
    assert [(namespace, "hive.shop.orders")] == [(each.namespace, each.name) for each in description.inputs]
    assert ["lake.raw.copies"] == [each.name for each in description.outputs]
    facet = description.run_facets["externalQuery"]
    assert (cursor.query_id, namespace) == (facet.externalQueryId, facet.source)


def test_sqlalchemy_on_it_counts_each_statement_once(connection, coordinator):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine(f"trino://u@127.0.0.1:{coordinator.server_port}/hive/shop")
    with engine.connect() as opened:
        opened.execute(sqlalchemy.text("INSERT INTO copies SELECT n FROM orders"))
    engine.dispose()
    mine = [each for each in recorder.peek("r").statements if "copies" in each.sql]
    assert 1 == len(mine)
    place = places.of_url("trino", engine.url)
    assert (place.namespace, place.catalog, place.schema) == (
        mine[0].namespace,
        mine[0].catalog,
        mine[0].schema,
    )
