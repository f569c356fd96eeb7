"""The watcher against a stub of Prefect's API: nothing is lost, nothing is said twice, the dead are closed."""

from __future__ import annotations

import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from bridge_tests.prefect_api import (
    FLOW_RUN,
    NOON,
    TASK_RUN,
    Backend,
    at,
    beat,
    event,
    flow_run,
    listening,
    state,
    task_run,
)

from openlineage_bridge_prefect.attempts import run_id
from openlineage_bridge_prefect.watch.api import Api, ApiError
from openlineage_bridge_prefect.watch.backfill import Backfill, mark_for
from openlineage_bridge_prefect.watch.connection import Connection
from openlineage_bridge_prefect.watch.cursor import Cursor
from openlineage_bridge_prefect.watch.delivery import DeliveryError
from openlineage_bridge_prefect.watch.directory import Directory
from openlineage_bridge_prefect.watch.reading import Reader
from openlineage_bridge_prefect.watch.watcher import Watcher, cursor_at, keep_in, watch


@pytest.fixture
def prefect():
    """A stub of Prefect's API that listens."""
    with listening() as stub:
        yield stub


@pytest.fixture
def make(prefect):
    """A watcher with a clock that stands still, a backend, and its cursor."""

    def made(
        cursor: Cursor | None = None, *, now: float = 100.0, keep=lambda _: None
    ) -> tuple[Watcher, Backend, Cursor]:
        api, backend = Api(Connection(prefect.url)), Backend()
        cursor = cursor or Cursor(NOON, NOON)
        reader = Reader(Directory(api), api.connection, "3.8.8", cursor.born)
        clock = lambda: NOON + timedelta(seconds=now)
        return Watcher(api, cursor, reader, keep, send=backend.send, clock=clock), backend, cursor

    return made


LIFE = [
    event("flow-run", "PENDING", "RUNNING", 0),
    event("task-run", "PENDING", "RUNNING", 1),
    event("task-run", "RUNNING", "COMPLETED", 2),
    event("flow-run", "RUNNING", "COMPLETED", 3),
]
SAID = [("f", "START"), ("f.t", "START"), ("f.t", "COMPLETE"), ("f", "COMPLETE")]


def test_every_event_is_told_once(prefect, make) -> None:
    """Over pages whose links lead nowhere, and over turns that ask again for the same time."""
    prefect.events = list(LIFE)
    watcher, backend, _ = make()
    for _ in range(3):
        watcher.turn()

    assert SAID == backend.types()
    assert [at(seconds) for seconds in range(4)] == [each.eventTime for each in backend.said]
    assert backend.said[1].run.facets["parent"].run.runId == FLOW_RUN


def test_a_late_event_is_told(prefect, make) -> None:
    """Tasks send their own events: one that was before those already dealt with is not missed."""
    prefect.events = [LIFE[0], *LIFE[2:]]
    watcher, backend, _ = make()
    watcher.turn()
    prefect.events.append(LIFE[1])
    watcher.turn()

    assert sorted(SAID) == sorted(backend.types())


def test_an_event_that_is_too_young_waits(prefect, make) -> None:
    """What belongs to it may be on its way."""
    prefect.events = list(LIFE)
    watcher, backend, _ = make(now=3.5)
    watcher.turn()

    assert SAID[:2] == backend.types()


def test_nothing_is_lost_when_the_backend_fails(prefect, make, tmp_path) -> None:
    """The cursor moves behind the acknowledgement: a new watcher goes on with the event that failed."""
    prefect.events = list(LIFE)
    path = tmp_path / "state.json"
    watcher, backend, _ = make(cursor_at(path, NOON), keep=keep_in(path))
    real, count = backend.send, iter(range(100))

    def send(event):
        if next(count) == 2:
            raise ConnectionError("away")
        real(event)

    watcher._send = send
    with pytest.raises(DeliveryError, match="away"):
        watcher.turn()
    second, more, _ = make(cursor_at(path, NOON), keep=keep_in(path))
    second.turn()

    assert SAID[:2] == backend.types()
    assert SAID[2:] == more.types()


def test_an_event_that_is_refused_does_not_stop_the_others(prefect, make) -> None:
    """A receiver that understood and refuses will go on refusing."""
    prefect.events = list(LIFE)
    watcher, backend, _ = make()
    refusal = RuntimeError("400")
    refusal.response = SimpleNamespace(status_code=400)
    backend.fails.append(refusal)
    watcher.turn()

    assert SAID[1:] == backend.types()
    assert (1, 3) == (watcher.tally.refused, watcher.tally.delivered)


def test_an_event_that_cannot_be_read_is_left_out(prefect, make, caplog) -> None:
    """One of a version to come, say."""
    prefect.events = [*LIFE, {**beat(1), "resource": {}}]
    watcher, backend, _ = make()
    watcher.turn()

    assert SAID == backend.types()
    assert watcher.tally.unreadable == 1


