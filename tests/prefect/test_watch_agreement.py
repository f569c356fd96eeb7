"""The watcher, the back-fill and the collector say the same about real runs, and together no more than the collector alone."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from bridge_tests.event_files import read_events

from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.aspects import holdings
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge_prefect.watch.api import Api
from openlineage_bridge_prefect.watch.connection import connection
from openlineage_bridge_prefect.watch.cursor import Cursor
from openlineage_bridge_prefect.watch.directory import Directory
from openlineage_bridge_prefect.watch.reading import Reader
from openlineage_bridge_prefect.watch.watcher import Watcher

pytestmark = pytest.mark.system

TERMINAL = {"COMPLETE", "FAIL", "ABORT"}

# A process in which every import of Prefect fails.
WITHOUT_PREFECT = """
import sys
sys.modules["prefect"] = None
from openlineage_bridge_prefect.commands import prefect
prefect()
"""
ONLY_THE_PROCESS_KNOWS = {
    "job": {"documentation", "sourceCodeLocation"},
    "run": {"errorMessage", "prefect_execution"},
}
SECONDS = 40.0


@pytest.fixture(scope="module")
def before():
    """A moment before the runs of this module."""
    return datetime.now(UTC) - timedelta(seconds=1)


@pytest.fixture(scope="module")
def collected(before, run_script) -> list[dict[str, Any]]:
    """What the collector said about the scenario."""
    outcome = run_script("watched.py")
    assert outcome.returncode == 0, outcome.stderr
    return outcome.events


@pytest.fixture(scope="module")
def command(prefect_server, environment_of):
    """The command line and the environment of ``openlineage-bridge prefect …`` that reports to ``home/events.jsonl``."""

    def make(home, *arguments: str) -> tuple[list[str], dict[str, str]]:
        env = environment_of(home, home / "events.jsonl", PREFECT_API_URL=prefect_server.api)
        state = ("--state", str(home / "state.json"))
        return [sys.executable, "-c", WITHOUT_PREFECT, *arguments, *state], env

    return make


@pytest.fixture(scope="module")
def watched(collected, before, command, process, wait_until, tmp_path_factory) -> list[dict[str, Any]]:
    """What the watcher said about the same runs, in a process that cannot import Prefect, until it was asked to end."""
    home = tmp_path_factory.mktemp("watcher")
    line, env = command(home, "watch", "--every", "0.3", "--since", before.strftime("%Y-%m-%dT%H:%M:%S"))
    with process(*line, log=home / "log", env=env) as running:
        caught_up = lambda: _ended(collected) <= _ended(_events(home))
        wait_until(lambda: caught_up() or running.poll() is not None, SECONDS, "the watcher to catch up")
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0, (home / "log").read_text()
    return _about(_events(home), collected)


@pytest.fixture(scope="module")
def backfilled(watched, collected, before, command, process, tmp_path_factory) -> list[dict[str, Any]]:
    """What the back-fill said about the same runs, in a process that cannot import Prefect."""
    home = tmp_path_factory.mktemp("backfill")
    line, env = command(home, "backfill", "--since", before.strftime("%Y-%m-%dT%H:%M:%S"))
    with process(*line, log=home / "log", env=env) as running:
        assert running.wait(SECONDS) == 0, (home / "log").read_text()
    return _about(_events(home), collected)


@pytest.fixture(scope="module")
def export(plain):
    """Everything a new bridge would deliver after these events: (URN, aspect, moment) → value."""

    def made(events: Iterable[dict[str, Any]]) -> dict[tuple[str, str, int | None], Any]:
        with closing(Store(MEMORY)) as store:
            with store.transaction():
                bodies = (json.dumps(event).encode() for event in events)
                store.inbox.put(map(inspect, bodies), receiver="test", now=1)
            Pipeline(store, plain.PlainTranslator()).drain()
            held = list(holdings(store.connection))
        return {(each.urn, each.aspect_name, each.timestamp_ms): json.loads(each.body) for each in held}

    return made


def _events(home) -> list[dict[str, Any]]:
    return read_events(home / "events.jsonl")


def _ended(events) -> set[str]:
    return {event["run"]["runId"] for event in events if event["eventType"] in TERMINAL}


def _about(events, others) -> list[dict[str, Any]]:
    """Those about the runs of the others: the server also has those of other tests."""
    runs = {event["run"]["runId"] for event in others}
    return [event for event in events if event["run"]["runId"] in runs]


def _key(event) -> tuple[str, str, str, str]:
    return event["run"]["runId"], event["eventType"], event["eventTime"], event["job"]["name"]


def _visible(export) -> dict:
    """An export without what only the process knows."""
    return {key: _without(key[0].partition(":")[0], value) for key, value in export.items()}


def _without(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    if "facets" not in value:
        return value
    facets = {
        key: facet
        for key, facet in value["facets"].items()
        if key not in ONLY_THE_PROCESS_KNOWS.get(kind, ())
    }
    if "prefect_taskRun" in facets:
        facets.pop("executionParameters", None)
    return {**value, "facets": facets}


@pytest.mark.parametrize("source", ["watched", "backfilled"])
def test_the_same_events(source, collected, request) -> None:
    """Run, type, time and job of every event are the collector's; what comes on top are asides."""
    outside = {_key(event) for event in request.getfixturevalue(source)}
    inside = {_key(event) for event in collected}
    more = {(event_type, name) for _, event_type, _, name in outside - inside}

    assert set() == inside - outside
    assert {("OTHER", job) for job in ("watched", "watched child", "watched strict", "watched.fails")} == more


