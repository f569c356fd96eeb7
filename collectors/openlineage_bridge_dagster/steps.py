"""What one attempt of a step read and wrote, out of what the log said while it ran."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from dagster import AssetKey, AssetMaterialization, AssetObservation, DataProvenance
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import JobFacet, RunFacet, input_statistics_input_dataset

from openlineage_bridge_capture import edges
from openlineage_bridge_capture.describe import Description
from openlineage_bridge_capture.recording import Recording
from openlineage_bridge_dagster import facets, queries
from openlineage_bridge_dagster.assets import data_version, plain
from openlineage_bridge_dagster.checks import assertions, checked, outcomes
from openlineage_bridge_dagster.code_references import source_code_location
from openlineage_bridge_dagster.producer import PRODUCER
from openlineage_bridge_dagster.sources import Stated

if TYPE_CHECKING:
    from dagster import AssetCheckEvaluation, ExpectationResult  # the first is exported since 1.11

    from openlineage_bridge_dagster.assets import RunAssets
    from openlineage_bridge_dagster.naming import Metadata

OF_AN_ASSET = frozenset({"schema", "documentation", "ownership", "tags", "version"})
"""Dataset facets that an asset's page of its own has, beside that of its table."""

NOTHING_STATED = Stated()

NO_VERSIONS = frozenset({"INITIAL", "NULL", "UNKNOWN"})
"""What Dagster writes where no version is known (dagster 1.10 to 1.13, ``data_version``)."""

Describe = Callable[[Recording], Description]
Identity = tuple[str, str]


@attrs.define
class Attempt:
    """One attempt of a step while the log tells of it.

    Args:
        number: 1 for the first.
        materializations: What it materialized, by asset, an entry per partition.
        observations: What it observed, the last one of each asset.
        checks: What it checked, by asset.
        expectations: What it expected, in the older way of op code.
        recordings: What capture saw inside it.
        paths: Datasets that the metadata of its inputs and outputs names by a path.
    """

    number: int
    materializations: dict[AssetKey, list[AssetMaterialization]] = attrs.field(factory=dict)
    observations: dict[AssetKey, AssetObservation] = attrs.field(factory=dict)
    checks: dict[AssetKey, list[AssetCheckEvaluation]] = attrs.field(factory=dict)
    expectations: list[ExpectationResult] = attrs.field(factory=list)
    recordings: list[Recording] = attrs.field(factory=list)
    paths: list[Stated] = attrs.field(factory=list)


@attrs.define
class StepLineage:
    """The datasets of a step's event, each once, and the facets that tell how they hang together."""

    inputs: dict[Identity, InputDataset] = attrs.field(factory=dict)
    outputs: dict[Identity, OutputDataset] = attrs.field(factory=dict)
    job_facets: dict[str, JobFacet] = attrs.field(factory=dict)
    run_facets: dict[str, RunFacet] = attrs.field(factory=dict)
    _sources: dict[Identity, set[Identity]] = attrs.field(factory=dict)
    _unexplained: set[Identity] = attrs.field(factory=set)

    def read(self, dataset: InputDataset) -> None:
        """Add an input; facets said before win over later ones."""
        known = self.inputs.setdefault((dataset.namespace, dataset.name), dataset)
        if known is not dataset:
            known.facets = {**(dataset.facets or {}), **(known.facets or {})}
            known.inputFacets = {**(dataset.inputFacets or {}), **(known.inputFacets or {})}

    def wrote(self, dataset: OutputDataset, sources: Iterable[Identity] | None = None) -> None:
        """Add an output; ``sources`` are the datasets that fed this one, None when nobody knows."""
        identity = (dataset.namespace, dataset.name)
        known = self.outputs.setdefault(identity, dataset)
        if known is not dataset:
            known.facets = {**(dataset.facets or {}), **(known.facets or {})}
            known.outputFacets = {**(dataset.outputFacets or {}), **(known.outputFacets or {})}
        if sources is None:
            self._unexplained.add(identity)
        else:
            self._sources.setdefault(identity, set()).update(sources)

    def state(self, stated: Stated) -> None:
        """Add what user code states, between which nobody knows what fed what."""
        for each in stated.inputs:
            self.read(InputDataset(each.namespace, each.name))
        for each in stated.outputs:
            self.wrote(OutputDataset(each.namespace, each.name))

    def explain(self) -> None:
        """Add the explicit ``lineage`` facet where it says more than inputs times outputs (OpenLineage 2026-08, #4804).

        Only when the sources of every output are known and every input feeds one of them: the facet is the complete
        picture, so a half-known one would lose edges.
        """
        sources = {
            identity: {*found, *_column_sources(self.outputs[identity])} - {identity}
            for identity, found in self._sources.items()
            if identity not in self._unexplained
        }
        facet = edges.facet(self.inputs.values(), self.outputs.values(), sources, PRODUCER)
        if facet is not None:
            self.job_facets["lineage"] = facet


