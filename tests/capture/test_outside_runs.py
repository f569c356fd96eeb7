"""Outside every run a driver does next to nothing, and still knows what a connection was told there when a run uses it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from openlineage_bridge_capture import drivers, recorder

FEW, MANY = 20, 45
"""Calls of our functions that a repeated statement may take outside every run, and inside one: what its cost is made of."""

SQL = "SELECT id FROM orders WHERE id > 0"


@pytest.fixture
def run(host):
    """Enters a run, or with None leaves every run."""
    drivers.install()
    return host.running


@pytest.fixture
def sqlite(run, tmp_path, monkeypatch):
    """An SQLite connection that begins no transactions by itself, with a table, outside every run."""
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("shop.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE orders (id int)")
        yield connection


@pytest.fixture
def duck(duckdb, run, tmp_path, monkeypatch):
    """A DuckDB connection with a table, outside every run."""
    monkeypatch.chdir(tmp_path)
    with duckdb.connect("shop.duckdb") as connection:
        connection.execute("CREATE TABLE orders (id int)")
        yield connection


@pytest.fixture
def engine(run, tmp_path):
    """Makes SQLAlchemy's connections to a file with a table; with or without a driver that records itself."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    path = tmp_path / "engine.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders (id int)")
    opened = []

    def connect(**options):
        opened.append(sqlalchemy.create_engine(f"sqlite:///{path}", **options))
        connection = opened[-1].connect()
        opened.append(connection)
        return lambda: connection.execute(sqlalchemy.text(SQL)).fetchall()

    yield connect
    for each in reversed(opened):
        (each.dispose if hasattr(each, "dispose") else each.close)()


def is_cheap(outside: int, inside: int) -> bool:
    return 0 < outside <= FEW and outside < inside <= MANY


def test_a_repeated_statement_takes_few_steps_on_sqlite(calls, sqlite):
    assert is_cheap(*calls(lambda: sqlite.execute(SQL).fetchall()))


def test_a_repeated_statement_takes_few_steps_on_duckdb(calls, duck):
    assert is_cheap(*calls(lambda: duck.execute(SQL).fetchall()))


def test_a_repeated_statement_takes_few_steps_under_sqlalchemy(calls, engine):
    assert is_cheap(*calls(engine()))


def test_a_repeated_statement_takes_few_steps_where_sqlalchemy_itself_is_watched(calls, engine, tmp_path):
    plain = sqlite3.connect.__wrapped__
    assert is_cheap(*calls(engine(creator=lambda: plain(tmp_path / "engine.db"))))


@pytest.mark.parametrize("library", ["psycopg", "psycopg2"])
def test_a_repeated_statement_takes_few_steps_on_postgresql(calls, shop, library):
    with closing(pytest.importorskip(library).connect(shop)) as connection, connection.cursor() as cursor:
        assert is_cheap(*calls(lambda: (cursor.execute(SQL), cursor.fetchall())))


def test_what_only_moves_data_is_counted_and_not_recorded(run, sqlite, duck, engine):
    select = engine()
    before = recorder.unattributed()
    for work in (lambda: sqlite.execute(SQL), lambda: duck.execute(SQL), select):
        work()
    assert (3, {}) == (recorder.unattributed() - before, recorder._tapes)


def test_sqlite_knows_what_was_attached_made_and_begun_before(run, sqlite, tmp_path):
    sqlite.execute("ATTACH 'other.db' AS other")
    sqlite.execute("CREATE TEMP TABLE scratch (id int)")
    sqlite.execute("BEGIN")
    with run("r"):
        sqlite.execute("INSERT INTO orders SELECT id FROM scratch")
    sqlite.execute("ROLLBACK")
    (statement,) = recorder.take("r").statements
    (attached,) = statement.catalogs
    assert (("scratch",), True, f"sqlite://{tmp_path}/other.db") == (
        statement.ephemeral,
        statement.rolled_back,
        attached.namespace,
    )


def test_sqlite_knows_a_commit_that_a_script_implies(run, tmp_path):
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("CREATE TABLE orders (id int)")
        with run("r"):
            connection.execute("INSERT INTO orders VALUES (1)")
        connection.executescript("SELECT 1")
    assert [False] == [each.rolled_back for each in recorder.take("r").statements]


def test_duckdb_knows_what_was_chosen_made_and_begun_before(run, duck):
    duck.execute("CREATE SCHEMA app")
    duck.execute("USE app")
    duck.execute("CREATE TEMP TABLE scratch (id int)")
    duck.execute("CREATE TABLE orders (id int)")
    duck.execute("BEGIN")
    duck.execute("INSERT INTO orders VALUES (1)")
    with run("r"):
        duck.execute("INSERT INTO orders SELECT id FROM scratch")
    duck.execute("ROLLBACK")
    (statement,) = recorder.take("r").statements
    assert ("app", ("scratch",), True) == (statement.schema, statement.ephemeral, statement.rolled_back)


@pytest.mark.parametrize("library", ["psycopg", "psycopg2"])
def test_postgresql_knows_what_was_chosen_made_and_begun_before(run, shop, library):
    with closing(pytest.importorskip(library).connect(shop)) as connection, connection.cursor() as cursor:
        with run(None):
            cursor.execute("CREATE SCHEMA app; CREATE TABLE app.orders (id int)")
            cursor.execute("SET search_path TO app")
            cursor.execute("CREATE TEMP TABLE scratch (id int)")
            connection.commit()
            cursor.execute("INSERT INTO orders VALUES (1)")
        cursor.execute("INSERT INTO orders SELECT id FROM scratch")
        with run(None):
            connection.rollback()
    (statement,) = recorder.take("r").statements
    assert ("app", ("scratch",), True) == (statement.schema, statement.ephemeral, statement.rolled_back)


def test_the_schema_of_a_postgresql_connection_is_asked_when_a_run_first_uses_it(run, shop):
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(shop, autocommit=True, options="-c search_path=app") as connection:
        with run(None):
            connection.execute("CREATE SCHEMA app")
            connection.execute("CREATE TABLE orders (id int)")
            connection.execute(SQL)
        connection.execute(SQL)
    assert ["app"] == [each.schema for each in recorder.take("r").statements]
