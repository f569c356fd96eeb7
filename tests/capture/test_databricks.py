"""databricks-sql-connector against a local warehouse: the connector's own Thrift server code behind plain HTTP."""

from __future__ import annotations

import uuid

import pytest
from bridge_tests.loopback import Handler, serving

from openlineage_bridge_capture import drivers, recorder
from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.drivers import places

sql = pytest.importorskip("databricks.sql")

from databricks.sql.thrift_api.TCLIService import TCLIService, ttypes  # noqa: E402  # needs the import above
from thrift.protocol.TBinaryProtocol import TBinaryProtocol  # noqa: E402
from thrift.transport.TTransport import TMemoryBuffer  # noqa: E402

OK = ttypes.TStatus(ttypes.TStatusCode.SUCCESS_STATUS)
FINISHED, RUNNING = ttypes.TOperationState.FINISHED_STATE, ttypes.TOperationState.RUNNING_STATE
FAILED = ttypes.TOperationState.ERROR_STATE


def handle(kind: type) -> object:
    return kind(ttypes.THandleIdentifier(uuid.uuid4().bytes, uuid.uuid4().bytes))


class Warehouse:
    """Runs every statement with success, but those that mention ``missing``; asynchronous ones take ``looks`` looks."""

    def __init__(self) -> None:
        self.sent: dict[bytes, str] = {}
        self.looks = 0

    def OpenSession(self, req):
        version = ttypes.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V5
        return ttypes.TOpenSessionResp(
            OK, version, handle(ttypes.TSessionHandle), canUseMultipleCatalogs=True
        )

    def CloseSession(self, req):
        return ttypes.TCloseSessionResp(OK)

    def CloseOperation(self, req):
        return ttypes.TCloseOperationResp(OK)

    def ExecuteStatement(self, req):
        identifier = ttypes.THandleIdentifier(uuid.uuid4().bytes, uuid.uuid4().bytes)
        self.sent[identifier.guid] = req.statement
        operation = ttypes.TOperationHandle(
            identifier, ttypes.TOperationType.EXECUTE_STATEMENT, hasResultSet=True
        )
        return ttypes.TExecuteStatementResp(OK, operation)

    def GetOperationStatus(self, req):
        self.looks -= 1
        state = RUNNING if self.looks > 0 else FINISHED
        if "missing" in self.sent[req.operationHandle.operationId.guid]:
            state = FAILED
        return ttypes.TGetOperationStatusResp(
            OK, state, errorMessage="no such table", displayMessage="no such table"
        )

    def metadata(self):
        kind = ttypes.TTypeDesc([ttypes.TTypeEntry(ttypes.TPrimitiveTypeEntry(ttypes.TTypeId.STRING_TYPE))])
        schema = ttypes.TTableSchema([ttypes.TColumnDesc("n", kind, 1)])
        form = ttypes.TSparkRowSetType.COLUMN_BASED_SET
        return ttypes.TGetResultSetMetadataResp(OK, schema, resultFormat=form, lz4Compressed=False)

    def GetResultSetMetadata(self, req):
        return self.metadata()

    def FetchResults(self, req):
        column = ttypes.TColumn(stringVal=ttypes.TStringColumn(["1"], b"\0"))
        rows = ttypes.TRowSet(0, [], [column])
        return ttypes.TFetchResultsResp(
            OK, hasMoreRows=False, results=rows, resultSetMetadata=self.metadata()
        )


class Door(Handler):
    def do_POST(self) -> None:
        asked = TMemoryBuffer(self.body())
        answer = TMemoryBuffer()
        TCLIService.Processor(self.server.warehouse).process(TBinaryProtocol(asked), TBinaryProtocol(answer))
        self.reply(answer.getvalue())


@pytest.fixture
def warehouse():
    with serving(Door, warehouse=Warehouse()) as server:
        server.warehouse.port = server.server_port
        yield server.warehouse


@pytest.fixture
def connection(warehouse, host):
    """A connection to the warehouse, inside the run ``r``."""
    drivers.install()
    with (
        host.running("r"),
        sql.connect(
            server_hostname="adb-1.azuredatabricks.net",
            http_path="/sql/1.0/warehouses/w",
            access_token="t",
            catalog="main",
            _connection_uri=f"http://127.0.0.1:{warehouse.port}/w",
            enable_telemetry=False,
        ) as opened,
    ):
        yield opened


def test_statements_that_succeeded_are_recorded_as_the_user_wrote_them(connection, recorded):
    cursor = connection.cursor()
    cursor.execute("SELECT n FROM orders WHERE n > :n", {"n": 7})
    assert [("1",)] == [tuple(row) for row in cursor.fetchall()]
    cursor.executemany("INSERT INTO copies VALUES (?)", [[1], [2]])
    cursor.executemany("INSERT INTO none VALUES (?)", [])
    with pytest.raises(sql.exc.Error, match="no such table"):
        cursor.execute("SELECT * FROM missing")
    assert ["SELECT n FROM orders WHERE n > :n", "INSERT INTO copies VALUES (?)"] == recorded()


def test_names_follow_use_and_the_query_id_is_the_external_query(connection):
    cursor = connection.cursor()
    cursor.execute("SELECT n FROM orders")
    cursor.execute("USE CATALOG lake")
    cursor.execute("USE SCHEMA raw")
    cursor.execute("INSERT INTO copies SELECT n FROM main.default.orders")
    written = cursor.query_id
    description = describe(recorder.peek("r"))
    namespace = "databricks://adb-1.azuredatabricks.net"
    assert {(namespace, "main.default.orders")} == {
        (each.namespace, each.name) for each in description.inputs
    }
    assert ["lake.raw.copies"] == [each.name for each in description.outputs]
    facet = description.run_facets["externalQuery"]
    assert (written, namespace) == (facet.externalQueryId, facet.source)


def test_a_statement_that_was_left_running_counts_when_its_result_is_got(connection, warehouse, recorded):
    cursor = connection.cursor()
    cursor.execute_async("INSERT INTO copies SELECT n FROM orders")
    assert [] == recorded()
    cursor.get_async_execution_result()
    assert ["INSERT INTO copies SELECT n FROM orders"] == recorded()
    cursor.get_async_execution_result()
    cursor.execute_async("SELECT n FROM missing")
    with pytest.raises(sql.exc.Error):
        cursor.get_async_execution_result()
    assert ["INSERT INTO copies SELECT n FROM orders"] == recorded()


def test_it_has_the_name_that_sqlalchemys_url_gives(connection):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    connection.cursor().execute("SELECT n FROM orders")
    url = sqlalchemy.make_url("databricks://token:t@adb-1.azuredatabricks.net?catalog=main&schema=default")
    place, statement = places.of_url("databricks", url), recorder.peek("r").statements[0]
    assert (place.namespace, place.catalog, place.schema) == (
        statement.namespace,
        statement.catalog,
        statement.schema,
    )


def test_sqlalchemy_on_it_counts_each_statement_once(connection, recorded):
    pytest.importorskip("databricks.sqlalchemy")
    sqlalchemy = pytest.importorskip("sqlalchemy")
    url = "databricks://token:t@adb-1.azuredatabricks.net?http_path=/w&catalog=main&schema=default"
    engine = sqlalchemy.create_engine(url, creator=lambda: connection)
    with engine.connect() as opened:
        opened.execute(sqlalchemy.text("INSERT INTO copies SELECT n FROM orders"))
    assert 1 == sum("copies" in each for each in recorded())