def test_a_silent_run_is_closed_and_a_later_state_stands(prefect, make) -> None:
    """ABORT at the last sign of life, with the reason; the end that comes all the same takes the error back."""
    prefect.events = [LIFE[0], LIFE[1], beat(1.5)]
    prefect.flow_runs = [flow_run(state_type="RUNNING", state_name="Running", state=state("RUNNING", 0))]
    prefect.task_runs = [task_run(state=state("RUNNING", 1), state_name="Running")]
    cursor = Cursor(NOON, NOON)
    alive, early, _ = make(cursor, now=500)
    alive.turn()
    dead, backend, _ = make(cursor, now=600)
    dead.turn()
    dead.turn()

    assert SAID[:2] == early.types()
    assert [("f.t", "ABORT"), ("f", "ABORT")] == backend.types()
    assert {at(1.5)} == {each.eventTime for each in backend.said}
    assert (
        "No heartbeat since 2026-01-01T12:00:01+00:00" in backend.said[1].run.facets["errorMessage"].message
    )

    prefect.events += [LIFE[2], event("task-run", "RUNNING", "COMPLETED", 1.2), LIFE[3]]
    prefect.events.remove(LIFE[2])
    backend.said.clear()
    dead.turn()
    told = [(each.job.name, each.eventType.value, each.eventTime) for each in backend.said]

    # The task had ended before the ABORT in its place: said as it was, and again after that.
    after = NOON + timedelta(seconds=1.5, microseconds=2)
    assert ("f.t", "COMPLETE", at(1.2)) in told
    assert ("f.t", "COMPLETE", after.isoformat()) in told
    assert ("f", "COMPLETE", at(3)) in told
    assert all(
        each.run.facets["errorMessage"]._deleted for each in backend.said if each.eventType.value == "OTHER"
    )


def test_a_run_without_heartbeats_is_never_taken_for_dead(prefect, make) -> None:
    """Before Prefect 3.6.22 there are none by default."""
    prefect.events = [LIFE[0]]
    prefect.flow_runs = [flow_run(state_type="RUNNING", state_name="Running", state=state("RUNNING", 0))]
    watcher, backend, _ = make(now=1e6)
    watcher.turn()

    assert SAID[:1] == backend.types()


def test_tasks_that_a_crash_left_behind_are_closed(prefect, make) -> None:
    """A minute after their flow run ended, at its end; once."""
    crash = event("flow-run", "RUNNING", "CRASHED", 3)
    prefect.events = [*LIFE[:2], crash]
    prefect.task_runs = [task_run(state=state("RUNNING", 1), state_name="Running")]
    cursor = Cursor(NOON, NOON)
    for now in (30, 62, 64, 1000):
        watcher, backend, _ = make(cursor, now=now)
        watcher.turn()
        if now == 64:
            (closing,) = backend.said

    assert ("f.t", "ABORT", at(3)) == (closing.job.name, closing.eventType.value, closing.eventTime)
    assert "its flow run ended (CRASHED) before it" in closing.run.facets["errorMessage"].message
    assert [] == backend.said


ALONE = {"name": "t", "dynamic_key": "t-1af-5e9f", "task_key": "t-1af"}


def _alone(told: dict[str, Any]) -> dict[str, Any]:
    """An event about a task outside of every flow, which Prefect relates to the flow that its process ran before."""
    resource = {**told["resource"], "prefect.resource.name": "t"}
    return {**told, "resource": resource, "payload": {**told["payload"], "task_run": task_run(**ALONE)}}


def test_a_task_outside_of_flows_does_not_end_with_one(prefect, make) -> None:
    """It is a job of its own, without a parent, and goes on when the flow that ran before it crashes."""
    waits, begins = (
        event("task-run", None, "PENDING", 1, run_count=0),
        event("task-run", "PENDING", "RUNNING", 2),
    )
    prefect.events = [LIFE[0], _alone(waits), _alone(begins), event("flow-run", "RUNNING", "CRASHED", 5)]
    prefect.task_runs = [task_run(**ALONE, state=state("RUNNING", 1))]
    watcher, backend, _ = make(now=1000)
    for _ in range(2):
        watcher.turn()

    assert ("t", "START") in backend.types()
    assert {"START"} == {event_type for job, event_type in backend.types() if job == "t"}
    assert all("parent" not in each.run.facets for each in backend.said if each.job.name == "t")


def test_what_was_put_off_belongs_where_it_runs(prefect, make) -> None:
    """Prefect relates the wait for a task worker to a flow that has nothing to do with it, or to none."""
    waits = event("task-run", None, "SCHEDULED", 1, run_count=0)
    taken = event("task-run", "SCHEDULED", "PENDING", 2, run_count=0) | {"related": []}
    prefect.events = [waits, taken, event("task-run", "PENDING", "RUNNING", 3) | {"related": []}]
    prefect.task_runs = [task_run(flow_run_id=None)]
    watcher, backend, _ = make()
    watcher.turn()

    assert [("t", "START")] == backend.types()


