"""Statements with the tables and columns they read and write, written down by hand, for DuckDB and PostgreSQL."""

from __future__ import annotations

import pytest
from bridge_tests.statements import CASES
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge_capture.recording import Catalog, Statement
from openlineage_bridge_capture.sql import files
from openlineage_bridge_capture.sql.parsing import prepare
from openlineage_bridge_capture.sql.relations import Table
from openlineage_bridge_capture.sql.script import Lineage, lineage

DUCKDB = {"namespace": "duckdb:///data/w.duckdb", "catalog": "w", "schema": "main", "directory": "/here"}
POSTGRES = {"namespace": "postgres://h:5432", "catalog": "w", "schema": "main"}
PLACES = {"duckdb": DUCKDB, "postgres": POSTGRES}
OTHER = Catalog("o", "duckdb:///data/other.duckdb", "other")
"""Both have ``w.main`` as the place of unqualified names, which the tables below leave out."""


def run(dialect: str, *texts: str) -> Lineage:
    settings = {**PLACES[dialect], "catalogs": (Catalog("w", DUCKDB["namespace"], "w"), OTHER)}
    if dialect == "postgres":
        settings["catalogs"] = ()
    return lineage([Statement(text, dialect, **settings) for text in texts])


def short(table: Table) -> str:
    return table.name.removeprefix("w.main.")


def sources(found) -> str:
    parts = [
        f"{each.subtype} {short(table)}.{column}"
        for (table, column), how in sorted(found.items())
        for each in sorted(how)
    ]
    return ", ".join(parts)


def columns_of(result: Lineage) -> dict[str, dict[str, str]]:
    return {
        short(table): {name: sources(found) for name, found in output.columns.items()}
        for table, output in result.outputs.items()
    }


@pytest.mark.parametrize(
    ("dialect", "texts", "read", "written"), CASES, ids=[" ; ".join(case[1])[:60] for case in CASES]
)
def test_tables_and_columns(dialect, texts, read, written):
    result = run(dialect, *texts)
    assert result.failures == ()
    assert sorted(read.split()) == sorted(short(table) for table in result.inputs)
    expected = {
        table: {name: found for name, found in columns.items() if found} for table, columns in written.items()
    }
    assert expected == columns_of(result)


