"""A real PostgreSQL server: psycopg 3, psycopg2 and SQLAlchemy on them, synchronous and not; each statement once."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from openlineage_bridge_capture import drivers, recorder
from openlineage_bridge_capture.describe import describe

USER = "postgres"


def _binaries() -> Path | None:
    """Where the server's programs are: on the path, or in Debian's folder."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


def _as_user(*command: object) -> None:
    """Run as a user that PostgreSQL accepts: it refuses to be started by root."""
    prefix = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    subprocess.run(
        [*prefix, *map(str, command)],
        check=True,
        timeout=60,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture(scope="session")
def server() -> Iterator[int]:
    """The port of a PostgreSQL server of our own, on loopback only."""
    binaries = _binaries()
    if binaries is None or not (binaries / "initdb").exists():
        pytest.skip("no PostgreSQL server here: install one (Debian: apt-get install postgresql)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="bridge-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    data = folder / "data"
    settings = f"-p {port} -h 127.0.0.1 -k {folder} -F -c shared_buffers=16MB -c max_connections=30"
    try:
        _as_user(binaries / "initdb", "-D", data, "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8")
        _as_user(binaries / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", settings, "start")
        yield port
    finally:
        with suppress(subprocess.CalledProcessError):
            _as_user(binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def shop(server, host) -> Iterator[str]:
    """A fresh schema with a table in it, inside the run ``r``; the conninfo of its database."""
    drivers.install()
    psycopg = pytest.importorskip("psycopg")
    conninfo = f"host=127.0.0.1 port={server} dbname=postgres user={USER}"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("DROP SCHEMA IF EXISTS app CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.execute("CREATE TABLE orders (id int, price int)")
        connection.execute("INSERT INTO orders VALUES (1, 10)")
    with host.running("r"):
        yield conninfo
    assert recorder.peek("r").left_out == 0


def recorded() -> list[str]:
    return [statement.sql for statement in recorder.peek("r").statements]


def lineage() -> tuple[set[str], set[str]]:
    description = describe(recorder.take("r"))
    assert description.run_facets == {}
    return {each.name for each in description.inputs}, {each.name for each in description.outputs}


COPY = "CREATE TABLE copies AS SELECT id FROM orders"
COPIED = ({"postgres.public.orders"}, {"postgres.public.copies"})


@pytest.fixture
def psycopg(shop):
    """The instrumented module."""
    return pytest.importorskip("psycopg")


@pytest.fixture
def psycopg2(shop):
    """The instrumented module, with its extras."""
    pytest.importorskip("psycopg2.extras")
    return pytest.importorskip("psycopg2")


def test_a_statement_carries_all_that_names_its_tables(psycopg, shop, server):
    with psycopg.connect(shop) as connection:
        connection.execute("SELECT * FROM orders WHERE id = %s", [1])
    (statement,) = recorder.take("r").statements
    assert ("postgres", f"postgres://127.0.0.1:{server}", "postgres", "public") == (
        statement.dialect,
        statement.namespace,
        statement.catalog,
        statement.schema,
    )


def test_every_way_psycopg_executes_is_recorded_once(psycopg, shop):
    with psycopg.connect(shop) as connection, connection.cursor() as cursor:
        connection.execute("SELECT 1 FROM orders")
        cursor.execute(b"SELECT 2 FROM orders")
        cursor.executemany("INSERT INTO orders VALUES (%s, %s)", [(2, 20), (3, 30)])
        assert [(1,), (2,), (3,)] == sorted(cursor.stream("SELECT id FROM orders"))
        cursor.execute(psycopg.sql.SQL("SELECT 3 FROM {}").format(psycopg.sql.Identifier("orders")))
        psycopg.ClientCursor(connection).execute("SELECT 4 FROM orders WHERE id = %s", [1])
        with connection.cursor(name="named") as named:
            assert [(1,)] == named.execute("SELECT id FROM orders LIMIT 1").fetchall()
    assert [
        "SELECT 1 FROM orders",
        "SELECT 2 FROM orders",
        "INSERT INTO orders VALUES (%s, %s)",
        "SELECT id FROM orders",
        'SELECT 3 FROM "orders"',
        "SELECT 4 FROM orders WHERE id = %s",
        "SELECT id FROM orders LIMIT 1",
    ] == recorded()


def test_copy_in_both_directions_and_a_stream_left_early(psycopg, shop):
    with psycopg.connect(shop) as connection, connection.cursor() as cursor:
        with cursor.copy("COPY orders FROM STDIN") as copy:
            copy.write_row((7, 70))
        with cursor.copy("COPY orders TO STDOUT") as copy:
            assert [b"1\t10\n", b"7\t70\n"] == [bytes(each) for each in copy]
        rows = cursor.stream("SELECT price FROM orders")
        next(rows)
        rows.close()
        assert (2,) == cursor.execute("SELECT count(*) FROM orders").fetchone()
    assert [
        "COPY orders FROM STDIN",
        "COPY orders TO STDOUT",
        "SELECT price FROM orders",
        "SELECT count(*) FROM orders",
    ] == recorded()


def test_failed_statements_record_nothing_and_the_error_is_the_drivers(psycopg, psycopg2, shop):
    with psycopg.connect(shop) as connection, pytest.raises(psycopg.errors.UndefinedTable, match="missing"):
        connection.execute("SELECT * FROM missing")
    with psycopg.connect(shop) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        list(connection.cursor().stream("SELECT * FROM missing"))
    with psycopg2.connect(shop) as connection, pytest.raises(psycopg2.errors.UndefinedTable, match="missing"):
        connection.cursor().execute("SELECT * FROM missing")
    assert [] == recorded()


def test_asking_for_the_schema_leaves_transactions_as_they_were(psycopg, psycopg2, shop):
    status = psycopg.pq.TransactionStatus
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("SELECT 1 FROM orders")
        assert status.IDLE == connection.info.transaction_status
    with psycopg.connect(shop) as connection:
        connection.execute("SELECT 1 FROM orders")
        assert status.INTRANS == connection.info.transaction_status
    connection = psycopg2.connect(shop)
    connection.autocommit = True
    connection.cursor().execute("SELECT 1 FROM orders")
    assert psycopg2.extensions.TRANSACTION_STATUS_IDLE == connection.get_transaction_status()
    connection.close()


def test_the_search_path_is_the_servers_answer(psycopg, shop):
    with psycopg.connect(f"{shop} options='-c search_path=app'") as connection:
        connection.execute("CREATE SCHEMA app")
        connection.execute("CREATE TABLE a AS SELECT * FROM public.orders")
        connection.execute("SET search_path TO public")
        connection.execute("CREATE TABLE b AS SELECT * FROM app.a")
    assert ({"postgres.public.orders"}, {"postgres.app.a", "postgres.public.b"}) == lineage()


def test_temporary_tables_are_followed_through_and_named_nowhere(psycopg, shop, host):
    with psycopg.connect(shop) as connection:
        connection.execute("CREATE TEMP TABLE cheap AS SELECT id FROM orders")
        connection.execute("CREATE TABLE copies AS SELECT id FROM cheap")
        assert COPIED == lineage()
        with host.running("later"):
            connection.execute("SELECT * FROM cheap")
    assert [] == describe(recorder.take("later")).inputs


def test_pipelines_record_and_ask_nothing(psycopg, shop):
    with psycopg.connect(shop) as connection, connection.pipeline():
        connection.execute(COPY)
    assert COPIED == lineage()


def test_secrets_in_statements_without_data_are_not_recorded(psycopg, shop):
    with psycopg.connect(shop) as connection:
        connection.execute("/* it */ CREATE ROLE someone PASSWORD 'confidential'")
        connection.execute("ALTER ROLE someone PASSWORD 'confidential'")
        connection.rollback()
    assert [] == recorded()


def test_asynchronous_psycopg_records_every_way_once(psycopg, shop):
    async def work() -> None:
        async with await psycopg.AsyncConnection.connect(shop) as connection:
            await connection.execute(COPY)
            cursor = connection.cursor()
            assert [(1,)] == [row async for row in cursor.stream("SELECT id FROM copies")]
            async with cursor.copy("COPY copies FROM STDIN") as copy:
                await copy.write_row((5,))
            await cursor.executemany("INSERT INTO copies VALUES (%s)", [(6,), (7,)])
            async with connection.cursor(name="named") as named:
                await named.execute("SELECT count(*) FROM copies")
                assert (4,) == await named.fetchone()

    asyncio.run(work())
    assert [
        COPY,
        "SELECT id FROM copies",
        "COPY copies FROM STDIN",
        "INSERT INTO copies VALUES (%s)",
        "SELECT count(*) FROM copies",
    ] == recorded()
    assert COPIED == lineage()


def test_interleaved_tasks_keep_their_statements_apart(psycopg, shop, host):
    async def work(connection, name: str) -> None:
        with host.running(name):
            for _ in range(3):
                await connection.execute(f"SELECT '{name}' FROM orders")
                await asyncio.sleep(0)

    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(shop) as connection:
            await asyncio.gather(*(work(connection, f"task-{number}") for number in range(8)))

    asyncio.run(main())
    for number in range(8):
        (statement,) = recorder.take(f"task-{number}").statements
        assert f"SELECT 'task-{number}' FROM orders" == statement.sql


def test_every_way_psycopg2_executes_is_recorded_once(psycopg2, shop):
    extras = psycopg2.extras
    with psycopg2.connect(shop) as connection, connection.cursor() as cursor:
        cursor.execute(COPY)
        cursor.executemany("INSERT INTO copies VALUES (%s)", [(2,), (3,)])
        extras.execute_values(cursor, "INSERT INTO copies (id) VALUES %s", [(n,) for n in range(250)])
        extras.execute_batch(cursor, "UPDATE copies SET id = %s WHERE id = 3", [(1,), (2,)])
        cursor.copy_from(io.StringIO("8\n"), "copies")
        cursor.copy_expert("COPY copies TO STDOUT", io.StringIO())
        with connection.cursor("named") as named:
            named.execute("SELECT count(*) FROM copies")
            assert (254,) == named.fetchone()
    connection.close()
    assert [
        COPY,
        "INSERT INTO copies VALUES (%s)",
        "INSERT INTO copies (id) VALUES (%s)",
        "UPDATE copies SET id = %s WHERE id = 3",
        'COPY "copies" FROM STDIN',
        "COPY copies TO STDOUT",
        "SELECT count(*) FROM copies",
    ] == recorded()
    assert COPIED == lineage()


def test_the_users_factories_of_psycopg2_keep_working(psycopg2, shop):
    extras = psycopg2.extras
    with psycopg2.connect(shop, cursor_factory=extras.RealDictCursor) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT id FROM orders")
        assert {"id": 1} == dict(cursor.fetchone())
        assert isinstance(cursor, extras.RealDictCursor)
    connection.close()
    with psycopg2.connect(shop, connection_factory=extras.NamedTupleConnection) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT price FROM orders")
        assert 10 == cursor.fetchone().price
        assert isinstance(connection, extras.NamedTupleConnection)
    connection.close()
    assert ["SELECT id FROM orders", "SELECT price FROM orders"] == recorded()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_sqlalchemy_on_a_captured_driver_counts_each_statement_once(psycopg2, shop, server, driver):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine(f"postgresql+{driver}://{USER}@127.0.0.1:{server}/postgres")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(COPY))
        connection.execute(sqlalchemy.text("INSERT INTO copies VALUES (:id)"), [{"id": 2}, {"id": 3}])
        connection.connection.cursor().execute("SELECT id FROM copies")
    engine.dispose()
    assert [COPY, "INSERT INTO copies VALUES (%(id)s)", "SELECT id FROM copies"] == [
        sql.replace("::INTEGER", "") for sql in recorded() if "copies" in sql
    ]
    assert COPIED == lineage()


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_asynchronous_engines_of_sqlalchemy_name_the_same_tables(shop, server, driver):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    asynchronous = pytest.importorskip("sqlalchemy.ext.asyncio")
    pytest.importorskip(driver)

    async def work() -> None:
        engine = asynchronous.create_async_engine(f"postgresql+{driver}://{USER}@127.0.0.1:{server}/postgres")
        async with engine.begin() as connection:
            await connection.execute(sqlalchemy.text(COPY))
        await engine.dispose()

    asyncio.run(work())
    statements = recorder.peek("r").statements
    assert {(f"postgres://127.0.0.1:{server}", "postgres", "public")} == {
        (each.namespace, each.catalog, each.schema) for each in statements
    }
    assert 1 == [each.sql for each in statements].count(COPY)
    assert COPIED == lineage()


# ---- transactions: what was rolled back was read, but not written

INSERT = "INSERT INTO copies SELECT id FROM orders"
DONE, UNDONE = ({"postgres.public.orders"}, {"postgres.public.copies"}), ({"postgres.public.orders"}, set())


@pytest.fixture
def copies(psycopg, shop):
    """The conninfo of a database with a table to write to."""
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("CREATE TABLE copies (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    recorder.take("r")
    return shop


def _commits(connection) -> None:
    connection.execute(INSERT)
    connection.commit()


def _rolls_back(connection) -> None:
    connection.execute(INSERT)
    connection.rollback()


def _by_text(connection) -> None:
    connection.execute(INSERT)
    connection.execute("ROLLBACK")


def _closes(connection) -> None:
    connection.execute(INSERT)
    connection.close()


def _commits_after_a_failure(connection) -> None:
    connection.execute(INSERT)
    with suppress(connection.DataError):
        connection.execute("SELECT 1 / 0")
    connection.commit()


def _commits_by_text_after_a_failure(connection) -> None:
    connection.execute(INSERT)
    with suppress(connection.DataError):
        connection.execute("SELECT 1 / 0")
    connection.execute("COMMIT")


def _fails_to_commit(connection) -> None:
    connection.execute(INSERT)
    connection.execute(INSERT)
    with suppress(connection.IntegrityError):
        connection.commit()


def _leaves_the_with_block(connection) -> None:
    with connection:
        connection.execute(INSERT)


def _fails_in_the_with_block(connection) -> None:
    with suppress(ZeroDivisionError), connection:
        connection.execute(INSERT)
        raise ZeroDivisionError


def _returns_to_a_savepoint(connection) -> None:
    connection.execute("SAVEPOINT s")
    connection.execute(INSERT)
    connection.execute("ROLLBACK TO s")
    connection.commit()


WAYS = [
    (_commits, DONE),
    (_leaves_the_with_block, DONE),
    (_rolls_back, UNDONE),
    (_by_text, UNDONE),
    (_closes, UNDONE),
    (_commits_after_a_failure, UNDONE),
    (_commits_by_text_after_a_failure, UNDONE),
    (_fails_to_commit, UNDONE),
    (_fails_in_the_with_block, UNDONE),
    (_returns_to_a_savepoint, UNDONE),
]


@pytest.mark.parametrize(("way", "expected"), WAYS)
def test_psycopg_tells_how_a_transaction_ended(psycopg, copies, way, expected):
    class Connection(psycopg.Connection):
        DataError, IntegrityError = psycopg.DataError, psycopg.IntegrityError

    way(Connection.connect(copies))
    assert expected == lineage()


@pytest.mark.parametrize(("way", "expected"), WAYS)
def test_psycopg2_tells_how_a_transaction_ended(psycopg2, copies, way, expected):
    class Connection(psycopg2.extensions.connection):
        def execute(self, sql: str) -> None:
            with self.cursor() as cursor:
                cursor.execute(sql)

    way(psycopg2.connect(copies, connection_factory=Connection))
    assert expected == lineage()


def test_transaction_blocks_of_psycopg_nest(psycopg, copies):
    with psycopg.connect(copies) as connection, connection.transaction():
        connection.execute("CREATE TABLE kept AS SELECT id FROM orders")
        with suppress(ZeroDivisionError), connection.transaction():
            connection.execute(INSERT)
            raise ZeroDivisionError
        with connection.transaction(force_rollback=True):
            connection.execute("CREATE TABLE gone AS SELECT id FROM orders")
    assert ({"postgres.public.orders"}, {"postgres.public.kept"}) == lineage()


def test_an_asynchronous_connection_is_followed_too(psycopg, copies):
    async def run() -> None:
        async with await psycopg.AsyncConnection.connect(copies) as connection:
            await connection.execute("CREATE TABLE kept AS SELECT * FROM orders")
            await connection.commit()
            async with connection.transaction(force_rollback=True):
                await connection.execute(INSERT)
        connection = await psycopg.AsyncConnection.connect(copies)
        await connection.execute("DELETE FROM orders")
        await connection.close()

    asyncio.run(run())
    description = describe(recorder.take("r"))
    assert ["postgres.public.kept"] == [each.name for each in description.outputs]
    assert ["id", "price"] == [each.name for each in description.outputs[0].facets["schema"].fields]


def test_autocommit_keeps_what_no_transaction_holds(psycopg, psycopg2, copies):
    with psycopg.connect(copies, autocommit=True) as connection:
        connection.execute(INSERT)
        connection.rollback()
    assert DONE == lineage()
    connection = psycopg2.connect(copies)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM copies")
        cursor.execute("BEGIN")
        cursor.execute(INSERT)
        cursor.execute("ROLLBACK")
    connection.close()
    assert ({"postgres.public.orders"}, {"postgres.public.copies"}) == lineage()
    assert [] == [each.sql for each in recorder.peek("r").statements]


def test_a_pipeline_that_is_rolled_back_wrote_nothing(psycopg, copies):
    with psycopg.connect(copies) as connection, connection.pipeline():
        connection.execute(INSERT)
        connection.rollback()
    assert UNDONE == lineage()


# ---- the catalog


def schemas() -> dict[str, list[tuple[str, str]]]:
    description = describe(recorder.take("r"))
    return {
        each.name: [(field.name, field.type) for field in each.facets["schema"].fields]
        for each in (*description.inputs, *description.outputs)
        if "schema" in each.facets
    }


ORDERS = [("id", "integer"), ("price", "integer")]
BOTH = {"postgres.public.orders": ORDERS, "postgres.public.copies": ORDERS}


def test_both_drivers_tell_the_columns_inside_and_outside_a_transaction(psycopg, psycopg2, shop):
    for autocommit in (True, False):
        for module in (psycopg, psycopg2):
            connection = module.connect(shop)
            connection.autocommit = autocommit
            connection.cursor().execute("CREATE TABLE copies AS SELECT * FROM orders")
            if not autocommit:
                connection.commit()
            connection.cursor().execute("SELECT 1 FROM copies")
            assert BOTH == schemas(), (module, autocommit)
            connection.cursor().execute("DROP TABLE copies")
            if not autocommit:
                connection.commit()
            connection.close()
            recorder.take("r")


def test_quoted_names_and_other_schemas_are_found(psycopg, shop):
    with psycopg.connect(shop) as connection:
        connection.execute('CREATE SCHEMA app; CREATE TABLE app."My Tab" ("Id" uuid, tags text[])')
        recorder.take("r")
        connection.execute('SELECT * FROM app."My Tab"')
    assert [("Id", "uuid"), ("tags", "text[]")] == schemas()["postgres.app.My Tab"]


def test_a_question_that_fails_does_not_harm_the_users_transaction(psycopg, psycopg2, shop, monkeypatch):
    monkeypatch.setattr(drivers.postgres, "_COLUMNS", "SELECT 1 / 0 -- {names} {rows}\n")
    for module in (psycopg, psycopg2):
        connection = module.connect(shop)
        cursor = connection.cursor()
        cursor.execute("DELETE FROM orders")
        cursor.execute("SELECT count(*) FROM orders")
        assert (0,) == cursor.fetchone()
        connection.rollback()
        cursor.execute("SELECT count(*) FROM orders")
        assert (1,) == cursor.fetchone()
        connection.close()


def test_asking_opens_no_transaction_and_leaves_no_savepoint(psycopg, shop):
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("SELECT * FROM orders")
        assert psycopg.pq.TransactionStatus.IDLE == connection.info.transaction_status
        connection.autocommit = False
        connection.execute("SELECT id FROM orders")
        with pytest.raises(psycopg.errors.InvalidSavepointSpecification):
            connection.execute("RELEASE openlineage_bridge")
