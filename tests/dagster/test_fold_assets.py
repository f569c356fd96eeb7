"""What assets, their partitions and their checks become, on logs that a real Dagster wrote."""

from __future__ import annotations

import json

import pytest
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    AssetOut,
    AssetSpec,
    BackfillPolicy,
    DailyPartitionsDefinition,
    Failure,
    MaterializeResult,
    MetadataValue,
    ObserveResult,
    TableColumn,
    TableColumnDep,
    TableColumnLineage,
    TableSchema,
    asset,
    asset_check,
    job,
    materialize,
    multi_asset,
    multi_observable_source_asset,
    op,
)
from dagster._core.definitions.observe import observe
from dagster._core.execution.plan.outputs import StepOutputProperties

from openlineage_bridge_dagster.assets import AssetDefinition, RunAssets
from openlineage_bridge_dagster.naming import AssetNaming


def dataset_facet(events, event_type, side, name, facet):
    [found] = [
        {**dataset["facets"], **dataset.get("outputFacets", {}), **dataset.get("inputFacets", {})}.get(facet)
        for event in events
        if event["eventType"] == event_type
        for dataset in event[side]
        if dataset["name"] == name
    ]
    return {key: value for key, value in found.items() if not key.startswith("_")} if found else found


def test_assets_flow_into_each_other_without_definitions(instance, folded, story):
    """Upstreams come from the provenance tags of the materialization, so history and other locations have them too."""

    @asset
    def raw():
        return 1

    @asset
    def clean(raw):
        return raw

    run_id = materialize([raw, clean], instance=instance).run_id

    assert story(folded(run_id)) == [
        "START __ephemeral_asset_job__",
        "START __ephemeral_asset_job__.raw:  -> dagster:raw",
        "COMPLETE __ephemeral_asset_job__.raw:  -> dagster:raw",
        "START __ephemeral_asset_job__.clean:  -> dagster:clean",
        "COMPLETE __ephemeral_asset_job__.clean: dagster:raw -> dagster:clean",
        "COMPLETE __ephemeral_asset_job__",
    ]


def test_metadata_becomes_facets(instance, folded):
    """Columns, column lineage, row counts, data version and the asset key as a symlink."""

    @asset(key=["prod", "duckdb", "shop", "main", "orders"])
    def orders():
        return MaterializeResult(
            metadata={
                "dagster/row_count": 3,
                "dagster/column_schema": TableSchema(
                    columns=[TableColumn("id", "int", description="the id")]
                ),
                "dagster/column_lineage": TableColumnLineage(
                    {"id": [TableColumnDep(AssetKey(["prod", "duckdb", "shop", "main", "raw"]), "raw_id")]}
                ),
            }
        )

    run_id = materialize([orders], instance=instance).run_id
    naming = AssetNaming(namespaces={"duckdb": "duckdb:///data/shop.duckdb"})

    events = folded(run_id, RunAssets(naming))

    def facet(name):
        return dataset_facet(events, "COMPLETE", "outputs", "shop.main.orders", name)

    source = {
        "namespace": "duckdb:///data/shop.duckdb",
        "name": "shop.main.raw",
        "field": "raw_id",
        "transformations": [],
    }
    assert {"fields": {"id": {"inputFields": [source]}}, "dataset": []} == facet("columnLineage")
    assert facet("outputStatistics") == {"rowCount": 3}
    assert facet("schema")["fields"] == [
        {"name": "id", "type": "int", "description": "the id", "ordinal_position": 1, "fields": []}
    ]
    assert facet("symlinks")["identifiers"][0] == {
        "namespace": "dagster",
        "name": "prod/duckdb/shop/main/orders",
        "type": "DAGSTER_ASSET",
    }
    assert facet("version")["datasetVersion"]
    assert [
        (read["namespace"], read["name"])
        for event in events
        if event["eventType"] == "COMPLETE"
        for read in event["inputs"]
    ] == [("duckdb:///data/shop.duckdb", "shop.main.raw")]


