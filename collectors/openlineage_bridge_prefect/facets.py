"""The run, job and dataset facets of this collector's events.

One facet of the specification wherever one fits; ``own_facets`` has those for what none carries. What many events say alike
is made once and never changed; not so the tags, which the client adds to.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import ModuleType
from typing import Any
from uuid import UUID

from openlineage.client.facet_v2 import (
    JobFacet,
    RunFacet,
    documentation_dataset,
    documentation_job,
    error_message_run,
    execution_parameters_run,
    job_dependencies_run,
    job_type_job,
    nominal_time_run,
    output_statistics_output_dataset,
    ownership_dataset,
    ownership_job,
    parent_run,
    processing_engine_run,
    tags_job,
    tags_run,
)

from openlineage_bridge_capture.spool.encoding import fixed
from openlineage_bridge_prefect import artifacts, assets, parameters
from openlineage_bridge_prefect.artifacts import Artifact
from openlineage_bridge_prefect.identity import PRODUCER, VERSION, RunReference
from openlineage_bridge_prefect.own_facets import ArtifactsFacet, AssetFacet, FlowRunFacet, TaskRunFacet
from openlineage_bridge_prefect.runs import Kind
from openlineage_bridge_prefect.snapshots import Failure, Snapshot
from openlineage_bridge_prefect.unchecked import unchecked

OWNER_TAG = "owner:"
"""What a tag begins with that names an owner."""

PAGES: dict[Kind, str] = {"FLOW": "flow-run", "TASK": "task-run"}
"""Kind of run → what Prefect calls it in links."""

ALIKE = 1_000
"""Facets of a kind that are kept for the events to come."""

PLAIN = frozenset({str, int, bool, type(None)})
"""Types of nearly all that Prefect says of a run, which need no look."""

_NOBODY = str(UUID(int=0))

_links: dict[str, tuple[Any, tuple[str, str] | None]] = {}
"""Kind of page → Prefect's settings, and what comes before and after the id in the link to one, if there are any."""


def host(snapshot: Snapshot) -> dict[str, RunFacet]:
    """The custom facet of the run, and the engine that ran it, where that is known."""
    version = snapshot.engine_version or _own_engine_version()
    engine = {"processing_engine": _engine(version)} if version else {}
    if snapshot.run.kind == "FLOW":
        flow_run = unchecked(FlowRunFacet, flowRunId=snapshot.run.key, **_host_fields(snapshot))
        return {"prefect_flowRun": flow_run, **engine}
    task_run = unchecked(
        TaskRunFacet,
        taskRunId=snapshot.run.key,
        cacheHit=snapshot.state[1] == "Cached" if snapshot.state[0] == "COMPLETED" else None,
        materializedBy=snapshot.asset_use.tool if snapshot.asset_use else None,
        **_host_fields(snapshot),
    )
    return {"prefect_taskRun": task_run, **engine}


def _host_fields(snapshot: Snapshot) -> dict[str, Any]:
    state_type, state_name, state_message = snapshot.state
    return {
        **{
            field: value if type(value) in PLAIN else _plain(value)
            for field, value in snapshot.details.items()
        },
        "flowName": snapshot.run.flow_name,
        "runCount": snapshot.run_count,
        "stateType": state_type,
        "stateName": state_name,
        "stateMessage": parameters.without_passwords(state_message) if state_message else None,
        "url": page(snapshot),
        "_producer": PRODUCER,
    }


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def page(snapshot: Snapshot) -> str | None:
    """The page of the run in Prefect's UI."""
    return snapshot.url or _url(PAGES[snapshot.run.kind], snapshot.run.key)


def deployment_page(snapshot: Snapshot, deployment_id: str) -> str | None:
    """The page of a deployment, beside that of its run."""
    base, runs, _ = (page(snapshot) or "").rpartition("/runs/")
    return f"{base}/deployments/deployment/{deployment_id}" if runs else None


def _url(kind: str, run_id: str) -> str | None:
    urls, prefect = sys.modules.get("prefect.utilities.urls"), sys.modules.get("prefect.settings")
    if urls is None or prefect is None:
        return None
    settings, link = _links.get(kind, (None, None))
    current = prefect.get_current_settings()
    if settings is not current:
        before, found, after = (urls.url_for(kind, obj_id=_NOBODY) or "").partition(_NOBODY)
        link = (before, after) if found else None
        _links[kind] = current, link
    return f"{link[0]}{run_id}{link[1]}" if link else None


def _own_engine_version() -> str | None:
    """The version of Prefect in this process; None in one that observes from outside."""
    return _version_of(prefect) if (prefect := sys.modules.get("prefect")) is not None else None


@functools.cache
def _version_of(prefect: ModuleType) -> str:
    # Asked once: it takes Prefect's module some time to say.
    return str(getattr(prefect, "__version__", "unknown"))


@functools.cache
def _engine(version: str) -> RunFacet:
    return fixed(
        processing_engine_run.ProcessingEngineRunFacet(
            version=version,
            name="Prefect",
            openlineageAdapterVersion=VERSION,
            producer=PRODUCER,
        )
    )


@functools.lru_cache(maxsize=ALIKE)
def parent(direct: RunReference, root: RunReference) -> RunFacet:
    """The run that encloses this one, and the top of the chain."""
    return fixed(
        parent_run.ParentRunFacet(
            run=parent_run.Run(runId=direct.run_id),
            job=parent_run.Job(namespace=direct.namespace, name=direct.name),
            root=parent_run.Root(
                run=parent_run.RootRun(runId=root.run_id),
                job=parent_run.RootJob(namespace=root.namespace, name=root.name),
            ),
            producer=PRODUCER,
        )
    )


