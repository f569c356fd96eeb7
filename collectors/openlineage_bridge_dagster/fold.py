"""The pure fold of one Dagster run: its event log in order, record by record, to OpenLineage events.

Nothing here looks at a clock, at randomness or at the world: whoever folds the same log gets the same events, so that a
sensor, a tailer and a replay of history agree to the byte. The mapping is the table of the event types below.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import attrs
from dagster import AssetKey, DagsterEventType, EventLogEntry
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.facet_v2 import JobFacet, RunFacet

from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.recording import Recording
from openlineage_bridge_dagster import facets
from openlineage_bridge_dagster.assets import RunAssets, plain
from openlineage_bridge_dagster.dependencies import job_dependencies
from openlineage_bridge_dagster.identity import RunIdentity, event_time, node_path
from openlineage_bridge_dagster.producer import signed
from openlineage_bridge_dagster.sources import Stated, path_dataset
from openlineage_bridge_dagster.steps import (
    Attempt,
    Describe,
    StepLineage,
    attempt_lineage,
    planned_lineage,
    stated_lineage,
)

log = logging.getLogger(__name__)

RECORDING_KEY = "openlineage_bridge/recording"
"""Metadata key of the engine event that carries what capture saw inside a step."""

INTERRUPTED = "DagsterExecutionInterruptedError"


@attrs.define
class _Step:
    """A step over all its attempts."""

    planned: dict[AssetKey, None] = attrs.field(factory=dict)
    started: int = 0
    attempt: Attempt | None = None
    ahead: Attempt | None = None  # said before the attempt has started

    def current(self) -> Attempt:
        """The open attempt, or the one that is about to open."""
        if self.attempt is not None:
            return self.attempt
        if self.ahead is None:
            self.ahead = Attempt(self.started + 1)
        return self.ahead

    def open(self) -> Attempt:
        self.started += 1
        self.attempt, self.ahead = self.ahead or Attempt(self.started), None
        return self.attempt


Extracted = Callable[[EventLogEntry], Mapping[str, Stated]]
"""From a run's last record to what its steps read and wrote, by step key or op name."""

_Handler = Callable[["RunFold", EventLogEntry, Any], list[RunEvent]]


