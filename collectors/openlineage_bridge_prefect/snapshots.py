"""Cheap copies of what an engine knows at a transition.

Taken on the user's thread, read on the emitter's: everything in a snapshot is immutable or a copy, because the engine
goes on changing its run in the meantime.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

import attrs

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.recording import NOTHING, Recording
from openlineage_bridge_prefect import artifacts, assets, parameters
from openlineage_bridge_prefect.artifacts import Artifact
from openlineage_bridge_prefect.assets import AssetUse
from openlineage_bridge_prefect.parameters import Parameter
from openlineage_bridge_prefect.runs import Run
from openlineage_bridge_prefect.transitions import TERMINAL, EventType

MAX_MESSAGE = 4_096
"""Characters of a state's message that are kept."""

MAX_TRACEBACK = 65_536
"""Characters of a traceback that are kept: the last ones, which name the error."""

MAX_UPSTREAM = 100
"""Upstream runs that are kept; a task mapped over thousands of futures depends on them all."""

FLOW_RUN_FIELDS = {
    "flowRunName": "name",
    "flowId": "flow_id",
    "flowVersion": "flow_version",
    "deploymentId": "deployment_id",
    "deploymentVersion": "deployment_version",
    "workPoolName": "work_pool_name",
    "workQueueName": "work_queue_name",
    "idempotencyKey": "idempotency_key",
    "infrastructurePid": "infrastructure_pid",
    "autoScheduled": "auto_scheduled",
    "createdBy": "created_by.display_value",
}
"""Field of the ``prefect_flowRun`` facet → attribute of Prefect's ``FlowRun``, or of an attribute of it."""

TASK_RUN_FIELDS = {
    "taskRunName": "name",
    "taskKey": "task_key",
    "taskVersion": "task_version",
    "dynamicKey": "dynamic_key",
    "flowRunId": "flow_run_id",
    "flowRunRunCount": "flow_run_run_count",
}
"""Field of the ``prefect_taskRun`` facet → attribute of Prefect's ``TaskRun``."""


@attrs.frozen
class Failure:
    """Why a run failed.

    Args:
        message: One line for people.
        stack_trace: Python's traceback, when there was an exception.
    """

    message: str
    stack_trace: str | None = None


# Nobody changes one. Frozen, it would take three times as long to make, and it is made on the user's thread.
@attrs.define
class Snapshot:
    """A transition of a run, with all that its events may say.

    Args:
        run: Identity and ancestors; these do not change any more.
        types: The events to be emitted, in order.
        time: When Prefect says the state began.
        state: Type, name and message of the state.
        run_count: How often the run entered RUNNING so far.
        details: Fields of the custom facet, as Prefect's own values.
        tags: Tags of the run.
        description: Text about the flow or task.
        parameters: What the run was called with; on START.
        scheduled_for: When the schedule wanted the run to start; None for one that nobody scheduled.
        upstream: Ids of runs whose results this one takes or waits for; on START.
        failure: Why it failed; on FAIL.
        recording: What it read and wrote; at its end.
        asset_use: Prefect assets it depends on and materializes; at its end.
        artifacts: Prefect artifacts it created; at its end.
        definition: Prefect's ``Flow`` or ``Task``; on START. Nothing of it is copied: its options do not change.
        labels: Labels of the run: who executes it, in which trace; on START.
        deployment: The API's record of the run's deployment, empty for none; None where it is still to be looked up.
        engine_version: Version of Prefect, where it is not this process's own.
        url: Page of the run in Prefect's UI, where it is not for this process's own settings to say.
    """

    run: Run
    types: tuple[EventType, ...]
    time: datetime
    state: tuple[str, str | None, str | None]
    run_count: int
    details: Mapping[str, Any]
    tags: tuple[str, ...] = ()
    description: str | None = None
    parameters: tuple[Parameter, ...] = ()
    scheduled_for: datetime | None = None
    upstream: tuple[UUID, ...] = ()
    failure: Failure | None = None
    recording: Recording = NOTHING
    asset_use: AssetUse | None = None
    artifacts: tuple[Artifact, ...] = ()
    definition: Any = None
    labels: Mapping[str, Any] = attrs.field(factory=dict)
    deployment: Mapping[str, Any] | None = None
    engine_version: str | None = None
    url: str | None = None


def of_flow_engine(engine: Any, run: Run, state: Any, types: tuple[EventType, ...]) -> Snapshot:
    """What a flow engine knows now."""
    return of_flow_run(
        engine.flow_run,
        run,
        state,
        types,
        description=engine.flow.description,
        parameters=parameters.copies(engine.parameters) if "START" in types else (),
        recording=recorder.take(run.key) if run.finished else NOTHING,
        artifacts=artifacts.take(engine.flow_run.id) if run.finished else (),
        definition=engine.flow if "START" in types else None,
    )


