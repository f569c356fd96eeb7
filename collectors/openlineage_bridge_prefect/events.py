"""From a snapshot to OpenLineage events, on the emitter's thread."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import attrs
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.facet_v2 import JobFacet, RunFacet

from openlineage_bridge_capture import log
from openlineage_bridge_capture.datasets import Dataset
from openlineage_bridge_capture.describe import Description, describe
from openlineage_bridge_capture.recording import Recording
from openlineage_bridge_prefect import (
    artifacts,
    assets,
    deployments,
    execution,
    facets,
    lookups,
    runs,
    sources,
)
from openlineage_bridge_prefect.identity import (
    PRODUCER,
    RunReference,
    environment_parent,
    environment_root,
    namespace,
)
from openlineage_bridge_prefect.snapshots import Snapshot
from openlineage_bridge_prefect.transitions import TERMINAL, EventType
from openlineage_bridge_prefect.unchecked import unchecked

SOURCE_KEY = "OPENLINEAGE_BRIDGE_SOURCE_CODE"
"""Switch: the source code of flows and tasks is sent too (job facet ``sourceCode``); off unless it is ``true``."""

MAX_JOB_NAMES = 10_000
"""Runs whose job names are remembered for ``jobDependencies``; the oldest are forgotten first."""

_job_names: dict[str, str] = {}
"""By ``Run.key``: of text, unlike of thousands of ids that are objects, the garbage collector takes no notice."""

_enclosed: WeakKeyDictionary[runs.Run, RunFacet] = WeakKeyDictionary()
"""Run → the parent facet of the runs that it encloses directly. Neither its id nor what is above it changes any more."""


def build(snapshot: Snapshot) -> list[RunEvent]:
    """The events of a transition, in order. The last one carries what the run read and wrote."""
    remember(snapshot.run)
    *first, last = snapshot.types
    return [
        *(_event(snapshot, event_type, Description()) for event_type in first),
        _event(snapshot, last, _io(snapshot)),
    ]


def _event(snapshot: Snapshot, event_type: EventType, io: Description) -> RunEvent:
    run_facets, job_facets = _run_facets(snapshot, event_type), _job_facets(snapshot, event_type)
    run_facets.update(io.run_facets)
    job_facets.update(io.job_facets)
    return unchecked(
        RunEvent,
        eventType=RunState[event_type],
        eventTime=snapshot.time.isoformat(),
        run=unchecked(Run, runId=snapshot.run.run_id, facets=run_facets),
        job=Job(namespace=namespace(), name=snapshot.run.job_name, facets=job_facets),
        inputs=io.inputs,
        outputs=io.outputs,
        producer=PRODUCER,
    )


def _run_facets(snapshot: Snapshot, event_type: EventType) -> dict[str, RunFacet]:
    found = facets.host(snapshot)
    if (above := parent(snapshot.run)) is not None:
        found["parent"] = above
    if snapshot.tags:
        found["tags"] = facets.tags(snapshot.tags)
    if snapshot.artifacts and event_type in TERMINAL.values():
        found["prefect_artifacts"] = facets.created_artifacts(snapshot.artifacts, facets.page(snapshot))
    if event_type == "START":
        found.update(_start_facets(snapshot))
    if event_type == "FAIL" and snapshot.failure is not None:
        found["errorMessage"] = facets.error(snapshot.failure)
    return found


def _start_facets(snapshot: Snapshot) -> dict[str, RunFacet]:
    found: dict[str, RunFacet] = _deployment_facets(snapshot)
    if snapshot.parameters:
        defaults = _deployment(snapshot).get("parameters")
        found["executionParameters"] = facets.execution_parameters(snapshot.parameters, defaults)
    if (executed := execution.facet(snapshot)) is not None:
        found["prefect_execution"] = executed
    known = [(key, _job_names[key]) for key in map(str, snapshot.upstream) if key in _job_names]
    if known:
        upstream = [RunReference(key, namespace(), name) for key, name in known]
        found["jobDependencies"] = facets.job_dependencies(upstream)
    return found


def _deployment_facets(snapshot: Snapshot) -> dict[str, RunFacet]:
    found: dict[str, RunFacet] = {}
    deployment = _deployment(snapshot)
    if deployment:
        found["prefect_deployment"] = deployments.facet(
            deployment, facets.deployment_page(snapshot, str(deployment["id"]))
        )
    if (scheduled_for := snapshot.scheduled_for) is not None:
        end = deployments.nominal_end(deployment, scheduled_for)
        found["nominalTime"] = facets.nominal_time(scheduled_for, end)
    return found


def _deployment(snapshot: Snapshot) -> Mapping[str, Any]:
    """The API's record of the deployment that a flow run is of; empty when there is none, or nobody knows."""
    if snapshot.deployment is not None:
        return snapshot.deployment
    deployment_id = snapshot.details.get("deploymentId")
    return deployments.look_up(str(deployment_id)) if deployment_id else {}


