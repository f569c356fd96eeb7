"""snowflake-connector-python against a local service that speaks its REST API, synchronous and asynchronous."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid

import pytest
from bridge_tests.loopback import Handler, serving

from openlineage_bridge_capture import drivers, recorder
from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.drivers import places

connector = pytest.importorskip("snowflake.connector")

TEXT = {"type": "text", "nullable": True, "length": 9, "byteLength": 9, "precision": None, "scale": None}
ROW_TYPE = [{"name": "N", **TEXT}]


class Service(Handler):
    """Lets everyone in; answers each statement with one row, and those that mention ``missing`` with an error."""

    def do_POST(self) -> None:
        body = self.body()
        if "login-request" in self.path:
            info = {"databaseName": "SHOP", "schemaName": "RAW", "warehouseName": "W", "roleName": "R"}
            parameters = [{"name": "AUTOCOMMIT", "value": self.server.autocommit}]
            tokens = {"token": "t", "masterToken": "m", "sessionId": 7, "validityInSeconds": 3600}
            self.result({**tokens, "parameters": parameters, "sessionInfo": info})
        elif "query-request" in self.path:
            self.query(json.loads(body))
        else:
            self.result({})

    def do_GET(self) -> None:
        query_id = self.path.split("?")[0].split("/")[3 if "monitoring" in self.path else 2]
        if "monitoring" in self.path:
            self.result({"queries": [{"status": self.server.status}]})
        else:
            self.result(self.rows(query_id, [["1"]]))

    def query(self, sent: dict) -> None:
        sql, query_id = sent["sqlText"], str(uuid.uuid4())
        self.server.sent.append(sql)
        if "missing" in sql:
            self.result({"queryId": query_id, "sqlState": "42S02"}, code="002003", message="no such table")
            return
        if sql.upper().startswith("USE "):
            self.server.place = sql[4:].upper().rstrip(";").split(".")
        rows = [["file", "LOADED", "1", "1"]] if sql.startswith("COPY") else [["1"]]
        if "current_schema" in sql:
            rows = [list(self.server.place)]
        self.result(self.rows(query_id, rows))

    def rows(self, query_id: str, rows: list[list[str]]) -> dict:
        database, schema = self.server.place
        names = {"finalDatabaseName": database, "finalSchemaName": schema}
        result = {"rowtype": ROW_TYPE * len(rows[0]), "rowset": rows, "total": len(rows), "returned": 1}
        return {**names, **result, "queryId": query_id, "queryResultFormat": "json", "parameters": []}

    def result(self, data: dict, *, code: str | None = None, message: str | None = None) -> None:
        self.reply({"data": data, "success": code is None, "code": code, "message": message})


@pytest.fixture
def service(monkeypatch, tmp_path):
    # The connector keeps files in its user's home.
    monkeypatch.setenv("SNOWFLAKE_HOME", str(tmp_path))
    with serving(Service, sent=[], status="SUCCESS", place=("SHOP", "RAW"), autocommit=True) as server:
        yield server


@pytest.fixture
def options(service, host):
    """What opens a connection to the service, inside the run ``r``."""
    drivers.install()
    with host.running("r"):
        yield {
            "user": "u",
            "password": "p",
            "account": "Acme-EU",
            "host": "127.0.0.1",
            "port": service.server_port,
            "protocol": "http",
            "network_timeout": 5,
            "session_parameters": {
                "CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False,
                "CLIENT_TELEMETRY_ENABLED": False,
            },
        }


@pytest.fixture
def connection(options):
    with connector.connect(**options) as opened:
        yield opened


def test_statements_that_succeeded_are_recorded_as_the_user_wrote_them(
    connection, service, recorded, lineage
):
    cursor = connection.cursor()
    cursor.execute("INSERT INTO copies SELECT n FROM orders WHERE n > %s", ("7",))
    cursor.executemany("INSERT INTO rows (n) VALUES (%s)", [("1",), ("2",)])
    cursor.executemany("INSERT INTO none (n) VALUES (%s)", [])
    with pytest.raises(connector.errors.ProgrammingError, match="no such table"):
        cursor.execute("SELECT * FROM missing")
    cursor.describe("SELECT n FROM described")
    assert "INSERT INTO rows (n) VALUES ('1'),('2')" in service.sent
    assert [
        "INSERT INTO copies SELECT n FROM orders WHERE n > %s",
        "INSERT INTO rows (n) VALUES (%s)",
    ] == recorded()
    assert ({"SHOP.RAW.ORDERS"}, {"SHOP.RAW.COPIES", "SHOP.RAW.ROWS"}) == lineage()


def test_the_query_id_of_what_was_written_last_is_the_external_query(connection):
    cursor = connection.cursor()
    cursor.execute("INSERT INTO copies SELECT n FROM orders")
    written = cursor.sfqid
    cursor.execute("SELECT n FROM copies")
    facet = describe(recorder.peek("r")).run_facets["externalQuery"]
    assert (written, "snowflake://acme-eu") == (facet.externalQueryId, facet.source)


def test_names_follow_the_session(connection, lineage):
    list(
        connection.execute_string(
            "USE depot.daily; INSERT INTO stock SELECT n FROM shop.raw.orders; SELECT 1"
        )
    )
    assert ({"SHOP.RAW.ORDERS"}, {"DEPOT.DAILY.STOCK"}) == lineage()


def test_an_error_that_the_users_handler_swallows_is_an_error(connection, recorded):
    connection.errorhandler = lambda *_: None
    cursor = connection.cursor()
    cursor.errorhandler = lambda *_: None
    # Since version 5 it is raised nevertheless.
    with contextlib.suppress(connector.errors.ProgrammingError):
        cursor.execute("SELECT * FROM missing")
    assert [] == recorded()


def test_a_statement_that_was_left_running_counts_when_its_result_is_got(connection, recorded):
    cursor = connection.cursor()
    cursor.execute_async("INSERT INTO copies SELECT n FROM orders")
    query_id = cursor.sfqid
    assert [] == recorded()
    cursor.get_results_from_sfqid(query_id)
    assert [("1",)] == cursor.fetchall()
    assert ["INSERT INTO copies SELECT n FROM orders"] == recorded()
    assert query_id == recorder.peek("r").statements[0].query_id


@pytest.mark.parametrize("way", ["status", "result"])
def test_it_belongs_to_the_run_that_started_it_whichever_connection_learns_of_it(
    options, host, way, recorded
):
    with connector.connect(**options) as first, connector.connect(**options) as second:
        query_id = first.cursor().execute_async("SELECT n FROM orders")["queryId"]
        with host.running("another"):
            if way == "status":
                second.get_query_status(query_id)
            else:
                second.cursor().query_result(query_id)
    assert ["SELECT n FROM orders"] == recorded()
    assert () == recorder.peek("another").statements


def test_a_statement_that_still_runs_or_failed_does_not_count(connection, service, recorded):
    query_id = connection.cursor().execute_async("SELECT n FROM orders")["queryId"]
    for service.status in ("RUNNING", "FAILED_WITH_ERROR"):
        connection.get_query_status(query_id)
    assert [] == recorded()


def test_a_data_frame_that_is_written_is_a_table_that_is_written(connection, monkeypatch, lineage):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    from snowflake.connector.pandas_tools import write_pandas

    # Files go to the cloud's own storage, past the service.
    monkeypatch.setattr(type(connection.cursor()), "_upload", lambda *_, **__: None, raising=False)
    success, chunks, rows, _ = write_pandas(connection, pandas.DataFrame({"N": ["1"]}), "FRAME")
    assert (True, 1, 1) == (success, chunks, rows)
    assert (set(), {"SHOP.RAW.FRAME"}) == lineage()


def test_names_among_parameters_are_put_into_the_text_and_no_values(options, recorded):
    with connector.connect(**options, paramstyle="qmark") as connection:
        connection.cursor().execute(
            "INSERT INTO IDENTIFIER(?) SELECT '?', n FROM orders WHERE n > ?", ["depot.x.t", "7"]
        )
    assert ["INSERT INTO depot.x.t SELECT '?', n FROM orders WHERE n > ?"] == recorded()


def test_what_was_rolled_back_wrote_nothing(connection):
    cursor = connection.cursor()
    cursor.execute("INSERT INTO autocommitted VALUES (1)")
    cursor.execute("BEGIN")
    cursor.execute("INSERT INTO gone VALUES (1)")
    connection.rollback()
    cursor.execute("BEGIN")
    cursor.execute("INSERT INTO committed VALUES (1)")
    cursor.execute("CREATE TABLE made (n int)")
    cursor.execute("ROLLBACK")
    undone = [each.sql for each in recorder.peek("r").statements if each.rolled_back]
    assert ["INSERT INTO gone VALUES (1)"] == undone


def test_the_asynchronous_connector_is_recorded_for_its_task(options, host):
    aio = pytest.importorskip("snowflake.connector.aio")

    async def work(number: int) -> None:
        with host.running(f"task-{number}"):
            async with aio.SnowflakeConnection(**options) as connection:
                cursor = connection.cursor()
                await cursor.execute(f"INSERT INTO t{number} SELECT n FROM orders")
                await cursor.executemany(f"INSERT INTO many{number} (n) VALUES (%s)", [("1",), ("2",)])

    async def main() -> None:
        await asyncio.gather(*(work(number) for number in range(3)))

    asyncio.run(main())
    for number in range(3):
        assert [
            f"INSERT INTO t{number} SELECT n FROM orders",
            f"INSERT INTO many{number} (n) VALUES (%s)",
        ] == [each.sql for each in recorder.take(f"task-{number}").statements]


@pytest.mark.parametrize(
    ("account", "host", "expected"),
    [
        ("Acme-EU", "acme-eu.snowflakecomputing.com", "acme-eu"),
        ("acme-eu", "acme-eu.privatelink.snowflakecomputing.com", "acme-eu"),
        ("xy12345", "xy12345.eu-central-1.aws.snowflakecomputing.com", "xy12345.eu-central-1.aws"),
        ("xy12345", "xy12345.cn-northwest-1.snowflakecomputing.cn", "xy12345.cn-northwest-1"),
        ("acme-eu", "proxy.acme.io", "acme-eu"),
    ],
)
def test_an_account_has_one_name_whatever_the_way_to_it(account, host, expected):
    from openlineage_bridge_capture.drivers import snowflake

    class Connection:
        database, schema = "SHOP", None

    Connection.account, Connection.host = account, host
    place = snowflake._place(Connection())
    assert (f"snowflake://{expected}", "SHOP", "PUBLIC") == (place.namespace, place.catalog, place.schema)
    sqlalchemy = pytest.importorskip("sqlalchemy")
    if host.startswith(account.lower()):
        url = sqlalchemy.make_url(f"snowflake://u@{host}/shop")
        assert place == places.of_url("snowflake", url)


def test_sqlalchemy_on_it_counts_each_statement_once(options, recorded, lineage):
    pytest.importorskip("snowflake.sqlalchemy")
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine("snowflake://u:p@acme-eu/shop/raw", connect_args=options)
    with engine.begin() as opened:
        opened.execute(sqlalchemy.text("INSERT INTO copies SELECT n FROM orders"))
    engine.dispose()
    assert 1 == sum("copies" in each for each in recorded())
    assert ({"SHOP.RAW.ORDERS"}, {"SHOP.RAW.COPIES"}) == lineage()
