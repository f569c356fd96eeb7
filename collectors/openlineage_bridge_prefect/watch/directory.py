"""Which run is this, who encloses it: read from the API once, then known; bounded, so that a watcher can run for years."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import attrs

from openlineage_bridge_prefect.attempts import attempt_at
from openlineage_bridge_prefect.attempts import run_id as id_of_attempt
from openlineage_bridge_prefect.deployments import FRESH_SECONDS, Deployments
from openlineage_bridge_prefect.runs import Run
from openlineage_bridge_prefect.watch.api import Api, ApiError
from openlineage_bridge_prefect.watch.transitions import Transition, flow_run_of, time_of

Value = TypeVar("Value")

CAPACITY = 20_000
"""Runs of each kind that are remembered; the oldest are read again when they are needed."""

RESULT = "result"
"""Type of what Prefect's server notes of a persisted result, as if it were an artifact."""

TASK_RUN_BEGINS = ["prefect.task-run.Pending", "prefect.task-run.Scheduled"]
"""The first events of a task run: they have its name from before ``task_run_name`` changed it."""


class Known(dict[UUID, Value]):
    """A table that forgets its oldest entries."""

    def __setitem__(self, key: UUID, value: Value) -> None:
        super().__setitem__(key, value)
        if len(self) > CAPACITY:
            del self[next(iter(self))]


