"""For code written with DataHub's Dagster plugin: its names, with this collector's sensor behind them.

A change of the imports is all: what comes from ``datahub_dagster_plugin`` and, where acryl-datahub is to go as well, its
``DatahubClientConfig``, ``DataHubGraph`` and ``DatasetUrn`` come from ``openlineage_bridge_dagster.datahub``. Nothing here
talks to DataHub: where events go is said by ``OPENLINEAGE_URL``, where DataHub is by the bridge's configuration. Flows, ops
and datasets keep the URNs that the plugin (acryl-datahub-dagster-plugin 1.7) gave them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from dagster import (
    CodeLocationSelector,
    DefaultSensorStatus,
    JobSelector,
    RepositorySelector,
    SensorDefinition,
)
from pydantic import BaseModel, ConfigDict, SecretStr

from openlineage_bridge_capture import Dataset, client
from openlineage_bridge_capture.urns import DEFAULT_ENV
from openlineage_bridge_dagster.datahub_lineage import (
    DagsterGenerator,
    DataHubGraph,
    DatasetLineage,
    DatasetUrn,
    convention,
    extraction,
)
from openlineage_bridge_dagster.environment import AS_DATAHUB_PLUGIN, reader
from openlineage_bridge_dagster.identity import location_name
from openlineage_bridge_dagster.naming import AssetPath, DatasetOf, Metadata, names_table
from openlineage_bridge_dagster.sensor import openlineage_sensor
from openlineage_bridge_dagster.sources import Sources, dataset_of_urn
from openlineage_bridge_dagster.tail import everything

if TYPE_CHECKING:
    from dagster import RunRecord

    from openlineage_bridge_dagster.delivery import Send
    from openlineage_bridge_dagster.discovery import Wanted

__all__ = [
    "DagsterGenerator",
    "DataHubGraph",
    "DatahubClientConfig",
    "DatahubDagsterSourceConfig",
    "DatasetLineage",
    "DatasetUrn",
    "make_datahub_sensor",
]

FABRICS = frozenset(
    {
        "CERT", "CORP", "DEV", "EI", "NON_PROD", "PRD", "PRE", "PROD", "QA", "RVW", "SANDBOX", "SBX", "SIT", "STG", "TEST",
        "TST", "UAT",
    }
)  # fmt: skip
"""DataHub's environments (FabricType of acryl-datahub 1.7); an asset key that begins otherwise names no table."""


class DatahubClientConfig(BaseModel):
    """Stands in for acryl-datahub's, whose other fields it keeps too: nothing connects with it."""

    model_config = ConfigDict(extra="allow")

    server: str = "http://localhost:8080"
    token: SecretStr | None = None


