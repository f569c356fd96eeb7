"""Which dataset an asset is, rule by rule."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openlineage_bridge_capture import Dataset
from openlineage_bridge_dagster.naming import AssetNaming, parse_namespaces

NAMESPACES = {"duckdb": "duckdb:///data/shop.duckdb", "snowflake": "snowflake://org-acct"}
ADDRESS = {"dagster/table_name": "DB.SCHEMA.T", "dagster/storage_kind": "snowflake"}


@pytest.mark.parametrize(
    ("key", "definition", "materialized", "expected"),
    [
        # The asset key itself.
        (["orders"], {}, None, ("dagster", "orders")),
        (["a", "b", "c"], {}, {}, ("dagster", "a/b/c")),
        (["analytics", "core", "orders"], {}, None, ("dagster", "analytics/core/orders")),
        # The key convention; the platform stands in where no namespace is configured.
        (
            ["prod", "duckdb", "shop", "main", "orders"],
            {},
            None,
            ("duckdb:///data/shop.duckdb", "shop.main.orders"),
        ),
        (["prod", "Snowflake", "db", "schema", "t"], {}, None, ("snowflake://org-acct", "db.schema.t")),
        (["prod", "postgresql", "db", "public", "t"], {}, None, ("postgres", "db.public.t")),
        (["prod", "bigquery", "project", "set", "t"], {}, None, ("bigquery", "project.set.t")),
        (["prod", "kafka", "orders"], {}, None, ("kafka", "orders")),
        (["prod", "s3", "bucket", "raw", "orders"], {}, None, ("s3://bucket", "raw/orders")),
        (["prod", "gcs", "bucket", "orders"], {}, None, ("gs://bucket", "orders")),
        # The convention comes before metadata, so that a sensor without definitions says the same.
        (["prod", "s3", "b", "k"], {"dagster/uri": "s3://other/x"}, None, ("s3://b", "k")),
        # Definition metadata.
        (["o"], {"dagster/uri": "s3a://bucket/a/b"}, None, ("s3://bucket", "a/b")),
        (["o"], {"dagster/uri": "file:///data/x.csv"}, None, ("file", "/data/x.csv")),
        (["o"], {"dagster/uri": "bigquery://p/d/t"}, None, ("bigquery", "p.d.t")),
        (
            ["o"],
            {"dagster/uri": "postgresql://u:secret@h:5432/db/s/t"},
            None,
            ("postgres://h:5432", "db.s.t"),
        ),
        (["o"], {"dagster/uri": "mysql://u:secret@h/db/t?ssl=1"}, None, ("mysql://h:3306", "db.t")),
        (["o"], {"dagster/uri": "snowflake://org-acct/db/s/t"}, None, ("snowflake://org-acct", "DB.S.T")),
        (["o"], {"dagster/uri": "duckdb:///data/w.duckdb#t"}, None, ("duckdb:///data/w.duckdb", "w.main.t")),
        (["o"], {"dagster/uri": "/data/x.csv"}, None, ("file", "/data/x.csv")),
        (["o"], {"dagster/uri": "not a uri"}, None, ("dagster", "o")),
        (["o"], {"dagster/uri": "postgres://h/only"}, None, ("dagster", "o")),
        (["o"], ADDRESS, None, ("snowflake://org-acct", "DB.SCHEMA.T")),
        # Snowflake holds what nobody quoted in upper case; its IO manager says what the code says.
        (
            ["o"],
            {**ADDRESS, "dagster/table_name": "db.schema.t"},
            None,
            ("snowflake://org-acct", "DB.SCHEMA.T"),
        ),
        (["o"], {**ADDRESS, "dagster/table_name": 'db."s".t'}, None, ("snowflake://org-acct", 'db."s".t')),
        (["o"], {"dagster/table_name": "a.b"}, None, ("dagster", "o")),
        (
            ["o"],
            {"dagster/table_name": "conn.stream", "dagster/storage_kind": "MY_TARGET"},
            None,
            ("dagster", "o"),
        ),
        # The last materialization, after the definition.
        (["o"], {}, ADDRESS, ("snowflake://org-acct", "DB.SCHEMA.T")),
        (["o"], {"dagster/uri": "s3://b/k"}, ADDRESS, ("s3://b", "k")),
        # DuckDB's IO manager says the file for the database: the same dataset as captured SQL.
        (
            ["o"],
            {},
            {"dagster/table_name": "/data/w.duckdb.public.t", "dagster/storage_kind": "duckdb"},
            ("duckdb:///data/w.duckdb", "w.public.t"),
        ),
        (
            ["o"],
            {},
            {"dagster/table_name": "w.public.t", "dagster/storage_kind": "duckdb"},
            ("duckdb:///data/shop.duckdb", "w.public.t"),
        ),
    ],
)
def test_the_first_rule_that_answers_names_the_asset(key, definition, materialized, expected):
    dataset = AssetNaming(NAMESPACES).dataset(key, definition, materialized)

    assert expected == dataset.identity


@settings(deadline=None)
@given(st.sampled_from(["s3", "gs", "postgresql", "snowflake", "kafka", "file", "x"]), st.text(max_size=30))
def test_a_uri_names_what_captured_code_calls_it(scheme, rest):
    """One rule for both, so that an asset and what its code was seen to write are one dataset."""
    uri = f"{scheme}://{rest}"
    try:
        expected = Dataset.from_uri(uri)
    except ValueError:
        expected = Dataset("dagster", "o")

    assert expected == AssetNaming().dataset(["o"], {"dagster/uri": uri})


def test_the_users_function_comes_first_and_may_decline():
    """It sees the key and the definition metadata, and None leaves the asset to the other rules."""

    def dataset_of(key, metadata):
        return Dataset("mine", metadata["name"]) if "name" in metadata else None

    naming = AssetNaming(NAMESPACES, dataset_of)

    assert naming.dataset(["prod", "duckdb", "a", "b", "c"], {"name": "x"}).identity == ("mine", "x")
    assert naming.dataset(["o"], {}).identity == ("dagster", "o")


def test_a_naming_function_that_fails_is_left_out(caplog):
    """Lineage goes on under the built-in names, and the log says why."""
    naming = AssetNaming(dataset_of=lambda _key, _metadata: 1 / 0)

    assert naming.dataset(["o"], {}).identity == ("dagster", "o")
    assert "built-in rules name it" in caplog.text


@settings(deadline=None)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=6), st.dictionaries(st.text(), st.text()))
def test_every_asset_has_a_name(key, metadata):
    dataset = AssetNaming(NAMESPACES).dataset(key, metadata, metadata)

    assert dataset.namespace
    assert dataset.name


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, {}), ("", {}), ('{"DuckDB": "duckdb:///x"}', {"duckdb": "duckdb:///x"})],
)
def test_namespaces_come_from_the_environment(text, expected):
    assert expected == parse_namespaces(text)


@pytest.mark.parametrize("text", ["[]", '{"duckdb": 1}', "nonsense"])
def test_namespaces_that_cannot_be_read_are_refused(text):
    with pytest.raises(ValueError):
        parse_namespaces(text)
