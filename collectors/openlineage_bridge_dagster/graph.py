"""The declared graph as events: a JobEvent for every job and step, a DatasetEvent for every asset, before anything has run.

Names and facets are made by the same functions as those of runs, so that what a run tells later is about the same jobs
and datasets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from dagster import AssetKey
from openlineage.client.event_v2 import DatasetEvent, Job, JobEvent, OutputDataset, StaticDataset
from openlineage.client.facet_v2 import DatasetFacet, JobFacet, lineage
from openlineage.client.serde import Serde

from openlineage_bridge_dagster import facets
from openlineage_bridge_dagster.assets import RunAssets
from openlineage_bridge_dagster.code_references import source_code_location
from openlineage_bridge_dagster.identity import PluginNames, RunIdentity, event_time
from openlineage_bridge_dagster.own_facets import JobReference, ParentJobFacet, RootReference
from openlineage_bridge_dagster.producer import signed
from openlineage_bridge_dagster.reading import Reader
from openlineage_bridge_dagster.repository import Job as DeclaredJob
from openlineage_bridge_dagster.repository import Repository, Step
from openlineage_bridge_dagster.steps import OF_AN_ASSET, StepLineage, read_asset

Told = Callable[[str, Step], bool]
"""Whether a run of the job of that name has told already what the step reads and writes."""


def nothing_told(_job: str, _step: Step) -> bool:
    """Before anything has run."""
    return False


def digest(repository: Repository, reader: Reader) -> str:
    """Equal as long as the code, and the settings that name what it declares, say the same."""
    assets = RunAssets(naming=reader.naming, definitions=reader.definitions, sources=reader.sources)
    seal = hashlib.sha256()
    for event in events(repository, reader, assets, 0.0):
        seal.update(Serde.to_json(event).encode())
    return seal.hexdigest()[:16]


def events(
    repository: Repository, reader: Reader, assets: RunAssets, moment: float, told: Told = nothing_told
) -> Iterator[JobEvent | DatasetEvent]:
    """The graph, datasets first.

    Args:
        repository: What is declared.
        reader: Whose settings name the jobs.
        assets: What is known about the assets.
        moment: When it is said, seconds since the epoch.
        told: Of which steps the last run has the word: their inputs and outputs are left out, because a JobEvent
            replaces what runs said before it, columns and all.
    """
    time = event_time(moment)
    for key in repository.assets:
        if _is_certain(key, repository, assets):
            for dataset in _datasets(key, repository, assets):
                yield signed(DatasetEvent(eventTime=time, dataset=dataset))
    for declared in repository.jobs:
        identity = _identity(declared, repository, reader)
        job = Job(identity.namespace, identity.job, facets.job_facets(identity))
        yield signed(JobEvent(eventTime=time, job=job))
        for step in declared.steps:
            known = (
                StepLineage() if told(declared.name, step) else _lineage(step, identity, repository, assets)
            )
            yield signed(_step_event(time, step, identity, known, assets))


def _identity(declared: DeclaredJob, repository: Repository, reader: Reader) -> RunIdentity:
    """The job as its runs will be called; it stands for none of them."""
    plugin = None
    if reader.plugin_names:
        plugin = PluginNames.of_module(repository.module, reader.platform_instance)
    return RunIdentity(
        run_id="",
        namespace=reader.namespace,
        job_name=declared.name,
        location=repository.location,
        ui=reader.ui,
        details=declared.details,
        plugin=plugin,
    )


def _step_event(
    time: str, step: Step, identity: RunIdentity, known: StepLineage, assets: RunAssets
) -> JobEvent:
    above = JobReference(identity.namespace, identity.job)
    parent = ParentJobFacet(job=above, root=RootReference(above))
    job_facets: dict[str, JobFacet] = {
        **facets.step_job_facets(identity, step.path),
        **source_code_location(assets.definition(key).metadata for key in step.writes),
        **known.job_facets,
        "openlineageBridge_parent": parent,
    }
    return JobEvent(
        eventTime=time,
        job=Job(identity.namespace, identity.step_job(step.path), job_facets),
        inputs=list(known.inputs.values()),
        outputs=list(known.outputs.values()),
    )


def _is_certain(key: AssetKey, repository: Repository, assets: RunAssets) -> bool:
    """Whether an asset has its name already.

    An IO manager names the table when it stores the first time. Called by its key until then, the asset would be two
    datasets afterwards.
    """
    return key not in repository.stored_by_others or assets.has_address(key)


def _lineage(step: Step, identity: RunIdentity, repository: Repository, assets: RunAssets) -> StepLineage:
    found = StepLineage()
    if assets.sources.assets:
        for key in step.writes:
            if _is_certain(key, repository, assets):
                _write(found, key, step, repository, assets)
        for key in (*step.observes, *step.checks):
            if _is_certain(key, repository, assets):
                read_asset(found, key, assets)
    found.state(identity.stated(step.path))
    for key in step.writes:
        found.state(assets.stated(key))
    found.explain()
    return found


def _write(found: StepLineage, key: AssetKey, step: Step, repository: Repository, assets: RunAssets) -> None:
    columns = facets.column_sources(assets.definition(key).metadata)
    mentioned = {asset for sources in columns.values() for asset, _ in sources}
    upstream = [
        parent
        for parent in sorted({*assets.parents(key), *mentioned} - {key})
        if _is_certain(parent, repository, assets)
    ]
    name = assets.name(key)
    own = {**assets.symlinks(key), **facets.column_lineage(columns, assets.name)}
    found.wrote(
        OutputDataset(name.namespace, name.name, facets=own),
        sources=[assets.name(parent).identity for parent in upstream],
    )
    if beside := assets.beside(key):
        its_sources = [dataset.identity for parent in upstream if (dataset := assets.beside(parent))]
        found.wrote(OutputDataset(beside.namespace, beside.name), sources=its_sources)
    for parent in upstream:
        if parent not in step.writes:
            read_asset(found, parent, assets)


def _datasets(key: AssetKey, repository: Repository, assets: RunAssets) -> Iterator[StaticDataset]:
    name = assets.name(key)
    found = assets.facets(key, assets.last_said(key) or {})
    if key in repository.made_elsewhere:
        yield StaticDataset(name.namespace, name.name, facets={**found, **_upstream(key, repository, assets)})
    else:
        yield StaticDataset(name.namespace, name.name, facets=found)
    if beside := assets.beside(key):
        its_own = {facet: value for facet, value in found.items() if facet in OF_AN_ASSET}
        yield StaticDataset(beside.namespace, beside.name, facets=its_own)


def _upstream(key: AssetKey, repository: Repository, assets: RunAssets) -> dict[str, DatasetFacet]:
    """``lineage`` of a dataset that no job here makes, though it is said what it is made from (LineageDatasetFacet)."""
    parents = [parent for parent in assets.parents(key) if _is_certain(parent, repository, assets)]
    if not parents:
        return {}
    names = [assets.name(parent) for parent in parents]
    inputs = [
        lineage.LineageDatasetInput(namespace=each.namespace, name=each.name, type="DATASET")
        for each in names
    ]
    return {"lineage": lineage.LineageDatasetFacet(inputs=list(inputs))}
