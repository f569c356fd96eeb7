"""What an ``asset_lineage_extractor`` written for DataHub's Dagster plugin is handed, and what it returns, as lineage here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
from dagster import RunStatusSensorContext, build_run_status_sensor_context
from pydantic import SecretStr

from openlineage_bridge_capture import Dataset
from openlineage_bridge_capture.urns import DATASET_PREFIX, DEFAULT_ENV, PLATFORM_PREFIX, dataset_urn
from openlineage_bridge_dagster.naming import AssetNaming, AssetPath, asset_dataset
from openlineage_bridge_dagster.sources import Extract, Stated, dataset_of_urn, path_dataset

if TYPE_CHECKING:
    from dagster import DagsterInstance, EventLogEntry

    from openlineage_bridge_dagster.datahub import DatahubDagsterSourceConfig

log = logging.getLogger(__name__)

PLATFORM = "dagster"
"""DataHub's platform of the assets themselves."""


def _platform_urn(platform: str) -> str:
    return f"{PLATFORM_PREFIX}{platform.removeprefix(PLATFORM_PREFIX)}"


def _upper(env: str) -> str:
    return env.upper()


@attrs.frozen
class DatasetUrn:
    """A dataset's URN, as acryl-datahub's ``DatasetUrn`` makes and reads it.

    Args:
        platform: DataHub's platform id or its URN.
        name: Name on the platform.
        env: Environment; written in upper case.
    """

    platform: str = attrs.field(converter=_platform_urn)
    name: str
    env: str = attrs.field(default=DEFAULT_ENV, converter=_upper)

    @classmethod
    def from_string(cls, urn: str) -> DatasetUrn:
        """The inverse of ``urn``.

        Raises:
            ValueError: It is no dataset's URN.
        """
        parts = urn.removeprefix(DATASET_PREFIX).removesuffix(")").split(",")
        if not urn.startswith(DATASET_PREFIX) or len(parts) != 3:
            raise ValueError(f"{urn!r} is no dataset's URN")
        return cls(*parts)

    create_from_string = from_string

    def urn(self) -> str:
        """``urn:li:dataset:(urn:li:dataPlatform:…,name,ENV)``."""
        return dataset_urn(self.platform, self.name, self.env)

    def __str__(self) -> str:
        return self.urn()


class DatasetLineage(NamedTuple):
    """What a step reads and writes; the URNs may be acryl-datahub's, this module's, or text."""

    inputs: set[Any]
    outputs: set[Any]


class DataHubGraph:
    """The ``graph`` of an extractor, to be handed on. Asked for more, it makes acryl-datahub's own, where that is installed.

    Args:
        config: The ``datahub_client_config``.
    """

    def __init__(self, config: Any) -> None:
        self._config = config
        self._own: Any = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._own is None:
            # By name: nothing of ours depends on DataHub's package, only an extractor that asks it something does.
            client, config = (
                import_module(f"datahub.ingestion.graph.{module}") for module in ("client", "config")
            )
            own, given = config.DatahubClientConfig, self._config
            self._own = client.DataHubGraph(given if isinstance(given, own) else own(**_shown(given)))
        return getattr(self._own, name)


def _shown(config: Any) -> dict[str, Any]:
    fields = config.model_dump(exclude_none=True).items()
    return {key: value.get_secret_value() if isinstance(value, SecretStr) else value for key, value in fields}


