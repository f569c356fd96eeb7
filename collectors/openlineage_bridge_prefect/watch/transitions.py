"""From Prefect's events and lists of states to transitions of runs; pure.

Which OpenLineage events a transition asks for follows from the state before it, the state itself and Prefect's count of
attempts, and for a flow run from its states before: all of it can be asked for, so a watcher may begin anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from openlineage_bridge_prefect.runs import Kind
from openlineage_bridge_prefect.transitions import TERMINAL, EventType, event_types, says_nothing_new

KINDS: dict[str, Kind] = {"prefect.flow-run.": "FLOW", "prefect.task-run.": "TASK"}
"""Prefix of an event's name, and of a resource's id → kind of run."""

HEARTBEAT = "prefect.flow-run.heartbeat"

NOT_BEGUN = frozenset({None, "PENDING"})
"""State types out of which an engine that has just begun puts its run into RUNNING. An engine's own retries come out of
others."""

CLOCK_SECONDS = 0.001
"""What two accounts of one duration may differ by."""


@attrs.frozen
class Transition:
    """A run entered a state.

    Args:
        run_id: The run.
        kind: Flow run or task run.
        time: When the state began, by Prefect.
        before: Type of the state before; None for the first.
        type: Type of the state.
        name: Its name.
        message: Its message, if any.
        run_count: How often the run entered RUNNING, this time included.
        run_name: Name of the run at that time.
        flow_run_id: The flow run of a task run.
        flow_name: The flow, where it is told.
        task_run: Prefect's own fields of a task run.
        begun: Whether this attempt of a flow run had started before; None where its states before are not known.
    """

    run_id: UUID
    kind: Kind
    time: datetime
    before: str | None
    type: str
    name: str | None
    message: str | None
    run_count: int
    run_name: str | None = None
    flow_run_id: UUID | None = None
    flow_name: str | None = None
    task_run: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    begun: bool | None = None

    @property
    def types(self) -> tuple[EventType, ...]:
        """The OpenLineage events that it asks for, in order.

        A task that ended stays ended (a rollback is a state after the end); what somebody sets a flow run to after its end
        is its end, unless it is cancelled once more, as some runners do.
        """
        if self.type == "RUNNING":
            fresh = self.before in NOT_BEGUN or self.before in TERMINAL or self.run_count <= 1
            return event_types(self.type, started=self._started(not fresh), finished=False)
        if self.type in TERMINAL:
            ended = self.before in TERMINAL
            started = self._started(ended or self.run_count > 0)
            over = ended and (self.kind == "TASK" or says_nothing_new(self.before, self.type))
            return event_types(self.type, started=started, finished=over)
        return event_types(self.type, started=self.before == "RUNNING", finished=False)

    def _started(self, likely: bool) -> bool:
        return likely if self.begun is None else self.begun


@attrs.frozen
class Heartbeat:
    """A sign of life of the process that runs a flow run."""

    run_id: UUID
    time: datetime


def of_event(event: Mapping[str, Any]) -> Transition | Heartbeat | None:
    """What one of Prefect's events says about a run; None for one that says nothing about its cycle.

    Raises:
        KeyError, TypeError, ValueError: It is not what events of Prefect 3 look like.
    """
    kind = next((kind for prefix, kind in KINDS.items() if event["event"].startswith(prefix)), None)
    resource = event["resource"]
    if kind is None:
        return None
    run_id = id_in(resource["prefect.resource.id"])
    if event["event"] == HEARTBEAT:
        return Heartbeat(run_id, time_of(event["occurred"]))
    payload = event.get("payload") or {}
    state = payload.get("validated_state")
    if not state:
        return None
    task_run = payload.get("task_run") or {}
    flow_run, flow = related(event, "flow-run"), related(event, "flow")
    if _without_a_flow(task_run):
        flow_run = flow = None
    return Transition(
        run_id=run_id,
        kind=kind,
        time=time_of(event["occurred"]),
        before=(payload.get("initial_state") or {}).get("type"),
        type=state["type"],
        name=state.get("name"),
        message=state.get("message") or resource.get("prefect.state-message") or None,
        run_count=_run_count(resource, payload),
        run_name=resource.get("prefect.resource.name"),
        flow_run_id=id_in(flow_run["prefect.resource.id"]) if flow_run and kind == "TASK" else None,
        flow_name=flow.get("prefect.resource.name") if flow else None,
        task_run=task_run,
    )


def _run_count(resource: Mapping[str, Any], payload: Mapping[str, Any]) -> int:
    """As the event tells; where it does not, whether the run had begun."""
    told = resource.get("prefect.run-count", (payload.get("task_run") or {}).get("run_count"))
    if told is not None:
        return int(told)
    before = (payload.get("initial_state") or {}).get("type")
    return int(payload["validated_state"]["type"] == "RUNNING" or before not in {*NOT_BEGUN, "SCHEDULED"})


def of_states(
    kind: Kind, run: Mapping[str, Any], states: Iterable[Mapping[str, Any]], **more: Any
) -> list[Transition]:
    """The transitions of a run from its states, which the API keeps for ever.

    Args:
        kind: Flow run or task run.
        run: The run, as the API gives it.
        states: Its states, as the API gives them, in any order.
        more: Further fields of the transitions.
    """
    found: list[Transition] = []
    before, run_count = None, 0
    for state in sorted(states, key=lambda each: time_of(each["timestamp"])):
        run_count += state["type"] == "RUNNING"
        found.append(
            Transition(
                run_id=UUID(run["id"]),
                kind=kind,
                time=time_of(state["timestamp"]),
                before=before,
                type=state["type"],
                name=state.get("name"),
                message=state.get("message") or None,
                run_count=run_count,
                run_name=run.get("name"),
                **more,
            )
        )
        before = state["type"]
    return found


def flow_run_of(task_run: Mapping[str, Any]) -> UUID | None:
    """The flow run that a task run belongs to, by the API's record of it."""
    flow_run_id = task_run.get("flow_run_id")
    return UUID(flow_run_id) if flow_run_id and not _without_a_flow(task_run) else None


