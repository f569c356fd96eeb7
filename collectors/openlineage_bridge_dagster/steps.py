"""What one attempt of a step read and wrote, out of what the log said while it ran."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from dagster import AssetKey, AssetMaterialization, AssetObservation, DataProvenance
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import JobFacet, RunFacet, input_statistics_input_dataset

from openlineage_bridge_capture import edges
from openlineage_bridge_capture.describe import Description
from openlineage_bridge_capture.recording import Recording
from openlineage_bridge_dagster import facets
from openlineage_bridge_dagster.assets import plain
from openlineage_bridge_dagster.producer import PRODUCER

if TYPE_CHECKING:
    from dagster import AssetCheckEvaluation  # exported since 1.11

    from openlineage_bridge_dagster.assets import RunAssets

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
        recordings: What capture saw inside it.
    """

    number: int
    materializations: dict[AssetKey, list[AssetMaterialization]] = attrs.field(factory=dict)
    observations: dict[AssetKey, AssetObservation] = attrs.field(factory=dict)
    checks: dict[AssetKey, list[AssetCheckEvaluation]] = attrs.field(factory=dict)
    recordings: list[Recording] = attrs.field(factory=list)


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


def planned_lineage(planned: Iterable[AssetKey], assets: RunAssets) -> StepLineage:
    """What a step that has just started is going to read and write, as far as plan and definitions tell."""
    found = StepLineage()
    keys = list(planned)
    for parent in sorted({parent for key in keys for parent in assets.parents(key)} - set(keys)):
        found.read(_input(parent, assets))
    for key in filter(assets.can_be_named, keys):
        name = assets.name(key)
        found.wrote(OutputDataset(name.namespace, name.name, facets=assets.symlinks(key)))
    return found


def attempt_lineage(attempt: Attempt, assets: RunAssets, describe: Describe) -> StepLineage:
    """What an attempt that has ended read and wrote, whatever its end was."""
    found = StepLineage()
    for key, events in attempt.materializations.items():
        _add_materialization(found, key, events, attempt, assets)
    for key, observation in attempt.observations.items():
        if key not in attempt.materializations:
            found.read(_observed(key, observation, assets))
    for key, checks in attempt.checks.items():
        _add_checks(found, key, checks, attempt, assets)
    for recording in attempt.recordings:
        _add_recording(found, describe(recording))
    found.explain()
    return found


def upstream_keys(key: AssetKey, events: Iterable[AssetMaterialization], assets: RunAssets) -> list[AssetKey]:
    """The assets that a materialization read: its provenance tags, else the definition, and its column lineage."""
    found: set[AssetKey] = set()
    for event in events:
        provenance = DataProvenance.from_tags(event.tags or {})
        found.update(provenance.input_storage_ids if provenance else assets.parents(key))
        for deps in facets.column_sources(plain(event.metadata)).values():
            found.update(asset for asset, _ in deps)
    return sorted(found - {key})


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
    dataset_facets.update(facets.column_lineage(facets.column_sources(metadata[-1]), assets.name))
    found.wrote(
        OutputDataset(
            name.namespace,
            name.name,
            facets=dataset_facets,
            outputFacets=facets.output_facets(events, metadata),
        ),
        sources=[assets.name(parent).identity for parent in upstream],
    )
    for parent in upstream:
        # One output of a multi-asset that feeds another never left the step: it is no input of it.
        if parent not in attempt.materializations:
            found.read(_input(parent, assets))


def _input(key: AssetKey, assets: RunAssets) -> InputDataset:
    name = assets.name(key)
    return InputDataset(name.namespace, name.name, facets=assets.symlinks(key))


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
            OutputDataset(
                name.namespace, name.name, facets={"dataQualityAssertions": facets.assertions(checks)}
            ),
            sources=(),
        )
        return
    found.read(facets.checked(name, checks))
    found.read(InputDataset(name.namespace, name.name, facets=assets.symlinks(key)))


def _add_recording(found: StepLineage, description: Description) -> None:
    for read in description.inputs:
        found.read(read)
    for written in description.outputs:
        found.wrote(written, sources=description.sources.get((written.namespace, written.name)))
    # The explicit lineage is explain()'s, over everything that the step did.
    found.job_facets.update({key: facet for key, facet in description.job_facets.items() if key != "lineage"})
    found.run_facets.update(description.run_facets)


def _column_sources(output: OutputDataset) -> set[Identity]:
    facet = (output.facets or {}).get("columnLineage")
    fields: Mapping[str, Any] = getattr(facet, "fields", None) or {}
    return {(source.namespace, source.name) for field in fields.values() for source in field.inputFields}
