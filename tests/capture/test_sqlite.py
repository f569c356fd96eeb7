"""Real sqlite3, aiosqlite and SQLAlchemy on them: what they run is recorded once, and types and factories stay the user's."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from openlineage_bridge_capture import drivers, recorder
from openlineage_bridge_capture.describe import describe


@pytest.fixture
def database(host, tmp_path, monkeypatch):
    """A connection to a file database, in a folder of its own, inside the run ``r``."""
    drivers.install()
    monkeypatch.chdir(tmp_path)
    with host.running("r"):
        connection = sqlite3.connect("shop.db")
        connection.execute("CREATE TABLE orders AS SELECT 1 AS id, 10 AS price")
        recorder.take("r")
        yield connection
        connection.close()


COPY = "CREATE TABLE copies AS SELECT id FROM orders"
COPIED = ({"main.orders"}, {"main.copies"})


def test_a_statement_carries_all_that_names_its_tables(database, tmp_path):
    database.execute("SELECT * FROM orders WHERE id = ?", (1,))
    (statement,) = recorder.take("r").statements
    assert ("sqlite", f"sqlite://{tmp_path}/shop.db", None, "main") == (
        statement.dialect,
        statement.namespace,
        statement.catalog,
        statement.schema,
    )


def test_every_way_of_executing_is_recorded_once_and_gives_its_result(database, recorded):
    assert [(1,)] == database.execute("SELECT 1 FROM orders").fetchall()
    database.executemany("INSERT INTO orders VALUES (?, ?)", [(2, 20), (3, 30)])
    database.executescript("CREATE TABLE a AS SELECT * FROM orders; CREATE TABLE b AS SELECT * FROM a")
    cursor = database.cursor()
    assert cursor is cursor.execute("SELECT 2 FROM orders")
    cursor.executemany("DELETE FROM orders WHERE id = :id", [{"id": 3}])
    cursor.executescript("SELECT 3 FROM orders")
    assert [
        "SELECT 1 FROM orders",
        "INSERT INTO orders VALUES (?, ?)",
        "CREATE TABLE a AS SELECT * FROM orders; CREATE TABLE b AS SELECT * FROM a",
        "SELECT 2 FROM orders",
        "DELETE FROM orders WHERE id = :id",
        "SELECT 3 FROM orders",
    ] == recorded()


def test_failed_statements_record_nothing_and_the_error_is_sqlites(database, recorded):
    for execute in (database.execute, database.cursor().execute, database.executescript):
        with pytest.raises(sqlite3.OperationalError, match="missing"):
            execute("SELECT * FROM missing")
    with pytest.raises(TypeError):
        database.execute()
    assert [] == recorded()


def test_an_attached_file_has_its_own_namespace_however_it_is_attached(database, tmp_path):
    database.execute("ATTACH DATABASE 'one.db' AS one")
    database.execute("ATTACH ? AS two", (str(tmp_path / "two.db"),))
    database.execute("ATTACH :path AS three", {"path": "three.db"})
    for alias in ("one", "two", "three"):
        database.execute(f"CREATE TABLE {alias}.copies AS SELECT * FROM orders")
    description = describe(recorder.take("r"))
    assert [(f"sqlite://{tmp_path}/{name}.db", "main.copies") for name in ("one", "two", "three")] == [
        (each.namespace, each.name) for each in description.outputs
    ]
    database.commit()
    database.execute("DETACH one")
    database.execute("SELECT * FROM two.copies")
    (statement,) = recorder.take("r").statements
    assert ["two", "three"] == [catalog.alias for catalog in statement.catalogs]


def test_databases_in_memory_are_followed_through(database, lineage):
    memory = sqlite3.connect(":memory:")
    memory.execute("ATTACH 'shop.db' AS shop")
    memory.execute("CREATE TABLE scratch AS SELECT id FROM shop.orders")
    memory.execute("CREATE TABLE shop.copies AS SELECT id FROM scratch")
    memory.close()
    assert COPIED == lineage()


def test_uris_name_the_file_they_open(database, tmp_path):
    again = sqlite3.connect(f"file:{tmp_path}/shop.db?mode=ro", uri=True)
    again.execute("SELECT * FROM orders")
    again.close()
    (statement,) = recorder.take("r").statements
    assert f"sqlite://{tmp_path}/shop.db" == statement.namespace


def test_temporary_tables_are_followed_through_and_named_nowhere(database, host, lineage):
    database.execute("CREATE TEMP TABLE cheap AS SELECT id FROM orders")
    database.execute("CREATE TABLE copies AS SELECT id FROM cheap")
    assert COPIED == lineage()
    with host.running("later"):
        database.execute("SELECT * FROM cheap")
    assert [] == describe(recorder.take("later")).inputs


class Connection(sqlite3.Connection):
    """A user's connection, with a constructor and cursors of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.closed = False

    def cursor(self):
        return super().cursor(Cursor)

    def close(self):
        self.closed = True
        super().close()


