"""Asset events that no run brought about (reported in the UI or through the API), as OpenLineage DatasetEvents."""

from __future__ import annotations

from typing import Any

from dagster import AssetKey, DagsterEventType, EventLogEntry
from openlineage.client.event_v2 import DatasetEvent, StaticDataset

from openlineage_bridge_dagster import facets
from openlineage_bridge_dagster.assets import RunAssets, plain
from openlineage_bridge_dagster.checks import assertions
from openlineage_bridge_dagster.identity import event_time
from openlineage_bridge_dagster.producer import signed

RUNLESS_TYPES = frozenset(
    {
        DagsterEventType.ASSET_MATERIALIZATION,
        DagsterEventType.ASSET_OBSERVATION,
        DagsterEventType.ASSET_CHECK_EVALUATION,
    }
)


def dataset_event(record: EventLogEntry, assets: RunAssets) -> DatasetEvent | None:
    """What a runless record says about its asset, None when it says nothing we map."""
    event = record.dagster_event
    if event is None or event.event_type not in RUNLESS_TYPES:
        return None
    assets.moment = record.timestamp
    key, dataset_facets = _said(event, assets)
    name = assets.name(key)
    return signed(
        DatasetEvent(
            eventTime=event_time(record.timestamp),
            dataset=StaticDataset(name.namespace, name.name, facets=dataset_facets),
        )
    )


def _said(event: Any, assets: RunAssets) -> tuple[AssetKey, dict[str, Any]]:
    if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
        check = event.asset_check_evaluation_data
        return check.asset_key, {
            **assets.symlinks(check.asset_key),
            "dataQualityAssertions": assertions([check]),
        }
    if event.event_type is DagsterEventType.ASSET_OBSERVATION:
        observation = event.asset_observation_data.asset_observation
        return observation.asset_key, assets.facets(
            observation.asset_key, plain(observation.metadata), observation.tags
        )
    materialization = event.step_materialization_data.materialization
    key, metadata = materialization.asset_key, plain(materialization.metadata)
    assets.materialized(key, metadata)
    found = assets.facets(key, metadata, materialization.tags)
    return key, {**found, **facets.column_lineage(facets.column_sources(metadata), assets.name)}