def of_flow_run(flow_run: Any, run: Run, state: Any, types: tuple[EventType, ...], **more: Any) -> Snapshot:
    """What Prefect's ``FlowRun`` says; ``more`` are further fields of the snapshot."""
    told = _state(state)
    return Snapshot(
        run=run,
        types=types,
        time=state.timestamp,
        state=told,
        run_count=run.run_count,
        details=details(flow_run, FLOW_RUN_FIELDS),
        tags=tuple(flow_run.tags or ()),
        scheduled_for=flow_run.expected_start_time if getattr(flow_run, "auto_scheduled", False) else None,
        failure=_failure(state, told[0]),
        labels=_labels(flow_run, types),
        **more,
    )


def of_task_engine(engine: Any, run: Run, state: Any, types: tuple[EventType, ...]) -> Snapshot:
    """What a task engine knows now."""
    task_run, starts, told = engine.task_run, "START" in types, _state(state)
    return Snapshot(
        run=run,
        types=types,
        time=state.timestamp,
        state=told,
        run_count=task_run.run_count,
        details=_task_run_details(engine.task, task_run),
        tags=tuple(task_run.tags or ()),
        description=engine.task.description,
        parameters=parameters.copies(engine.parameters) if starts else (),
        upstream=_upstream(task_run) if starts else (),
        failure=_failure(state, told[0]),
        recording=recorder.take(run.key) if run.finished else NOTHING,
        asset_use=assets.use_of(task_run.id, state) if run.finished else None,
        artifacts=artifacts.take(task_run.id) if run.finished else (),
        definition=engine.task if starts else None,
        labels=_labels(task_run, types),
    )


def details(record: Any, fields: Mapping[str, str]) -> dict[str, Any]:
    """Fields of a custom facet from Prefect's model of a run, or from the API's JSON of it.

    Args:
        record: The model, or the JSON.
        fields: Field of the facet → attribute, or ``attribute.attribute``.
    """
    read = _key if isinstance(record, Mapping) else _attribute
    found = {}
    for field, name in fields.items():
        first, _, second = name.partition(".")
        value = read(record, first)
        found[field] = read(value, second) if second and value is not None else value
    return found


def _task_run_details(task: Any, task_run: Any) -> dict[str, Any]:
    """The same of a task run, of which there are many, in a fraction of the time."""
    try:
        found = dict(zip(TASK_RUN_FIELDS, _task_run_values(task_run), strict=True))
    except AttributeError:
        # An older Prefect has not all of them.
        found = details(task_run, TASK_RUN_FIELDS)
    found["taskName"], found["retries"] = task.name, task.retries
    return found


_task_run_values = attrgetter(*TASK_RUN_FIELDS.values())


def _attribute(record: Any, name: str) -> Any:
    return getattr(record, name, None)


def _key(record: Any, name: str) -> Any:
    return record.get(name)


def _labels(run: Any, types: tuple[EventType, ...]) -> dict[str, Any]:
    # Prefect has labels since 3.1.
    return dict(getattr(run, "labels", None) or {}) if "START" in types else {}


def _state(state: Any) -> tuple[str, str | None, str | None]:
    return state.type.value, state.name, (state.message or "")[:MAX_MESSAGE] or None


def _upstream(task_run: Any) -> tuple[UUID, ...]:
    """Ids of the runs whose results are inputs; the enclosing run is the parent, not an input."""
    found: dict[UUID, None] = {}
    for parameter, inputs in (task_run.task_inputs or {}).items():
        if parameter == "__parents__":
            continue
        for value in inputs:
            identifier = getattr(value, "id", None)
            if isinstance(identifier, UUID) and len(found) < MAX_UPSTREAM:
                found[identifier] = None
    return tuple(found)


def _failure(state: Any, state_type: str) -> Failure | None:
    if TERMINAL.get(state_type) != "FAIL":
        return None
    exception = exception_in(state.data)
    if exception is None:
        return Failure(message=(state.message or state.name or "failed")[:MAX_MESSAGE])
    message = "".join(traceback.format_exception_only(exception)).strip()
    stack_trace = "".join(traceback.format_exception(exception))
    return Failure(message=message[:MAX_MESSAGE], stack_trace=stack_trace[-MAX_TRACEBACK:])


def exception_in(data: Any) -> BaseException | None:
    """The exception in a state's data: itself, inside the record of a persisted result, or in a result (Prefect 3.0.0)."""
    result = data.result if type(data).__name__ == "ResultRecord" else data
    result = result if isinstance(result, BaseException) else getattr(result, "_cache", None)
    return result if isinstance(result, BaseException) else None