def test_a_multi_asset_says_which_input_fed_which_output(instance, folded, story):
    """The explicit lineage facet spares the product of all inputs with all outputs."""
    left, right = AssetKey("left"), AssetKey("right")

    @multi_asset(
        specs=[
            AssetSpec("a", deps=[left]),
            AssetSpec("b", deps=[right]),
            AssetSpec("c", deps=[AssetKey("a")]),
        ]
    )
    def many():
        for key in ("a", "b", "c"):
            yield MaterializeResult(asset_key=key)

    run_id = materialize([many, AssetSpec("left"), AssetSpec("right")], instance=instance).run_id

    events = folded(run_id)

    [complete] = [
        event
        for event in events
        if event["job"]["name"].endswith(".many") and event["eventType"] == "COMPLETE"
    ]
    assert story([complete]) == [
        "COMPLETE __ephemeral_asset_job__.many: dagster:left, dagster:right -> dagster:a, dagster:b, dagster:c"
    ]
    entries = complete["job"]["facets"]["lineage"]["entries"]
    assert {entry["name"]: [source["name"] for source in entry["inputs"]] for entry in entries} == {
        "a": ["left"],
        "b": ["right"],
        "c": ["a"],
    }


def test_a_partition_is_time_and_subset(instance, folded):
    """A daily key is the nominal time of run and step; the partitions written are the output's subset."""

    @asset(partitions_def=DailyPartitionsDefinition("2026-11-01"))
    def daily():
        return 1

    run_id = materialize([daily], instance=instance, partition_key="2026-11-03").run_id

    events = folded(run_id)

    assert {"2026-11-03T00:00:00Z"} == {
        event["run"]["facets"]["nominalTime"]["nominalStartTime"] for event in events
    }
    partition = {"identifier": "2026-11-03", "dimensions": {}}
    assert {"outputCondition": {"type": "partition", "partitions": [partition]}} == dataset_facet(
        events, "COMPLETE", "outputs", "daily", "subset"
    )