class DatahubDagsterSourceConfig(BaseModel):
    """The plugin's settings, every one of them.

    Each field has the plugin's meaning and default. ``datahub_client_config``, ``emit_mode``, ``emit_queries`` and
    ``materialize_dependencies`` say how to write to DataHub, which is the bridge's own affair; the plugin 1.7 reads
    ``capture_dataset_from_asset_key`` nowhere, and neither does this.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    datahub_client_config: Any = None
    dagster_url: str | None = None
    env: str = DEFAULT_ENV
    platform_instance: str | None = None
    capture_asset_materialization: bool = True
    capture_input_output: bool = False
    connect_ops_to_ops: bool = False
    enable_asset_query_metadata_parsing: bool = True
    asset_lineage_extractor: Callable[..., Any] | None = None
    asset_keys_to_dataset_urn_converter: Callable[..., Any] | None = None
    capture_dataset_from_asset_key: bool | None = True
    materialize_dependencies: bool | None = False
    emit_queries: bool | None = False
    emit_assets: bool | None = True
    emit_mode: Any = None
    debug_mode: bool | None = False


def make_datahub_sensor(
    config: DatahubDagsterSourceConfig,
    name: str | None = None,
    *,
    minimum_interval_seconds: int | None = None,
    description: str | None = None,
    default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
    monitored_jobs: Sequence[Any] | None = None,
    job_selection: Sequence[Any] | None = None,
    monitor_all_code_locations: bool | None = None,
    send: Send = client.send,
    **_targets: Any,
) -> SensorDefinition:
    """The plugin's sensor, with this collector inside.

    Args:
        config: The settings.
        name: Name of the sensor.
        minimum_interval_seconds: Seconds between ticks.
        description: What Dagster's UI says of it.
        default_status: Whether it runs without being switched on; as with the plugin it does not.
        monitored_jobs: Jobs, graphs or selectors whose runs are observed; default: all of this code location.
        job_selection: The same by its older name.
        monitor_all_code_locations: Observe the runs of the whole instance.
        send: Delivers an event, returns when it was acknowledged, raises when not.
        **_targets: ``job``, ``jobs``, ``asset_selection``, ``required_resource_keys``: what the sensor could launch, which
            neither the plugin's nor this one does.
    """
    if config.debug_mode:
        logging.getLogger("openlineage_bridge_dagster").setLevel(logging.DEBUG)
    monitored = [*(monitored_jobs or ()), *(job_selection or ())]
    return openlineage_sensor(
        name or "datahub_sensor",
        description=description,
        dataset_of=table_of(config),
        dagster_url=config.dagster_url,
        job_names=AS_DATAHUB_PLUGIN,
        platform_instance=config.platform_instance,
        sources=sources_of(config),
        wanted=one_of(monitored) if monitored else everything,
        only_this_location=not monitor_all_code_locations and not any(map(_is_selector, monitored)),
        minimum_interval_seconds=minimum_interval_seconds or 5,
        default_status=default_status,
        send=send,
    )


def sources_of(config: DatahubDagsterSourceConfig) -> Sources:
    """What counts as lineage by these settings."""
    extractor = config.asset_lineage_extractor
    naming = reader(dataset_of=table_of(config)).naming
    return Sources(
        assets=config.capture_asset_materialization,
        asset_datasets=bool(config.emit_assets),
        paths=config.capture_input_output,
        queries=config.enable_asset_query_metadata_parsing,
        extract=extraction(extractor, config, naming) if extractor else None,
    )


def table_of(config: DatahubDagsterSourceConfig) -> DatasetOf:
    """The rule from asset keys to tables: the converter, else the key convention in the environment that the key names.

    A key in the bridge's own environment and on a platform that OpenLineage can name is left to the collector's rule: the
    same table then has the same name in SQL that is captured.
    """

    def dataset(key: AssetPath, _metadata: Metadata) -> Dataset | None:
        if config.asset_keys_to_dataset_urn_converter:
            urn = config.asset_keys_to_dataset_urn_converter(list(key))
            return dataset_of_urn(urn) if urn is not None else None
        by_key = convention(key)
        if by_key is None or by_key.env not in FABRICS:
            return None
        if by_key.env == config.env.upper() and names_table(key):
            return None
        return dataset_of_urn(by_key)

    return dataset


@attrs.frozen
class _Monitored:
    """A job, a repository or a code location; None matches any."""

    job: str | None = None
    repository: str | None = None
    location: str | None = None

    def __call__(self, record: RunRecord) -> bool:
        run = record.dagster_run
        origin = getattr(run, "remote_job_origin", None) or getattr(run, "external_job_origin", None)
        repository = getattr(getattr(origin, "repository_origin", None), "repository_name", None)
        found = (run.job_name, repository, location_name(run))
        return all(
            wanted in (None, it)
            for wanted, it in zip((self.job, self.repository, self.location), found, strict=True)
        )


def one_of(monitored: Sequence[Any]) -> Wanted:
    """Whether a run is one of these jobs, or of one of the repositories and code locations that are selected."""
    matches = [
        _Monitored(
            getattr(each, "job_name", None) if _is_selector(each) else each.name,
            getattr(each, "repository_name", None) if _is_selector(each) else None,
            getattr(each, "location_name", None) if _is_selector(each) else None,
        )
        for each in monitored
    ]
    return lambda record: any(matches_run(record) for matches_run in matches)


def _is_selector(each: Any) -> bool:
    return isinstance(each, JobSelector | RepositorySelector | CodeLocationSelector)