LIFECYCLES = [
    (["CREATE TABLE o (a INT)"], {"o": "CREATE"}),
    (["CREATE TABLE o AS SELECT 1 AS a"], {"o": "CREATE"}),
    (["CREATE OR REPLACE TABLE o AS SELECT 1 AS a"], {"o": "OVERWRITE"}),
    (["DROP TABLE IF EXISTS o", "CREATE TABLE o AS SELECT 1 AS a"], {"o": "OVERWRITE"}),
    (["CREATE TABLE IF NOT EXISTS o (a INT)"], {}),
    (["CREATE TABLE IF NOT EXISTS o (a INT)", "INSERT INTO o VALUES (1)"], {"o": None}),
    (["INSERT INTO o VALUES (1)"], {"o": None}),
    (["TRUNCATE o"], {"o": "TRUNCATE"}),
    (["TRUNCATE o", "INSERT INTO o VALUES (1)"], {"o": "TRUNCATE"}),
    (["ALTER TABLE o ADD COLUMN b INT"], {"o": "ALTER"}),
    (["CREATE TABLE o (a INT)", "ALTER TABLE o ADD COLUMN b INT"], {"o": "CREATE"}),
    (["DROP TABLE o"], {"o": "DROP"}),
    (["DROP VIEW o, p"], {"o": "DROP", "p": "DROP"}),
    (["DROP TABLE o", "SELECT * FROM t"], {}),
    (["CREATE TABLE o (a INT)", "DROP TABLE o"], {}),
    (["DROP SCHEMA s CASCADE", "DROP INDEX i", "CREATE SCHEMA s"], {}),
    (["ALTER TABLE o RENAME TO p"], {"p": "RENAME"}),
    (["CREATE TABLE n AS SELECT 1 AS a", "ALTER TABLE n RENAME TO o"], {"o": "CREATE"}),
    (["CREATE TABLE n AS SELECT 1 AS a", "DROP TABLE o", "ALTER TABLE n RENAME TO o"], {"o": "OVERWRITE"}),
    (["CREATE TABLE n AS SELECT 1 AS a", "ALTER TABLE o RENAME TO old", "ALTER TABLE n RENAME TO o", "DROP TABLE old"], {"o": "CREATE"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "expected"), LIFECYCLES, ids=[" ; ".join(texts)[:60] for texts, _ in LIFECYCLES]
)
def test_lifecycle(texts, expected):
    result = run("postgres", *texts)
    assert expected == {short(table): output.lifecycle for table, output in result.outputs.items()}


def test_a_renamed_table_says_what_it_was_and_keeps_its_columns():
    result = run(
        "postgres",
        "ALTER TABLE o RENAME TO p",
        "CREATE TABLE n AS SELECT a FROM t",
        "ALTER TABLE n RENAME TO q",
    )
    renamed, made = result.outputs.values()
    assert short(renamed.previous) == "o"
    assert {name: sources(found) for name, found in made.columns.items()} == {"a": "IDENTITY t.a"}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["CREATE TABLE o (a INT, b TEXT)"], {"a": "INT", "b": "TEXT"}),
        (
            ["CREATE TABLE o AS SELECT a, CAST(b AS DATE) AS d, 1 AS n FROM t"],
            {"a": None, "d": "DATE", "n": None},
        ),
        (
            ["CREATE TABLE IF NOT EXISTS t (a INT)", "CREATE TABLE o AS SELECT *, 1 AS n FROM t"],
            {"a": "INT", "n": None},
        ),
        (["CREATE TABLE o AS SELECT a, lower(b) FROM t"], None),
        (["CREATE TABLE o AS SELECT * FROM t"], None),
        (["INSERT INTO o (a) SELECT a FROM t"], None),
        (["CREATE TABLE o (a INT)", "ALTER TABLE o ADD COLUMN b DATE"], {"a": "INT", "b": "DATE"}),
        (["CREATE TABLE o (a INT)", "ALTER TABLE o DROP COLUMN a"], None),
    ],
)
def test_a_schema_is_told_only_when_every_column_is_known(texts, expected):
    output = next(output for table, output in run("postgres", *texts).outputs.items() if short(table) == "o")
    assert expected == output.schema


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CREATE TABLE o AS SELECT a FROM t WHERE b > 1", "FILTER t.b"),
        ("CREATE TABLE o AS SELECT t.a FROM t JOIN u ON t.i = u.j", "JOIN t.i, JOIN u.j"),
        ("CREATE TABLE o AS SELECT t.a FROM t JOIN u USING (i)", "JOIN t.i, JOIN u.i"),
        (
            "CREATE TABLE o AS SELECT a, max(b) AS m FROM t GROUP BY a HAVING max(c) > 1",
            "GROUP_BY t.a, FILTER t.c",
        ),
        (
            "CREATE TABLE o AS SELECT upper(a) AS k, max(b) AS m FROM t GROUP BY 1 ORDER BY m",
            "GROUP_BY t.a, SORT t.b",
        ),
        ("CREATE TABLE o AS SELECT a FROM (SELECT a FROM t WHERE c) s ORDER BY 1", "SORT t.a, FILTER t.c"),
        ("DELETE FROM o USING t WHERE t.i = o.i", "FILTER t.i"),
        ("CREATE TABLE o AS SELECT a FROM t WHERE k IN (SELECT j FROM u)", "FILTER t.k, FILTER u.j"),
    ],
)
def test_what_the_rows_depend_on(text, expected):
    (output,) = run("postgres", text).outputs.values()
    assert expected == sources(output.indirect)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("x.csv", ("file", "/here/x.csv")),
        ("./a/../x.csv", ("file", "/here/x.csv")),
        ("/x.csv", ("file", "/x.csv")),
        ("file:///x.csv", ("file", "/x.csv")),
        ("s3://bucket/a/b.parquet", ("s3://bucket", "a/b.parquet")),
        ("S3N://bucket/a", ("s3://bucket", "a")),
        ("s3://bucket", ("s3://bucket", "/")),
        ("gcs://bucket/a", ("gs://bucket", "a")),
        ("https://host/data.csv", ("https://host", "data.csv")),
        ("abfs://c@acc.dfs.core.windows.net/p", ("abfss://c@acc.dfs.core.windows.net", "p")),
        ("data/*.parquet", ("file", "/here/data")),
        ("data/**/*.parquet", ("file", "/here/data")),
        ("data/part-*.parquet", ("file", "/here/data/part-*.parquet")),
    ],
)
def test_a_path_names_a_dataset_by_the_specification(path, expected):
    assert Table(*expected) == files.dataset(path, "/here")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = %s", "a = NULL"),
        ("a = %(name)s", "a = NULL"),
        ("a %% 2", "a % 2"),
        ("'%s' \"%s\" -- %s\n/* %s */ %s", "'%s' \"%s\" -- %s\n/* %s */ NULL"),
        ("'it''s %s' %s", "'it''s %s' NULL"),
    ],
)
def test_placeholders_become_null_outside_quotes_and_comments(text, expected):
    assert expected == prepare(text, "postgres")


def test_a_statement_that_cannot_be_parsed_is_a_failure_and_the_rest_goes_on():
    result = run(
        "postgres",
        "CREATE TABLE a AS SELECT x FROM t",
        "SELECT FROM WHERE (",
        "INSERT INTO b SELECT y FROM u",
    )
    assert [failure.index for failure in result.failures] == [1]
    assert (
        [short(each) for each in result.inputs],
        [short(each) for each in result.outputs],
    ) == (["t", "u"], ["a", "b"])


def test_a_data_command_the_parser_gives_up_on_is_a_failure_too(caplog):
    result = run("postgres", "ALTER TABLE s.a SET SCHEMA z")
    assert "does not know this form of" in result.failures[0].reason
    assert caplog.records == []


def test_an_unknown_dialect_is_a_failure():
    result = lineage([Statement("SELECT 1", "klingon", "x://y")])
    assert "klingon" in result.failures[0].reason


def test_very_deep_nesting_is_a_failure_at_most():
    result = run("postgres", "CREATE TABLE o AS SELECT " + "(" * 3000 + "a" + ")" * 3000 + " AS a FROM t")
    assert len(result.failures) <= 1


WORDS = ["SELECT", "INSERT", "INTO", "UPDATE", "DELETE", "FROM", "CREATE", "TABLE", "AS", "WITH", "JOIN", "ON", "WHERE", "t", "u", "a", "b", "(", ")", "*", ",", ";", "=", "'x'", "1", "MERGE", "USING", "SET", "COPY", "TO", "DROP", "UNION", "LATERAL", "OVER", "PIVOT"]  # fmt: skip


@given(
    st.lists(st.sampled_from(WORDS), max_size=20),
    st.sampled_from(["duckdb", "postgres", "snowflake", "bigquery"]),
)
def test_whatever_the_text_there_is_a_result(words, dialect):
    result = lineage([Statement(" ".join(words), dialect, "x://y", "c", "s")])
    assert all("Error: " in failure.reason or "parser" in failure.reason for failure in result.failures)
