"""SQLite and DuckDB tell how a transaction came to its end."""

from __future__ import annotations

import gc
import sqlite3
from contextlib import suppress

import pytest

from openlineage_bridge_capture import drivers, recorder
from openlineage_bridge_capture.describe import describe

COPY = "CREATE TABLE copies AS SELECT id FROM orders"


@pytest.fixture
def shop(host, tmp_path):
    """The path of an SQLite file with a table in it, inside the run ``r``."""
    drivers.install()
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders AS SELECT 1 AS id, 10 AS price")
        connection.execute("CREATE TABLE sold (id UNIQUE ON CONFLICT ROLLBACK)")
    connection.close()
    with host.running("r"):
        yield path


def outcome() -> tuple[set[str], set[str]]:
    """What was read and written, without their places."""
    description = describe(recorder.take("r"))
    assert {} == description.run_facets
    return (
        {each.name.rpartition(".")[2] for each in description.inputs},
        {each.name.rpartition(".")[2] for each in description.outputs},
    )


INSERT = "INSERT INTO sold SELECT id + ? FROM orders"
DONE, UNDONE = ({"orders"}, {"sold"}), ({"orders"}, set())


def _commits(connection) -> None:
    connection.execute(INSERT, (1,))
    connection.commit()


def _leaves_the_with_block(connection) -> None:
    with connection:
        connection.execute(INSERT, (1,))


def _commits_by_text(connection) -> None:
    connection.execute(INSERT, (1,))
    connection.execute("COMMIT")


def _rolls_back(connection) -> None:
    connection.execute(INSERT, (1,))
    connection.rollback()


def _rolls_back_by_text(connection) -> None:
    connection.execute("BEGIN")
    connection.execute(INSERT, (1,))
    connection.execute("ROLLBACK")


def _fails_in_the_with_block(connection) -> None:
    with suppress(ZeroDivisionError), connection:
        connection.execute(INSERT, (1,))
        raise ZeroDivisionError


def _closes(connection) -> None:
    connection.execute(INSERT, (1,))
    connection.close()


def _conflicts(connection) -> None:
    connection.execute(INSERT, (1,))
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(INSERT, (1,))


def _goes_back_to_a_savepoint(connection) -> None:
    connection.execute("SAVEPOINT a")
    connection.execute(INSERT, (1,))
    connection.execute("ROLLBACK TO a")
    connection.execute("RELEASE a")


def _in_a_script(connection) -> None:
    connection.executescript(f"BEGIN; {INSERT.replace('?', '1')}; ROLLBACK;")


def _script_without_transaction(connection) -> None:
    connection.execute("BEGIN")
    connection.executescript(f"{INSERT.replace('?', '1')};")


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (_commits, DONE),
        (_leaves_the_with_block, DONE),
        (_commits_by_text, DONE),
        (_script_without_transaction, DONE),
        (_rolls_back, UNDONE),
        (_rolls_back_by_text, UNDONE),
        (_fails_in_the_with_block, UNDONE),
        (_closes, UNDONE),
        (_conflicts, UNDONE),
        (_goes_back_to_a_savepoint, UNDONE),
        (_in_a_script, UNDONE),
    ],
)
def test_sqlite_tells_how_a_transaction_ended(shop, way, expected):
    connection = sqlite3.connect(shop)
    way(connection)
    assert expected == outcome()
    connection.close()
    left = sqlite3.connect.__wrapped__(shop)
    assert bool(expected[1]) == bool(left.execute("SELECT * FROM sold").fetchall())
    left.close()


def test_sqlite_forgotten_with_a_transaction_open_is_rolled_back(shop):
    connection = sqlite3.connect(shop)
    connection.execute(INSERT, (1,))
    del connection
    gc.collect()
    assert UNDONE == outcome()


def test_sqlite_in_autocommit_keeps_everything(shop):
    connection = sqlite3.connect(shop, isolation_level=None)
    connection.execute(INSERT, (1,))
    connection.rollback()
    connection.close()
    assert DONE == outcome()


@pytest.fixture
def warehouse(duckdb, host, tmp_path):
    """A connection to a DuckDB file with a table in it, inside the run ``r``."""
    with host.running("r"), duckdb.connect(str(tmp_path / "w.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE orders AS SELECT 1 AS id; CREATE TABLE sold (id INTEGER PRIMARY KEY)"
        )
        recorder.take("r")
        yield connection


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["BEGIN", COPY, "COMMIT"], ({"orders"}, {"copies"})),
        (["BEGIN TRANSACTION", COPY, "ROLLBACK"], UNDONE),
        ([f"BEGIN; {COPY}; ROLLBACK"], UNDONE),
        (["begin()", COPY, "rollback()"], UNDONE),
        (["begin()", COPY, "commit()"], ({"orders"}, {"copies"})),
        (["begin()", COPY, "close()"], UNDONE),
        (["begin()", COPY, "!SELECT * FROM missing", "COMMIT"], UNDONE),
        (["begin()", COPY, "rollback()", COPY], ({"orders"}, {"copies"})),
    ],
)
def test_duckdb_tells_how_a_transaction_ended(warehouse, duckdb, texts, expected):
    for text in texts:
        if text.endswith("()"):
            getattr(warehouse, text[:-2])()
        elif text.startswith("!"):
            with pytest.raises(duckdb.Error):
                warehouse.execute(text[1:])
        else:
            warehouse.execute(text)
    assert expected == outcome()


def test_a_duckdb_cursor_has_a_transaction_of_its_own(warehouse):
    warehouse.begin()
    with warehouse.cursor() as cursor:
        cursor.execute(COPY)
    warehouse.rollback()
    assert ({"orders"}, {"copies"}) == outcome()


def test_the_default_connection_of_duckdb_is_followed_too(duckdb, host, tmp_path):
    with host.running("r"):
        duckdb.execute(f"ATTACH '{tmp_path}/default.duckdb' AS d; CREATE TABLE d.orders AS SELECT 1 AS id")
        recorder.take("r")
        duckdb.begin()
        duckdb.execute("CREATE TABLE d.copies AS SELECT id FROM d.orders")
        duckdb.rollback()
        duckdb.execute("DETACH d")
    assert UNDONE == outcome()
