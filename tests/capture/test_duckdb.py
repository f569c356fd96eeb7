"""Real DuckDB, no user code: what connections, cursors, relations and the module run is recorded; nothing else changes."""

from __future__ import annotations

import inspect
import os
import pickle

import pytest

from openlineage_bridge_capture import drivers, recorder
from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.drivers.places import IN_MEMORY


@pytest.fixture
def database(duckdb, host, tmp_path, monkeypatch):
    """A connection to a file database, in a folder of its own, inside the run ``r``."""
    monkeypatch.chdir(tmp_path)
    with host.running("r"), duckdb.connect("shop.duckdb") as connection:
        connection.execute("CREATE TABLE orders AS SELECT 1 AS id, 10 AS price")
        recorder.take("r")
        yield connection


def test_a_statement_carries_all_that_names_its_tables(database, tmp_path):
    database.execute("SELECT * FROM orders")
    (statement,) = recorder.take("r").statements
    assert ("duckdb", f"duckdb://{tmp_path}/shop.duckdb", "shop", "main") == (
        statement.dialect,
        statement.namespace,
        statement.catalog,
        statement.schema,
    )


def test_a_relative_path_names_the_same_database_from_every_folder(database, duckdb, tmp_path, monkeypatch):
    database.close()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with duckdb.connect("../shop.duckdb") as again:
        again.execute("SELECT * FROM orders")
    (statement,) = recorder.take("r").statements
    assert f"duckdb://{tmp_path}/shop.duckdb" == statement.namespace


@pytest.mark.parametrize("method", ["execute", "sql", "query", "from_query"])
def test_every_method_that_takes_sql_is_recorded_and_gives_its_result(database, method, recorded):
    assert getattr(database, method)("SELECT * FROM orders").fetchall() == [(1, 10)]
    assert recorded() == ["SELECT * FROM orders"]


def test_arguments_by_name_parameters_and_executemany(database, recorded):
    database.execute(query="SELECT ?", parameters=[1])
    database.executemany("INSERT INTO orders VALUES (?, ?)", [[2, 20], [3, 30]])
    assert recorded() == ["SELECT ?", "INSERT INTO orders VALUES (?, ?)"]
    assert database.sql("SELECT count(*) FROM orders").fetchall() == [(3,)]


def test_cursors_are_recorded_with_their_own_state(database, lineage):
    with database.cursor() as cursor:
        cursor.execute("CREATE TABLE copies AS SELECT * FROM orders")
    assert ({"shop.main.orders"}, {"shop.main.copies"}) == lineage()


def test_a_parsed_statement_is_recorded_by_its_text(database, lineage):
    for statement in database.extract_statements(
        "CREATE TABLE a AS FROM orders; CREATE TABLE b AS FROM orders"
    ):
        database.execute(statement)
    assert ({"shop.main.orders"}, {"shop.main.a", "shop.main.b"}) == lineage()


def test_a_failing_statement_raises_duckdbs_own_error_and_records_nothing(database, duckdb, recorded):
    for method in (database.execute, database.sql):
        with pytest.raises(duckdb.CatalogException, match="missing"):
            method("CREATE TABLE x AS SELECT * FROM missing")
    with pytest.raises(duckdb.ParserException):
        database.execute("SELEC 1")
    assert recorded() == []


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN; COMMIT",
        "PRAGMA database_list",
        "EXPLAIN SELECT 1",
        "SET threads = 2",
        "USE main;",
        "ATTACH ':memory:' AS scratch",
        "CREATE SECRET (TYPE http, BEARER_TOKEN 'confidential')",
    ],
)
def test_statements_without_data_are_not_recorded_and_neither_are_their_secrets(database, sql, recorded):
    for each in sql.split("; "):
        database.execute(each)
    assert recorded() == []


def test_relations_record_what_they_write(database, duckdb, tmp_path, lineage):
    if not hasattr(duckdb.DuckDBPyConnection, "_submit"):
        pytest.skip("before DuckDB 2 relations run inside the C++ code")
    relation = database.sql("SELECT id, price FROM orders")
    relation.filter("price > 5").write_parquet("big.parquet")
    database.table("orders").project("id").create("ids")
    assert ({"shop.main.orders"}, {f"{tmp_path}/big.parquet", "shop.main.ids"}) == lineage()


