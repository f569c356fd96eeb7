"""An extractor of the user's own: it reads a run that has ended and says what each of its ops read and wrote."""

from __future__ import annotations

from collections.abc import Iterator

from dagster import (
    AssetMaterialization,
    DagsterEventType,
    Definitions,
    Output,
    RunStatusSensorContext,
    job,
    op,
)

from openlineage_bridge_dagster.datahub import (
    DagsterGenerator,
    DatahubClientConfig,
    DatahubDagsterSourceConfig,
    DataHubGraph,
    DatasetLineage,
    DatasetUrn,
    make_datahub_sensor,
)


@op
def publish() -> Iterator[AssetMaterialization | Output[None]]:
    """Writes a table, and logs it as an asset together with what it came from."""
    yield AssetMaterialization(
        ["prod", "snowflake", "shop", "marts", "published"], metadata={"from": "staging"}
    )
    yield Output(None)


@job
def publishing() -> None:
    """The tables that others read."""
    publish()


def asset_lineage_extractor(
    context: RunStatusSensorContext, dagster_generator: DagsterGenerator, graph: DataHubGraph
) -> dict[str, DatasetLineage]:
    """What the metadata of each materialization says that its table came from."""
    found: dict[str, DatasetLineage] = {}
    for entry in context.instance.all_logs(
        context.dagster_run.run_id, of_type={DagsterEventType.ASSET_MATERIALIZATION}
    ):
        written, step = entry.asset_materialization, entry.step_key
        if written is None or step is None:
            continue
        source = DatasetUrn("snowflake", f"shop.raw.{written.metadata['from'].value}")
        asset = dagster_generator.emit_asset(graph, written.asset_key.path, written.description, {})
        found[step] = DatasetLineage({source}, {asset})
    return found


config = DatahubDagsterSourceConfig(
    datahub_client_config=DatahubClientConfig(server="http://localhost:8080"),
    asset_lineage_extractor=asset_lineage_extractor,
)
defs = Definitions(jobs=[publishing], sensors=[make_datahub_sensor(config=config)])