class Cursor(sqlite3.Cursor):
    def execute(self, sql, *parameters):
        return super().execute(sql.replace("prices", "orders"), *parameters)


def test_the_users_factories_keep_working_and_are_recorded(database, recorded):
    for connect in (
        lambda: sqlite3.connect("shop.db", factory=Connection),
        lambda: sqlite3.connect("shop.db", 5, 0, "", False, Connection),  # noqa: FBT003  # positions are the test
    ):
        connection = connect()
        connection.execute("SELECT 1 FROM orders")
        cursor = connection.cursor().execute("SELECT id FROM prices")
        assert isinstance(connection, Connection)
        assert isinstance(cursor, Cursor)
        assert [(1,)] == cursor.fetchall()
        connection.close()
        assert connection.closed
    assert ["SELECT 1 FROM orders", "SELECT id FROM orders"] == recorded()


def test_a_factory_that_is_a_function_is_left_alone(database, recorded):
    connection = sqlite3.connect("shop.db", factory=lambda *args, **_: sqlite3.Connection(*args))
    assert sqlite3.Connection is type(connection)
    connection.execute("SELECT * FROM orders")
    connection.close()
    assert [] == recorded()


def test_types_and_their_modules_are_sqlites(database):
    assert isinstance(database, sqlite3.Connection)
    assert isinstance(database.cursor(), sqlite3.Cursor)
    assert ("sqlite3", "sqlite3", "Connection") == (
        type(database).__module__,
        type(database.cursor()).__module__,
        type(database).__name__,
    )
    database.row_factory = sqlite3.Row
    assert 10 == database.execute("SELECT price FROM orders").fetchone()["price"]
    copy = sqlite3.connect(":memory:")
    database.backup(copy)
    assert [(1,)] == copy.execute("SELECT count(*) FROM orders").fetchall()
    copy.close()


def test_threads_record_for_the_run_that_started_them(database, host, tmp_path):
    def work(number: int) -> None:
        with host.running(f"task-{number}"):
            connection = sqlite3.connect(tmp_path / "shop.db")
            for _ in range(3):
                connection.execute(f"SELECT {number} FROM orders").fetchall()
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(12)))
    for number in range(12):
        assert [f"SELECT {number} FROM orders"] == [
            each.sql for each in recorder.take(f"task-{number}").statements
        ]


def test_instrumenting_twice_records_once(database):
    before = sqlite3.connect
    drivers.install()
    drivers.DRIVERS["sqlite3"](sqlite3)
    assert before is sqlite3.connect
    assert sqlite3.dbapi2.connect.__wrapped__ is sqlite3.connect.__wrapped__


def test_a_defect_of_ours_is_logged_and_the_user_gets_the_result(database, monkeypatch, caplog):
    def broken(_sql):
        raise KeyError("defect")

    monkeypatch.setattr(drivers.texts, "read", broken)
    assert [(1, 10)] == database.execute("SELECT * FROM orders").fetchall()
    assert ["Could not record a statement of %s; its lineage is missing"] == [
        record.msg for record in caplog.records
    ]


def test_without_a_host_nothing_is_kept(database, monkeypatch, recorded):
    monkeypatch.setattr(recorder, "_hosts", [])
    assert [(1, 10)] == database.execute("SELECT * FROM orders").fetchall()
    assert [] == recorded()


def test_aiosqlite_records_for_the_task_that_awaits(database, host):
    aiosqlite = pytest.importorskip("aiosqlite")

    async def work(connection, number: int) -> None:
        with host.running(f"task-{number}"):
            async with connection.execute(f"SELECT {number} FROM orders") as cursor:
                assert [(number,)] == [row async for row in cursor]
            cursor = await connection.cursor()
            await cursor.execute(f"SELECT {number} + 1 FROM orders")

    async def main() -> None:
        async with aiosqlite.connect("shop.db") as connection:
            await asyncio.gather(*(work(connection, number) for number in range(8)))

    asyncio.run(main())
    for number in range(8):
        assert [f"SELECT {number} FROM orders", f"SELECT {number} + 1 FROM orders"] == [
            each.sql for each in recorder.take(f"task-{number}").statements
        ]
    assert 0 == recorder.unattributed()