def planned_lineage(
    planned: Collection[AssetKey], assets: RunAssets, stated: Stated = NOTHING_STATED
) -> StepLineage:
    """What a step that has just started is going to read and write, as far as plan, definitions and user code tell."""
    found = StepLineage()
    found.job_facets.update(_code(planned, assets))
    keys = list(planned) if assets.sources.assets else []
    for parent in sorted({parent for key in keys for parent in assets.parents(key)} - set(keys)):
        read_asset(found, parent, assets)
    for key in filter(assets.can_be_named, keys):
        name = assets.name(key)
        found.wrote(OutputDataset(name.namespace, name.name, facets=assets.symlinks(key)))
        if beside := assets.beside(key):
            found.wrote(OutputDataset(beside.namespace, beside.name))
    found.state(stated)
    for key in planned:
        found.state(assets.stated(key))
    return found


def attempt_lineage(
    attempt: Attempt, assets: RunAssets, describe: Describe, stated: Stated = NOTHING_STATED
) -> StepLineage:
    """What an attempt that has ended read and wrote, whatever its end was."""
    found = StepLineage()
    found.job_facets.update(_code([*attempt.materializations, *attempt.observations], assets))
    if assets.sources.assets:
        _add_assets(found, attempt, assets)
    for recording in attempt.recordings:
        description = describe(recording)
        _take_types_of_tables(found, description, attempt, assets)
        _add_recording(found, description)
    if assets.sources.queries and not any(recording.statements for recording in attempt.recordings):
        _add_queries(found, attempt, assets, describe)
    for each in (stated, *attempt.paths, *map(assets.stated, attempt.materializations)):
        found.state(each)
    if assets.sources.extract is None:  # else more may follow at the run's end
        found.explain()
    return found


def _code(keys: Iterable[AssetKey], assets: RunAssets) -> dict[str, JobFacet]:
    return source_code_location(assets.definition(key).metadata for key in keys)


def stated_lineage(stated: Stated) -> StepLineage:
    """What user code states of a step, and nothing else."""
    found = StepLineage()
    found.state(stated)
    return found


def _add_assets(found: StepLineage, attempt: Attempt, assets: RunAssets) -> None:
    for key, events in attempt.materializations.items():
        _add_materialization(found, key, events, attempt, assets)
    for key, observation in attempt.observations.items():
        if key not in attempt.materializations:
            found.read(_observed(key, observation, assets))
            if beside := assets.beside(key):
                found.read(InputDataset(beside.namespace, beside.name))
    for key, checks in attempt.checks.items():
        _add_checks(found, key, checks, attempt, assets)
    found.run_facets.update(
        outcomes((check for checks in attempt.checks.values() for check in checks), attempt.expectations)
    )


def upstream_keys(key: AssetKey, events: Iterable[AssetMaterialization], assets: RunAssets) -> list[AssetKey]:
    """The assets that a materialization read: its provenance tags, else the definition, and its column lineage."""
    found: set[AssetKey] = set()
    for event in events:
        provenance = DataProvenance.from_tags(event.tags or {})
        found.update(provenance.input_storage_ids if provenance else assets.parents(key))
        for deps in _columns(key, plain(event.metadata), assets).values():
            found.update(asset for asset, _ in deps)
    return sorted(found - {key})


def _columns(key: AssetKey, metadata: Metadata, assets: RunAssets) -> dict[str, list[tuple[Any, str]]]:
    """Column lineage as the materialization states it, else as its definition does."""
    return facets.column_sources(metadata) or facets.column_sources(assets.definition(key).metadata)


def _versions(events: Iterable[AssetMaterialization]) -> dict[AssetKey, str]:
    """The data version that was read of each asset, where one is known."""
    found: dict[AssetKey, str] = {}
    for event in events:
        provenance = DataProvenance.from_tags(event.tags or {})
        if provenance is not None:
            found.update({key: version.value for key, version in provenance.input_data_versions.items()})
    return {key: version for key, version in found.items() if version not in NO_VERSIONS}


