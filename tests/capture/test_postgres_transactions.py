"""Transactions on a real PostgreSQL server: what was rolled back was read, but not written."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.describe import describe

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
def test_psycopg_tells_how_a_transaction_ended(psycopg, copies, way, expected, lineage):
    class Connection(psycopg.Connection):
        DataError, IntegrityError = psycopg.DataError, psycopg.IntegrityError

    way(Connection.connect(copies))
    assert expected == lineage()


@pytest.mark.parametrize(("way", "expected"), WAYS)
def test_psycopg2_tells_how_a_transaction_ended(psycopg2, copies, way, expected, lineage):
    class Connection(psycopg2.extensions.connection):
        def execute(self, sql: str) -> None:
            with self.cursor() as cursor:
                cursor.execute(sql)

    way(psycopg2.connect(copies, connection_factory=Connection))
    assert expected == lineage()


def test_transaction_blocks_of_psycopg_nest(psycopg, copies, lineage):
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


def test_autocommit_keeps_what_no_transaction_holds(psycopg, psycopg2, copies, lineage):
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


def test_a_pipeline_that_is_rolled_back_wrote_nothing(psycopg, copies, lineage):
    with psycopg.connect(copies) as connection, connection.pipeline():
        connection.execute(INSERT)
        connection.rollback()
    assert UNDONE == lineage()