def error(failure: Failure) -> RunFacet:
    """Why the run failed."""
    stack_trace = failure.stack_trace
    return error_message_run.ErrorMessageRunFacet(
        message=parameters.without_passwords(failure.message),
        programmingLanguage="PYTHON",
        stackTrace=parameters.without_passwords(stack_trace) if stack_trace else None,
        producer=PRODUCER,
    )


def tags(names: tuple[str, ...]) -> RunFacet:
    """Prefect's tags, which have no value."""
    fields = [tags_run.TagsRunFacetFields(key=name, value="true", source="PREFECT") for name in sorted(names)]
    return tags_run.TagsRunFacet(tags=fields, producer=PRODUCER)


def job_tags(names: Iterable[str]) -> JobFacet:
    """The tags that every run of a job has."""
    fields = [
        tags_job.TagsJobFacetFields(key=name, value="true", source="PREFECT") for name in sorted(set(names))
    ]
    return tags_job.TagsJobFacet(tags=fields, producer=PRODUCER)


def ownership(tags: Iterable[str], creator: str | None) -> JobFacet | None:
    """Who owns a job: whom tags name (``owner:team:data``), and who made its deployment; None for nobody."""
    named = (tag.removeprefix(OWNER_TAG).strip() for tag in sorted(set(tags)) if tag.startswith(OWNER_TAG))
    owners = [ownership_job.Owner(name=name) for name in named if name]
    if creator:
        owners.append(ownership_job.Owner(name=creator, type="CREATOR"))
    return ownership_job.OwnershipJobFacet(owners=owners, producer=PRODUCER) if owners else None


def created_artifacts(created: tuple[Artifact, ...], run_page: str | None) -> RunFacet:
    """The artifacts that a run created."""
    return ArtifactsFacet(artifacts=[artifacts.told(each, run_page) for each in created], producer=PRODUCER)


def nominal_time(scheduled_for: datetime, end: datetime | None = None) -> RunFacet:
    """When the schedule wanted the run to start, and when the next one."""
    return nominal_time_run.NominalTimeRunFacet(
        nominalStartTime=scheduled_for.isoformat(),
        nominalEndTime=end.isoformat() if end is not None else None,
        producer=PRODUCER,
    )


def execution_parameters(
    values: tuple[parameters.Parameter, ...], defaults: Mapping[str, Any] | None = None
) -> RunFacet:
    """What the run was called with, as far as it may be shown; and whether the deployment has it so, where there is one."""
    shown = [
        execution_parameters_run.ExecutionParameter(
            key=value.name,
            name=value.name,
            description=parameters.origin(value, defaults) if defaults is not None else None,
            value=parameters.shown(value),
        )
        for value in values
    ]
    return execution_parameters_run.ExecutionParametersRunFacet(parameters=shown, producer=PRODUCER)


def job_dependencies(upstream: list[RunReference]) -> RunFacet:
    """The runs whose results this one takes or waits for (control flow, not data flow)."""
    return job_dependencies_run.JobDependenciesRunFacet(
        upstream=[
            job_dependencies_run.JobDependency(
                job=job_dependencies_run.JobIdentifier(namespace=run.namespace, name=run.name),
                run=job_dependencies_run.RunIdentifier(runId=run.run_id),
                dependency_type="DIRECT_INVOCATION",
                sequence_trigger_rule="FINISH_TO_START",
            )
            for run in upstream
        ],
        producer=PRODUCER,
    )


@functools.cache
def job_type(kind: Kind) -> JobFacet:
    """What kind of job this is."""
    return fixed(
        job_type_job.JobTypeJobFacet(
            processingType="BATCH",
            integration="PREFECT",
            jobType=kind,
            emissionPattern=job_type_job.EmissionPattern(
                eventTrigger="EVENT_BASED", eventContentMode="ACCUMULATIVE"
            ),
            producer=PRODUCER,
        )
    )


@functools.lru_cache(maxsize=ALIKE)
def documentation(text: str) -> JobFacet:
    """The description of a flow or task: its ``description``, or its docstring."""
    return fixed(documentation_job.DocumentationJobFacet(description=text, producer=PRODUCER))


def asset(value: Any, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Facets of the dataset behind a Prefect asset."""
    properties = value.properties
    found: dict[str, Any] = {
        "prefect_asset": AssetFacet(
            key=parameters.without_passwords(value.key),
            name=getattr(properties, "name", None),
            url=getattr(properties, "url", None),
            metadata={item.name: parameters.shown(item) for item in parameters.copies(metadata)} or None,
            producer=PRODUCER,
        )
    }
    if description := getattr(properties, "description", None):
        found["documentation"] = documentation_dataset.DocumentationDatasetFacet(
            description=description, producer=PRODUCER
        )
    if owners := getattr(properties, "owners", None):
        found["ownership"] = ownership_dataset.OwnershipDatasetFacet(
            owners=[ownership_dataset.Owner(name=owner) for owner in owners], producer=PRODUCER
        )
    return found


def statistics(
    metadata: Mapping[str, Any],
) -> output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet | None:
    """How much was written, where asset metadata says so under one of the usual keys."""
    rows, size = _count(metadata, assets.ROW_COUNTS), _count(metadata, assets.SIZES)
    if rows is None and size is None:
        return None
    return output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=rows, size=size, producer=PRODUCER
    )


def _count(metadata: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    found = (metadata[key] for key in keys if isinstance(metadata.get(key), int))
    return next(found, None)
