"""``Query`` metadata: the statement that built a table, told by user code, names tables as the asset's key does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge_capture import Dataset
from openlineage_bridge_capture.describe import describe
from openlineage_bridge_dagster.queries import described

URN = "urn:li:dataset:(urn:li:dataPlatform:snowflake,{},DEV)"


def lineage(query, namespace, name):
    """``inputs -> outputs``, or None."""
    found = described({"Query": query}, Dataset(namespace, name), describe)
    if found is None:
        return None
    inputs, outputs = (
        ", ".join(sorted(f"{each.namespace}:{each.name}" for each in datasets))
        for datasets in (found.inputs, found.outputs)
    )
    return f"{inputs} -> {outputs}"


@pytest.mark.parametrize(
    ("query", "namespace", "name", "expected"),
    [
        (
            "create table shop.marts.t as select * from shop.raw.s",
            "postgres",
            "shop.marts.t",
            "postgres:shop.raw.s -> postgres:shop.marts.t",
        ),
        # What the statement leaves out is where the table is.
        ("insert into t select * from s", "snowflake", "shop.marts.t", "snowflake:shop.marts.s -> snowflake:shop.marts.t"),
        # A database that folds names up: the key's spelling wins, where the key is in lower case.
        ("insert into SHOP.MARTS.T select * from q.s", "snowflake", "SHOP.MARTS.T", "snowflake:SHOP.Q.S -> snowflake:SHOP.MARTS.T"),
        ("insert into t select * from s", "snowflake://acme-eu", "shop.marts.t", "snowflake://acme-eu:shop.marts.s -> snowflake://acme-eu:shop.marts.t"),
        # A table that is known by its URN: the others are, too.
        (
            "insert into shop.marts.t select * from shop.raw.s",
            "datahub",
            URN.format("shop.marts.t"),
            f"datahub:{URN.format('shop.raw.s')} -> datahub:{URN.format('shop.marts.t')}",
        ),
        # Dagster's IO managers write the read-back of the table.
        ("SELECT * FROM shop.marts.t", "postgres", "shop.marts.t", None),
        ("select 1", "postgres", "shop.marts.t", None),
        ("this is no SQL", "postgres", "shop.marts.t", None),
        # Nobody knows the dialect.
        ("insert into t select * from s", "dagster", "a/b", None),
        ("insert into t select * from s", "file", "/data/t.parquet", None),
        (7, "postgres", "shop.marts.t", None),
    ],
)  # fmt: skip
def test_tables_of_a_query(query, namespace, name, expected):
    assert expected == lineage(query, namespace, name)


def test_columns_of_a_query_in_the_spelling_of_the_key():
    """Schema and column lineage, for a database that folds names up."""
    found = described(
        {"Query": "create table t as select a, b + 1 as c from s"}, Dataset("snowflake", "x.y.t"), describe
    )
    facets = found.outputs[0].facets
    sources = {
        column: [(each.name, each.field) for each in field.inputFields]
        for column, field in facets["columnLineage"].fields.items()
    }

    assert {"a": [("x.y.s", "a")], "c": [("x.y.s", "b")]} == sources
    assert ["a", "c"] == [field.name for field in facets["schema"].fields]


@given(st.text(max_size=60), st.sampled_from(["postgres", "snowflake", "duckdb", "datahub", "dagster"]))
def test_no_text_breaks_it(query, namespace):
    """User code may write anything there."""
    described({"Query": query}, Dataset(namespace, "a.b.c"), describe)
