"""PyMySQL against a server that speaks MySQL's protocol and knows no SQL: what counts, where, and in which transaction."""

from __future__ import annotations

import socketserver
import struct
import threading

import pytest

from openlineage_bridge_capture import drivers, recorder
from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.drivers import places

pymysql = pytest.importorskip("pymysql")

CAPABILITIES = 0x8FF7DF
"""All that a client may ask for but TLS and compression."""
IN_TRANSACTION, AUTOCOMMIT = 1, 2


def lengthy(data: bytes) -> bytes:
    return bytes([len(data)]) + data


class Session(socketserver.BaseRequestHandler):
    """One connection: a handshake that lets everyone in, then OK, a column of one row, or an error."""

    def packet(self, payload: bytes) -> None:
        self.request.sendall(struct.pack("<I", len(payload))[:3] + bytes([self.number]) + payload)
        self.number += 1

    def read(self) -> bytes:
        header = self.request.recv(4, 0x100)
        if len(header) < 4:
            return b""
        self.number = header[3] + 1
        return self.request.recv(int.from_bytes(header[:3], "little"), 0x100)

    def handle(self) -> None:
        self.number, self.status = 0, AUTOCOMMIT
        low, high = struct.pack("<H", CAPABILITIES & 0xFFFF), struct.pack("<H", CAPABILITIES >> 16)
        self.packet(
            b"\x0a8.0.0\0"
            + struct.pack("<I", 1)
            + b"12345678\0"
            + low
            + b"\x21\x02\0"
            + high
            + b"\x15"
            + b"\0" * 10
            + b"123456789012\0"
            + b"mysql_native_password\0"
        )
        self.read()
        self.ok()
        while command := self.read():
            if command[0] == 1:
                return
            self.server.received.append(command[1:].decode())
            self.answer(command[0], command[1:].decode())

    def ok(self) -> None:
        self.packet(b"\x00\x00\x00" + struct.pack("<HH", self.status, 0))

    def answer(self, command: int, sql: str) -> None:
        word = (sql.split() or ["PING"])[0].upper()
        if "missing" in sql:
            self.packet(b"\xff" + struct.pack("<H", 1146) + b"#42S02no such table")
        elif command == 3 and word == "SELECT":
            self.rows(b"8.0.0" if "VERSION" in sql else b"1", b"2")
        else:
            if word == "BEGIN":
                self.status |= IN_TRANSACTION
            elif word in {"COMMIT", "ROLLBACK", "CREATE"}:
                self.status &= ~IN_TRANSACTION
            self.ok()

    def rows(self, *values: bytes) -> None:
        names = [b"def", b"", b"", b"", b"n", b""]
        self.packet(b"\x01")
        self.packet(b"".join(map(lengthy, names)) + b"\x0c" + struct.pack("<HIBHBH", 33, 9, 253, 0, 0, 0))
        self.packet(b"\xfe" + struct.pack("<HH", 0, self.status))
        for value in values:
            self.packet(lengthy(value))
        self.packet(b"\xfe" + struct.pack("<HH", 0, self.status))


@pytest.fixture
def server():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as serving:
        serving.daemon_threads = True
        serving.received = []
        threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield serving
        serving.shutdown()


@pytest.fixture
def connect(server, host):
    """Opens connections to the server, inside the run ``r``."""
    drivers.install()
    opened = []

    def opening(**options):
        port = server.server_address[1]
        opened.append(pymysql.connect(host="127.0.0.1", port=port, user="u", database="shop", **options))
        return opened[-1]

    with host.running("r"):
        yield opening
        for each in opened:
            if each.open:
                each.close()


def recorded() -> list[tuple[str, str | None]]:
    return [(each.sql, each.schema) for each in recorder.peek("r").statements]


def test_statements_that_succeeded_are_recorded_as_the_user_wrote_them(connect):
    with connect().cursor() as cursor:
        assert 2 == cursor.execute("SELECT n FROM orders WHERE n > %s", (7,))
        assert ((1,), (2,)) == tuple((int(row[0]),) for row in cursor.fetchall())
        cursor.executemany("INSERT INTO copies VALUES (%s)", [(1,), (2,)])
        cursor.executemany("INSERT INTO copies VALUES (%s)", [])
        with pytest.raises(pymysql.err.ProgrammingError, match="no such table"):
            cursor.execute("SELECT * FROM missing")
    assert [
        ("SELECT n FROM orders WHERE n > %s", "shop"),
        ("INSERT INTO copies VALUES (%s)", "shop"),
    ] == recorded()


