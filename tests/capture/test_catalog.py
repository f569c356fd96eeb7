"""Columns from the connection's own catalog: asked once, after the statement, and used only where they hold."""

from __future__ import annotations

import sqlite3

import pytest

from openlineage_bridge_capture import drivers, recorder
from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.drivers import attached, catalogs
from openlineage_bridge_capture.recording import Catalog, Columns, Statement
from openlineage_bridge_capture.sql.relations import Table
from openlineage_bridge_capture.sql.script import Lineage, lineage

NAMESPACE = "postgres://h:5432"


def walk(texts: list[str], dialect: str = "postgres", **tables: str) -> Lineage:
    """The lineage of these statements where the catalog said these columns; a minus marks what was rolled back."""
    return lineage(
        [
            Statement(
                text.removeprefix("-"), dialect, NAMESPACE, "w", "main", rolled_back=text.startswith("-")
            )
            for text in texts
        ],
        [
            Columns(NAMESPACE, f"w.main.{name}", tuple((column, "int") for column in columns.split()))
            for name, columns in tables.items()
        ],
    )


def made_of(found: Lineage, output: str) -> dict[str, set[str]]:
    """For each column of an output the columns that its values come from."""
    columns = found.outputs[Table(NAMESPACE, f"w.main.{output}")].columns
    return {
        name: {f"{table.name.removeprefix('w.main.')}.{column}" for table, column in sources}
        for name, sources in columns.items()
    }


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE TABLE o AS SELECT * FROM t", {"a": {"t.a"}, "b": {"t.b"}}),
        ("CREATE TABLE o AS SELECT t.* FROM t JOIN u ON t.a = u.c", {"a": {"t.a"}, "b": {"t.b"}}),
        ("CREATE TABLE o AS SELECT b FROM t JOIN u ON a = c", {"b": {"t.b"}}),
        (
            "CREATE TABLE o AS SELECT * FROM t JOIN v USING (a)",
            {"a": {"t.a"}, "b": {"t.b"}, "d": {"v.d"}},
        ),
        (
            "CREATE TABLE o AS SELECT * FROM t NATURAL JOIN v",
            {"a": {"t.a"}, "b": {"t.b"}, "d": {"v.d"}},
        ),
        (
            "CREATE TABLE o AS SELECT * FROM t UNION ALL SELECT * FROM u",
            {"a": {"t.a", "u.c"}, "b": {"t.b", "u.d"}},
        ),
        ("INSERT INTO k SELECT * FROM t", {"x": {"t.a"}, "y": {"t.b"}}),
        ("INSERT INTO k (y, x) SELECT * FROM t", {"y": {"t.a"}, "x": {"t.b"}}),
        ("WITH z AS (SELECT * FROM t) INSERT INTO k SELECT * FROM z", {"x": {"t.a"}, "y": {"t.b"}}),
    ],
)
def test_stars_are_the_columns_that_the_catalog_shows(sql, expected):
    found = walk([sql], t="a b", u="c d", v="a d", k="x y")
    (output,) = found.outputs
    assert expected == made_of(found, output.name.removeprefix("w.main."))


@pytest.mark.parametrize(
    ("star", "expected"),
    [
        ("* EXCLUDE (a)", {"b": {"t.b"}}),
        ("* REPLACE (a + b AS a)", {"a": {"t.a", "t.b"}, "b": {"t.b"}}),
        ("* RENAME (a AS z)", {"z": {"t.a"}, "b": {"t.b"}}),
        ("t.* EXCLUDE (b), u.c", {"a": {"t.a"}, "c": {"u.c"}}),
    ],
)
def test_exclude_replace_and_rename_change_known_stars(star, expected):
    found = walk([f"CREATE TABLE o AS SELECT {star} FROM t, u"], "duckdb", t="a b", u="c")
    columns = made_of(found, "o")
    columns.pop("c", None) if "u.c" not in star else None
    assert expected == columns


