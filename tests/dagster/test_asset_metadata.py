"""Every metadata of Dagster's conventions that says something of a dataset, through real runs."""

from __future__ import annotations

import pytest
from dagster import (
    AssetKey,
    AssetObservation,
    DataVersion,
    Definitions,
    MaterializeResult,
    MetadataValue,
    TableColumn,
    TableColumnConstraints,
    TableColumnDep,
    TableColumnLineage,
    TableSchema,
    asset,
    job,
    materialize,
    op,
)

from openlineage_bridge_dagster.assets import RunAssets, definitions_of
from openlineage_bridge_dagster.naming import AssetNaming


@pytest.fixture
def written(instance, folded):
    """Materializes an asset with this metadata; its one output, with the definitions' help or without."""

    def run(metadata, definition=None, **settings):
        @asset(metadata=definition or {}, **settings)
        def orders():
            return MaterializeResult(metadata=metadata)

        definitions = definitions_of(Definitions(assets=[orders]).get_repository_def())
        run_id = materialize([orders], instance=instance).run_id
        [event] = [
            event
            for event in folded(run_id, RunAssets(AssetNaming(), definitions=definitions))
            if event["eventType"] == "COMPLETE" and event["outputs"]
        ]
        [output] = event["outputs"]
        return output

    return run


SCHEMA = TableSchema(
    columns=[
        TableColumn("id", "int", description="The id.", tags={"pii": "no"}),
        TableColumn("email", "text", tags={"pii": "yes"}, constraints=TableColumnConstraints(nullable=False)),
    ]
)
FIELDS = [("id", "int", "The id.", 1), ("email", "text", None, 2)]
OTHER = TableSchema(columns=[TableColumn("id", "int64")])


def fields(output):
    return [
        (field["name"], field["type"], field.get("description"), field["ordinal_position"])
        for field in output["facets"]["schema"]["fields"]
    ]


@pytest.mark.parametrize(
    ("metadata", "definition", "expected"),
    [
        ({"dagster/column_schema": SCHEMA}, {}, FIELDS),
        ({"dataframe_columns": OTHER}, {}, [("id", "int64", None, 1)]),
        # What is said of the table wins over what a data frame had; the run over the code.
        ({"dataframe_columns": OTHER, "dagster/column_schema": SCHEMA}, {}, FIELDS),
        ({}, {"dagster/column_schema": SCHEMA}, FIELDS),
        ({"dataframe_columns": OTHER}, {"dagster/column_schema": SCHEMA}, [("id", "int64", None, 1)]),
    ],
)
def test_columns(written, metadata, definition, expected):
    """``dagster/column_schema`` and ``dataframe_columns`` are the schema."""
    assert expected == fields(written(metadata, definition))


def test_tags_of_columns(written):
    """They are tags of the dataset, of that field."""
    tags = written({"dagster/column_schema": SCHEMA}, tags={"team": "shop"})["facets"]["tags"]["tags"]

    assert [("team", "shop", None), ("pii", "no", "id"), ("pii", "yes", "email")] == [
        (tag["key"], tag["value"], tag.get("field")) for tag in tags
    ]


@pytest.mark.parametrize("place", ["run", "code"])
def test_column_lineage(written, place):
    """``dagster/column_lineage``, of the materialization or of the definition."""
    deps = {"id": [TableColumnDep(AssetKey(["up", "stream"]), "key")]}
    said = {"dagster/column_lineage": TableColumnLineage(deps)}
    output = written(said if place == "run" else {}, said if place == "code" else {})
    [field] = output["facets"]["columnLineage"]["fields"]["id"]["inputFields"]

    assert ("dagster", "up/stream", "key") == (field["namespace"], field["name"], field["field"])


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"dagster/row_count": 3}, 3),
        ({"dagster/partition_row_count": 2}, 2),
        ({"dagster/row_count": 3, "dagster/partition_row_count": 2}, 2),
        ({"dagster/row_count": MetadataValue.text("many")}, None),
        ({}, None),
    ],
)
def test_row_counts(written, metadata, expected):
    """Rows that this run wrote: of the partition, where there is one."""
    assert expected == written(metadata)["outputFacets"].get("outputStatistics", {}).get("rowCount")


@pytest.mark.parametrize(
    ("metadata", "definition", "expected"),
    [
        ({"dagster/uri": "s3://bucket/orders"}, {}, ("s3://bucket", "orders")),
        ({}, {"dagster/uri": MetadataValue.url("s3://bucket/orders")}, ("s3://bucket", "orders")),
        (
            {"dagster/table_name": "DB.S.T", "dagster/storage_kind": "snowflake"},
            {},
            ("snowflake", "DB.S.T"),
        ),
        (
            {"dagster/relation_identifier": "db.s.t", "dagster/storage_kind": "postgresql"},
            {},
            ("postgres", "db.s.t"),
        ),
        ({}, {"dagster/table_name": "d.t", "dagster/storage_kind": "bigquery"}, ("bigquery", "d.t")),
        # The code's word is known before and after, so it wins.
        ({"dagster/uri": "s3://run/x"}, {"dagster/uri": "s3://code/x"}, ("s3://code", "x")),
        # A path is where an IO manager keeps a pickle, a new one for every run.
        ({"path": MetadataValue.path("/data/a/orders")}, {}, ("dagster", "orders")),
    ],
)
def test_addresses(written, metadata, definition, expected):
    """``dagster/uri``, ``dagster/table_name`` with ``dagster/storage_kind``: the asset key stays as a symlink."""
    output = written(metadata, definition)

    assert expected == (output["namespace"], output["name"])
    if expected[0] != "dagster":
        [symlink] = output["facets"]["symlinks"]["identifiers"]
        assert ("dagster", "orders", "DAGSTER_ASSET") == (
            symlink["namespace"],
            symlink["name"],
            symlink["type"],
        )


def test_provenance_is_the_version_that_was_written_and_read(instance, folded):
    """The data version of what a step wrote, and of what it read; one that nobody knows is not told."""

    @asset
    def raw():
        return MaterializeResult(data_version=DataVersion("v7"))

    @asset(deps=[raw, "elsewhere"])
    def orders():
        return MaterializeResult(data_version=DataVersion("v8"))

    events = folded(materialize([raw, orders], instance=instance).run_id)
    [event] = [event for event in events if event["eventType"] == "COMPLETE" and event["inputs"]]
    versions = {
        each["name"]: each["facets"].get("version", {}).get("datasetVersion")
        for each in [*event["inputs"], *event["outputs"]]
    }

    assert {"elsewhere": None, "raw": "v7", "orders": "v8"} == versions


def test_an_observation_says_the_same_of_what_was_read(instance, folded):
    """Columns, rows and version of a dataset that an op looked at."""

    @op
    def look(context):
        metadata = {"dagster/row_count": 5, "dagster/column_schema": SCHEMA}
        tags = {"dagster/data_version": "v1"}
        context.log_event(AssetObservation("orders", metadata=metadata, tags=tags))

    @job
    def looking():
        look()

    events = folded(looking.execute_in_process(instance=instance).run_id)
    [read] = [read for event in events for read in event.get("inputs", [])]

    assert FIELDS == fields(read)
    assert 5 == read["inputFacets"]["inputStatistics"]["rowCount"]
    assert "v1" == read["facets"]["version"]["datasetVersion"]
