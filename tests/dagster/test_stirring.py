"""Of many runs that share one table, those that say nothing are left alone, and heard as soon as they speak."""

from __future__ import annotations

import pytest
from bridge_tests.dagster_jobs import single
from dagster import DagsterEvent, DagsterEventType, DagsterInstance
from dagster._core.instance import InstanceRef

from openlineage_bridge_dagster.reading import Reader
from openlineage_bridge_dagster.stirring import Stirring
from openlineage_bridge_dagster.tail import FEW, LOOK_BACK, Tail


@pytest.fixture
def shared(tmp_path):
    """An instance that keeps the records of all runs in one table, as on PostgreSQL."""
    storage = {"module": "dagster._core.storage.event_log", "class": "ConsolidatedSqliteEventLogStorage"}
    overrides = {"event_log_storage": {**storage, "config": {"base_dir": str(tmp_path)}}}
    with DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path), overrides=overrides)) as instance:
        yield instance


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def started(instance):
    """A run that is under way; its id."""
    run = instance.create_run_for_job(single)
    event = DagsterEvent(event_type_value=DagsterEventType.RUN_START.value, job_name="single")
    instance.report_dagster_event(event, run_id=run.run_id)
    return run.run_id


def test_runs_that_said_something_lately(shared, clock):
    """Nobody knows before somebody has looked so long ago; then what came since, and no more than that."""
    stirring = Stirring(45.0, clock=clock)

    def look(now):
        clock.now = now
        return stirring.runs(shared.event_log_storage)

    started(shared)
    assert look(0.0) is None
    first = started(shared)
    assert look(30.0) is None
    second = started(shared)

    assert {first, second} == look(50.0)
    assert {second} == look(80.0)
    assert set() == look(100.0)


def test_storages_that_cannot_tell(instance, shared, clock, monkeypatch):
    """A file for each run, Dagster+, and a database that is away: every run is asked."""
    stirring = Stirring(0.0, clock=clock)

    assert stirring.runs(instance.event_log_storage) is None
    assert stirring.runs(object()) is None
    assert set() == stirring.runs(shared.event_log_storage)
    monkeypatch.setattr(type(shared.event_log_storage), "get_maximum_record_id", None)
    assert stirring.runs(shared.event_log_storage) is None


@pytest.fixture
def turn(shared, backend, clock, monkeypatch):
    """Takes a turn at a moment; which runs were asked."""
    asked, page = set(), Reader.page

    def noting(self, run_id, position):
        asked.add(run_id)
        return page(self, run_id, position)

    monkeypatch.setattr(Reader, "page", noting)
    tail = Tail(backend)
    tail._stirring.clock = clock
    cursor = tail.begin(shared, 0.0)

    def take(now):
        asked.clear()
        clock.now = now
        tail.advance(shared, cursor, budget=10.0)
        return set(asked)

    take.tail = tail
    return take


def test_silent_runs_are_not_asked_and_heard_when_they_speak(shared, backend, turn):
    """As soon as one look at the log can tell them apart."""
    runs = {started(shared) for _ in range(FEW + 1)}

    assert runs == turn(0.0)
    assert set() == turn(LOOK_BACK + 1)
    speaker = min(runs)
    shared.report_engine_event("still at it", shared.get_run_by_id(speaker))
    assert {speaker} == turn(LOOK_BACK + 2)
    assert runs == {event.run.runId for event in backend.events}


def test_a_silent_run_is_asked_now_and_then(shared, turn):
    """A record may be seen long after it was numbered; and one that could not be read to the end is asked at once."""
    overdue, unfinished, *_ = runs = [started(shared) for _ in range(FEW + 1)]
    assert set(runs) == turn(0.0)
    folds = turn.tail._folds
    folds[overdue].asked = folds[overdue].spoke = folds[overdue].asked - LOOK_BACK
    folds[unfinished].caught_up = False

    assert {overdue, unfinished} == turn(LOOK_BACK + 1)


def test_few_runs_are_simply_asked(shared, turn):
    """A look at the log would cost more."""
    runs = {started(shared) for _ in range(FEW)}

    assert [runs, runs] == [turn(0.0), turn(LOOK_BACK + 1)]