def test_the_outputs_own_catalog_names_the_columns_that_only_the_database_knows():
    found = walk(["CREATE TABLE o AS SELECT a, count(*), max(b) FROM t GROUP BY 1"], t="a b", o="a count max")
    assert ({"a": {"t.a"}, "max": {"t.b"}}) == made_of(found, "o")
    (output,) = found.outputs.values()
    assert ["a", "count", "max"] == list(output.schema)


def test_an_output_of_one_unknown_table_takes_its_columns_from_its_own_catalog():
    found = walk(["CREATE TABLE o AS SELECT * FROM 'x.csv'"], "duckdb", o="a b")
    (read,) = found.inputs
    (output,) = found.outputs.values()
    assert {(read, "a"), (read, "b")} == {source for each in output.columns.values() for source in each}
    assert {"a": "int", "b": "int"} == found.schemas[read] == output.schema


def test_a_table_that_the_run_made_is_known_from_its_making_on():
    found = walk(["CREATE TABLE o AS SELECT * FROM t", "CREATE TABLE p AS SELECT * FROM o"], o="a b", p="a b")
    assert {"a": {"t.a"}, "b": {"t.b"}} == made_of(found, "p")


def test_a_catalog_says_nothing_of_the_time_before_the_runs_last_definition():
    texts = ["CREATE TABLE o AS SELECT * FROM t", "DROP TABLE t", "CREATE TABLE t (x int)"]
    assert {} == made_of(walk(texts, t="x"), "o")
    assert {} == made_of(
        walk(["CREATE TABLE o AS SELECT * FROM t", "-ALTER TABLE t ADD COLUMN x int"], t="x"), "o"
    )


def test_dropping_and_making_again_ends_in_what_the_catalog_shows():
    texts = ["DROP TABLE IF EXISTS o", "CREATE TABLE o AS SELECT * FROM t", "INSERT INTO p SELECT * FROM o"]
    found = walk(texts, t="a", o="a", p="z")
    assert ({"a": {"t.a"}}, {"z": {"t.a"}}) == (made_of(found, "o"), made_of(found, "p"))


def test_the_order_of_the_catalog_does_not_matter():
    texts = ["CREATE TABLE o AS SELECT * FROM t JOIN u USING (a)"]
    assert walk(texts, t="a b", u="a c", o="a b c") == walk(texts, o="a b c", u="a c", t="a b")


def test_columns_are_spelled_as_the_catalog_spells_them():
    found = walk(["CREATE TABLE o AS SELECT ORDERID FROM t"], "duckdb", t="OrderId", o="ORDERID")
    assert {"ORDERID": {"t.OrderId"}} == made_of(found, "o")


def test_sqlite_tables_are_spelled_as_their_definition():
    statement = Statement("INSERT INTO O SELECT A FROM T", "sqlite", "sqlite:///x", None, "main")
    catalog = [
        Columns("sqlite:///x", "main.t", (("a", None),)),
        Columns("sqlite:///x", "main.o", (("b", None),)),
    ]
    found = lineage([statement], catalog)
    assert (["main.t"], ["main.o"]) == ([t.name for t in found.inputs], [t.name for t in found.outputs])
    assert found == lineage([statement], reversed(catalog))


# ---- what drivers ask


def test_names_are_words_and_quoted_names_as_written_and_in_lower_case():
    assert {"SELECT", "select", "a", "My Tab", "my tab", "w"} == catalogs.names_in(
        """SELECT a FROM w."My Tab" WHERE 'not this'""".replace("FROM ", "").replace("WHERE ", "")
    )


def schemas() -> dict[str, list[tuple[str, str]]]:
    """The schema facet of every input and output of the run ``r``, by the last part of its name."""
    description = describe(recorder.take("r"))
    assert {} == description.run_facets
    return {
        each.name.rpartition(".")[2]: [(field.name, field.type) for field in each.facets["schema"].fields]
        for each in (*description.inputs, *description.outputs)
        if "schema" in each.facets
    }


