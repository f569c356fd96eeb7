"""Any DB-API module by configuration: what the variable may hold, modules in Python and with immutable classes."""

from __future__ import annotations

import importlib.util
import json
import logging
import sqlite3
import subprocess
import sys
import types
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge_capture import drivers, recorder
from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.drivers import configured, connections, dbapi, places
from openlineage_bridge_capture.drivers.configured import VARIABLE, Where

IN_PYTHON = '''
"""A driver in Python, on SQLite; it says of its connections what PEP 249 asks for, and no more."""

import sqlite3

plain = getattr(sqlite3.connect, "__wrapped__", sqlite3.connect)


class Cursor:
    def __init__(self, inside):
        self.inside = inside

    def execute(self, operation, parameters=()):
        self.inside.execute(operation, parameters)
        return self

    def executemany(self, operation, seq_of_parameters):
        for parameters in seq_of_parameters:
            self.execute(operation, parameters)

    def fetchall(self):
        return self.inside.fetchall()


class Connection:
    autocommit = False

    def __init__(self, file):
        self.inside = plain(file)

    def cursor(self):
        return Cursor(self.inside.cursor())

    def commit(self):
        self.inside.commit()

    def rollback(self):
        self.inside.rollback()

    def close(self):
        self.inside.close()


def connect(file, host=None, port=None, database=None, **options):
    return Connection(file)


Connect = connect
'''


@pytest.fixture
def name(host, monkeypatch, tmp_path):
    """The name of a module that nobody has imported, inside the run ``r``."""
    made = f"driver_{uuid.uuid4().hex}"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{made}.py").write_text(IN_PYTHON)
    with host.running("r"):
        yield made
    sys.modules.pop(made, None)


@pytest.fixture
def load(name, monkeypatch):
    """Imports the module with the variable set to what it is to be, and gives its ``connect``."""

    def loading(where: str):
        monkeypatch.setenv(VARIABLE, f"{name}={where}")
        drivers.install()
        return importlib.import_module(name)

    return loading


def orders(connection):
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE orders (id int)")
    connection.commit()
    return cursor


def lineage() -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    description = describe(recorder.peek("r"))
    return (
        {(each.namespace, each.name) for each in description.inputs},
        {(each.namespace, each.name) for each in description.outputs},
    )


def test_the_kind_of_database_is_enough_when_connect_is_told_the_rest(load, recorded):
    module = load("mysql")
    connection = module.connect(":memory:", host="DB.acme.io", port="3307", database="shop")
    assert module.Connection is type(connection)
    cursor = orders(connection)
    recorder.take("r")
    cursor.execute("CREATE TABLE copies AS SELECT id FROM orders")
    with pytest.raises(sqlite3.OperationalError):
        cursor.execute("SELECT * FROM missing")
    assert ["CREATE TABLE copies AS SELECT id FROM orders"] == recorded()
    namespace = "mysql://db.acme.io:3307"
    assert ({(namespace, "shop.orders")}, {(namespace, "shop.copies")}) == lineage()


def test_a_url_stands_and_what_it_lacks_is_what_connect_is_told(load):
    connection = load("db2://warehouse:50000/DB/SALES?dialect=sqlite").Connect(":memory:", host="gateway")
    cursor = orders(connection)
    recorder.take("r")
    cursor.execute("SELECT id FROM orders")
    assert ({("db2://warehouse:50000", "DB.SALES.orders")}, set()) == lineage()


def test_executemany_of_nothing_is_nothing_and_of_more_is_one_statement(load, recorded):
    cursor = orders(load("db2://w/DB?dialect=sqlite").connect(":memory:"))
    recorder.take("r")
    cursor.executemany("INSERT INTO orders VALUES (?)", [])
    cursor.executemany("INSERT INTO orders VALUES (?)", [(1,), (2,)])
    assert ["INSERT INTO orders VALUES (?)"] == recorded()
    assert [(1,), (2,)] == cursor.execute("SELECT id FROM orders").fetchall()


def test_what_was_rolled_back_wrote_nothing_where_the_module_tells_of_autocommit(load):
    connection = load("db2://w/DB?dialect=sqlite").connect(":memory:")
    cursor = orders(connection)
    cursor.execute("INSERT INTO orders VALUES (1)")
    connection.rollback()
    cursor.execute("INSERT INTO orders VALUES (2)")
    connection.commit()
    connection.rollback()
    assert ["INSERT INTO orders VALUES (1)"] == [
        each.sql for each in recorder.peek("r").statements if each.rolled_back
    ]


