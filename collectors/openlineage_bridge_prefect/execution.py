"""How and by whom a run is executed: the options of its flow or task, the worker, the trace; told when it starts.

The options are the process's alone; a watcher knows the labels.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from openlineage_bridge_capture.spool.encoding import fixed
from openlineage_bridge_prefect import parameters
from openlineage_bridge_prefect.identity import PRODUCER
from openlineage_bridge_prefect.own_facets import ExecutionFacet
from openlineage_bridge_prefect.parameters import Parameter
from openlineage_bridge_prefect.snapshots import Snapshot

TRACEPARENT_LABEL = "__OTEL_TRACEPARENT"
"""Prefect's label for the W3C trace context of a run (prefect, ``telemetry``)."""

TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
"""``version-trace-parent-flags`` (W3C Trace Context)."""

NO_TRACE = "0" * 32

INTERNAL = "__"
"""What labels begin with that are Prefect's own."""

POLICIES = {
    "Inputs": "INPUTS",
    "TaskSource": "TASK_SOURCE",
    "RunId": "RUN_ID",
    "FlowParameters": "FLOW_PARAMETERS",
    "_None": "NO_CACHE",
}
"""Class of a cache policy → what it is called in flows (prefect, ``cache_policies``)."""

REDUNDANT = frozenset(
    {"prefect.flow.id", "prefect.flow-run.id", "prefect.deployment.id", "prefect.work-pool.id"}
)
"""Labels that Prefect's server puts on every run, and that say what other fields say."""

MAX_LABELS = 50
"""Labels that are told."""


_unlabelled: WeakKeyDictionary[Any, ExecutionFacet | None] = WeakKeyDictionary()
"""Flow or task → what runs of it say that have no labels, which is the same for all of them."""


def facet(snapshot: Snapshot) -> ExecutionFacet | None:
    """The ``prefect_execution`` facet of a run that starts; None when there is nothing to say."""
    definition = snapshot.definition
    if snapshot.labels or definition is None:
        return _facet(definition, snapshot.labels)
    try:
        return _unlabelled[definition]
    except (KeyError, TypeError):
        found = _facet(definition, {})
    # Not of a user's own kind of task that cannot be remembered.
    with contextlib.suppress(TypeError):
        _unlabelled[definition] = fixed(found) if found is not None else None
    return found


def _facet(definition: Any, labels: Mapping[str, Any]) -> ExecutionFacet | None:
    said = {
        **(_options(definition) if definition is not None else {}),
        "workerName": labels.get("prefect.worker.name"),
        "workerType": labels.get("prefect.worker.type"),
        "traceId": trace_id(labels.get(TRACEPARENT_LABEL)),
        "labels": _shown(labels),
    }
    said = {name: value for name, value in said.items() if value is not None}
    return ExecutionFacet(**said, producer=PRODUCER) if said else None


def _options(definition: Any) -> dict[str, Any]:
    """Options of a ``Flow`` or ``Task``; what the one has and the other has not is left out."""
    runner = getattr(definition, "task_runner", None)
    return {
        "timeoutSeconds": _number(getattr(definition, "timeout_seconds", None)),
        "retries": getattr(definition, "retries", None),
        "retryDelaySeconds": _delays(getattr(definition, "retry_delay_seconds", None)),
        "persistResult": _boolean(getattr(definition, "persist_result", None)),
        "cachePolicy": policy_name(getattr(definition, "cache_policy", None)),
        "taskRunner": type(runner).__name__ if runner is not None else None,
    }


def policy_name(policy: Any) -> str | None:
    """A cache policy as it would be written: ``INPUTS + TASK_SOURCE``; None for one that is left to Prefect's default.

    A policy made from a function is told as ``CacheKeyFnPolicy``, one of the user's own by the name of its class.
    """
    # Where no policy was given there may be None, or the class that Prefect marks it by.
    if policy is None or isinstance(policy, type):
        return None
    parts = getattr(policy, "policies", None)
    if isinstance(parts, list):
        # Sorted, because Prefect's order depends on how the sum was written.
        return " + ".join(sorted(name for part in parts if (name := policy_name(part)))) or None
    name = type(policy).__name__
    return POLICIES.get(name, name)


def trace_id(traceparent: Any) -> str | None:
    """The id of the OpenTelemetry trace that a run is part of; None without one."""
    match = TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    return match["trace"] if match and match["trace"] != NO_TRACE else None


def _shown(labels: Mapping[str, Any]) -> dict[str, str] | None:
    public = sorted(name for name in labels if name not in REDUNDANT and not name.startswith(INTERNAL))
    return {name: parameters.shown(Parameter(name, labels[name])) for name in public[:MAX_LABELS]} or None


def _delays(value: Any) -> list[float] | None:
    """One delay for each retry, or one for all; none where a run begins again at once."""
    found = [delay for each in (value if isinstance(value, list) else [value]) if (delay := _number(each))]
    return found or None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