@pytest.fixture
def warehouse(duckdb, host, tmp_path, monkeypatch):
    """A connection to a DuckDB file with a table in it, inside the run ``r``."""
    monkeypatch.chdir(tmp_path)
    with host.running("r"), duckdb.connect("w.duckdb") as connection:
        connection.execute("CREATE TABLE Orders (Id INTEGER, price DECIMAL(9,2))")
        recorder.take("r")
        yield connection


ORDERS = [("Id", "INTEGER"), ("price", "DECIMAL(9,2)")]


def test_duckdb_tells_the_columns_of_what_is_read_and_written(warehouse):
    warehouse.execute("CREATE TABLE copies AS SELECT * FROM orders")
    assert {"orders": ORDERS, "copies": ORDERS} == schemas()


def test_duckdb_tells_the_columns_of_a_file_that_became_a_table(warehouse, tmp_path):
    (tmp_path / "x.csv").write_text("Id,b\n1,x\n")
    warehouse.execute("CREATE TABLE raw AS SELECT * FROM read_csv('x.csv')")
    (read,) = describe(recorder.peek("r")).inputs
    assert ("csv", "file") == (read.facets["storage"].fileFormat, read.facets["storage"].storageLayer)
    columns = [("Id", "BIGINT"), ("b", "VARCHAR")]
    assert {"csv": columns, "raw": columns} == schemas()


def test_duckdb_tells_what_a_transaction_made_once_it_is_committed(warehouse):
    warehouse.begin()
    warehouse.execute("CREATE TABLE copies AS SELECT * FROM orders")
    warehouse.commit()
    assert {"orders": ORDERS, "copies": ORDERS} == schemas()


def test_duckdb_is_asked_again_only_after_a_definition(warehouse):
    warehouse.execute("SELECT * FROM orders")
    warehouse.execute("ALTER TABLE orders ADD COLUMN note VARCHAR")
    warehouse.execute("SELECT note FROM orders")
    assert {"orders": [*ORDERS, ("note", "VARCHAR")]} == schemas()


def test_a_run_that_starts_again_is_told_again(warehouse):
    for _ in range(2):
        warehouse.execute("SELECT * FROM orders")
        assert {"orders": ORDERS} == schemas()


def test_the_pending_result_and_the_transaction_of_duckdb_stay_the_users(warehouse):
    warehouse.execute("INSERT INTO orders VALUES (1, 10), (2, 20)")
    result = warehouse.execute("SELECT id FROM orders ORDER BY id")
    assert [(1,), (2,)] == [result.fetchone(), result.fetchone()]


def test_a_catalog_is_not_asked_when_the_user_says_so(warehouse, monkeypatch):
    monkeypatch.setenv(catalogs.VARIABLE, "false")
    warehouse.execute("SELECT * FROM orders")
    assert () == recorder.peek("r").catalog


def test_no_more_tables_than_the_bound_are_told(warehouse, monkeypatch):
    monkeypatch.setattr(catalogs, "MAX_TABLES", 2)
    for number in range(4):
        warehouse.execute(f"CREATE TABLE t{number} (a INTEGER)")
    assert 2 == len(recorder.peek("r").catalog)


def test_appending_writes_the_table(warehouse):
    with warehouse.appender("orders") as appender:
        appender.append_row(1, 10)
    assert ORDERS == schemas()["orders"]
    pandas = pytest.importorskip("pandas")
    warehouse.append("orders", pandas.DataFrame({"Id": [1], "price": [2.0]}))
    (written,) = describe(recorder.take("r")).outputs
    assert "w.main.orders" == written.name


def test_relations_are_written_with_their_columns(warehouse, tmp_path):
    (tmp_path / "x.csv").write_text("Id,b\n1,x\n")
    warehouse.read_csv("x.csv").create("from_csv")
    warehouse.table("orders").to_table("copies")
    warehouse.read_csv("x.csv").write_parquet("x.parquet")
    warehouse.read_parquet("x.parquet").to_table("from_parquet")
    warehouse.table("orders").to_view("cheap")
    found = schemas()
    columns = [("Id", "BIGINT"), ("b", "VARCHAR")]
    assert [columns, columns, ORDERS] == [found["from_csv"], found["from_parquet"], found["copies"]]
    assert ORDERS == found["cheap"]


