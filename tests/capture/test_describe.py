"""A recording becomes OpenLineage datasets and facets that the official client serialises."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from bridge_tests.describing import NAMESPACE, statements, wire
from hypothesis import given
from hypothesis import strategies as st
from openlineage.client.facet_v2 import documentation_dataset

from openlineage_bridge_capture import Dataset, log
from openlineage_bridge_capture.describe import Description, describe
from openlineage_bridge_capture.recording import Columns, Recording, Statement


def test_an_empty_recording_says_nothing():
    assert Description() == describe(Recording())


def test_tables_columns_schema_and_lifecycle_reach_the_wire():
    recording = Recording(
        statements=statements(
            "CREATE TABLE daily AS SELECT day, sum(price)::numeric AS total FROM orders WHERE paid GROUP BY 1"
        )
    )
    event = wire(describe(recording))
    (read,), (written,) = event["inputs"], event["outputs"]
    assert (read["namespace"], read["name"]) == (NAMESPACE, "shop.public.orders")
    assert (written["namespace"], written["name"]) == (NAMESPACE, "shop.public.daily")
    assert NAMESPACE == written["facets"]["dataSource"]["uri"] == read["facets"]["dataSource"]["name"]
    assert [
        (field["name"], field.get("type"), field["ordinal_position"])
        for field in written["facets"]["schema"]["fields"]
    ] == [("day", None, 1), ("total", "DECIMAL", 2)]
    assert written["facets"]["lifecycleStateChange"]["lifecycleStateChange"] == "CREATE"


def test_column_lineage_follows_the_facets_specification_1_2_0():
    recording = Recording(statements=statements("CREATE TABLE o AS SELECT sum(a) AS s FROM t WHERE b"))
    facet = wire(describe(recording))["outputs"][0]["facets"]["columnLineage"]
    source = {"namespace": NAMESPACE, "name": "shop.public.t"}
    assert facet["_schemaURL"].endswith(
        "1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet"
    )
    assert {
        "s": {
            "inputFields": [
                {**source, "field": "a", "transformations": [{"type": "DIRECT", "subtype": "AGGREGATION"}]}
            ]
        }
    } == facet["fields"]
    assert [
        {**source, "field": "b", "transformations": [{"type": "INDIRECT", "subtype": "FILTER"}]}
    ] == facet["dataset"]


def test_several_statements_on_a_table_are_one_output():
    recording = Recording(
        statements=statements("INSERT INTO o (a) SELECT x FROM t", "INSERT INTO o (b) SELECT y FROM u")
    )
    (written,) = wire(describe(recording))["outputs"]
    assert {"a", "b"} == set(written["facets"]["columnLineage"]["fields"])


def test_the_sql_facet_holds_what_touched_data_once():
    recording = Recording(
        statements=statements(
            "BEGIN", "INSERT INTO o SELECT 1;", "SET x = 1", "INSERT INTO o SELECT 1", "SELECT a FROM t"
        )
    )
    facet = wire(describe(recording))["job"]["facets"]["sql"]
    assert (facet["query"], facet["dialect"]) == ("INSERT INTO o SELECT 1;\nSELECT a FROM t", "postgres")


def test_statements_of_several_dialects_have_no_common_dialect():
    both = Recording(
        statements=(
            *statements("SELECT a FROM t"),
            Statement("SELECT b FROM u", "duckdb", "duckdb:///x", "x", "main"),
        )
    )
    assert "dialect" not in wire(describe(both))["job"]["facets"]["sql"]


def test_a_statement_that_cannot_be_parsed_is_an_extraction_error_and_still_in_the_sql_facet():
    event = wire(describe(Recording(statements=statements("SELECT a FROM t", "SELECT FROM WHERE ("))))
    facet = event["run"]["facets"]["extractionError"]
    assert (facet["totalTasks"], facet["failedTasks"]) == (2, 1)
    assert [(each["taskNumber"], each["task"]) for each in facet["errors"]] == [(1, "SELECT FROM WHERE (")]
    assert "SELECT FROM WHERE (" in event["job"]["facets"]["sql"]["query"]
    assert [each["name"] for each in event["inputs"]] == ["shop.public.t"]


def test_what_was_counted_but_not_kept_is_said():
    facet = wire(describe(Recording(left_out=3)))["run"]["facets"]["extractionError"]
    assert (facet["totalTasks"], facet["failedTasks"]) == (3, 3)
    assert "3 further statements" in facet["errors"][0]["errorMessage"]


def test_explicit_datasets_merge_with_captured_ones_and_their_facets_win():
    said = Dataset(
        NAMESPACE,
        "shop.public.o",
        {
            "documentation": documentation_dataset.DocumentationDatasetFacet(description="orders"),
            "lifecycleStateChange": {"lifecycleStateChange": "OVERWRITE"},
        },
    )
    recording = Recording(outputs=(said,), statements=statements("CREATE TABLE o AS SELECT a FROM t"))
    (written,) = wire(describe(recording))["outputs"]
    assert written["facets"]["documentation"]["description"] == "orders"
    assert written["facets"]["lifecycleStateChange"]["lifecycleStateChange"] == "OVERWRITE"
    assert {"a"} == set(written["facets"]["columnLineage"]["fields"])


def test_a_facet_given_as_plain_json_gets_what_every_facet_must_have():
    said = Dataset("file", "/x", {"acme_quality": {"score": 7, "not an identifier": [None, {"a": 1}]}})
    facet = wire(describe(Recording(inputs=(said,))))["inputs"][0]["facets"]["acme_quality"]
    assert (facet["score"], "_producer" in facet, "_schemaURL" in facet) == (7, True, True)


def test_a_plain_facet_keeps_its_own_schema_url():
    said = Dataset(
        "file", "/x", {"acme": {"_schemaURL": "https://acme.io/facet.json", "_producer": "https://acme.io"}}
    )
    facet = wire(describe(Recording(inputs=(said,))))["inputs"][0]["facets"]["acme"]
    assert facet == {"_schemaURL": "https://acme.io/facet.json", "_producer": "https://acme.io"}


def test_a_recording_describes_the_same_before_and_after_its_way_through_json():
    recording = Recording(
        inputs=(
            Dataset("file", "/x", {"documentation": documentation_dataset.DocumentationDatasetFacet("x")}),
        ),
        statements=statements("CREATE TABLE o AS SELECT a, b FROM t JOIN u USING (i)"),
    )
    there_and_back = Recording.from_json(json.loads(json.dumps(recording.to_json())))
    assert wire(describe(recording)) == wire(describe(there_and_back))


def test_without_sqlglot_explicit_datasets_remain_and_the_log_says_what_to_install(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "openlineage_bridge_capture.sql.script", None)
    log.forget()
    recording = Recording(inputs=(Dataset("file", "/x"),), statements=statements("SELECT a FROM t"))
    with caplog.at_level(logging.WARNING, logger="openlineage_bridge"):
        descriptions = [describe(recording), describe(recording)]
    assert [[each.name for each in description.inputs] for description in descriptions] == [["/x"], ["/x"]]
    assert descriptions[0].job_facets["sql"].query == "SELECT a FROM t"
    assert ["install openlineage-bridge[sql]" in record.message for record in caplog.records] == [True]


# ---- schema, storage, symlinks


def test_inputs_and_outputs_have_the_schema_that_the_catalog_tells():
    recording = Recording(
        statements=statements("INSERT INTO o SELECT a FROM t"),
        catalog=(
            Columns(NAMESPACE, "shop.public.t", (("a", "integer"), ("b", None))),
            Columns(NAMESPACE, "shop.public.o", (("x", "numeric(9,2)"),)),
            Columns(NAMESPACE, "shop.public.unrelated", (("x", "text"),)),
        ),
    )
    event = wire(describe(recording))
    (read,), (written,) = event["inputs"], event["outputs"]
    assert [("a", "integer"), ("b", None)] == [
        (field["name"], field.get("type")) for field in read["facets"]["schema"]["fields"]
    ]
    assert [("x", "numeric(9,2)")] == [
        (field["name"], field["type"]) for field in written["facets"]["schema"]["fields"]
    ]
    assert {"x"} == set(written["facets"]["columnLineage"]["fields"])


def test_what_the_run_itself_defines_wins_over_the_catalog():
    recording = Recording(
        statements=statements("CREATE TABLE o (a INT, b TEXT)"),
        catalog=(Columns(NAMESPACE, "shop.public.o", (("a", "integer"), ("b", "text"))),),
    )
    (written,) = describe(recording).outputs
    assert [("a", "INT"), ("b", "TEXT")] == [
        (each.name, each.type) for each in written.facets["schema"].fields
    ]


def test_a_dropped_table_has_no_schema():
    recording = Recording(
        statements=statements("DROP TABLE o"), catalog=(Columns(NAMESPACE, "shop.public.o", (("a", "int"),)),)
    )
    (written,) = describe(recording).outputs
    assert "schema" not in written.facets


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM read_parquet('/d/*')", ("file", "parquet")),
        ("SELECT * FROM '/d/x.csv.gz'", ("file", "csv")),
        ("SELECT * FROM read_json_auto('s3://b/x')", ("s3", "json")),
        ("SELECT * FROM delta_scan('s3://b/t')", ("delta", "parquet")),
        ("SELECT * FROM iceberg_scan('s3://b/t')", ("iceberg", None)),
    ],
)
def test_files_say_where_they_are_and_in_what_format(sql, expected):
    (read,) = describe(Recording(statements=(Statement(sql, "duckdb", "duckdb:///w", "w", "main"),))).inputs
    assert expected == (read.facets["storage"].storageLayer, read.facets["storage"].fileFormat)


@pytest.mark.parametrize(
    ("dialect", "sql", "places", "storage"),
    [
        (
            "databricks",
            "CREATE TABLE o USING DELTA LOCATION 's3://b/p' AS SELECT a FROM t",
            [("s3://b", "p")],
            ("delta", "parquet"),
        ),
        (
            "spark",
            "CREATE EXTERNAL TABLE o (a INT) STORED AS TEXTFILE LOCATION 'gs://b/p/'",
            [("gs://b", "p")],
            ("gs", "text"),
        ),
        (
            "trino",
            "CREATE TABLE o (a INT) WITH (external_location = 's3a://b/p', format = 'ORC')",
            [("s3://b", "p")],
            ("s3", "orc"),
        ),
        (
            "redshift",
            "CREATE EXTERNAL TABLE spectrum.o (a INT) STORED AS PARQUET LOCATION 's3://b/p/'",
            [("s3://b", "p")],
            ("s3", "parquet"),
        ),
        (
            "bigquery",
            "CREATE EXTERNAL TABLE o (a INT64) OPTIONS (format = 'CSV', uris = ['gs://b/p/*.csv', 'gs://b/q.csv'])",
            [("gs://b", "p"), ("gs://b", "q.csv")],
            ("gs", "csv"),
        ),
        (
            "snowflake",
            "CREATE STAGE st URL = 's3://b/x'; CREATE EXTERNAL TABLE o (a INT AS (value:c1::INT)) LOCATION = @st/p FILE_FORMAT = (TYPE = PARQUET)",
            [("s3://b", "x/p")],
            ("s3", "parquet"),
        ),
    ],
)
def test_an_external_table_is_also_known_by_its_location(dialect, sql, places, storage):
    (written,) = describe(Recording(statements=(Statement(sql, dialect, "w://h", "c", "s"),))).outputs
    assert places == [(each.namespace, each.name) for each in written.facets["symlinks"].identifiers]
    assert storage == (written.facets["storage"].storageLayer, written.facets["storage"].fileFormat)


@given(
    st.lists(st.text(max_size=40), max_size=4),
    st.sampled_from(["duckdb", "postgres", "sqlite", "nonsense", ""]),
)
def test_describe_is_total(texts, dialect):
    recording = Recording(statements=tuple(Statement(text, dialect, "x://y", "c", "s") for text in texts))
    wire(describe(recording))
