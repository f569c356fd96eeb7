"""The sensor on a real instance: nothing is lost, whatever fails, and what comes twice is the same to the byte."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from bridge_tests.dagster_jobs import EVENTS_OF_ADDING, adding
from dagster import (
    build_sensor_context,
)
from openlineage.client.serde import Serde

from openlineage_bridge_dagster import openlineage_sensor, sensor, tail
from openlineage_bridge_dagster.delivery import DeliveryError


def refusal(status):
    error = RuntimeError(f"HTTP {status}")
    error.response = type("Response", (), {"status_code": status})()
    return error


def test_without_a_backend_the_sensor_says_so_and_skips(instance, monkeypatch, tmp_path):
    """The client's own fallback would print every event."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    with build_sensor_context(instance=instance) as context:
        result = openlineage_sensor()(context)
        cursor = context.cursor

    assert "OPENLINEAGE_URL" in result.skip_message
    assert cursor is None


def test_runs_after_the_first_tick_are_delivered_once(instance, backend, tick):
    """History is left alone, finished runs are not told again, and a quiet tick delivers nothing."""
    adding.execute_in_process(instance=instance)
    [runs_db] = Path(instance.root_directory).rglob("runs.db")
    with sqlite3.connect(runs_db) as connection:
        connection.execute("UPDATE runs SET create_timestamp = datetime('now', '-2 minutes')")
    connection.close()
    tick()
    assert backend.events == []

    run_id = adding.execute_in_process(instance=instance).run_id
    tick()

    assert len(backend.events) == EVENTS_OF_ADDING
    assert run_id == backend.events[0].run.runId
    assert tick() == "0 events delivered, 0 runs open."
    tick.restart()
    assert tick() == "0 events delivered, 0 runs open."


@pytest.mark.parametrize("backfill", ["all", "2020-01-01"])
def test_history_is_delivered_when_asked_for(instance, backend, tick, backfill):
    for _ in range(3):
        adding.execute_in_process(instance=instance)
    tick.restart(backfill=backfill)

    tick()

    assert len(backend.events) == 3 * EVENTS_OF_ADDING


def test_a_backfill_that_is_no_time_is_refused():
    with pytest.raises(ValueError):
        openlineage_sensor(backfill="yesterday")


@pytest.mark.parametrize("fails_at", [0, 1, 3, 5])
def test_a_backend_that_fails_midway_loses_nothing(instance, backend, tick, fails_at):
    """What was acknowledged stays delivered; the tick fails only when nothing was; a restart changes nothing."""
    tick()
    adding.execute_in_process(instance=instance)
    backend.answers = [None] * fails_at + [ConnectionError("refused")]

    if fails_at == 0:
        with pytest.raises(DeliveryError, match="refused"):
            tick()
    else:
        assert f"{fails_at} events delivered, 1 runs open; stopped by ConnectionError" in tick()
    tick.restart()
    tick()

    assert EVENTS_OF_ADDING == len(backend.events) == len(set(backend.lines()))


def test_an_acknowledgement_that_is_lost_repeats_the_same_bytes(instance, backend, tick):
    """At least once: the consumer sees the very same event again."""
    tick()
    adding.execute_in_process(instance=instance)
    before = tick.cursor
    tick()
    first = backend.lines()
    tick.cursor = before
    tick.restart()

    tick()

    assert first + first == backend.lines()


def test_a_refused_event_gives_up_its_run_only(instance, backend, tick, monkeypatch):
    """After a bounded number of tries, said in the tick; other runs go on."""
    monkeypatch.setattr(tail, "MAX_FAILURES", 2)
    tick()
    bad = adding.execute_in_process(instance=instance).run_id
    good = adding.execute_in_process(instance=instance).run_id
    accept = backend.__class__.__call__

    def send(self, event):
        if bad in Serde.to_json(event):
            raise refusal(422)
        accept(self, event)

    monkeypatch.setattr(backend.__class__, "__call__", send)

    assert "it is tried again" in tick()
    assert "it is given up" in tick()
    assert tick() == "0 events delivered, 0 runs open."
    assert {good} == {event.run.runId for event in backend.events if event.job.name == "adding"}


@pytest.mark.parametrize("status", [401, 404, 429, 503])
def test_a_backend_that_refuses_everything_is_an_outage(instance, backend, tick, status):
    """It may be configured wrongly: nothing is given up."""
    tick()
    adding.execute_in_process(instance=instance)
    for _ in range(tail.MAX_FAILURES + 1):
        backend.answers = [refusal(status)]
        with pytest.raises(DeliveryError):
            tick()

    tick()

    assert len(backend.events) == EVENTS_OF_ADDING


def test_a_poisoned_record_gives_up_its_run_only(instance, backend, tick, monkeypatch):
    """A row that no Dagster can read any more stops neither the other runs nor the sensor."""
    monkeypatch.setattr(tail, "MAX_FAILURES", 1)
    tick()
    bad = adding.execute_in_process(instance=instance).run_id
    good = adding.execute_in_process(instance=instance).run_id
    [shard] = Path(instance.root_directory).rglob(f"{bad}.db")
    with sqlite3.connect(shard) as connection:
        connection.execute(
            "UPDATE event_logs SET event = '{\"broken\": 1}' WHERE dagster_event_type = 'STEP_SUCCESS'"
        )
    connection.close()

    message = tick()

    assert f"Run {bad} failed 1 time(s): it is given up" in message
    assert sum(good in line for line in backend.lines()) == EVENTS_OF_ADDING
    assert tick() == "0 events delivered, 0 runs open."


def test_a_run_is_followed_while_it_goes_on(instance, backend, tick):
    """Its start is told before its end is known; a code server that restarts in between changes nothing."""
    tick()
    run = instance.create_run_for_job(adding)
    _log_run_start(instance, run)

    assert tick() == "1 events delivered, 1 runs open."
    tick.restart()
    instance.report_run_failed(instance.get_run_by_id(run.run_id))
    assert tick() == "1 events delivered, 0 runs open."
    assert [event.eventType.value for event in backend.events] == ["START", "FAIL"]


def _log_run_start(instance, run):
    from dagster import DagsterEvent, DagsterEventType

    event = DagsterEvent(event_type_value=DagsterEventType.RUN_START.value, job_name=run.job_name)
    instance.report_dagster_event(event, run_id=run.run_id)


def test_a_tick_has_a_budget_and_always_makes_progress(instance, backend, tick, monkeypatch):
    """However small the budget, every tick handles a record at least, and all is delivered in the end."""
    monkeypatch.setattr(sensor, "BUDGET", 0.0)
    tick()
    adding.execute_in_process(instance=instance)

    ticks = 0
    while "0 runs open" not in tick() or not backend.events:
        ticks += 1
        assert ticks < 30

    assert ticks > 3
    assert EVENTS_OF_ADDING == len(backend.events) == len(set(backend.lines()))


def test_a_tick_that_finds_another_at_work_leaves(instance, backend):
    """Dagster gives up on a slow tick and starts the next beside it."""
    messages = []
    adding.execute_in_process(instance=instance)

    def send(_event):
        with build_sensor_context(instance=instance) as inner:
            messages.append(evaluated(inner).skip_message)

    evaluated = openlineage_sensor(send=send, backfill="all")
    with build_sensor_context(instance=instance) as context:
        evaluated(context)

    assert {"The previous tick is still at work."} == set(messages)
