"""From a transition to a snapshot, as the collector takes one, and on to OpenLineage events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs
from openlineage.client.event_v2 import RunEvent, RunState

from openlineage_bridge_prefect import events, facets
from openlineage_bridge_prefect.assets import AssetUse
from openlineage_bridge_prefect.runs import Run
from openlineage_bridge_prefect.snapshots import (
    FLOW_RUN_FIELDS,
    MAX_MESSAGE,
    MAX_UPSTREAM,
    TASK_RUN_FIELDS,
    Failure,
    Snapshot,
    details,
)
from openlineage_bridge_prefect.transitions import TERMINAL
from openlineage_bridge_prefect.watch import artifacts, asides
from openlineage_bridge_prefect.watch.connection import Connection
from openlineage_bridge_prefect.watch.directory import Directory
from openlineage_bridge_prefect.watch.transitions import Transition, flow_run_of, time_of

MAY_HAVE_CHANGED = {
    "run": ("prefect_deployment", "prefect_execution", "nominalTime"),
    "job": ("sourceCodeLocation", "ownership", "tags"),
}
"""Facets of a flow run's START that rest on what the API says now, and of which the process may know more."""


class Reader:
    """Makes the collector's events from what the API tells.

    Every method may raise ``ApiError``: then nothing was made, and asking again is right.

    Args:
        directory: Knows runs.
        connection: Says where their pages are.
        engine_version: Version of Prefect, as the server says; on START only, so that the collector's word stands.
        born: Runs that started since then have had their START from here; None for all.
    """

    def __init__(
        self,
        directory: Directory,
        connection: Connection,
        engine_version: str | None,
        born: datetime | None = None,
    ) -> None:
        self.directory = directory
        self._connection = connection
        self._engine_version = engine_version
        self._born = born

    def events(
        self, transition: Transition, use: AssetUse | None = None, closed: datetime | None = None
    ) -> list[RunEvent]:
        """The events of a transition, in order; none when it asks for none.

        Args:
            transition: A run entered a state.
            use: What it did with assets; at its end.
            closed: When it was said to have ended because its process seemed dead.
        """
        transition = self.directory.placed(transition)
        run = self.directory.run_of(transition)
        if run is None or not transition.types:
            return []
        snapshot = self._snapshot(transition, run, use if transition.type in TERMINAL else None)
        built = self._built(snapshot, transition)
        aside = asides.failure_of(snapshot)
        if transition.kind == "FLOW":
            aside |= asides.parameters_of(snapshot, self.directory.flow_run(run.id))
        if closed is not None and transition.type in TERMINAL:
            return [*self._corrected(built, aside or asides.taken_back(), transition.time, closed)]
        told = [*_with_aside(built, aside, transition), *built]
        return (
            [*told, *self._artifacts(run)]
            if transition.kind == "FLOW" and transition.type in TERMINAL
            else told
        )

    def _artifacts(self, flow_run: Run) -> list[RunEvent]:
        """What a flow run and its task runs created, once it has ended."""
        found = []
        for (kind, run_id), records in artifacts.by_run(self.directory.artifacts(flow_run.id)).items():
            run = flow_run if kind == "FLOW" else self.directory.task_run(run_id)
            if run is not None:
                found.append(artifacts.event(run, self._connection.page(run.kind, run.id), records))
        return found

    def _built(self, snapshot: Snapshot, transition: Transition) -> list[RunEvent]:
        """The collector's events, the parent on START alone.

        The collector repeats the parent, and so has the last word: it knows of tasks around a flow
        that Prefect does not record.
        """
        record = (
            self.directory.flow_run(transition.run_id) if transition.kind == "FLOW" else transition.task_run
        )
        started = record.get("start_time")
        built = events.build(snapshot)
        if self._born is None or not started or time_of(started) >= self._born:
            for event in built:
                if event.eventType != RunState.START and event.run.facets:
                    event.run.facets.pop("parent", None)
        return built

    def _corrected(
        self, built: list[RunEvent], aside: Mapping[str, Any], time: datetime, closed: datetime
    ) -> list[RunEvent]:
        """The real end of a run that was said to have ended: it has the last word, even if it was before that.

        The end is told as it was, and again a moment after the one that was told in its place, if that was later.
        """
        last = built[-1]
        later = max(time, closed + 2 * asides.MOMENT)
        repeated = [attrs.evolve(last, eventTime=later.isoformat())] if later > time else []
        return [*built[:-1], asides.before(last, aside, later), last, *repeated]

    def closing(self, run: Run, record: Mapping[str, Any], time: datetime, reason: str) -> list[RunEvent]:
        """The end of a run that nobody else will report.

        Args:
            run: The run.
            record: The API's record of it, which still says that it runs.
            time: When it ended, as near as can be told.
            reason: Why that is thought, for people.
        """
        state = record.get("state") or {}
        transition = Transition(
            run_id=run.id,
            kind=run.kind,
            time=time,
            before="RUNNING",
            type="CANCELLED",
            name=state.get("name"),
            message=state.get("message"),
            run_count=record.get("run_count") or 1,
            run_name=record.get("name"),
            flow_run_id=flow_run_of(record),
            flow_name=run.flow_name,
            task_run=record if run.kind == "TASK" else {},
        )
        snapshot = self._snapshot(transition, run, None)
        # The facet tells Prefect's own view, which is that the run goes on.
        told = (state.get("type") or "RUNNING", state.get("name"), state.get("message"))
        (event,) = self._built(attrs.evolve(snapshot, state=told), transition)
        event.run.facets = {**(event.run.facets or {}), "errorMessage": facets.error(Failure(reason))}
        return [event]

    def _snapshot(self, transition: Transition, run: Run, use: AssetUse | None) -> Snapshot:
        message = (transition.message or "")[:MAX_MESSAGE] or None
        starts = "START" in transition.types
        common = Snapshot(
            run=run,
            types=transition.types,
            time=transition.time,
            state=(transition.type, transition.name, message),
            run_count=transition.run_count,
            details={},
            asset_use=use,
            engine_version=self._engine_version if starts else None,
            url=self._connection.page(run.kind, run.id),
        )
        if run.kind == "FLOW":
            return self._flow_run(common, transition)
        return self._task_run(common, transition, self._upstream(transition) if starts else ())

    def _flow_run(self, common: Snapshot, transition: Transition) -> Snapshot:
        record = self.directory.flow_run(common.run.id)
        return attrs.evolve(
            common,
            details={
                **details(record, FLOW_RUN_FIELDS),
                "flowRunName": transition.run_name or record.get("name"),
            },
            tags=tuple(record.get("tags") or ()),
            scheduled_for=time_of(record["expected_start_time"]) if record.get("auto_scheduled") else None,
            labels=record.get("labels") or {},
            deployment=self.directory.deployment(common.run.id) if "START" in common.types else {},
        )

    def _task_run(self, common: Snapshot, transition: Transition, upstream: tuple[UUID, ...]) -> Snapshot:
        record = transition.task_run
        own = {
            "taskName": task_name(common.run),
            "retries": (record.get("empirical_policy") or {}).get("retries"),
            "taskRunName": transition.run_name or record.get("name"),
            "flowRunId": str(transition.flow_run_id) if transition.flow_run_id else None,
        }
        return attrs.evolve(
            common,
            details={**details(record, TASK_RUN_FIELDS), **own},
            tags=tuple(record.get("tags") or ()),
            upstream=upstream,
        )

    def _upstream(self, transition: Transition) -> tuple[UUID, ...]:
        """Ids of the runs whose results are inputs, their jobs' names made known."""
        found = list(dict.fromkeys(_inputs(transition.task_run)))[:MAX_UPSTREAM]
        for task_run_id in found:
            if (run := self.directory.task_run(task_run_id)) is not None:
                events.remember(run)
        return tuple(found)


def _with_aside(
    built: list[RunEvent], run_facets: Mapping[str, Any], transition: Transition
) -> list[RunEvent]:
    """The aside that goes before these events, if there is one; what belongs there is taken out of them."""
    first = built[0]
    moved = _taken(first.run.facets, "run") if transition.kind == "FLOW" else {}
    of_job = _taken(first.job.facets, "job") if transition.kind == "FLOW" else {}
    if not (run_facets or moved or of_job):
        return []
    aside = asides.before(first, {**run_facets, **moved}, transition.time)
    aside.job.facets = of_job
    return [aside]


def _taken(facets_of: dict[str, Any] | None, kind: str) -> dict[str, Any]:
    names = [name for name in MAY_HAVE_CHANGED[kind] if facets_of and name in facets_of]
    return {name: facets_of.pop(name) for name in names} if facets_of else {}


def _inputs(record: Mapping[str, Any]) -> list[UUID]:
    return [
        UUID(value["id"])
        for parameter, values in (record.get("task_inputs") or {}).items()
        if parameter != "__parents__"
        for value in values
        if value.get("id")
    ]


def task_name(run: Run) -> str:
    """The task in the name of its job."""
    return run.job_name.removeprefix(f"{run.flow_name}.") if run.flow_name else run.job_name