def _add_materialization(
    found: StepLineage,
    key: AssetKey,
    events: list[AssetMaterialization],
    attempt: Attempt,
    assets: RunAssets,
) -> None:
    name, upstream = assets.name(key), upstream_keys(key, events, assets)
    metadata = [plain(event.metadata) for event in events]
    dataset_facets = assets.facets(key, metadata[-1], events[-1].tags)
    dataset_facets.update(facets.column_lineage(_columns(key, metadata[-1], assets), assets.name))
    found.wrote(
        OutputDataset(
            name.namespace,
            name.name,
            facets=dataset_facets,
            outputFacets=facets.output_facets(events, metadata),
        ),
        sources=[assets.name(parent).identity for parent in upstream],
    )
    if beside := assets.beside(key):
        its_own = {facet: value for facet, value in dataset_facets.items() if facet in OF_AN_ASSET}
        found.wrote(
            OutputDataset(beside.namespace, beside.name, facets=its_own),
            sources=[dataset.identity for parent in upstream if (dataset := assets.beside(parent))],
        )
    versions = _versions(events)
    for parent in upstream:
        # One output of a multi-asset that feeds another never left the step: it is no input of it.
        if parent not in attempt.materializations:
            read_asset(found, parent, assets, versions.get(parent))


def read_asset(found: StepLineage, key: AssetKey, assets: RunAssets, version: str | None = None) -> None:
    """Add an asset that the step reads, in the version that it read."""
    name = assets.name(key)
    own = {**assets.symlinks(key), **data_version(version)}
    found.read(InputDataset(name.namespace, name.name, facets=own))
    if beside := assets.beside(key):
        found.read(InputDataset(beside.namespace, beside.name))


def _observed(key: AssetKey, observation: AssetObservation, assets: RunAssets) -> InputDataset:
    name, metadata = assets.name(key), plain(observation.metadata)
    rows = metadata.get("dagster/row_count")
    statistics: dict[str, Any] = {}
    if isinstance(rows, int):
        statistics["inputStatistics"] = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
            rowCount=rows
        )
    return InputDataset(
        name.namespace,
        name.name,
        facets=assets.facets(key, metadata, observation.tags),
        inputFacets=statistics,
    )


def _add_checks(
    found: StepLineage, key: AssetKey, checks: list[AssetCheckEvaluation], attempt: Attempt, assets: RunAssets
) -> None:
    name = assets.name(key)
    if key in attempt.materializations:
        # A check inside the asset's own step would make the table its own source: the outcome stands on the output.
        found.wrote(
            OutputDataset(name.namespace, name.name, facets={"dataQualityAssertions": assertions(checks)}),
            sources=(),
        )
        return
    found.read(checked(name, checks))
    read_asset(found, key, assets)


def _add_recording(found: StepLineage, description: Description) -> None:
    for read in description.inputs:
        found.read(read)
    for written in description.outputs:
        found.wrote(written, sources=description.sources.get((written.namespace, written.name)))
    # The explicit lineage is explain()'s, over everything that the step did.
    found.job_facets.update({key: facet for key, facet in description.job_facets.items() if key != "lineage"})
    found.run_facets.update(description.run_facets)


def _take_types_of_tables(
    found: StepLineage, description: Description, attempt: Attempt, assets: RunAssets
) -> None:
    """Of a table that was filled from a data frame: its own columns, which its readers see too, not the frame's."""
    framed = {
        assets.name(key).identity
        for key, events in attempt.materializations.items()
        if facets.is_of_data_frame(plain(events[-1].metadata))
    }
    for written in description.outputs:
        known = found.outputs.get((written.namespace, written.name))
        if known is not None and (written.namespace, written.name) in framed:
            schema = {key: facet for key, facet in (written.facets or {}).items() if key == "schema"}
            known.facets = {**(known.facets or {}), **schema}


def _add_queries(found: StepLineage, attempt: Attempt, assets: RunAssets, describe: Describe) -> None:
    for key, events in attempt.materializations.items():
        description = queries.described(plain(events[-1].metadata), assets.name(key), describe)
        if description is not None:
            _add_recording(found, description)


def _column_sources(output: OutputDataset) -> set[Identity]:
    facet = (output.facets or {}).get("columnLineage")
    fields: Mapping[str, Any] = getattr(facet, "fields", None) or {}
    return {(source.namespace, source.name) for field in fields.values() for source in field.inputFields}