class RunFold:
    """Folds the log of one run.

    Args:
        run: What the run is called.
        assets: What is known about assets.
        describe: From what capture recorded to datasets.
        extract: The user's own reading of the run, from its last record to what steps read and wrote.
    """

    def __init__(
        self,
        run: RunIdentity,
        assets: RunAssets | None = None,
        *,
        describe: Describe = describe,
        extract: Extracted | None = None,
    ) -> None:
        self._run = run
        self._assets = assets or RunAssets()
        self._describe = describe
        self._extract = extract
        self._steps: dict[str, _Step] = {}
        self._canceling = False
        self._ended = False
        self._engine_said: str | None = None
        # The same for every event of the run: built once, since building facets is most of the cost of an event.
        self._shared = facets.run_facets(run)
        self._of_steps = {**self._shared, **facets.parent_facet(run)}
        self._step_jobs: dict[str, dict[str, JobFacet]] = {}

    @property
    def ended(self) -> bool:
        """Whether the run has reached its end."""
        return self._ended

    def feed(self, record: EventLogEntry) -> list[RunEvent]:
        """The events that this record brings about, in order; the log must be fed in order and from its start."""
        event = record.dagster_event
        if event is None or self._ended:
            return []
        self._assets.moment = record.timestamp
        handle = self.HANDLERS.get(event.event_type_value)
        events = handle(self, record, event) if handle else []
        is_engine = event.event_type_value == DagsterEventType.ENGINE_EVENT.value and record.step_key is None
        self._engine_said = event.message if is_engine else None
        return [signed(built) for built in events]

    # The run

    def _run_started(self, record: EventLogEntry, _event: Any) -> list[RunEvent]:
        return [self._run_event(RunState.START, record)]

    def _run_succeeded(self, record: EventLogEntry, _event: Any) -> list[RunEvent]:
        return self._end(record, RunState.COMPLETE, RunState.ABORT, {})

    def _run_failed(self, record: EventLogEntry, event: Any) -> list[RunEvent]:
        error = _error_of_run(event.event_specific_data)
        # A worker that died leaves no error; the engine's words just before are the cause.
        words = [event.message or "The run failed."] + ([self._engine_said] if self._engine_said else [])
        return self._end(record, RunState.FAIL, RunState.FAIL, facets.error_message(error, "\n".join(words)))

    def _run_suspended(self, record: EventLogEntry, _event: Any) -> list[RunEvent]:
        return [self._run_event(RunState.OTHER, record)]

    def _run_resumed(self, record: EventLogEntry, _event: Any) -> list[RunEvent]:
        return [self._run_event(RunState.RUNNING, record)]

    def _run_canceling(self, _record: EventLogEntry, _event: Any) -> list[RunEvent]:
        self._canceling = True
        return []

    def _run_canceled(self, record: EventLogEntry, _event: Any) -> list[RunEvent]:
        return self._end(record, RunState.ABORT, RunState.ABORT, {})

    def _end(
        self, record: EventLogEntry, state: RunState, open_steps: RunState, said: dict[str, RunFacet]
    ) -> list[RunEvent]:
        self._ended = True
        closed = [
            self._close(record, key, open_steps, said)
            for key, step in self._steps.items()
            if step.attempt is not None
        ]
        return [*closed, *self._extracted(record), self._run_event(state, record, said)]

    def _extracted(self, record: EventLogEntry) -> list[RunEvent]:
        """What the user's own reading of the run adds to steps that have run, each in an event of its own."""
        if self._extract is None:
            return []
        told: list[RunEvent] = []
        for name, stated in self._extract(record).items():
            for key, step in self._steps.items():
                if stated and step.started and name in (key, node_path(key), self._run.op_name(key)):
                    attempt, lineage = Attempt(step.started), stated_lineage(stated)
                    told.append(
                        self._step_event(RunState.OTHER, record, key, attempt=attempt, lineage=lineage)
                    )
        return told

    # Its steps

    def _step_started(self, record: EventLogEntry, _event: Any) -> list[RunEvent]:
        key, step = self._step(record)
        again = [self._close(record, key, RunState.FAIL, {})] if step.attempt is not None else []
        attempt = step.open()
        return [
            *again,
            self._step_event(RunState.START, record, key, attempt=attempt, lineage=self._plan(key, step)),
        ]

    def _step_succeeded(self, record: EventLogEntry, _event: Any) -> list[RunEvent]:
        key, step = self._step(record)
        return [*self._opened(record, key, step), self._close(record, key, RunState.COMPLETE, {})]

    def _step_failed(self, record: EventLogEntry, event: Any) -> list[RunEvent]:
        key, step = self._step(record)
        error = getattr(event.event_specific_data, "error", None)
        interrupted = self._canceling and error is not None and error.cls_name == INTERRUPTED
        said = facets.error_message(error, event.message or "The step failed.")
        state, said = (RunState.ABORT, {}) if interrupted else (RunState.FAIL, said)
        return [*self._opened(record, key, step), self._close(record, key, state, said)]

    def _opened(self, record: EventLogEntry, key: str, step: _Step) -> list[RunEvent]:
        """A step may end without a start: its resources failed under the multiprocess executor."""
        if step.attempt is not None:
            return []
        lineage = self._plan(key, step)
        return [self._step_event(RunState.START, record, key, attempt=step.open(), lineage=lineage)]

    def _close(self, record: EventLogEntry, key: str, state: RunState, said: dict[str, RunFacet]) -> RunEvent:
        step = self._steps[key]
        attempt, step.attempt = step.attempt, None
        assert attempt is not None
        lineage = attempt_lineage(attempt, self._assets, self._describe, self._run.stated(key))
        if state is not RunState.COMPLETE:
            self._add_plan(lineage, self._plan(key, step))
        return self._step_event(state, record, key, attempt=attempt, lineage=lineage, said=said)

    @staticmethod
    def _add_plan(lineage: StepLineage, plan: StepLineage) -> None:
        for read in plan.inputs.values():
            lineage.read(read)
        for written in plan.outputs.values():
            lineage.wrote(written)

    def _plan(self, key: str, step: _Step) -> StepLineage:
        return planned_lineage(step.planned, self._assets, self._run.stated(key))

    # What they say

    def _planned(self, record: EventLogEntry, event: Any) -> list[RunEvent]:
        key = event.asset_key
        if record.step_key is not None and key is not None and key not in self._run.details.observed:
            self._step(record)[1].planned[key] = None
        return []

    def _materialized(self, record: EventLogEntry, event: Any) -> list[RunEvent]:
        materialization = event.step_materialization_data.materialization
        key = materialization.asset_key
        if record.step_key is not None:
            self._assets.materialized(key, plain(materialization.metadata))
            self._step(record)[1].current().materializations.setdefault(key, []).append(materialization)
        return []

    def _observed(self, record: EventLogEntry, event: Any) -> list[RunEvent]:
        observation = event.asset_observation_data.asset_observation
        if record.step_key is not None:
            self._step(record)[1].current().observations[observation.asset_key] = observation
        return []

    def _checked(self, record: EventLogEntry, event: Any) -> list[RunEvent]:
        check = event.asset_check_evaluation_data
        if record.step_key is not None:
            self._step(record)[1].current().checks.setdefault(check.asset_key, []).append(check)
        return []

    def _expected(self, record: EventLogEntry, event: Any) -> list[RunEvent]:
        if record.step_key is not None:
            result = event.event_specific_data.expectation_result
            self._step(record)[1].current().expectations.append(result)
        return []

    def _recorded(self, record: EventLogEntry, event: Any) -> list[RunEvent]:
        value = getattr(event.event_specific_data, "metadata", {}).get(RECORDING_KEY)
        if value is not None and record.step_key is not None:
            try:
                recording = Recording.from_json(value.value)
            except (AttributeError, KeyError, TypeError, ValueError):
                log.warning("What run %s recorded in %s cannot be read", self._run.run_id, record.step_key)
            else:
                self._step(record)[1].current().recordings.append(recording)
        return []

    def _handled_output(self, record: EventLogEntry, event: Any) -> list[RunEvent]:
        if record.step_key is not None and (dataset := path_dataset(event.event_specific_data.metadata)):
            self._step(record)[1].current().paths.append(Stated(outputs=(dataset,)))
        return []

    def _loaded_input(self, record: EventLogEntry, event: Any) -> list[RunEvent]:
        if record.step_key is not None and (dataset := path_dataset(event.event_specific_data.metadata)):
            self._step(record)[1].current().paths.append(Stated(inputs=(dataset,)))
        return []

    # From the parts to an event

    def _step(self, record: EventLogEntry) -> tuple[str, _Step]:
        key = record.step_key or ""
        return key, self._steps.setdefault(key, _Step())

    def _run_event(
        self, state: RunState, record: EventLogEntry, said: dict[str, RunFacet] | None = None
    ) -> RunEvent:
        run = self._run
        return RunEvent(
            eventType=state,
            eventTime=event_time(record.timestamp),
            run=Run(run.run_id, {**self._shared, **facets.run_tags(run), **(said or {})}),
            job=Job(run.namespace, run.job, facets.job_facets(run)),
        )

    def _step_event(
        self,
        state: RunState,
        record: EventLogEntry,
        key: str,
        *,
        attempt: Attempt,
        lineage: StepLineage,
        said: dict[str, RunFacet] | None = None,
    ) -> RunEvent:
        run = self._run
        run_facets = {
            **self._of_steps,
            **facets.step_facet(run, key, attempt.number),
            **job_dependencies(run, key, self._attempts),
            **lineage.run_facets,
            **(said or {}),
        }
        return RunEvent(
            eventType=state,
            eventTime=event_time(record.timestamp),
            run=Run(run.step_run_id(key, attempt.number), run_facets),
            job=Job(run.namespace, run.step_job(key), {**self._step_job(key), **lineage.job_facets}),
            inputs=list(lineage.inputs.values()),
            outputs=list(lineage.outputs.values()),
        )

    def _step_job(self, key: str) -> dict[str, JobFacet]:
        path = node_path(key)
        if path not in self._step_jobs:
            self._step_jobs[path] = facets.step_job_facets(self._run, path)
        return self._step_jobs[path]

    def _attempts(self, key: str) -> int:
        step = self._steps.get(key)
        return step.started if step is not None else 0

    HANDLERS: ClassVar[dict[str, _Handler]] = {
        "PIPELINE_START": _run_started,
        "PIPELINE_SUCCESS": _run_succeeded,
        "PIPELINE_FAILURE": _run_failed,
        "PIPELINE_CANCELING": _run_canceling,
        "PIPELINE_CANCELED": _run_canceled,
        "RUN_SUSPENDED": _run_suspended,
        "RUN_RESUMED": _run_resumed,
        "STEP_START": _step_started,
        "STEP_RESTARTED": _step_started,
        "STEP_SUCCESS": _step_succeeded,
        "STEP_FAILURE": _step_failed,
        "STEP_UP_FOR_RETRY": _step_failed,
        "ASSET_MATERIALIZATION_PLANNED": _planned,
        "ASSET_MATERIALIZATION": _materialized,
        "ASSET_OBSERVATION": _observed,
        "ASSET_CHECK_EVALUATION": _checked,
        "STEP_EXPECTATION_RESULT": _expected,
        "ENGINE_EVENT": _recorded,
        "HANDLED_OUTPUT": _handled_output,
        "LOADED_INPUT": _loaded_input,
    }
    """What each type of record brings about, by Dagster's stored name of it; every other type says nothing of lineage."""


PATH_TYPES = frozenset({DagsterEventType.HANDLED_OUTPUT, DagsterEventType.LOADED_INPUT})
"""Record types that say something only where paths count as lineage."""

EVENT_TYPES = frozenset(each for each in DagsterEventType if each.value in RunFold.HANDLERS) - PATH_TYPES
"""The record types to ask the storage for; an older Dagster lacks some that a newer one has."""


def _error_of_run(failure: Any) -> Any:
    """What a run failed of: its own error, else (before Dagster 1.13) that of the first step that failed."""
    error = getattr(failure, "error", None)
    step = getattr(getattr(failure, "first_step_failure_event", None), "event_specific_data", None)
    return error if error is not None else getattr(step, "error", None)


def fold(
    run: RunIdentity,
    records: Iterable[EventLogEntry],
    assets: RunAssets | None = None,
    *,
    describe: Describe = describe,
) -> list[RunEvent]:
    """All events of a run whose log is at hand."""
    folded = RunFold(run, assets, describe=describe)
    return [event for record in records for event in folded.feed(record)]
