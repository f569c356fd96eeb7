"""What DataHub should hold about a run: a dataProcessInstance and its run events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from openlineage_bridge.events import Facets
from openlineage_bridge.translation import Aspect, RunState
from openlineage_bridge_datahub.edges import DatasetsOfJob, dataset_edges
from openlineage_bridge_datahub.encoding import instance_run_urn, is_too_long, platform_urn
from openlineage_bridge_datahub.facets import MAPPED, custom_properties, facet_of, use_properties, words
from openlineage_bridge_datahub.job_aspects import platform_instance
from openlineage_bridge_datahub.jobs import NamedJob

ENTITY = "dataProcessInstance"

RESULTS = {"COMPLETE": "SUCCESS", "FAIL": "FAILURE", "ABORT": "SKIPPED"}
"""``eventType`` of the end → ``RunResultType``; ``nativeResultType`` is the orchestrator's own word, else this one."""

RETRIED = frozenset({"up_for_retry", "awaitingretry"})
"""What orchestrators call a failure, in lower case, after which they try again: ``UP_FOR_RETRY``."""

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

LINKS = (
    ("prefect_taskRun", ("url",)),
    ("prefect_flowRun", ("url",)),
    ("dagster_step", ("stepUrl",)),
    ("dagster_run", ("runUrl",)),
    ("airflow", ("taskInstance", "log_url")),
    ("spark_applicationDetails", ("historyUrl",)),
    ("spark_applicationDetails", ("proxyUrl",)),
    ("spark_applicationDetails", ("uiWebUrl",)),
)
"""Where orchestrators say which page shows a run, the nearest first; of any other facet the fields below."""

NATIVE_STATES = (
    ("prefect_taskRun", ("stateName",)),
    ("prefect_flowRun", ("stateName",)),
    ("airflow", ("taskInstance", "state")),
    ("airflowState", ("dagRunState",)),
)
"""Where orchestrators say in their own words how a run ended: ``Crashed``, ``TimedOut``, ``skipped``."""

_URL_FIELDS = ("url", "runUrl", "log_url")
_URL = re.compile(r"https?://\S+")
_INT32 = 2**31


def run_aspects(run: RunState, named: NamedJob, touched: DatasetsOfJob) -> Iterator[Aspect]:
    """Aspects of one run of the job that is called so."""
    urn = instance_run_urn(run.run_id)
    yield Aspect(urn, ENTITY, "dataProcessInstanceProperties", _properties(run, named))
    yield Aspect(urn, ENTITY, "dataProcessInstanceRelationships", _relationships(run, named))
    for value in _events(run):
        yield Aspect(urn, ENTITY, "dataProcessInstanceRunEvent", value, value["timestampMillis"])
    yield from _uses(run, urn, touched)
    if named.subtype:
        yield Aspect(urn, ENTITY, "subTypes", {"typeNames": [f"{named.subtype} Run"]})
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


def _properties(run: RunState, named: NamedJob) -> dict[str, Any]:
    nominal = _milliseconds(words(run.facets, "nominalTime", "nominalStartTime"))
    started = _whole(run.started or run.ended or 0)
    value: dict[str, Any] = {
        "name": run.run_id,
        "type": "STREAMING" if named.streaming else _schedule(run.facets),
        "created": {"time": started if nominal is None else nominal, "actor": ACTOR},
        "customProperties": _custom(run),
    }
    if url := _external_url(run.facets):
        value["externalUrl"] = url
    return value


def _schedule(facets: Facets) -> str:
    return "BATCH_SCHEDULED" if "nominalTime" in facets.raw else "BATCH_AD_HOC"


def _custom(run: RunState) -> dict[str, str]:
    properties = {"openlineage.namespace": run.job.key.namespace, "openlineage.name": run.job.key.name}
    for facet, fields in _TEXTS:
        if facet in run.facets.raw:
            for field in fields:
                if text := words(run.facets, facet, field):
                    properties[f"{facet}.{field}"] = _tail(text)
    properties.update(_root(run.facets))
    properties.update(custom_properties("run", run.facets))
    for role, uses in (("input", run.inputs), ("output", run.outputs)):
        for use in uses:
            if use.facets.raw:
                properties.update(use_properties(role, use.dataset.key.name, use.facets))
    return properties


def _root(facets: Facets) -> Iterator[tuple[str, str]]:
    """The run at the top of the hierarchy: DataHub shows only the one directly above."""
    root = facet_of(facets, "parent").get("root")
    for name, way in _ROOT if root else ():
        if isinstance(text := _field(root, *way), str) and text:
            yield f"root.{name}", text


_ROOT = (("runId", ("run", "runId")), ("namespace", ("job", "namespace")), ("name", ("job", "name")))
_TEXTS = (
    ("nominalTime", ("nominalStartTime", "nominalEndTime")),
    ("errorMessage", ("message", "programmingLanguage", "stackTrace")),
)


def _tail(text: str) -> str:
    """The end of a text: a stack trace says last what went wrong."""
    return text if len(text) <= MAX_STACK else f"…{text[1 - MAX_STACK :]}"


def _external_url(facets: Facets) -> str | None:
    """The page of the run in its orchestrator, which only facets outside of the specification name."""
    custom = sorted(name for name in facets.raw if ("run", name) not in MAPPED)
    if not custom:
        return None
    nearest = (text for text in _found(facets, LINKS) if isinstance(text, str))
    any_other = (words(facets, name, field) for name in custom for field in _URL_FIELDS)
    return next((text for text in chain(nearest, any_other) if _URL.fullmatch(text)), None)


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
    native = _native_state(run.facets) or run.result
    retried = run.result == "FAIL" and native.lower() in RETRIED
    result = {"type": "UP_FOR_RETRY" if retried else RESULTS[run.result], "nativeResultType": native}
    value = {"timestampMillis": ended, "status": "COMPLETE", "result": result, **extra}
    if run.started:
        value["durationMillis"] = max(0, _whole(run.ended - run.started))
    yield value


def _attempt(facets: Facets) -> int | None:
    for value in _found(facets, ATTEMPTS):
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _INT32:
            return value
    return None


def _native_state(facets: Facets) -> str | None:
    return next((each for each in _found(facets, NATIVE_STATES) if isinstance(each, str) and each), None)


# --- datasets -------------------------------------------------------------------------------------------------------


def _uses(run: RunState, urn: str, touched: DatasetsOfJob) -> Iterator[Aspect]:
    """Input and Output: the arrays feed the Runs tab of a dataset, the edges its lineage; never empty."""
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


def _found(facets: Facets, places: Iterable[tuple[str, tuple[str, ...]]]) -> list[Any]:
    """What stands at these places, facet and way each."""
    return [_field(facet_of(facets, facet), *way) for facet, way in places if facet in facets.raw]


def _field(value: Any, *way: str) -> Any:
    for key in way:
        value = value.get(key) if isinstance(value, dict) else None
    return value
