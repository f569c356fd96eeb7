"""What DataHub should hold about a run: a dataProcessInstance and its run events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from openlineage_bridge.events import Facets
from openlineage_bridge.translation import Aspect, RunState
from openlineage_bridge_datahub.edges import dataset_edges, datasets_of
from openlineage_bridge_datahub.encoding import instance_run_urn, is_too_long, platform_urn
from openlineage_bridge_datahub.facets import MAPPED, custom_properties, facet_of, use_properties, words
from openlineage_bridge_datahub.job_aspects import platform_instance, subtype
from openlineage_bridge_datahub.jobs import JobNaming, NamedJob, job_type
from openlineage_bridge_datahub.urns import DatasetNaming

ENTITY = "dataProcessInstance"

RESULTS = {"COMPLETE": "SUCCESS", "FAIL": "FAILURE", "ABORT": "SKIPPED"}
"""``eventType`` of the end → ``RunResultType``; ``nativeResultType`` keeps the event type."""

ATTEMPTS = (
    ("dagster_step", ("attempt",)),
    ("prefect_taskRun", ("runCount",)),
    ("prefect_flowRun", ("runCount",)),
    ("airflow", ("taskInstance", "try_number")),
)
"""Where orchestrators say which attempt a run is: facet, and the way to the field."""

ACTOR = "urn:li:corpuser:datahub"
"""Who created a run, as DataHub's own plugins write it."""

MAX_STACK = 8_000
"""Longest stack trace, in characters: Elasticsearch indexes no term above 32 766 bytes."""

_URL_FIELDS = ("url", "runUrl", "log_url")
_URL = re.compile(r"https?://\S+")
_INT32 = 2**31


def run_aspects(run: RunState, jobs: JobNaming, datasets: DatasetNaming) -> Iterator[Aspect]:
    """Aspects of one run."""
    urn, named = instance_run_urn(run.run_id), jobs.named(run.job)
    yield Aspect(urn, ENTITY, "dataProcessInstanceProperties", _properties(run))
    yield Aspect(urn, ENTITY, "dataProcessInstanceRelationships", _relationships(run, named))
    yield from (
        Aspect(urn, ENTITY, "dataProcessInstanceRunEvent", value, value["timestampMillis"])
        for value in _events(run)
    )
    yield from _uses(run, urn, datasets)
    if kind := subtype(run.job):
        yield Aspect(urn, ENTITY, "subTypes", {"typeNames": [f"{kind} Run"]})
    yield Aspect(urn, ENTITY, "dataPlatformInstance", _platform(named))


def _platform(named: NamedJob) -> dict[str, Any]:
    if named.instance:
        return platform_instance(named.orchestrator, named.instance)
    return {"platform": platform_urn(named.orchestrator)}


def _relationships(run: RunState, named: NamedJob) -> dict[str, Any]:
    """The job it is a run of, and the run that spawned it: containment, which is no lineage."""
    value: dict[str, Any] = {"parentTemplate": named.urn, "upstreamInstances": []}
    parent = _field(facet_of(run.facets, "parent"), "run", "runId")
    if isinstance(parent, str) and parent.strip().lower() not in ("", run.run_id):
        urn = instance_run_urn(parent.strip().lower())
        if not is_too_long(urn):
            value["parentInstance"] = urn
    return value


# --- properties -----------------------------------------------------------------------------------------------------


def _properties(run: RunState) -> dict[str, Any]:
    nominal = _milliseconds(words(run.facets, "nominalTime", "nominalStartTime"))
    started = _whole(run.started or run.ended or 0)
    value: dict[str, Any] = {
        "name": run.run_id,
        "type": _process_type(run),
        "created": {"time": started if nominal is None else nominal, "actor": ACTOR},
        "customProperties": _custom(run),
    }
    if url := _external_url(run.facets):
        value["externalUrl"] = url
    return value


def _process_type(run: RunState) -> str:
    if str(job_type(run.job).get("processingType")).upper() == "STREAMING":
        return "STREAMING"
    return "BATCH_SCHEDULED" if "nominalTime" in run.facets.raw else "BATCH_AD_HOC"


def _custom(run: RunState) -> dict[str, str]:
    properties = {"openlineage.namespace": run.job.key.namespace, "openlineage.name": run.job.key.name}
    for facet, fields in (("nominalTime", _NOMINAL), ("errorMessage", _ERROR)):
        for field in fields:
            if text := words(run.facets, facet, field):
                properties[f"{facet}.{field}"] = _tail(text)
    properties.update(custom_properties("run", run.facets))
    for use in run.inputs:
        properties.update(use_properties("input", use.dataset.key.name, use.facets))
    for use in run.outputs:
        properties.update(use_properties("output", use.dataset.key.name, use.facets))
    return properties


_NOMINAL = ("nominalStartTime", "nominalEndTime")
_ERROR = ("message", "programmingLanguage", "stackTrace")


def _tail(text: str) -> str:
    """The end of a text: a stack trace says last what went wrong."""
    return text if len(text) <= MAX_STACK else f"…{text[1 - MAX_STACK :]}"


def _external_url(facets: Facets) -> str | None:
    """The page of the run in its orchestrator, which only facets outside of the specification name."""
    for name in sorted(facets):
        if ("run", name) not in MAPPED:
            for field in _URL_FIELDS:
                if _URL.fullmatch(text := words(facets, name, field)):
                    return text
    return None


# --- run events -----------------------------------------------------------------------------------------------------


def _events(run: RunState) -> Iterator[dict[str, Any]]:
    """STARTED and COMPLETE, where their times are known (0 is the time of an event that has none).

    DataHub keeps one run event per run and millisecond.
    """
    attempt = _attempt(run.facets)
    extra = {} if attempt is None else {"attempt": attempt}
    started = _whole(run.started or 0)
    if started:
        yield {"timestampMillis": started, "status": "STARTED", **extra}
    if not run.ended or run.result not in RESULTS:
        return
    ended = _whole(run.ended)
    if ended == started:
        ended += 1
    result = {"type": RESULTS[run.result], "nativeResultType": run.result}
    value = {"timestampMillis": ended, "status": "COMPLETE", "result": result, **extra}
    if run.started:
        value["durationMillis"] = max(0, _whole(run.ended - run.started))
    yield value


def _attempt(facets: Facets) -> int | None:
    for facet, way in ATTEMPTS:
        value = _field(facet_of(facets, facet), *way)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _INT32:
            return value
    return None


# --- datasets -------------------------------------------------------------------------------------------------------


def _uses(run: RunState, urn: str, datasets: DatasetNaming) -> Iterator[Aspect]:
    """Input and Output: the arrays feed the Runs tab of a dataset, the edges its lineage; never empty."""
    touched = datasets_of(datasets, run.inputs, run.outputs)
    inputs = touched.urns(use.dataset.key for use in run.inputs)
    outputs = touched.urns(use.dataset.key for use in run.outputs)
    if inputs:
        value = {"inputs": inputs, "inputEdges": dataset_edges(inputs)}
        yield Aspect(urn, ENTITY, "dataProcessInstanceInput", value)
    if outputs:
        value = {"outputs": outputs, "outputEdges": dataset_edges(outputs)}
        yield Aspect(urn, ENTITY, "dataProcessInstanceOutput", value)


# --- values ---------------------------------------------------------------------------------------------------------


def _whole(microseconds: int) -> int:
    return microseconds // 1000


def _milliseconds(text: str) -> int | None:
    """An ISO 8601 time as milliseconds since the epoch; without a zone it is UTC; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _field(value: Any, *way: str) -> Any:
    for key in way:
        value = value.get(key) if isinstance(value, dict) else None
    return value
