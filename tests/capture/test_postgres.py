"""A real PostgreSQL server: psycopg 3, psycopg2 and SQLAlchemy on them, synchronous and not; each statement once."""

from __future__ import annotations

import asyncio
import io

import pytest

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.describe import describe

COPY = "CREATE TABLE copies AS SELECT id FROM orders"
COPIED = ({"postgres.public.orders"}, {"postgres.public.copies"})


def test_a_statement_carries_all_that_names_its_tables(psycopg, shop, postgres_server):
    with psycopg.connect(shop) as connection:
        connection.execute("SELECT * FROM orders WHERE id = %s", [1])
    (statement,) = recorder.take("r").statements
    assert ("postgres", f"postgres://127.0.0.1:{postgres_server}", "postgres", "public") == (
        statement.dialect,
        statement.namespace,
        statement.catalog,
        statement.schema,
    )


def test_every_way_psycopg_executes_is_recorded_once(psycopg, shop, recorded):
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


def test_copy_in_both_directions_and_a_stream_left_early(psycopg, shop, recorded):
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


def test_failed_statements_record_nothing_and_the_error_is_the_drivers(psycopg, psycopg2, shop, recorded):
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


def test_the_search_path_is_the_servers_answer(psycopg, shop, lineage):
    with psycopg.connect(f"{shop} options='-c search_path=app'") as connection:
        connection.execute("CREATE SCHEMA app")
        connection.execute("CREATE TABLE a AS SELECT * FROM public.orders")
        connection.execute("SET search_path TO public")
        connection.execute("CREATE TABLE b AS SELECT * FROM app.a")
    assert ({"postgres.public.orders"}, {"postgres.app.a", "postgres.public.b"}) == lineage()


def test_temporary_tables_are_followed_through_and_named_nowhere(psycopg, shop, host, lineage):
    with psycopg.connect(shop) as connection:
        connection.execute("CREATE TEMP TABLE cheap AS SELECT id FROM orders")
        connection.execute("CREATE TABLE copies AS SELECT id FROM cheap")
        assert COPIED == lineage()
        with host.running("later"):
            connection.execute("SELECT * FROM cheap")
    assert [] == describe(recorder.take("later")).inputs


def test_pipelines_record_and_ask_nothing(psycopg, shop, lineage):
    with psycopg.connect(shop) as connection, connection.pipeline():
        connection.execute(COPY)
    assert COPIED == lineage()


def test_secrets_in_statements_without_data_are_not_recorded(psycopg, shop, recorded):
    with psycopg.connect(shop) as connection:
        connection.execute("/* it */ CREATE ROLE someone PASSWORD 'confidential'")
        connection.execute("ALTER ROLE someone PASSWORD 'confidential'")
        connection.rollback()
    assert [] == recorded()


def test_asynchronous_psycopg_records_every_way_once(psycopg, shop, recorded, lineage):
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


def test_every_way_psycopg2_executes_is_recorded_once(psycopg2, shop, recorded, lineage):
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


def test_the_users_factories_of_psycopg2_keep_working(psycopg2, shop, recorded):
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
def test_sqlalchemy_on_a_captured_driver_counts_each_statement_once(
    psycopg2, shop, postgres_server, driver, recorded, lineage
):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine(f"postgresql+{driver}://postgres@127.0.0.1:{postgres_server}/postgres")
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
def test_asynchronous_engines_of_sqlalchemy_name_the_same_tables(shop, postgres_server, driver, lineage):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    asynchronous = pytest.importorskip("sqlalchemy.ext.asyncio")
    pytest.importorskip(driver)

    async def work() -> None:
        engine = asynchronous.create_async_engine(
            f"postgresql+{driver}://postgres@127.0.0.1:{postgres_server}/postgres"
        )
        async with engine.begin() as connection:
            await connection.execute(sqlalchemy.text(COPY))
        await engine.dispose()

    asyncio.run(work())
    statements = recorder.peek("r").statements
    assert {(f"postgres://127.0.0.1:{postgres_server}", "postgres", "public")} == {
        (each.namespace, each.catalog, each.schema) for each in statements
    }
    assert 1 == [each.sql for each in statements].count(COPY)
    assert COPIED == lineage()