def test_a_host_that_nobody_tells_is_asked_for_and_not_guessed(load, caplog):
    with caplog.at_level(logging.WARNING, "openlineage_bridge"):
        orders(load("db2").connect(":memory:"))
    assert not recorder.peek("r")
    assert "=db2://host:port/database" in caplog.text


def test_sqlalchemy_leaves_such_connections_to_it(load):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    module = load("db2://w/DB?dialect=sqlite")
    assert module.connect(":memory:") is not None
    assert connections.records_itself(module.connect(":memory:"))
    assert sqlalchemy


def immutable(name: str) -> types.ModuleType:
    """A module whose classes are C types: the standard library's own, under another name."""
    module = types.ModuleType(name)
    module.connect = getattr(sqlite3.connect, "__wrapped__", sqlite3.connect)
    return module


@pytest.fixture
def wrapped(name):
    """A connection of immutable classes."""
    module = immutable(name)
    configured.instrument(module, Where("db2", "w", 50000, "DB", "SALES", "sqlite"))
    configured.instrument(module, Where("another"))
    with module.connect(":memory:") as connection:
        connection.cursor().execute("CREATE TABLE orders (id int)")
        connection.commit()
        recorder.take("r")
        yield connection


def test_immutable_classes_get_a_wrapper_that_looks_like_them(wrapped, recorded):
    cursor = wrapped.cursor()
    assert isinstance(wrapped, sqlite3.Connection)
    assert isinstance(cursor, sqlite3.Cursor)
    assert cursor.connection is wrapped
    assert cursor is cursor.execute("INSERT INTO orders VALUES (1)")
    cursor.arraysize = 7
    cursor.executemany("INSERT INTO orders VALUES (?)", [(2,), (3,)])
    assert (7, 2) == (cursor.arraysize, cursor.rowcount)
    assert [(1,), (2,), (3,)] == list(cursor.execute("SELECT id FROM orders"))
    assert (1,) == next(wrapped.execute("SELECT id FROM orders LIMIT 1"))
    with pytest.raises(sqlite3.OperationalError):
        cursor.execute("SELECT * FROM missing")
    with pytest.raises(AttributeError):
        _ = cursor.nothing
    assert 4 == len(recorded())
    assert (set(), {("db2://w:50000", "DB.SALES.orders")}) == lineage()
    assert 1 == {wrapped: 1}[cursor.connection]