@pytest.mark.filterwarnings("ignore:.*in beta")
def test_a_range_of_partitions_is_one_output(instance, folded, story):
    """One step writes them all: one dataset, the rows summed, the partitions listed."""

    @asset(
        partitions_def=DailyPartitionsDefinition("2026-11-01"), backfill_policy=BackfillPolicy.single_run()
    )
    def ranged():
        return MaterializeResult(metadata={"dagster/partition_row_count": 2})

    tags = {
        "dagster/asset_partition_range_start": "2026-11-01",
        "dagster/asset_partition_range_end": "2026-11-03",
    }
    run_id = materialize([ranged], instance=instance, tags=tags).run_id

    events = folded(run_id)

    [complete] = [event for event in events if event["eventType"] == "COMPLETE" and event["outputs"]]
    assert story([complete]) == ["COMPLETE __ephemeral_asset_job__.ranged:  -> dagster:ranged"]
    subset = complete["outputs"][0]["outputFacets"]["subset"]["outputCondition"]["partitions"]
    assert [partition["identifier"] for partition in subset] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert complete["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 6


@pytest.mark.filterwarnings("ignore:.*in beta")
def test_an_observation_reads(instance, folded, story):
    """An observed asset is an input of its step and never an output, although Dagster plans to materialize it."""

    @multi_observable_source_asset(specs=[AssetSpec("source")])
    def watched():
        yield ObserveResult(asset_key="source", metadata={"dagster/row_count": 5})

    run_id = observe([watched], instance=instance).run_id

    events = folded(run_id)

    observed = [event for event in events if event["job"]["name"].endswith(".watched")]
    assert [event["eventType"] for event in observed] == ["START", "COMPLETE"]
    # The stored plan of 1.10.0 does not tell an observation from a materialization; what happened does.
    planned = [] if "asset_execution_type" in StepOutputProperties._fields else ["source"]
    assert [[output["name"] for output in event["outputs"]] for event in observed] == [planned, []]
    assert dataset_facet(events, "COMPLETE", "inputs", "source", "inputStatistics") == {"rowCount": 5}


def test_a_materialization_and_an_observation_logged_by_an_op(instance, folded, story):
    """User code may log them anywhere; they belong to the step."""

    @op
    def logging_op(context):
        context.log_event(AssetObservation("seen"))
        context.log_event(AssetMaterialization("made", metadata={"path": MetadataValue.path("data/x.csv")}))

    @job
    def logging_job():
        logging_op()

    run_id = logging_job.execute_in_process(instance=instance).run_id

    assert "COMPLETE logging_job.logging_op: dagster:seen -> dagster:made" in story(folded(run_id))


def test_a_check_step_reads_what_it_checks(instance, folded, story):
    """Each outcome is an assertion on the input; a failed warning is a failed warning."""

    @asset
    def checked_asset():
        return 1

    @asset_check(asset=checked_asset)
    def unique():
        return AssetCheckResult(
            passed=False, severity=AssetCheckSeverity.WARN, description="twice", metadata={"column": "id"}
        )

    run_id = materialize([checked_asset, unique], instance=instance).run_id

    events = folded(run_id)

    assert "COMPLETE __ephemeral_asset_job__.checked_asset_unique: dagster:checked_asset -> " in story(events)
    facet = dataset_facet(events, "COMPLETE", "inputs", "checked_asset", "dataQualityAssertions")
    expected = {
        "assertion": "unique",
        "name": "unique",
        "success": False,
        "severity": "warn",
        "column": "id",
        "description": "twice",
        "params": {},
    }
    assert [expected] == facet["assertions"]


def test_a_check_inside_the_step_makes_no_edge(instance, folded, story):
    """The outcome stands on the output: a table is not its own source because it was checked."""

    @asset(check_specs=[AssetCheckSpec("rows", asset="with_check")])
    def with_check():
        return MaterializeResult(check_results=[AssetCheckResult(check_name="rows", passed=True)])

    run_id = materialize([with_check], instance=instance).run_id

    events = folded(run_id)

    assert "COMPLETE __ephemeral_asset_job__.with_check:  -> dagster:with_check" in story(events)
    assertions = dataset_facet(events, "COMPLETE", "outputs", "with_check", "dataQualityAssertions")[
        "assertions"
    ]
    assert [(each["name"], each["success"], each["severity"]) for each in assertions] == [
        ("rows", True, "error")
    ]


def test_a_failed_asset_still_says_what_it_was_going_to_write(instance, folded, story):
    """With the definitions' parents as inputs where they are known."""

    @asset
    def upstream():
        return 1

    @asset
    def downstream(upstream):
        raise Failure("no")

    run_id = materialize([upstream, downstream], instance=instance, raise_on_error=False).run_id
    definitions = {
        AssetKey("downstream"): AssetDefinition(parents=(AssetKey("upstream"),), owners=("team:x",))
    }

    lines = story(folded(run_id, RunAssets(definitions=definitions.get)))

    job_name = "__ephemeral_asset_job__.downstream"
    assert [
        f"START {job_name}: dagster:upstream -> dagster:downstream",
        f"FAIL {job_name}: dagster:upstream -> dagster:downstream",
    ] == [line for line in lines if "downstream" in line]


def test_definitions_enrich_what_was_written(instance, folded):
    """Description, owners, tags, kinds and group of the definition, and its columns where the run says none."""

    @asset
    def rich():
        return 1

    run_id = materialize([rich], instance=instance).run_id
    definition = AssetDefinition(
        metadata={"dagster/column_schema": TableSchema(columns=[TableColumn("id", "int")])},
        description="All of it.",
        group="core",
        owners=("alice@acme.io", "team:data"),
        tags={"pii": "yes"},
        kinds=("duckdb",),
    )

    events = folded(run_id, RunAssets(definitions=lambda _: definition))

    def facet(name):
        return dataset_facet(events, "COMPLETE", "outputs", "rich", name)

    assert facet("documentation")["description"] == "All of it."
    assert [owner["name"] for owner in facet("ownership")["owners"]] == ["user:alice@acme.io", "team:data"]
    assert [(tag["key"], tag["value"]) for tag in facet("tags")["tags"]] == [
        ("pii", "yes"),
        ("kind", "duckdb"),
        ("group", "core"),
    ]
    assert [field["name"] for field in facet("schema")["fields"]] == ["id"]


def test_every_event_and_facet_names_this_producer(instance, folded):
    """Also those that the client would sign with its own repository."""

    @asset
    def signed_asset():
        return 1

    run_id = materialize([signed_asset], instance=instance).run_id

    text = json.dumps(folded(run_id))

    assert "collectors/openlineage_bridge_dagster" in text
    assert "OpenLineage/tree" not in text


def test_materializations_through_assetout(instance, folded, story):
    """The older spelling of a multi-asset is the same."""

    @multi_asset(outs={"x": AssetOut(), "y": AssetOut()})
    def pair():
        return 1, 2

    run_id = materialize([pair], instance=instance).run_id

    assert "COMPLETE __ephemeral_asset_job__.pair:  -> dagster:x, dagster:y" in story(folded(run_id))
