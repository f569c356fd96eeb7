"""How what capture recorded and what Dagster says become one lineage."""

from __future__ import annotations

import duckdb
import pytest
from dagster import AssetSpec, MaterializeResult, asset, job, materialize, multi_asset, op

from openlineage_bridge_capture import Dataset, inputs, outputs
from openlineage_bridge_capture.describe import describe
from openlineage_bridge_dagster.assets import RunAssets
from openlineage_bridge_dagster.naming import AssetNaming


@pytest.fixture
def shop(tmp_path):
    """A DuckDB file with one table, and its namespace."""
    file = tmp_path / "shop.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE raw AS SELECT 1 AS id, 10 AS amount")
    return file


def complete(events, step):
    [found] = [
        event
        for event in events
        if event["eventType"] == "COMPLETE" and event["job"]["name"].endswith(f".{step}")
    ]
    return found


def names(datasets):
    return {(dataset["namespace"], dataset["name"]) for dataset in datasets}


def test_sql_in_an_op_is_its_lineage(instance, folded, shop):
    """Table and column lineage without a word of user code."""

    @op
    def load():
        with duckdb.connect(str(shop)) as connection:
            connection.execute("CREATE TABLE clean AS SELECT id, amount * 2 AS double FROM raw")

    @job
    def loading():
        load()

    event = complete(folded(loading.execute_in_process(instance=instance).run_id, describe=describe), "load")

    namespace = f"duckdb://{shop}"
    assert {(namespace, "shop.main.raw")} == names(event["inputs"])
    assert {(namespace, "shop.main.clean")} == names(event["outputs"])
    assert {"id", "double"} == set(event["outputs"][0]["facets"]["columnLineage"]["fields"])


def test_a_key_and_captured_sql_that_name_one_table_are_one_dataset(instance, folded, shop):
    """With the namespace of the platform configured; the asset's facets and the statement's stand together."""

    @asset(key=["prod", "duckdb", "shop", "main", "clean"], deps=[["prod", "duckdb", "shop", "main", "raw"]])
    def clean():
        with duckdb.connect(str(shop)) as connection:
            connection.execute("CREATE TABLE clean AS SELECT id FROM raw")
        return MaterializeResult(metadata={"dagster/row_count": 1})

    run_id = materialize([clean], instance=instance).run_id
    assets = RunAssets(AssetNaming({"duckdb": f"duckdb://{shop}"}))

    event = complete(folded(run_id, assets, describe=describe), "prod__duckdb__shop__main__clean")

    assert {(f"duckdb://{shop}", "shop.main.raw")} == names(event["inputs"])
    [output] = event["outputs"]
    assert output["name"] == "shop.main.clean"
    assert {"columnLineage", "symlinks"} <= set(output["facets"])
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 1


def test_an_asset_without_a_physical_name_stands_beside_what_its_sql_wrote(instance, folded, shop):
    """The asset is a dataset of its own: readers of the asset key find it, readers of the table the table."""

    @asset
    def clean():
        with duckdb.connect(str(shop)) as connection:
            connection.execute("CREATE TABLE clean AS SELECT id FROM raw")

    event = complete(folded(materialize([clean], instance=instance).run_id, describe=describe), "clean")

    assert {("dagster", "clean"), (f"duckdb://{shop}", "shop.main.clean")} == names(event["outputs"])


def test_what_a_failed_step_did_is_told(instance, folded, shop):
    """The statements before the failure happened."""

    @op
    def half():
        with duckdb.connect(str(shop)) as connection:
            connection.execute("CREATE TABLE part AS SELECT id FROM raw")
        raise RuntimeError("no")

    @job
    def halfway():
        half()

    run_id = halfway.execute_in_process(instance=instance, raise_on_error=False).run_id

    [failed] = [
        event
        for event in folded(run_id, describe=describe)
        if event["eventType"] == "FAIL" and event["job"]["name"] == "halfway.half"
    ]
    assert {(f"duckdb://{shop}", "shop.main.part")} == names(failed["outputs"])


def test_an_input_that_nobody_attributes_keeps_the_product_of_inputs_and_outputs(instance, folded):
    """An explicit lineage facet would say that it feeds none of the outputs."""

    @multi_asset(specs=[AssetSpec("a"), AssetSpec("b")])
    def both():
        inputs(Dataset("s3://landing", "orders.csv"))
        yield MaterializeResult(asset_key="a")
        yield MaterializeResult(asset_key="b")

    event = complete(folded(materialize([both], instance=instance).run_id, describe=describe), "both")

    assert {("s3://landing", "orders.csv")} == names(event["inputs"])
    assert "lineage" not in event["job"]["facets"]


def test_facets_said_by_user_code_arrive(instance, folded):
    """As plain JSON, through the event log."""

    @op
    def saying():
        outputs(Dataset("s3://out", "x.csv", {"documentation": {"description": "said"}}))

    @job
    def talking():
        saying()

    event = complete(
        folded(talking.execute_in_process(instance=instance).run_id, describe=describe), "saying"
    )

    assert event["outputs"][0]["facets"]["documentation"]["description"] == "said"


def test_a_recording_that_cannot_be_read_leaves_the_run_alone(instance, folded, records, caplog):
    """Written by something newer or broken: the step still starts and ends."""

    @op
    def saying():
        outputs(Dataset("s3://out", "x.csv"))

    @job
    def talking():
        saying()

    run_id = talking.execute_in_process(instance=instance).run_id
    log = records(run_id)
    for entry in log:
        for value in getattr(entry.dagster_event.event_specific_data, "metadata", {}).values():
            if isinstance(value.value, dict):
                value.value["outputs"] = ["broken"]

    event = complete(folded(run_id, log=log), "saying")

    assert event["outputs"] == []
    assert "cannot be read" in caplog.text