@pytest.mark.parametrize("source", ["watched", "backfilled"])
def test_the_bridge_learns_the_same_from_outside(source, collected, export, request) -> None:
    """The export after the watcher alone, or the back-fill alone, is the collector's in all that Prefect records."""
    expected, actual = export(collected), export(request.getfixturevalue(source))

    assert _visible(expected) == _visible(actual)
    assert {key for key, value in expected.items() if "errorMessage" in value.get("facets", ())} == {
        key for key, value in actual.items() if "errorMessage" in value.get("facets", ())
    }


@pytest.mark.parametrize("source", ["watched", "backfilled"])
def test_beside_the_collector_nothing_changes(source, collected, export, request) -> None:
    """With both, the export is the collector's to the byte: tracebacks and parameters of the process stand."""
    outside = request.getfixturevalue(source)
    expected = export(collected)

    assert expected == export([*collected, *outside])
    assert expected == export([*outside, *collected])


def test_the_message_of_a_failure_is_told_without_its_password(watched) -> None:
    """The state's message is all that Prefect records; it is redacted like the collector's."""
    text = json.dumps(watched)

    assert (
        "Task run encountered an exception ValueError: cannot connect to postgres://ann:***@db.acme.io/shop"
        in text
    )
    assert "hunter2" not in text
    assert "t0p" not in text


def test_a_second_back_fill_says_the_same(backfilled, collected, before, command, process, tmp_path) -> None:
    """Safe to repeat: the same events, to the byte."""
    line, env = command(tmp_path, "backfill", "--since", before.strftime("%Y-%m-%dT%H:%M:%S"))
    with process(*line, log=tmp_path / "log", env=env) as running:
        assert running.wait(SECONDS) == 0
    again = _about(_events(tmp_path), collected)

    assert sorted(map(_key, backfilled)) == sorted(map(_key, again))
    assert all(event in again for event in backfilled)


def test_a_killed_process_is_closed(prefect_server, environment_of, process, wait_until, tmp_path) -> None:
    """Its flow run and the task run in it are ABORTed at their last sign of life, with the reason; a later state stands."""
    pid_file, now = tmp_path / "pid", [datetime.now(UTC)]
    start, said = now[0] - timedelta(seconds=1), []
    api = Api(connection(prefect_server.api, {}))
    cursor = Cursor(start, start)
    watcher = Watcher(
        api,
        cursor,
        Reader(Directory(api), api.connection, None),
        lambda _: None,
        send=said.append,
        clock=lambda: now[0],
        settle=timedelta(0),
    )
    script = (sys.executable, str(_script("watched.py")), str(pid_file))
    env = environment_of(tmp_path, PREFECT_API_URL=prefect_server.api)
    with process(*script, log=tmp_path / "log", env=env):
        wait_until(pid_file.exists, SECONDS, "the task to run")
        wait_until(lambda: _beats(watcher, cursor, said, now), SECONDS, "a heartbeat and the task's start")
        os.kill(int(pid_file.read_text()), signal.SIGKILL)

    watcher.turn()
    assert "ABORT" not in _types(said)
    flow_run_id = _hanging_run(said)
    sign = cursor.signs[flow_run_id].time
    now[0] += timedelta(hours=1)
    watcher.turn()
    aborts = {event.job.name: event for event in _hanging(said) if event.eventType.value == "ABORT"}

    assert {"watched hanging", "watched hanging.hangs"} == set(aborts)
    assert sign.isoformat() == aborts["watched hanging"].eventTime
    assert "No heartbeat since" in aborts["watched hanging"].run.facets["errorMessage"].message
    assert (
        "process of its flow run is gone"
        in aborts["watched hanging.hangs"].run.facets["errorMessage"].message
    )

    api.post(
        f"/flow_runs/{flow_run_id}/set_state",
        {"state": {"type": "CRASHED", "message": "gone"}, "force": True},
    )
    wait_until(lambda: _said(watcher, said, "FAIL", now), SECONDS, "the state that was set")
    *_, aside, fail = _hanging(said)
    assert ("OTHER", "gone") == (aside.eventType.value, aside.run.facets["errorMessage"].message)
    assert fail.eventTime > aborts["watched hanging"].eventTime


def _script(name: str):
    from pathlib import Path

    return Path(__file__).parent / "scripts" / name


def _beats(watcher, cursor, said, now) -> bool:
    now[0] = datetime.now(UTC)
    watcher.turn()
    sign = cursor.signs.get(_hanging_run(said))
    return sign is not None and sign.beats and _types(said).count("START") == 2


def _hanging_run(said) -> UUID | None:
    """The flow run that is killed."""
    found = (event.run.runId for event in _hanging(said) if event.job.name == "watched hanging")
    run_id = next(found, None)
    return UUID(run_id) if run_id else None


def _said(watcher, said, event_type, now) -> bool:
    now[0] = datetime.now(UTC) + timedelta(hours=2)
    watcher.turn()
    return _types(said)[-1] == event_type


def _hanging(said) -> list[Any]:
    """The events about the flow that is killed; the server also has the runs of other tests."""
    return [event for event in said if event.job.name.startswith("watched hanging")]


def _types(said) -> list[str]:
    return [event.eventType.value for event in _hanging(said)]