class Directory:
    """What is known of runs.

    Every method may raise ``ApiError``: then nothing is known yet, and asking again is right.

    Args:
        api: Where to look things up.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._flow_runs: Known[Mapping[str, Any]] = Known()
        self._flows: Known[str] = Known()
        self._runs: Known[Run] = Known()
        self._first_names: Known[str] = Known()
        self._states: Known[dict[datetime, str]] = Known()
        self._deployments = Deployments()

    def remember(self, flow_runs: Iterable[Mapping[str, Any]]) -> None:
        """Flow runs that were read for another reason."""
        for flow_run in flow_runs:
            self._flow_runs[UUID(flow_run["id"])] = flow_run

    def read_ahead(self, ids: Iterable[UUID]) -> None:
        """Read many flow runs in one request, before they are asked for one by one."""
        missing = sorted({str(each) for each in ids if each not in self._flow_runs})
        if missing:
            for page in self._api.objects("/flow_runs/filter", {"flow_runs": {"id": {"any_": missing}}}):
                self.remember(page)

    def flow_run(self, flow_run_id: UUID) -> Mapping[str, Any]:
        """The record of a flow run; empty when it was deleted."""
        if flow_run_id not in self._flow_runs:
            self._flow_runs[flow_run_id] = self._api.get(f"/flow_runs/{flow_run_id}") or {}
        return self._flow_runs[flow_run_id]

    def flow_name(self, flow_id: str) -> str | None:
        """Name of a flow; None when it was deleted."""
        key = UUID(flow_id)
        if key not in self._flows:
            flow = self._api.get(f"/flows/{flow_id}")
            if flow is None:
                return None
            self._flows[key] = flow["name"]
        return self._flows[key]

    def deployment(self, flow_run_id: UUID) -> Mapping[str, Any]:
        """The record of the deployment that a flow run is of; empty for none, or one that may not be seen."""
        deployment_id = self.flow_run(flow_run_id).get("deployment_id")
        if not deployment_id:
            return {}
        try:
            return self._deployments.of(deployment_id, self._api.get)
        except ApiError as error:
            if not error.hopeless:
                raise
            self._deployments.keep(deployment_id, {}, FRESH_SECONDS)
            return {}

    def artifacts(self, flow_run_id: UUID) -> list[Mapping[str, Any]]:
        """The records of the artifacts that a flow run and its task runs created; in one request."""
        wanted = {"flow_run_id": {"any_": [str(flow_run_id)]}, "type": {"not_any_": [RESULT]}}
        criteria = {"artifacts": wanted, "sort": "ID_DESC"}
        try:
            return [each for page in self._api.objects("/artifacts/filter", criteria) for each in page]
        except ApiError as error:
            if not error.hopeless:
                raise
            return []

    def placed(self, transition: Transition) -> Transition:
        """The transition, with what the states of the flow run before it tell; a task run has one attempt."""
        if transition.kind != "FLOW":
            return transition
        run_id = transition.run_id
        if run_id not in self._states:
            first = _is_first(transition, self.flow_run(run_id))
            states = {} if first else self._read_states(run_id)
            if not first and not states:
                # It was deleted: what the transition itself tells has to do.
                return transition
            self._states[run_id] = states
        self._states[run_id][transition.time] = transition.type
        begun = attempt_at(self._states[run_id].items(), transition.time, transition.type).begun
        return attrs.evolve(transition, begun=begun)

    def _read_states(self, flow_run_id: UUID) -> dict[datetime, str]:
        states = self._api.get(f"/flow_run_states/?flow_run_id={flow_run_id}") or ()
        return {time_of(state["timestamp"]): state["type"] for state in states}

    def _attempt(self, flow_run_id: UUID, moment: datetime, entered: str | None) -> int:
        """Which attempt of a flow run a moment belongs to."""
        states = self._states.get(flow_run_id)
        if states is None and (self.flow_run(flow_run_id).get("run_count") or 0) > 1:
            states = self._states[flow_run_id] = self._read_states(flow_run_id)
        elif states and entered is None and attempt_at(states.items(), moment, entered).ended:
            # A task in the background; or the flow run runs again, and what says so comes later than what its tasks do.
            states |= self._read_states(flow_run_id)
        return attempt_at((states or {}).items(), moment, entered).number

    def run_of(self, transition: Transition) -> Run | None:
        """The run of a transition; None when nothing tells its name any more, and for a task run that has not begun.

        Of a task that is put off until a worker takes it, the events before that do not tell where it belongs: Prefect
        relates the first to whatever flow the process ran before, and the next to nothing.
        """
        if transition.kind == "FLOW":
            return self._flow_run(transition.run_id, transition.flow_name, transition.time, transition.type)
        if transition.type in {"PENDING", "SCHEDULED"} and transition.before is None and transition.run_name:
            self._first_names[transition.run_id] = transition.run_name
        if not transition.types:
            return None
        return self._task_run(
            transition.run_id,
            transition.task_run,
            transition.flow_run_id,
            transition.flow_name,
            transition.time,
        )

    def task_run(self, task_run_id: UUID) -> Run | None:
        """The run behind the id of a task run; None when it is not known (yet, or any more)."""
        if task_run_id in self._runs:
            return self._runs[task_run_id]
        record = self._api.get(f"/task_runs/{task_run_id}")
        if record is None:
            return None
        moment = time_of(record.get("start_time") or record["state"]["timestamp"])
        return self._task_run(task_run_id, record, flow_run_of(record), None, moment)

    def _flow_run(
        self, flow_run_id: UUID, flow_name: str | None, moment: datetime, entered: str | None = None
    ) -> Run | None:
        """The attempt of a flow run that a moment belongs to: of a state that it entered, or of something below it."""
        attempt = self._attempt(flow_run_id, moment, entered)
        key = id_of_attempt(flow_run_id, attempt)
        if key in self._runs:
            return self._runs[key]
        record = self.flow_run(flow_run_id)
        name = flow_name or (self.flow_name(record["flow_id"]) if record else None)
        if name is None:
            return None
        run = Run(id=flow_run_id, kind="FLOW", job_name=name, flow_name=name, attempt=attempt)
        starter = record.get("parent_task_run_id")
        complete = True
        if starter:
            run.parent, complete = self._behind(UUID(starter), moment)
        if complete:
            self._runs[key] = run
        return run

    def _behind(self, starter: UUID, moment: datetime) -> tuple[Run | None, bool]:
        """The run that called a flow, behind the task run by which Prefect tracks the call; and whether that is certain.

        The tracking task run names the task around the call as its parent; without one the call is the flow's own.
        """
        record = self._api.get(f"/task_runs/{starter}")
        if record is None:
            return None, False
        return self._around(record, flow_run_of(record), None, moment)

    def _task_run(
        self,
        task_run_id: UUID,
        record: Mapping[str, Any],
        flow_run_id: UUID | None,
        flow_name: str | None,
        moment: datetime,
    ) -> Run | None:
        if task_run_id in self._runs:
            return self._runs[task_run_id]
        parent, complete = self._around(record, flow_run_id, flow_name, moment)
        flow_name = parent.flow_name if parent is not None else flow_name
        name = self._task_name(task_run_id, record)
        if name is None or (flow_run_id is not None and flow_name is None):
            # Without its flow, which was deleted, it would pass for a job of its own.
            return None
        run = Run(
            id=task_run_id,
            kind="TASK",
            job_name=f"{flow_name}.{name}" if flow_name else name,
            flow_name=flow_name,
            parent=parent,
        )
        if complete:
            self._runs[task_run_id] = run
        return run

    def _around(
        self, record: Mapping[str, Any], flow_run_id: UUID | None, flow_name: str | None, moment: datetime
    ) -> tuple[Run | None, bool]:
        """The run around a task run: the task run that called it, else its flow run; and whether that is certain.

        The server learns of task runs from events and may not know the caller yet: then a later look finds it.
        """
        caller = parent_of(record)
        found = self.task_run(caller) if caller is not None else None
        if found is not None:
            return found, True
        around = self._flow_run(flow_run_id, flow_name, moment) if flow_run_id is not None else None
        return around, caller is None and (around is not None or flow_run_id is None)

    def _task_name(self, task_run_id: UUID, record: Mapping[str, Any]) -> str | None:
        """Name of the task, which Prefect keeps only as a part of other things."""
        first = self._first_names.get(task_run_id)
        if first is not None:
            return without_suffix(first, record.get("dynamic_key")) or first
        now = without_suffix(record.get("name"), record.get("dynamic_key"))
        if now is not None:
            return now
        first = self._first_name(task_run_id)
        if first is not None:
            return without_suffix(first, record.get("dynamic_key")) or first
        key = record.get("task_key")
        return function_name(key) if key else record.get("name")

    def _first_name(self, task_run_id: UUID) -> str | None:
        criteria = {
            "occurred": {"since": "2024-01-01T00:00:00Z"},
            "event": {"name": TASK_RUN_BEGINS},
            "resource": {"id": [f"prefect.task-run.{task_run_id}"]},
        }
        try:
            first = next(self._api.events(criteria), None)
        except ApiError as error:
            if not error.hopeless:
                raise
            return None
        return first[0]["resource"].get("prefect.resource.name") if first else None


def _is_first(transition: Transition, record: Mapping[str, Any]) -> bool:
    """Whether a flow run certainly had not ended before a transition, nor begun before one into RUNNING.

    A run that ended before it ran has no run count, but the time of its end as its start.
    """
    start = record.get("start_time")
    return (
        transition.before in {None, "SCHEDULED", "PENDING"}
        and transition.run_count == (transition.type == "RUNNING")
        and (start is None or time_of(start) >= transition.time)
    )


def parent_of(record: Mapping[str, Any]) -> UUID | None:
    """The task run that called a task, by Prefect's fields of it."""
    parents = (record.get("task_inputs") or {}).get("__parents__") or ()
    found = (UUID(each["id"]) for each in parents if each.get("input_type") == "task_run")
    return next(found, None)


def without_suffix(run_name: str | None, dynamic_key: Any) -> str | None:
    """The name of the task in the first name of its run, ``{task.name}-{dynamic_key[:3]}``; None when it has no such suffix.

    A run that is put off until a worker takes it has the whole key there, which counts.
    """
    if not run_name or dynamic_key is None:
        return None
    suffixes = (f"-{dynamic_key}", f"-{str(dynamic_key)[:3]}")
    suffix = next((each for each in suffixes if run_name.endswith(each)), None)
    return (run_name.removesuffix(suffix) or None) if suffix else None


def function_name(task_key: str) -> str:
    """The name of the function in a task key, ``{qualified name}-{hash}``."""
    return task_key.rpartition("-")[0].rpartition(".")[2] or task_key