def test_reading_a_relation_again_and_again_is_one_statement(database, recorded):
    relation = database.sql("SELECT id FROM orders")
    for _ in range(3):
        relation.fetchall()
    assert recorded() == ["SELECT id FROM orders"]


def test_the_same_code_gives_the_same_text_in_every_run(database, host):
    texts = []
    for run in ("one", "two"):
        with host.running(run):
            made = database.sql("SELECT 1 AS x")  # noqa: F841  # DuckDB finds it by its name
            database.sql("SELECT * FROM made").filter("x > 0").create(f"t_{run}")
            texts.append([each.sql.replace(f"t_{run}", "t") for each in recorder.take(run).statements])
    assert texts[0] == texts[1]


def test_variables_of_the_caller_are_found_and_are_no_tables(database, lineage):
    """DuckDB looks a missing table up among the variables of the frame that calls it: also through our wrapper."""
    local = database.sql("SELECT 7 AS x")

    def nested():
        assert local
        return database.sql("SELECT * FROM local").fetchall(), database.execute(
            "SELECT * FROM local"
        ).fetchall()

    assert nested() == ([(7,)], [(7,)])
    assert (set(), set()) == lineage()


def test_a_table_wins_over_a_variable_of_the_same_name(database, lineage):
    orders = database.sql("SELECT 7 AS x")
    assert database.execute("SELECT * FROM orders").fetchall() == [(1, 10)]
    assert orders is not None
    assert ({"shop.main.orders"}, set()) == lineage()


def test_the_modules_default_connection_is_recorded(duckdb, host, tmp_path, monkeypatch, lineage):
    monkeypatch.chdir(tmp_path)
    with host.running("r"):
        duckdb.execute("CREATE OR REPLACE TABLE from_module AS SELECT 1 AS x")
        duckdb.sql("COPY from_module TO 'out.parquet'")
        assert duckdb.query("FROM 'out.parquet'").fetchall() == [(1,)]
        duckdb.execute("DROP TABLE from_module").fetchall()
    assert {IN_MEMORY} == {statement.namespace for statement in recorder.peek("r").statements}
    assert (set(), {f"{tmp_path}/out.parquet"}) == lineage()


def test_tables_in_memory_are_followed_through_to_the_files_they_come_from(duckdb, host, tmp_path):
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    with host.running("r"), duckdb.connect() as memory:
        memory.execute(f"CREATE TABLE t AS SELECT a FROM read_csv('{tmp_path}/in.csv')")
        memory.execute(f"COPY (SELECT a + 1 AS c FROM t) TO '{tmp_path}/out.csv'")
    description = describe(recorder.take("r"))
    (output,) = description.outputs
    assert [("file", f"{tmp_path}/in.csv")] == [(each.namespace, each.name) for each in description.inputs]
    assert ("file", f"{tmp_path}/out.csv") == (output.namespace, output.name)
    (source,) = output.facets["columnLineage"].fields["c"].inputFields
    assert (f"{tmp_path}/in.csv", "a") == (source.name, source.field)


def test_a_relative_file_is_where_the_process_was_when_the_statement_ran(
    database, tmp_path, monkeypatch, lineage
):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    database.execute("COPY orders TO 'here.csv'")
    monkeypatch.chdir(tmp_path)
    assert ({"shop.main.orders"}, {f"{tmp_path}/sub/here.csv"}) == lineage()


def test_use_and_set_schema_hold_for_the_next_statements(database, lineage):
    database.execute("CREATE SCHEMA staging")
    database.execute("USE staging")
    database.execute("CREATE TABLE a AS SELECT 1 AS x")
    database.execute("SET schema = 'main'")
    database.execute("CREATE TABLE b AS SELECT * FROM staging.a")
    assert (set(), {"shop.staging.a", "shop.main.b"}) == lineage()