class DagsterGenerator:
    """The ``dagster_generator`` of an extractor: it names datasets as the plugin's does, and emits nothing.

    Args:
        config: The plugin's settings.
        naming: How the sensor names assets.
    """

    def __init__(self, config: DatahubDagsterSourceConfig, naming: AssetNaming) -> None:
        self.config = config
        self.logger = log
        self._naming = naming
        self._assets: dict[str, AssetPath] = {}
        self._edges: dict[str, DatasetLineage] = {}

    def dataset_urn_from_asset(self, asset_key: Sequence[str]) -> DatasetUrn:
        """The URN of the asset itself."""
        urn = DatasetUrn(PLATFORM, ".".join(asset_key), self.config.env)
        self._assets[str(urn)] = tuple(asset_key)
        return urn

    def asset_keys_to_dataset_urn_converter(self, asset_key: Sequence[str]) -> Any:
        """The URN of the asset's table; None where its key names none."""
        if self.config.asset_keys_to_dataset_urn_converter:
            return self.config.asset_keys_to_dataset_urn_converter(asset_key)
        return convention(asset_key)

    def path_metadata_resolver(self, value: Any) -> Dataset | None:
        """The dataset that path metadata means; the plugin's drops the bucket."""
        return path_dataset({"path": value})

    metadata_resolver = path_metadata_resolver

    def emit_asset(
        self,
        graph: Any,  # noqa: ARG002  # the plugin's signature
        asset_key: Sequence[str],
        description: str | None = None,  # noqa: ARG002  # as above: the materialization has it
        properties: Mapping[str, str] | None = None,  # noqa: ARG002  # as above
        *,
        downstreams: Iterable[Any] | None = None,
        upstreams: Iterable[Any] | None = None,
        **_more: Any,
    ) -> DatasetUrn:
        """The URN of the asset; ``upstreams`` and ``downstreams`` become those of the step that is said to write it."""
        urn = self.dataset_urn_from_asset(asset_key)
        self._edges[str(urn)] = DatasetLineage(set(upstreams or ()), set(downstreams or ()))
        return urn

    def stated(self, lineage: DatasetLineage) -> Stated:
        """What the extractor said of a step, in OpenLineage's words."""
        inputs, outputs = set(map(_key, lineage.inputs)), set(map(_key, lineage.outputs))
        for edges in [self._edges[urn] for urn in outputs & self._edges.keys()]:
            inputs |= set(map(_key, edges.inputs))
            outputs |= set(map(_key, edges.outputs))
        return Stated(self._datasets(inputs), self._datasets(outputs))

    def _datasets(self, keys: set[Any]) -> tuple[Dataset, ...]:
        found = {dataset for key in keys if (dataset := self._dataset(key)) is not None}
        return tuple(sorted(found, key=lambda dataset: dataset.identity))

    def _dataset(self, key: Any) -> Dataset | None:
        if isinstance(key, Dataset):
            return key
        asset = self._assets.get(key)
        if asset is None:
            return dataset_of_urn(key)
        return asset_dataset(asset) if self.config.emit_assets else self._naming.dataset(asset, {})


def _key(urn: Any) -> Any:
    return urn if isinstance(urn, Dataset) else str(urn)


def convention(asset_key: Sequence[str]) -> DatasetUrn | None:
    """``[env, platform, database, schema, …]``, with three components or more, as the plugin reads it."""
    if len(asset_key) < 3:
        return None
    return DatasetUrn(asset_key[1], ".".join(asset_key[2:]), asset_key[0])


Extractor = Callable[[RunStatusSensorContext, DagsterGenerator, Any], Mapping[str, DatasetLineage]]
"""The plugin's ``asset_lineage_extractor``: what each op of a run that has ended read and wrote."""


def extraction(extractor: Extractor, config: DatahubDagsterSourceConfig, naming: AssetNaming) -> Extract:
    """The extractor in this collector's words; what it fails at is said in the log and costs the run nothing."""

    def extract(instance: DagsterInstance, record: EventLogEntry) -> Mapping[str, Stated]:
        generator = DagsterGenerator(config, naming)
        try:
            found = extractor(
                _context(instance, record), generator, DataHubGraph(config.datahub_client_config)
            )
            return {step: generator.stated(lineage) for step, lineage in found.items()}
        except Exception:
            log.exception("The asset_lineage_extractor failed for run %s", record.run_id)
            return {}

    return extract


def _context(instance: DagsterInstance, record: EventLogEntry) -> RunStatusSensorContext:
    run = instance.get_run_by_id(record.run_id)
    assert run is not None, "the run whose log is being read"
    return build_run_status_sensor_context(
        sensor_name="openlineage",
        dagster_event=record.get_dagster_event(),
        dagster_instance=instance,
        dagster_run=run,
    )
