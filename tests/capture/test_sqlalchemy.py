"""SQLAlchemy: engines on captured drivers and on others, the orchestrator's own engines, and the names in URLs."""

from __future__ import annotations

import asyncio
import importlib.util
import sqlite3
import subprocess
import sys
import types

import pytest

from openlineage_bridge_capture import drivers, recorder
from openlineage_bridge_capture.drivers import connections, places
from openlineage_bridge_capture.drivers.places import IN_MEMORY, Place

sqlalchemy = pytest.importorskip("sqlalchemy")

COPY = "CREATE TABLE copies AS SELECT id FROM orders"
COPIED = ({"main.orders"}, {"main.copies"})


@pytest.fixture
def url(host, tmp_path):
    """The URL of an SQLite file with a table in it, inside the run ``r``."""
    drivers.install()
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.execute("CREATE TABLE orders AS SELECT 1 AS id, 10 AS price")
    connection.close()
    host_before = recorder.unattributed()
    with host.running("r"):
        yield f"sqlite:///{tmp_path}/shop.db"
    assert host_before == recorder.unattributed()


def test_an_engine_on_a_captured_driver_counts_each_statement_once(url, tmp_path, recorded, lineage):
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(COPY))
        connection.execute(sqlalchemy.text("SELECT * FROM copies WHERE id = :id"), {"id": 1})
        with pytest.raises(sqlalchemy.exc.OperationalError):
            connection.execute(sqlalchemy.text("SELECT * FROM missing"))
        connection.connection.cursor().execute("SELECT 3 FROM copies")
    engine.dispose()
    assert [COPY, "SELECT * FROM copies WHERE id = ?", "SELECT 3 FROM copies"] == recorded()
    assert {f"sqlite://{tmp_path}/shop.db"} == {each.namespace for each in recorder.peek("r").statements}
    assert COPIED == lineage()


def test_a_driver_connection_that_is_not_captured_is_recorded_here(url, recorded, lineage):
    plain = sqlite3.connect.__wrapped__
    path = url.removeprefix("sqlite:///")
    engine = sqlalchemy.create_engine(url, creator=lambda: plain(path))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(COPY))
        with pytest.raises(sqlalchemy.exc.OperationalError):
            connection.execute(sqlalchemy.text("SELECT * FROM missing"))
    engine.dispose()
    assert [COPY] == recorded()
    assert COPIED == lineage()


def test_the_orm_and_option_engines_are_recorded(url, lineage):
    orm = pytest.importorskip("sqlalchemy.orm")
    engine = sqlalchemy.create_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    orders = sqlalchemy.Table(
        "orders", sqlalchemy.MetaData(), sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True)
    )
    with orm.Session(engine) as session:
        assert [(1,)] == session.execute(sqlalchemy.select(orders.c.id)).all()
        session.execute(sqlalchemy.insert(orders), [{"id": 5}, {"id": 6}])
    engine.dispose()
    assert ({"main.orders"}, {"main.orders"}) == lineage()


def test_an_asynchronous_engine_is_recorded_for_its_task(url, host):
    asynchronous = pytest.importorskip("sqlalchemy.ext.asyncio")
    pytest.importorskip("aiosqlite")

    async def work(engine, number: int) -> None:
        with host.running(f"task-{number}"):
            async with engine.connect() as connection:
                await connection.execute(sqlalchemy.text(f"SELECT {number} FROM orders"))

    async def main() -> None:
        engine = asynchronous.create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
        await asyncio.gather(*(work(engine, number) for number in range(6)))
        await engine.dispose()

    asyncio.run(main())
    for number in range(6):
        texts = [each.sql for each in recorder.take(f"task-{number}").statements]
        assert 1 == texts.count(f"SELECT {number} FROM orders")


