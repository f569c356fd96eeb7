"""The text around a statement: scripts in which one statement cannot be read, names, stages, and literals taken out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.recording import Recording, Statement
from openlineage_bridge_capture.sql import files, literals
from openlineage_bridge_capture.sql.parsing import UnreadableError, parse
from openlineage_bridge_capture.sql.relations import Table
from openlineage_bridge_capture.sql.rewrites import rewrite, split
from openlineage_bridge_capture.sql.script import lineage

DIALECTS = ["bigquery", "clickhouse", "duckdb", "mysql", "oracle", "postgres", "snowflake", "spark", "sqlite", "tsql"]  # fmt: skip


def test_one_statement_that_cannot_be_read_does_not_hide_the_others_of_its_script():
    script = "INSERT INTO a SELECT x FROM t; SELECT FROM WHERE (; INSERT INTO b SELECT y FROM u"
    result = lineage([Statement(script, "postgres", "x://y", "c", "s")])
    assert [0] == [failure.index for failure in result.failures]
    assert ["c.s.a", "c.s.b"] == [table.name for table in result.outputs]


def test_why_a_statement_cannot_be_read_repeats_nothing_of_it():
    for text in (
        "SELECT 'secret' FROM WHERE (",
        "USE 'secret' 'secret'",
        "CREATE NONSENSE 'secret' x",
        "SELECT 'secret",
    ):
        trees = lineage([Statement(text, "postgres", "x://y", "c", "s")])
        assert all("secret" not in failure.reason for failure in trees.failures)


def test_semicolons_in_strings_and_comments_end_no_statement():
    assert ["SELECT ';'", "SELECT 1"] == list(split("SELECT ';' ; -- a;b\n SELECT 1;", "postgres"))


def test_a_form_is_rewritten_only_in_its_own_dialect():
    text = "EXCHANGE TABLES a AND b"
    assert (rewrite(text, "clickhouse") is None, rewrite(text, "postgres")) == (False, None)


def test_trees_that_nothing_can_be_done_about_say_so():
    (tree,) = parse("ALTER TABLE a FROBNICATE", "postgres")
    assert isinstance(tree, UnreadableError)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("https://bucket.s3.eu-west-1.amazonaws.com/a/b.csv", ("s3://bucket", "a/b.csv")),
        ("https://s3.amazonaws.com/bucket/a", ("s3://bucket", "a")),
        ("https://storage.googleapis.com/bucket/a", ("gs://bucket", "a")),
        ("azure://acc.blob.core.windows.net/c/a/", ("wasbs://c@acc.blob.core.windows.net", "a")),
        ("s3://bucket/folder/", ("s3://bucket", "folder")),
    ],
)
def test_an_object_has_one_name_however_it_is_addressed(path, expected):
    assert Table(*expected) == files.dataset(path, None)


@pytest.mark.parametrize(
    ("dialect", "text", "expected"),
    [
        ("postgres", "SELECT * FROM t WHERE a = 'x''y' AND n = 4711 LIMIT 10", "SELECT * FROM t WHERE a = ? AND n = ? LIMIT 10"),
        ("postgres", 'SELECT "it\'s" FROM t1234 WHERE b = 1.5e10', 'SELECT "it\'s" FROM t1234 WHERE b = ?'),
        ("postgres", r"SELECT E'a\'b', 'c\' FROM t", "SELECT ?, ? FROM t"),
        ("postgres", "SELECT $q$it's$q$, $1 FROM t", "SELECT ?, $1 FROM t"),
        ("postgres", "SELECT a -- it's 1234\nFROM t /* 'x */", "SELECT a  \nFROM t  "),
        ("postgres", "SELECT 'never closed", "SELECT ?"),
        ("mysql", r"""SELECT "a\"b", 'c\'d', `e'f` FROM t""", "SELECT ?, ?, `e'f` FROM t"),
        ("bigquery", """SELECT '''it's''', r"a" FROM t""", "SELECT ?, ? FROM t"),
        ("oracle", "SELECT q'[it's]', nq'!a'b!' FROM t WHERE k = :1", "SELECT ?, ? FROM t WHERE k = :1"),
        ("tsql", "SELECT [a'b] FROM #t1234 WHERE x = N'y' AND z = @p1", "SELECT [a'b] FROM #t1234 WHERE x = ? AND z = @p1"),
        ("snowflake", "COPY INTO t FROM @s/2024 CREDENTIALS = (AWS_SECRET_KEY = 'x')", "COPY INTO t FROM @s/? CREDENTIALS = (AWS_SECRET_KEY = ?)"),
    ],
)  # fmt: skip
def test_literals_are_taken_out_and_names_stay(dialect, text, expected):
    assert expected == literals.redact(text, dialect)


@given(st.text(max_size=60), st.sampled_from(DIALECTS))
def test_a_string_never_shows_whatever_is_in_it(secret, dialect):
    value = "secret" + secret.replace("\\", "\\\\").replace("'", "''") + "secret"
    assert "secret" not in literals.redact(f"SELECT a FROM t WHERE b = '{value}' AND c = 1", dialect)


@given(st.text(max_size=80), st.sampled_from(DIALECTS))
def test_redaction_is_total(text, dialect):
    assert isinstance(literals.redact(text, dialect), str)


@pytest.mark.parametrize(
    ("setting", "shown"), [(None, False), ("keep", True), (" KEEP ", True), ("yes", False)]
)
def test_the_sql_facet_and_the_error_hold_literals_only_when_the_user_asks(monkeypatch, setting, shown):
    monkeypatch.delenv(literals.VARIABLE, raising=False)
    if setting is not None:
        monkeypatch.setenv(literals.VARIABLE, setting)
    texts = ("INSERT INTO o SELECT a FROM t WHERE k = 'secret'", "SELECT 'secret' FROM WHERE (")
    said = describe(
        Recording(statements=tuple(Statement(text, "postgres", "x://y", "c", "s") for text in texts))
    )
    error = said.run_facets["extractionError"].errors[0]
    assert [shown, shown] == ["secret" in said.job_facets["sql"].query, "secret" in error.task]
    assert "secret" not in error.errorMessage