def _without_a_flow(task_run: Mapping[str, Any]) -> bool:
    """Whether a task was called outside of every flow.

    Prefect relates its run, and so files it, under whatever flow the same process ran before. Only the dynamic key tells:
    outside of flows it is ``{task key}-{random}``, in a flow it is random or counts.
    """
    key, task_key = task_run.get("dynamic_key"), task_run.get("task_key")
    return bool(task_key) and str(key).startswith(f"{task_key}-")


def known_states(run: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The states of a run that its record alone tells: it began once, and perhaps ended; None when there may be more."""
    state, run_count = run.get("state"), run.get("run_count") or 0
    if not state or run_count > 1 or (run_count == 1 and not run.get("start_time")):
        return None
    if _was_interrupted(run) or _went_on(run):
        return None
    if run_count == 0:
        return [state]
    if state["type"] == "RUNNING":
        return [state]
    if state["type"] not in TERMINAL:
        return None
    running = {"type": "RUNNING", "name": "Running", "timestamp": run["start_time"]}
    return [running, state]


def _was_interrupted(run: Mapping[str, Any]) -> bool:
    """Whether a flow run that ended was not running all the time since its start: paused, suspended, or ended before."""
    start, end, ran = (run.get(name) for name in ("start_time", "end_time", "total_run_time"))
    if "flow_run_id" in run or not start or not end or ran is None or not run.get("run_count"):
        return False
    return abs((time_of(end) - time_of(start)).total_seconds() - float(ran)) > CLOCK_SECONDS


def _went_on(run: Mapping[str, Any]) -> bool:
    """Whether a run got a further state after its end: a task's transaction was rolled back, or its generator closed."""
    end, state = run.get("end_time"), run["state"]
    if not end or state["type"] not in TERMINAL:
        return False
    return time_of(end) != time_of(state["timestamp"])


def time_of(text: str) -> datetime:
    """A time as the API writes it."""
    return datetime.fromisoformat(text)


def id_in(resource_id: str) -> UUID:
    """The UUID at the end of a resource's id (``prefect.flow-run.…``)."""
    return UUID(resource_id.rpartition(".")[2])


def related(event: Mapping[str, Any], role: str) -> Mapping[str, Any] | None:
    """The related resource in a role; None when there is none."""
    found = (each for each in event.get("related") or () if each.get("prefect.resource.role") == role)
    return next(found, None)