def test_every_option_of_an_engine_is_accepted_as_before(url):
    """``create_engine`` learns its options by looking at the constructors of the engine, the pool and the dialect."""
    options = {
        "echo": False,
        "hide_parameters": True,
        "pool_pre_ping": True,
        "pool_size": 2,
        "logging_name": "x",
    }
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.QueuePool, **options)
    with engine.connect() as connection:
        assert 1 == connection.scalar(sqlalchemy.text("SELECT id FROM orders"))
    engine.dispose()
    with pytest.raises(TypeError, match="unheard"):
        sqlalchemy.create_engine(url, unheard="of")


def module_of(package: str) -> types.ModuleType:
    """Code that makes and uses engines, as if it stood in this package."""
    module = types.ModuleType(f"{package}.somewhere")
    source = (
        "def engine(make, url, **options):\n    return make(url, **options)\n"
        "def run(engine, statement):\n"
        "    with engine.begin() as connection:\n"
        "        connection.execute(statement)\n"
    )
    exec(compile(source, f"{package}/somewhere.py", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize(
    ("package", "expected"), [("dagster", []), ("prefect", []), ("prefect_sqlalchemy", [COPY])]
)
@pytest.mark.parametrize("captured", [True, False])
def test_the_orchestrators_own_engines_are_left_out_whoever_uses_them(
    url, package, expected, captured, recorded
):
    path = url.removeprefix("sqlite:///")
    options = {} if captured else {"creator": lambda: sqlite3.connect.__wrapped__(path)}
    engine = module_of(package).engine(sqlalchemy.create_engine, url, **options)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(COPY))
    engine.dispose()
    assert expected == recorded()


def test_an_engine_that_is_older_than_us_is_judged_by_who_uses_it_first(url, recorded):
    engine = sqlalchemy.create_engine(url)
    drivers.sqlalchemy._hosts.pop(engine.dialect)
    module_of("dagster").run(engine, sqlalchemy.text(COPY))
    engine.dispose()
    assert [] == recorded()


def test_dagsters_own_storage_is_left_out_inside_a_run(url, tmp_path, recorded, monkeypatch):
    """A real instance, on its default SQLite storage, written to while a run is on."""
    dagster = pytest.importorskip("dagster")
    # Where Dagster's collector is there, the first step of the process arms it: with this test's hosts, so for this test only.
    steps = importlib.import_module("dagster._core.execution.plan.execute_step")
    monkeypatch.setattr(steps, "enter_execution_context", steps.enter_execution_context)
    with dagster.DagsterInstance.local_temp(str(tmp_path)) as instance:
        dagster.materialize([dagster.asset(name="a")(lambda: None)], instance=instance)
        assert 1 == instance.get_runs_count()
    assert [] == recorded()


def test_instrumenting_twice_records_once(url):
    drivers.sqlalchemy.instrument(sqlalchemy)
    plain = sqlite3.connect.__wrapped__
    seen: list[str] = []
    engine = sqlalchemy.create_engine(url, creator=lambda: plain(url.removeprefix("sqlite:///")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "statement", lambda each, **_: seen.append(each.sql))
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(COPY))
    engine.dispose()
    assert [COPY] == seen


def test_a_defect_of_ours_is_logged_and_the_user_gets_the_result(url, monkeypatch, caplog):
    def broken(_connection):
        raise KeyError("defect")

    monkeypatch.setattr(drivers.sqlalchemy, "_driver_connection", broken)
    plain = sqlite3.connect.__wrapped__
    engine = sqlalchemy.create_engine(url, creator=lambda: plain(url.removeprefix("sqlite:///")))
    with engine.connect() as connection:
        assert [(1,)] == connection.execute(sqlalchemy.text("SELECT id FROM orders")).all()
    engine.dispose()
    assert "Could not record a statement of SQLAlchemy" in caplog.text


PLACES = [
    (
        "postgresql+psycopg2://u:p@DB.acme.io/shop",
        "public",
        Place("postgres", "postgres://db.acme.io:5432", "shop", "public"),
    ),
    ("postgresql+asyncpg://u@/shop", "app", Place("postgres", "postgres://localhost:5432", "shop", "app")),
    ("postgresql://[::1]:5433/shop", "public", Place("postgres", "postgres://[::1]:5433", "shop", "public")),
    ("mysql+pymysql://u:p@db/shop", "shop", Place("mysql", "mysql://db:3306", None, "shop")),
    ("mariadb+pymysql://db:3307/shop", None, Place("mysql", "mysql://db:3307", None, "shop")),
    ("mssql+pyodbc://db/shop", "dbo", Place("tsql", "mssql://db:1433", "shop", "dbo")),
    ("oracle+oracledb://db/?service_name=XE", "SCOTT", Place("oracle", "oracle://db:1521", "XE", "SCOTT")),
    (
        "redshift+psycopg2://c1.abc123.eu-west-1.redshift.amazonaws.com:5439/dev",
        "public",
        Place("redshift", "redshift://c1.eu-west-1:5439", "dev", "public"),
    ),
    (
        "snowflake://u:p@org-acct/db/app?warehouse=w",
        None,
        Place("snowflake", "snowflake://org-acct", "DB", "APP"),
    ),
    ("bigquery://project/dataset", None, Place("bigquery", "bigquery", "project", "dataset")),
    ("trino://u@host:443/hive/sales", None, Place("trino", "trino://host:443", "hive", "sales")),
    (
        "databricks://token:t@x.cloud.databricks.com?http_path=p&catalog=main&schema=s",
        None,
        Place("databricks", "databricks://x.cloud.databricks.com", "main", "s"),
    ),
    ("clickhouse+native://h/db", None, Place("clickhouse", "clickhouse://h:8123", None, "db")),
    ("sqlite://", "main", Place("sqlite", IN_MEMORY, None, "main")),
    ("sqlite:////data/t.db", "main", Place("sqlite", "sqlite:///data/t.db", None, "main")),
    ("unheard+of://h:1/db", "s", Place("", "unheard://h:1", "db", "s")),
]


@pytest.mark.parametrize(("url", "schema", "expected"), PLACES)
def test_the_place_of_a_url_is_named_by_the_specification(url, schema, expected):
    parsed = sqlalchemy.engine.make_url(url)
    assert expected == places.of_url(parsed.get_backend_name(), parsed, schema)


@pytest.mark.parametrize(
    ("database", "uri", "expected"),
    [
        ("/data/t.db", False, "sqlite:///data/t.db"),
        (b"/data/../t.db", False, "sqlite:///t.db"),
        (":memory:", False, IN_MEMORY),
        ("", False, IN_MEMORY),
        ("file:/data/a%20b.db?mode=ro", True, "sqlite:///data/a b.db"),
        ("file:///data/t.db", True, "sqlite:///data/t.db"),
        ("file://localhost/data/t.db", True, "sqlite:///data/t.db"),
        ("file::memory:?cache=shared", True, IN_MEMORY),
        ("file:shared?mode=memory", True, IN_MEMORY),
    ],
)
def test_an_sqlite_file_is_named_by_its_absolute_path(database, uri, expected):
    assert expected == places.sqlite(database, uri=uri).namespace


def test_a_unix_socket_is_this_machine():
    assert "postgres://localhost:5432" == places.postgres("/var/run/postgresql", None, "shop", None).namespace


def test_only_connections_of_our_classes_record_themselves(url):
    assert connections.records_itself(sqlite3.connect(":memory:"))
    assert not connections.records_itself(sqlite3.connect.__wrapped__(":memory:"))


# ---- transactions on drivers that do not record themselves

UNDONE = ({"main.orders"}, set())


@pytest.fixture
def uncaptured(url):
    """An engine whose driver connections are not captured, as those of any other database are not."""
    plain = sqlite3.connect.__wrapped__
    engine = sqlalchemy.create_engine(url, creator=lambda: plain(url.removeprefix("sqlite:///")))
    yield engine
    engine.dispose()


def _commits(connection, copy) -> None:
    connection.execute(copy)
    connection.commit()


def _leaves_without_commit(connection, copy) -> None:
    connection.execute(copy)


def _rolls_back(connection, copy) -> None:
    connection.execute(copy)
    connection.rollback()


def _releases_a_savepoint(connection, copy) -> None:
    with connection.begin(), connection.begin_nested():
        connection.execute(copy)


def _rolls_back_to_a_savepoint(connection, copy) -> None:
    with connection.begin():
        nested = connection.begin_nested()
        connection.execute(copy)
        nested.rollback()


def _in_autocommit(connection, copy) -> None:
    connection.execution_options(isolation_level="AUTOCOMMIT").execute(copy)
    connection.rollback()


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (_commits, COPIED),
        (_releases_a_savepoint, COPIED),
        (_in_autocommit, COPIED),
        (_leaves_without_commit, UNDONE),
        (_rolls_back, UNDONE),
        (_rolls_back_to_a_savepoint, UNDONE),
    ],
)
def test_the_events_of_an_engine_tell_how_a_transaction_ended(uncaptured, way, expected, lineage):
    with uncaptured.connect() as connection:
        way(connection, sqlalchemy.text(COPY))
    assert expected == lineage()