@pytest.fixture
def shop(host, tmp_path):
    """An open SQLite file with a table in it, inside the run ``r``."""
    drivers.install()
    with host.running("r"):
        connection = sqlite3.connect(tmp_path / "shop.db", timeout=3)
        connection.execute("CREATE TABLE Orders (Id INTEGER PRIMARY KEY, price NUMERIC)")
        connection.execute("CREATE VIEW cheap AS SELECT Id FROM Orders WHERE price < 5")
        connection.commit()
        recorder.take("r")
        yield connection
        connection.close()


def test_sqlite_tells_the_columns_of_tables_views_and_attached_files(shop, tmp_path):
    shop.execute("ATTACH ? AS other", (str(tmp_path / "other.db"),))
    shop.execute("CREATE TABLE other.copies AS SELECT * FROM orders JOIN cheap USING (id)")
    assert {
        "Orders": [("Id", "INTEGER"), ("price", "NUMERIC")],
        "cheap": [("Id", "INTEGER")],
        "copies": [("Id", "INT"), ("price", "NUM")],
    } == schemas()


def test_asking_sqlite_leaves_everything_as_the_user_has_it(shop):
    shop.row_factory = sqlite3.Row
    shop.text_factory = bytes
    rows = shop.execute("SELECT 'x' AS a FROM (SELECT 1 UNION SELECT 2) LEFT JOIN orders")
    assert ([b"x", b"x"], False) == ([row["a"] for row in rows], shop.in_transaction)
    assert [(3_000,)] == [tuple(row) for row in shop.execute("PRAGMA busy_timeout")]
    assert {"Orders": [("Id", "INTEGER"), ("price", "NUMERIC")]} == schemas()


def test_sqlite_is_not_waited_for_when_another_has_the_lock(shop, tmp_path):
    other = sqlite3.connect.__wrapped__(tmp_path / "shop.db")
    state = shop.openlineage_state
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        drivers.sqlite._ask(shop, state, ["orders"])
    other.rollback()
    other.close()
    assert [(3_000,)] == shop.execute("PRAGMA busy_timeout").fetchall()


# ---- databases of other systems that DuckDB attaches


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        (
            "postgres",
            "dbname=Shop host=db.acme.io port=5433 user=me password='a b'",
            Catalog("x", "postgres://db.acme.io:5433", "Shop", "public"),
        ),
        (
            "postgres",
            "postgresql://me:secret@db.acme.io/shop",
            Catalog("x", "postgres://db.acme.io:5432", "shop", "public"),
        ),
        ("postgres", "dbname=shop", None),
        ("postgres", "", None),
        (
            "mysql",
            "host=db user=root port=3307 database=shop",
            Catalog("x", "mysql://db:3307", "", "shop"),
        ),
        ("sqlite", "/data/s.db", Catalog("x", "sqlite:///data/s.db", "")),
        ("motherduck", "md:shop?motherduck_token=t", Catalog("x", "duckdb://md:shop", "shop")),
    ],
)
def test_an_attached_database_of_another_system_has_the_names_that_everyone_has(kind, path, expected):
    assert expected == attached.SYSTEMS[kind]("x", path)


def test_tables_of_an_attached_postgres_are_those_of_the_server():
    catalog = Catalog("pg", "postgres://db:5432", "Shop", "public")
    statement = Statement(
        "CREATE TABLE o AS SELECT a FROM pg.orders JOIN pg.crm.people USING (i)",
        "duckdb",
        "duckdb:///w",
        "w",
        "main",
        (Catalog("w", "duckdb:///w", "w"), catalog),
    )
    assert {
        Table("postgres://db:5432", "Shop.public.orders"),
        Table("postgres://db:5432", "Shop.crm.people"),
    } == set(lineage([statement]).inputs)