def test_a_wrapped_connection_is_a_transaction_around_a_with_block(wrapped):
    def failing() -> None:
        with wrapped as connection:
            connection.cursor().execute("INSERT INTO orders VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert recorder.peek("r").statements[0].rolled_back
    assert [] == wrapped.execute("SELECT * FROM orders").fetchall()


def test_a_bad_value_is_said_once_with_what_to_write(host, monkeypatch, caplog):
    monkeypatch.setenv(VARIABLE, "oops; MySQLdb=mysql; psycopg2=postgres; a b=mysql; x=y://u:secret@h:port/d")
    with caplog.at_level(logging.WARNING, "openlineage_bridge"):
        drivers.install()
        drivers.install()
    said = [each.getMessage() for each in caplog.records]
    assert 1 == len(said)
    assert "ignored oops, a b=mysql, x=…@h:port/d, psycopg2" in said[0]
    assert "module=kind://host:port/database" in said[0]
    assert "secret" not in said[0]


def test_a_module_that_stands_in_for_another_is_left_to_its_own_driver():
    pymysql = pytest.importorskip("pymysql")
    before = dict(vars(pymysql.Connection))
    configured.instrument(pymysql, Where("mysql"), name="MySQLdb")
    assert before == dict(vars(pymysql.Connection))


@pytest.mark.parametrize("module", ["pymysql", "sqlite3.dbapi2", "snowflake.connector", "trino"])
def test_modules_that_are_captured_anyway_are_not_taken_twice(host, monkeypatch, module):
    monkeypatch.setenv(VARIABLE, f"{module}=mysql; other=mysql")
    assert {"MySQLdb", "mysql.connector", "other"} == set(configured.drivers(taken=drivers.DRIVERS))


@given(st.text())
def test_any_value_is_understood_or_not_but_never_an_error(text):
    found, bad = configured.parse(text)
    assert all(where.kind for where in found.values())
    assert len(found) + len(bad) <= len([each for each in text.split(";") if each.strip()])


@pytest.mark.parametrize(
    ("entry", "arguments", "expected"),
    [
        ("m=mysql", {"host": "h", "db": "d"}, ("mysql", "mysql://h:3306", None, "d")),
        ("m=mssql", {"server": "tcp:h,1444", "database": "d"}, ("tsql", "mssql://h:1444", "d", None)),
        ("m=postgres", {"host": "h", "dbname": "d"}, ("postgres", "postgres://h:5432", "d", None)),
        ("m=db2://h:1/D/S", {"host": "other"}, ("", "db2://h:1", "D", "S")),
        ("m=oracle", {"host": "h", "service_name": "s"}, ("oracle", "oracle://h:1521", "s", None)),
        (
            "m=vertica:///d?dialect=postgres",
            {"HOST": "h", "port": "9"},
            ("postgres", "vertica://h:9", "d", None),
        ),
    ],
)
def test_names_are_those_of_sqlalchemys_urls(entry, arguments, expected):
    place = configured.parse(entry)[0]["m"].with_arguments(arguments).place()
    assert expected == (place.dialect, place.namespace, place.catalog, place.schema)


def test_a_connection_string_tells_where_it_leads():
    string = "DRIVER={ODBC Driver 18};SERVER=h,1444;DATABASE=sales;UID=u;PWD=secret"
    place = Where("mssql").with_arguments(configured.told("pyodbc", (string,), {})).place()
    assert ("mssql://h:1444", "sales") == (place.namespace, place.catalog)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("USE `a`", (None, "a")),
        ("-- first\nuse a.b;", ("a", "b")),
        ("USE CATALOG a; USE SCHEMA b", ("a", "b")),
        ("SET CATALOG a", ("a", "old")),
        ("SELECT 1 FROM t USE INDEX (i)", (None, "old")),
        ("USE a; /* USE b */ INSERT INTO t VALUES ('; USE c')", (None, "a")),
    ],
)
def test_use_moves_unqualified_names(sql, expected):
    moved = dbapi.moved(places.Place("databricks", "n", None, "old"), sql)
    assert expected == (moved.catalog, moved.schema)


CLASSES = {
    "pymysql.cursors": "Cursor.execute",
    "trino.dbapi": "Cursor.execute",
    "snowflake.connector.cursor": "SnowflakeCursor.execute",
    "google.cloud.bigquery.client": "Client.query",
    "databricks.sql.client": "Cursor.execute",
}
"""What is watched in each library."""

ARMED = """
import importlib, json, operator, sys
from openlineage_bridge_capture import drivers
drivers.install()
classes = json.loads(sys.argv[1])
early = [module for module in classes if module in sys.modules]
found = {m: operator.attrgetter(path)(importlib.import_module(m)) for m, path in classes.items()}
print(json.dumps([early, [m for m, method in found.items() if not hasattr(method, "__openlineage_bridge__")]]))
"""


def test_a_library_is_watched_from_its_import_on_and_not_imported_for_that():
    there = {m: path for m, path in CLASSES.items() if importlib.util.find_spec(m.partition(".")[0])}
    command = [sys.executable, "-c", ARMED, json.dumps(there)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert [[], []] == json.loads(ran.stdout)


def test_a_fault_of_ours_is_never_the_users(load, monkeypatch, caplog):
    connection = load("db2://w/DB?dialect=sqlite").connect(":memory:")
    monkeypatch.setattr(dbapi.Session, "record", lambda *_, **__: 1 / 0)
    with caplog.at_level(logging.WARNING, "openlineage_bridge"):
        orders(connection)
    assert "Could not record a statement" in caplog.text


def test_a_repeated_statement_takes_few_steps(load, calls):
    cursor = orders(load("db2://w/DB?dialect=sqlite").connect(":memory:"))
    outside, inside = calls(lambda: cursor.execute("SELECT id FROM orders"))
    assert 0 < outside < inside <= 45