def test_a_captured_driver_under_an_engine_tells_it_too(url, lineage):
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        connection.execute(
            sqlalchemy.text("INSERT INTO orders SELECT id + 1, price FROM orders WHERE id = 1")
        )
    engine.dispose()
    assert ({"main.orders"}, set()) == lineage()


@pytest.mark.parametrize("backend", ["trino", "bigquery", "databricks"])
def test_what_a_backend_without_transactions_was_told_to_roll_back_stays(uncaptured, monkeypatch, backend):
    monkeypatch.setattr(type(uncaptured.url), "get_backend_name", lambda _: backend)
    with uncaptured.connect() as connection:
        connection.execute(sqlalchemy.text(COPY))
    (statement,) = recorder.take("r").statements
    assert False is statement.rolled_back


def test_a_definition_commits_itself_where_the_backend_says_so(uncaptured, monkeypatch):
    monkeypatch.setattr(type(uncaptured.url), "get_backend_name", lambda _: "mysql")
    with uncaptured.connect() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO orders SELECT id, price FROM orders"))
        connection.execute(sqlalchemy.text(COPY))
        connection.execute(sqlalchemy.text("DELETE FROM orders"))
    assert [False, False, True] == [each.rolled_back for each in recorder.take("r").statements]


DUCKDB_ENGINE = """
import sys
import duckdb_engine, sqlalchemy
from openlineage_bridge_capture import drivers, recorder

drivers.install()
recorder.attribute_with(lambda: "r")
engine = sqlalchemy.create_engine("duckdb:///" + sys.argv[1])
with engine.begin() as connection:
    connection.execute(sqlalchemy.text("CREATE TABLE orders AS SELECT 1 AS id"))
with engine.connect() as connection:
    connection.execute(sqlalchemy.text("CREATE TABLE copies AS SELECT id FROM orders"))
engine.dispose()
for each in recorder.take("r").statements:
    if "CREATE" in each.sql:
        print(each.rolled_back, each.sql)
"""


def test_duckdb_under_an_engine_counts_once_and_tells_its_rollbacks(tmp_path):
    pytest.importorskip("duckdb")
    if importlib.util.find_spec("duckdb_engine") is None:
        pytest.skip("no duckdb-engine here")
    # In a process of its own: imported beside all the rest it makes DuckDB complain at exit of objects that are left.
    done = subprocess.run(
        [sys.executable, "-c", DUCKDB_ENGINE, str(tmp_path / "w.duckdb")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ["False CREATE TABLE orders AS SELECT 1 AS id", f"True {COPY}"] == done.stdout.splitlines()
