"""Trino's client against a coordinator that speaks its protocol page by page: a statement counts with its last page."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from openlineage_bridge_capture import drivers, recorder
from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.drivers import places

trino = pytest.importorskip("trino")

COLUMNS = [{"name": "n", "type": "bigint", "typeSignature": {"rawType": "bigint", "arguments": []}}]


class Coordinator(BaseHTTPRequestHandler):
    """Gives a row a page, ``pages`` pages; a query of ``broken`` fails with its last page, one of ``missing`` at once."""

    def do_POST(self) -> None:
        sql = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.statements.append(sql)
        self.page(len(self.server.statements) - 1, 0)

    def do_GET(self) -> None:
        _, _, query, page = self.path.split("/")
        self.page(int(query), int(page))

    def do_DELETE(self) -> None:
        self.send_response(204)
        self.end_headers()

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
        self.reply(json.dumps(answer).encode(), sql)

    def reply(self, body: bytes, sql: str) -> None:
        self.send_response(200)
        if sql.startswith("USE "):
            catalog, _, schema = sql[4:].partition(".")
            self.send_header("X-Trino-Set-Catalog", catalog)
            self.send_header("X-Trino-Set-Schema", schema)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def coordinator():
    with ThreadingHTTPServer(("127.0.0.1", 0), Coordinator) as server:
        server.daemon_threads = True
        server.statements, server.pages = [], 5
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def connection(coordinator, host):
    """A connection to the coordinator, inside the run ``r``."""
    drivers.install()
    from trino import dbapi

    options = {"catalog": "hive", "schema": "shop", "legacy_prepared_statements": False}
    with host.running("r"):
        yield dbapi.connect(host="127.0.0.1", port=coordinator.server_port, user="u", **options)


def recorded() -> list[str]:
    return [each.sql for each in recorder.peek("r").statements]


def test_a_query_counts_when_its_last_page_was_fetched(connection):
    cursor = connection.cursor()
    cursor.execute("SELECT n FROM orders")
    assert [] == recorded()
    assert [1] == cursor.fetchone()
    assert [] == recorded()
    assert [[2], [3], [4]] == cursor.fetchall()
    assert ["SELECT n FROM orders"] == recorded()
    assert cursor.query_id == recorder.peek("r").statements[0].query_id


def test_a_query_that_is_left_or_fails_on_its_way_does_not_count(connection):
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


def test_a_statement_that_changes_something_counts_with_execute(connection):
    connection.cursor().execute("INSERT INTO copies SELECT n FROM orders")
    assert ["INSERT INTO copies SELECT n FROM orders"] == recorded()


def test_a_query_belongs_to_the_run_that_started_it(connection, host):
    cursor = connection.cursor()
    cursor.execute("SELECT n FROM orders")
    with host.running("another"):
        cursor.fetchall()
    assert ["SELECT n FROM orders"] == recorded()
    assert () == recorder.peek("another").statements


def test_parameters_leave_the_statement_as_it_was_written(connection, coordinator):
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