def test_names_are_those_of_the_server_and_the_current_database(connect, server):
    connection = connect()
    cursor = connection.cursor()
    cursor.execute("USE `depot`")
    cursor.execute("INSERT INTO stock SELECT * FROM shop.orders")
    connection.select_db("archive")
    cursor.execute("DELETE FROM old")
    description = describe(recorder.take("r"))
    namespace = f"mysql://127.0.0.1:{server.server_address[1]}"
    assert {(namespace, "shop.orders")} == {(each.namespace, each.name) for each in description.inputs}
    assert {"depot.stock", "archive.old"} == {each.name for each in description.outputs}


def test_a_connection_that_is_opened_again_is_in_its_first_database(connect):
    connection = connect()
    connection.cursor().execute("USE depot")
    connection.close()
    connection.ping(reconnect=True)
    connection.cursor().execute("SELECT 1 FROM orders")
    assert [("SELECT 1 FROM orders", "shop")] == recorded()


def test_an_unbuffered_cursor_is_left_alone(connect, server):
    cursor = connect().cursor(pymysql.cursors.SSDictCursor)
    before = len(server.received)
    cursor.execute("SELECT n FROM orders")
    assert "1" == str(cursor.fetchone()["n"])
    assert 1 == len(server.received) - before
    assert ["2"] == [str(row["n"]) for row in cursor.fetchall()]
    assert [("SELECT n FROM orders", "shop")] == recorded()


def test_what_was_rolled_back_wrote_nothing(connect):
    connection = connect()
    cursor = connection.cursor()
    connection.begin()
    cursor.execute("INSERT INTO gone VALUES (1)")
    connection.rollback()
    connection.begin()
    cursor.execute("INSERT INTO committed_by_ddl VALUES (1)")
    cursor.execute("CREATE TABLE made (n int)")
    connection.rollback()
    cursor.execute("INSERT INTO kept VALUES (1)")
    connection.rollback()
    undone = {each.sql: each.rolled_back for each in recorder.peek("r").statements}
    assert {
        "INSERT INTO gone VALUES (1)": True,
        "INSERT INTO committed_by_ddl VALUES (1)": False,
        "CREATE TABLE made (n int)": False,
        "INSERT INTO kept VALUES (1)": False,
    } == undone


def test_a_users_cursor_class_stays_what_it_is(connect):
    class Loud(pymysql.cursors.Cursor):
        def execute(self, query, args=None):
            return super().execute(f"{query} /* loud */", args)

    cursor = connect().cursor(Loud)
    assert isinstance(cursor, Loud)
    assert 2 == cursor.execute("SELECT n FROM orders")
    assert [("SELECT n FROM orders /* loud */", "shop")] == recorded()


def test_rows_that_come_from_a_query_while_they_are_inserted_count_too(connect):
    reading, writing = connect(), connect()

    class Rows(list):
        def __iter__(self):
            with reading.cursor() as cursor:
                cursor.execute("SELECT n FROM orders")
                yield from cursor.fetchall()

    writing.cursor().executemany("INSERT INTO copies VALUES (%s)", Rows([1]))
    assert {"SELECT n FROM orders", "INSERT INTO copies VALUES (%s)"} == {sql for sql, _ in recorded()}


def test_sqlalchemy_on_it_counts_each_statement_once(connect, server):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    url = f"mysql+pymysql://u@127.0.0.1:{server.server_address[1]}/shop"
    engine = sqlalchemy.create_engine(url, creator=connect)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO copies SELECT n FROM orders WHERE n > :n"), {"n": 7})
    engine.dispose()
    mine = [each for each in recorder.peek("r").statements if "copies" in each.sql]
    assert ["INSERT INTO copies SELECT n FROM orders WHERE n > %(n)s"] == [each.sql for each in mine]
    place = places.of_url("mysql", sqlalchemy.make_url(url))
    assert (place.namespace, place.schema) == (mine[0].namespace, mine[0].schema)


@pytest.mark.parametrize("pool", [{}, {"pool_name": "pool", "pool_size": 1}])
def test_mysql_connector_is_recorded_without_configuration(server, host, pool):
    connector = pytest.importorskip("mysql.connector")
    drivers.install()
    options = {"host": "127.0.0.1", "port": server.server_address[1], "user": "u", "database": "shop"} | pool
    with host.running("r"), connector.connect(**options, use_pure=True, ssl_disabled=True) as connection:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO copies SELECT n FROM orders WHERE n > %s", (7,))
        with pytest.raises(connector.Error):
            cursor.execute("SELECT * FROM missing")
        cursor.execute("USE depot")
        cursor.execute("INSERT INTO stock VALUES (1)")
    assert [
        ("INSERT INTO copies SELECT n FROM orders WHERE n > %s", "shop"),
        ("INSERT INTO stock VALUES (1)", "depot"),
    ] == recorded()