def test_an_attached_database_has_its_own_namespace_and_its_files_name(database, tmp_path):
    database.execute("ATTACH 'other.duckdb' AS alias")
    database.execute("CREATE TABLE alias.copies AS SELECT * FROM orders")
    database.execute("USE alias")
    database.execute("CREATE TABLE more AS SELECT * FROM copies, shop.orders AS o")
    description = describe(recorder.take("r"))
    other = f"duckdb://{tmp_path}/other.duckdb"
    assert [(other, "other.main.copies"), (other, "other.main.more")] == [
        (each.namespace, each.name) for each in description.outputs
    ]
    assert [each.name for each in description.inputs] == ["shop.main.orders"]


def test_a_script_may_attach_use_and_detach(database, tmp_path):
    database.execute("ATTACH 'other.duckdb' AS x; CREATE TABLE x.copies AS SELECT * FROM orders")
    database.execute("INSERT INTO x.copies SELECT * FROM orders; DETACH x")
    description = describe(recorder.take("r"))
    assert [(each.namespace, each.name) for each in description.outputs] == [
        (f"duckdb://{tmp_path}/other.duckdb", "other.main.copies")
    ]


def test_temporary_tables_are_followed_through_across_statements(database, lineage):
    database.execute("CREATE TEMP TABLE cheap AS SELECT id FROM orders WHERE price < 50")
    database.execute("CREATE TABLE final AS SELECT id AS order_id FROM cheap")
    assert ({"shop.main.orders"}, {"shop.main.final"}) == lineage()


def test_a_temporary_table_of_another_run_is_no_table_of_the_database(database, host, lineage):
    with host.running("earlier"):
        database.execute("CREATE TEMP TABLE scratch AS SELECT 1 AS x")
    database.execute("SELECT * FROM scratch")
    assert (set(), set()) == lineage()


def test_types_protocols_and_errors_are_duckdbs_own(database, duckdb):
    assert isinstance(database, duckdb.DuckDBPyConnection)
    assert type(database) is type(database.cursor()) is duckdb.DuckDBPyConnection
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(database)
    with pytest.raises(AttributeError):
        database.no_such_method  # noqa: B018  # reading it is the test
    with pytest.raises(TypeError):
        database.execute()
    assert "SQL" in inspect.getdoc(duckdb.DuckDBPyConnection.execute)
    with duckdb.connect() as inner:
        assert isinstance(inner, duckdb.DuckDBPyConnection)


def test_a_pending_result_is_left_alone(database):
    """What we ask DuckDB goes through a cursor of our own: a result half read is read to its end."""
    database.execute("SELECT * FROM range(5) t(n)")
    assert database.fetchone() == (0,)
    with database.cursor() as other:
        other.execute("SELECT * FROM orders")
    assert database.fetchall() == [(1,), (2,), (3,), (4,)]


def test_instrumenting_twice_records_once(database, duckdb, recorded):
    before = duckdb.DuckDBPyConnection.execute
    drivers.install()
    drivers.duckdb.instrument(duckdb)
    assert before is duckdb.DuckDBPyConnection.execute
    database.execute("SELECT * FROM orders")
    assert recorded() == ["SELECT * FROM orders"]


def test_a_defect_of_ours_is_logged_and_the_user_gets_the_result(database, monkeypatch, caplog):
    def broken(*_args):
        raise KeyError("defect")

    monkeypatch.setattr(drivers.duckdb, "_ephemeral", broken)
    assert database.execute("SELECT * FROM orders").fetchall() == [(1, 10)]
    assert ["Could not record a statement of DuckDB" in record.message for record in caplog.records] == [True]


def test_without_a_host_duckdb_works_and_nothing_is_kept(duckdb, host, monkeypatch, tmp_path):
    monkeypatch.setattr(recorder, "_hosts", [])
    monkeypatch.chdir(tmp_path)
    with duckdb.connect(os.fspath(tmp_path / "x.duckdb")) as connection:
        here = connection.sql("SELECT 3 AS x")
        assert here is not None
        assert connection.execute("SELECT * FROM here").fetchall() == [(3,)]
    assert recorder._tapes == {}