def _job_facets(snapshot: Snapshot, event_type: EventType) -> dict[str, JobFacet]:
    found: dict[str, JobFacet] = {"jobType": facets.job_type(snapshot.run.kind)}
    if snapshot.description:
        found["documentation"] = facets.documentation(snapshot.description)
    if event_type == "START":
        found.update(_definition_facets(snapshot, _deployment(snapshot)))
    return found


def _definition_facets(snapshot: Snapshot, deployment: Mapping[str, Any]) -> dict[str, JobFacet]:
    """What the code and the deployment of a job say; it does not change while it runs."""
    static = {*(getattr(snapshot.definition, "tags", None) or ()), *(deployment.get("tags") or ())}
    found = {
        "sourceCodeLocation": sources.location(snapshot.definition, deployment),
        "sourceCode": sources.text(snapshot.definition) if _sends_source() else None,
        "ownership": facets.ownership(snapshot.tags, deployments.creator(deployment)),
        "tags": facets.job_tags(static) if static else None,
    }
    return {name: facet for name, facet in found.items() if facet is not None}


def _sends_source() -> bool:
    return os.environ.get(SOURCE_KEY, "").strip().lower() in {"1", "true", "yes", "on"}


def parent(run: runs.Run) -> RunFacet | None:
    """What a run says of those above it, which all runs say alike that one run encloses; None for the top of a chain."""
    around = lookups.parent(run)
    if around is not None and (known := _enclosed.get(around)) is not None:
        return known
    direct, root = ancestors(run)
    if direct is None or root is None:
        return None
    found = facets.parent(direct, root)
    if around is not None:
        _enclosed[around] = found
    return found


def ancestors(run: runs.Run) -> tuple[RunReference | None, RunReference | None]:
    """The run around this one and the top of its chain; above the outermost run stands what the environment names."""
    direct = lookups.parent(run)
    if direct is None:
        return environment_parent(), environment_root()
    top = direct
    while (above := lookups.parent(top)) is not None:
        top = above
    space = namespace()
    nearest = RunReference(direct.run_id, space, direct.job_name)
    if root := environment_root():
        return nearest, root
    return nearest, nearest if top is direct else RunReference(top.run_id, space, top.job_name)


def remember(run: runs.Run) -> None:
    """Keep the job name of a run, for the ``jobDependencies`` of those that depend on it."""
    _job_names[run.key] = run.job_name
    if len(_job_names) > MAX_JOB_NAMES:
        del _job_names[next(iter(_job_names))]


def _io(snapshot: Snapshot) -> Description:
    """What the run read and wrote; when that cannot be told, the run still ends."""
    try:
        return _described(_with_named(snapshot.recording, snapshot.artifacts), snapshot.asset_use)
    except Exception:
        log.once(
            logging.WARNING,
            "What a run read and wrote could not be described; its end is reported without",
            exc_info=True,
        )
        return Description()


def _with_named(recording: Recording, created: tuple[artifacts.Artifact, ...]) -> Recording:
    """The recording, with the datasets that artifacts name."""
    if not created:
        return recording
    read, wrote = (artifacts.datasets(created, marker) for marker in (artifacts.INPUT, artifacts.OUTPUT))
    if not read and not wrote:
        return recording
    return attrs.evolve(recording, inputs=(*recording.inputs, *read), outputs=(*recording.outputs, *wrote))


def _described(recording: Recording, use: assets.AssetUse | None) -> Description:
    """The description of what was recorded, and of the Prefect assets."""
    if use is None:
        return describe(recording) if recording else Description()
    inputs = [_asset_dataset(asset) for asset in use.inputs]
    outputs = [_asset_dataset(asset, metadata) for asset, metadata in use.outputs]
    description = describe(
        attrs.evolve(recording, inputs=(*recording.inputs, *inputs), outputs=(*recording.outputs, *outputs))
    )
    _add_statistics(description, use)
    return description


def _add_statistics(description: Description, use: assets.AssetUse) -> None:
    known = {assets.identity(asset.key): facets.statistics(metadata) for asset, metadata in use.outputs}
    for output in description.outputs:
        statistics = known.get((output.namespace, output.name))
        if statistics is not None:
            output.outputFacets = {**(output.outputFacets or {}), "outputStatistics": statistics}


def _asset_dataset(asset: Any, metadata: Mapping[str, Any] | None = None) -> Dataset:
    """The dataset of a Prefect asset, with what Prefect knows about it as facets."""
    namespace, name = assets.identity(asset.key)
    return Dataset(namespace, name, facets.asset(asset, metadata or {}))