@pytest.mark.parametrize(
    ("since", "attempt"),
    [
        pytest.param((), 0, id="a task in the background"),
        pytest.param(
            (state("SCHEDULED", 2), state("RUNNING", 2.5)), 1, id="it runs again, which is told late"
        ),
    ],
)
def test_what_begins_when_its_flow_has_ended(prefect, make, since, attempt) -> None:
    """Its parent is the attempt that is there: the one that ended, or the one that the states tell of before its events do."""
    ended = [event("flow-run", "PENDING", "RUNNING", 0), event("flow-run", "RUNNING", "FAILED", 1)]
    prefect.events = [*ended, event("task-run", "PENDING", "RUNNING", 3)]
    prefect.states = [state("RUNNING", 0), state("FAILED", 1), *since]
    watcher, backend, _ = make()
    watcher.turn()

    (start,) = (each for each in backend.said if each.job.name == "f.t")
    assert str(run_id(UUID(FLOW_RUN), attempt)) == start.run.facets["parent"].run.runId


def test_assets_that_come_after_the_end_are_told(prefect, make) -> None:
    """The end again, at its time, with what it read and wrote."""
    prefect.events = list(LIFE)
    watcher, backend, _ = make()
    watcher.turn()
    backend.said.clear()
    prefect.task_runs = [task_run(state=state("COMPLETED", 2), start_time=at(1))]
    related = [{"prefect.resource.id": f"prefect.task-run.{TASK_RUN}", "prefect.resource.role": "task-run"}]
    made = "prefect.asset.materialization.succeeded"
    prefect.events.append(
        {**beat(2.1), "event": made, "resource": {"prefect.resource.id": "s3://b/x"}, "related": related}
    )
    watcher.turn()
    (again,) = backend.said

    assert ("f.t", "COMPLETE", at(2)) == (again.job.name, again.eventType.value, again.eventTime)
    assert [("s3://b", "x")] == [(output.namespace, output.name) for output in again.outputs]


def test_a_watcher_that_is_to_end_stops_in_between(prefect, make) -> None:
    """A long way to catch up does not hold up the end; the next one goes on."""
    prefect.events = [LIFE[0], *(beat(0.1 * number) for number in range(1, 60)), *LIFE[1:]]
    watcher, backend, cursor = make()
    watcher._stop = lambda: True
    watcher.turn()
    asked = len(prefect.asked)
    make(cursor)[0].turn()

    assert [] == backend.types()
    assert asked < len(prefect.asked) - asked


def test_the_loop_honours_what_the_api_asks_for(prefect, make) -> None:
    """429 with Retry-After: that long; then on as if nothing had been."""
    prefect.events = list(LIFE)
    prefect.answers.append((429, {"Retry-After": "70"}))
    watcher, backend, _ = make()
    waits: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0)
            if len(waits) == 2:
                self.set()
            return self.is_set()

    watch(watcher, 3.0, Stop())

    assert ([70.0, 3.0], SAID) == (waits, backend.types())


def test_the_loop_ends_when_the_api_does_not_know_us(prefect, make) -> None:
    """A wrong key does not get better by waiting."""
    prefect.answers.append((401, {}))
    watcher, _, _ = make()

    with pytest.raises(ApiError, match="401"):
        watch(watcher, 3.0, threading.Event())


def test_a_back_fill_goes_on_where_it_failed(prefect) -> None:
    """The window that failed is told again, the one before is not; a task that nobody ended is closed."""
    prefect.flow_runs = [flow_run(state=state("CRASHED", 3, "gone"), expected_start_time=at(0))]
    prefect.task_runs = [task_run(state=state("RUNNING", 1), start_time=at(1), state_name="Running")]
    api, backend, kept = Api(Connection(prefect.url)), Backend(), []
    until = NOON + timedelta(hours=3)

    def work(saved) -> Backfill:
        mark = mark_for(saved, NOON, None, until)
        reader = Reader(Directory(api), api.connection, None)
        return Backfill(
            api, reader, mark, lambda mark: kept.append(mark.to_json()), now=until, send=backend.send
        )

    backend.fails.append(ConnectionError("away"))
    with pytest.raises(DeliveryError):
        list(work(None).run())
    assert [] == kept
    again = work(None)
    assert 1 == again.count()
    assert [1] == list(again.run())

    assert [
        ("f", "START"),
        ("f", "OTHER"),
        ("f", "FAIL"),
        ("f.t", "START"),
        ("f.t", "ABORT"),
    ] == backend.types()
    assert until.isoformat() == kept[-1]["done"]
    assert "gone" == backend.said[1].run.facets["errorMessage"].message
