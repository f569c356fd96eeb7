"""The watcher's pure parts: what an event means, what a run is called, what survives a restart, where the API is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openlineage_bridge_capture.statefile import StateFileError
from openlineage_bridge_prefect.transitions import TERMINAL
from openlineage_bridge_prefect.watch.api import LONGEST_WAIT, backoff, retry_after
from openlineage_bridge_prefect.watch.assets import AssetUses
from openlineage_bridge_prefect.watch.backfill import NARROWEST, WIDEST, mark_for, next_width
from openlineage_bridge_prefect.watch.connection import ConnectionSettingsError, connection, ui_of
from openlineage_bridge_prefect.watch.cursor import (
    BackfillMark,
    Cursor,
    Left,
    Sign,
    default_path,
    load,
    save,
)
from openlineage_bridge_prefect.watch.directory import function_name, parent_of, without_suffix
from openlineage_bridge_prefect.watch.transitions import (
    Heartbeat,
    Transition,
    flow_run_of,
    known_states,
    of_event,
    of_states,
)
from openlineage_bridge_prefect.watch.watcher import cursor_at

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUN = UUID("01a1fc84-ee77-707e-989c-24cb9e8df1e5")

times = st.integers(0, 10**15).map(lambda microseconds: NOON + timedelta(microseconds=microseconds))
state_types = st.sampled_from(["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING", *TERMINAL])


def _transition(before, type_, *, run_count=1, kind="FLOW") -> Transition:
    return Transition(RUN, kind, NOON, before, type_, None, None, run_count)


# (kind, before, type, run count) → the events; by hand, from what the engines do.
CYCLE = {
    ("FLOW", None, "SCHEDULED", 0): (),
    ("FLOW", "SCHEDULED", "PENDING", 0): (),
    ("FLOW", "PENDING", "RUNNING", 1): ("START",),
    ("FLOW", "SCHEDULED", "RUNNING", 1): ("START",),
    # The engine's own retry.
    ("FLOW", "RUNNING", "SCHEDULED", 1): ("OTHER",),
    ("FLOW", "SCHEDULED", "RUNNING", 2): ("RUNNING",),
    ("TASK", "RUNNING", "RUNNING", 2): ("RUNNING",),
    # A retry from the UI, and a resumption in a new process, begin with a new engine.
    ("FLOW", "FAILED", "SCHEDULED", 1): (),
    ("FLOW", "PENDING", "RUNNING", 2): ("START",),
    ("FLOW", "RUNNING", "PAUSED", 1): ("OTHER",),
    ("FLOW", "PAUSED", "RUNNING", 2): ("RUNNING",),
    # Ends.
    ("FLOW", "RUNNING", "COMPLETED", 1): ("COMPLETE",),
    ("FLOW", "CANCELLING", "CANCELLED", 1): ("ABORT",),
    ("FLOW", "PENDING", "CRASHED", 0): ("START", "FAIL"),
    ("TASK", "PENDING", "COMPLETED", 0): ("START", "COMPLETE"),
    ("TASK", "PENDING", "PENDING", 0): (),
    # After the end: a rollback says nothing, what somebody sets is the end.
    ("TASK", "COMPLETED", "COMPLETED", 1): (),
    ("FLOW", "CRASHED", "CANCELLED", 1): ("ABORT",),
    ("FLOW", "FAILED", "COMPLETED", 0): ("COMPLETE",),
}


@pytest.mark.parametrize("case", CYCLE, ids=str)
def test_the_events_of_a_transition(case) -> None:
    """They follow from the transition alone: nothing has to be remembered of a run."""
    kind, before, type_, run_count = case

    assert CYCLE[case] == _transition(before, type_, run_count=run_count, kind=kind).types


@given(
    before=st.none() | state_types,
    type_=state_types,
    run_count=st.integers(0, 3),
    kind=st.sampled_from(["FLOW", "TASK"]),
)
def test_a_terminal_state_ends_with_a_terminal_event(before, type_, run_count, kind) -> None:
    """Whatever was before; unless a task had ended, or a flow was cancelled before. And no other state does."""
    types = _transition(before, type_, run_count=run_count, kind=kind).types
    over = before in TERMINAL and (kind == "TASK" or before == type_ == "CANCELLED")

    assert (type_ in TERMINAL and not over) == any(each in TERMINAL.values() for each in types)
    assert types[:1] != ("START",) or before not in TERMINAL or type_ == "RUNNING"


def _event(**more) -> dict:
    return {
        "id": str(uuid4()),
        "event": "prefect.task-run.Failed",
        "occurred": "2026-01-01T12:00:00.123456Z",
        "received": "2026-01-01T12:00:01Z",
        "resource": {
            "prefect.resource.id": f"prefect.task-run.{RUN}",
            "prefect.resource.name": "load-1af",
            "prefect.run-count": "2",
            "prefect.state-message": "no",
        },
        "related": [
            {"prefect.resource.id": f"prefect.flow-run.{RUN}", "prefect.resource.role": "flow-run"},
            {
                "prefect.resource.id": f"prefect.flow.{RUN}",
                "prefect.resource.role": "flow",
                "prefect.resource.name": "nightly",
            },
        ],
        "payload": {
            "initial_state": {"type": "RUNNING"},
            "validated_state": {"type": "FAILED", "name": "TimedOut"},
            "task_run": {"dynamic_key": "1af0"},
        },
        **more,
    }


def test_an_event_is_a_transition() -> None:
    """All that the event tells is in it; the time to the microsecond."""
    expected = Transition(
        run_id=RUN,
        kind="TASK",
        time=datetime(2026, 1, 1, 12, 0, 0, 123456, UTC),
        before="RUNNING",
        type="FAILED",
        name="TimedOut",
        message="no",
        run_count=2,
        run_name="load-1af",
        flow_run_id=RUN,
        flow_name="nightly",
        task_run={"dynamic_key": "1af0"},
    )

    assert expected == of_event(_event())


def test_a_task_outside_of_flows_belongs_to_none() -> None:
    """Prefect relates it to whatever flow the process ran before; its dynamic key, of its task key, tells."""
    task_run = {"dynamic_key": "load-1af09-5e9fbed96fee", "task_key": "load-1af09"}
    event = _event(payload={**_event()["payload"], "task_run": task_run})
    record = {**task_run, "flow_run_id": str(RUN)}

    assert (None, None) == (of_event(event).flow_run_id, of_event(event).flow_name)
    assert flow_run_of(record) is None
    assert flow_run_of({**record, "dynamic_key": "12"}) == RUN
    assert flow_run_of({**record, "flow_run_id": None}) is None


def test_events_about_anything_else_say_nothing() -> None:
    """Other resources, and events of runs that are no states; a heartbeat is a sign of life."""
    beat = _event(event="prefect.flow-run.heartbeat", payload={})

    assert of_event(_event(event="prefect.work-pool.ready")) is None
    assert of_event(_event(event="prefect.task-run.renamed", payload={})) is None
    assert Heartbeat(RUN, datetime(2026, 1, 1, 12, 0, 0, 123456, UTC)) == of_event(beat)


@pytest.mark.parametrize(
    ("before", "type_", "expected"),
    [("PENDING", "RUNNING", 1), ("RUNNING", "FAILED", 1), ("PENDING", "CRASHED", 0), (None, "FAILED", 0)],
)
def test_a_count_that_is_not_told_is_taken_from_the_states(before, type_, expected) -> None:
    """Enough to tell whether the run had begun."""
    payload = {"initial_state": {"type": before} if before else None, "validated_state": {"type": type_}}
    event = _event(payload=payload)
    del event["resource"]["prefect.run-count"]

    assert expected == of_event(event).run_count


def _state(type_: str, seconds: int, **more) -> dict:
    return {
        "type": type_,
        "name": type_.title(),
        "timestamp": (NOON + timedelta(seconds=seconds)).isoformat(),
        **more,
    }


def test_states_are_transitions_in_the_order_of_their_times() -> None:
    """Two attempts: START, wait, RUNNING, end; counted as Prefect counts."""
    states = [
        _state("COMPLETED", 5),
        _state("RUNNING", 1),
        _state("SCHEDULED", 2),
        _state("PENDING", 0),
        _state("RUNNING", 4),
    ]
    transitions = of_states("FLOW", {"id": str(RUN), "name": "n"}, states)

    assert [(), ("START",), ("OTHER",), ("RUNNING",), ("COMPLETE",)] == [each.types for each in transitions]
    assert [0, 1, 1, 2, 2] == [each.run_count for each in transitions]


@pytest.mark.parametrize(
    ("run", "types"),
    [
        (
            {"run_count": 1, "start_time": NOON.isoformat(), "state": _state("FAILED", 3)},
            ["RUNNING", "FAILED"],
        ),
        ({"run_count": 0, "start_time": None, "state": _state("CANCELLED", 3)}, ["CANCELLED"]),
        ({"run_count": 1, "start_time": NOON.isoformat(), "state": _state("RUNNING", 0)}, ["RUNNING"]),
        ({"run_count": 1, "start_time": NOON.isoformat(), "state": _state("PAUSED", 3)}, None),
        ({"run_count": 2, "start_time": NOON.isoformat(), "state": _state("COMPLETED", 3)}, None),
        ({"run_count": 1, "start_time": None, "state": _state("COMPLETED", 3)}, None),
        ({"run_count": 0, "state": None}, None),
        (
            {
                "run_count": 1,
                "start_time": NOON.isoformat(),
                "end_time": _state("COMPLETED", 3)["timestamp"],
                "state": _state("COMPLETED", 4, name="RolledBack"),
            },
            None,
        ),
    ],
)
def test_states_that_a_record_tells(run, types) -> None:
    """One attempt is told by the record; more than one, and what lies between, need the states."""
    states = known_states(run)

    assert types == (states and [state["type"] for state in states])


@pytest.mark.parametrize(
    ("run_name", "dynamic_key", "expected"),
    [
        ("load-1af", "1afbeda0-e0be-4d24", "load"),
        ("load orders-12", "12", "load orders"),
        ("load-1234", "1234", "load"),
        ("one", "one-11e353af-5e9fbed96fee", None),
        ("as the user calls it", "1afbeda0", None),
        ("-1af", "1afbeda0", None),
        (None, "1af", None),
        ("load-1af", None, None),
    ],
)
def test_the_name_of_a_task_in_the_name_of_its_run(run_name, dynamic_key, expected) -> None:
    """``{task.name}-{dynamic_key[:3]}`` where the run was not renamed."""
    assert expected == without_suffix(run_name, dynamic_key)


def test_the_name_of_the_function_is_the_last_resort() -> None:
    """Task keys are qualified names with a hash."""
    assert function_name("load-7c30a3db") == "load"
    assert function_name("Loader.load-7c30a3db") == "load"
    assert function_name("odd") == "odd"


def test_the_caller_of_a_task_is_among_its_inputs() -> None:
    """Only a task run; the other inputs are data."""
    parents = [{"input_type": "flow_run", "id": str(uuid4())}, {"input_type": "task_run", "id": str(RUN)}]

    assert parent_of({"task_inputs": {"__parents__": parents}}) == RUN
    assert parent_of({"task_inputs": {"left": parents}}) is None
    assert parent_of({}) is None


def test_events_of_assets_add_up() -> None:
    """Inputs and outputs of a task run, sorted, whatever the order of the events and however often they come."""
    task = [{"prefect.resource.id": f"prefect.task-run.{RUN}", "prefect.resource.role": "task-run"}]
    tool = [{"prefect.resource.id": "dbt", "prefect.resource.role": "asset-materialized-by"}]
    made = {
        "event": "prefect.asset.materialization.succeeded",
        "resource": {"prefect.resource.id": "s3://b/out", "prefect.asset.owners": '["ann"]'},
        "related": [*tool, *task],
        "payload": {"rows": 7},
    }
    taken = {
        "event": "prefect.asset.referenced",
        "resource": {"prefect.resource.id": "s3://b/in"},
        "related": task,
    }
    lost = {
        **made,
        "event": "prefect.asset.materialization.failed",
        "resource": {"prefect.resource.id": "s3://b/no"},
    }
    uses = AssetUses()
    for event in (made, taken, lost, made):
        assert uses.add(event) == RUN
    use = uses.of(RUN)
    uses.keep_only([])

    assert ["s3://b/in"] == [asset.key for asset in use.inputs]
    assert [("s3://b/out", ("ann",), 7)] == [
        (asset.key, asset.properties.owners, told["rows"]) for asset, told in use.outputs
    ]
    assert use.tool == "dbt"
    assert uses.add({**taken, "related": []}) is None
    assert uses.of(RUN) is None


cursors = st.builds(
    Cursor,
    born=times,
    position=times,
    seen=st.dictionaries(st.uuids().map(str), times, max_size=3),
    signs=st.dictionaries(
        st.uuids(), st.builds(Sign, times, times, st.booleans(), st.floats(0, 1e6)), max_size=3
    ),
    left=st.dictionaries(
        st.uuids(), st.builds(Left, times, times, st.sampled_from(sorted(TERMINAL))), max_size=3
    ),
    closed=st.dictionaries(st.uuids(), times, max_size=3),
)


@settings(max_examples=30)
@given(cursors)
def test_a_cursor_survives(cursor) -> None:
    """What is read is what was written."""
    assert cursor == Cursor.from_json(json.loads(json.dumps(cursor.to_json())))


def test_state_is_replaced_as_a_whole(tmp_path) -> None:
    """A folder that is not there is made; nothing but the file is left; no file is no state."""
    path = tmp_path / "new" / "state.json"
    assert load(path) is None
    for position in (NOON, NOON + timedelta(hours=1)):
        save(path, Cursor(NOON, position).to_json())

    assert Cursor(NOON, NOON + timedelta(hours=1)) == Cursor.from_json(load(path))
    assert [path] == list(path.parent.iterdir())


def test_a_damaged_state_is_refused(tmp_path) -> None:
    """A file of this version with something else in it."""
    path = tmp_path / "state.json"
    save(path, {"version": 1, "position": 7})
    for read in (lambda: cursor_at(path, NOON), lambda: mark_for(load(path), NOON, None, NOON)):
        with pytest.raises(StateFileError, match="move it away"):
            read()


@pytest.mark.parametrize("content", ["", "[]", '{"version": 99}', "\x00"])
def test_what_is_no_state_is_refused(tmp_path, content) -> None:
    """With the advice to move it away, and without touching it."""
    path = tmp_path / "state.json"
    path.write_text(content)
    with pytest.raises(StateFileError, match="move it away"):
        load(path)

    assert content == path.read_text()


def test_each_api_has_a_state_of_its_own(monkeypatch, tmp_path) -> None:
    """Below the XDG state folder, and not the same for the watcher and the back-fill."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    paths = {
        default_path(api, what) for api in ("http://a/api", "http://b/api") for what in ("watch", "backfill")
    }

    assert len(paths) == 4
    assert {tmp_path / "openlineage-bridge"} == {path.parent for path in paths}


def test_forgetting_keeps_what_may_come_again() -> None:
    """Ids within the overlap, closed runs within their time."""
    cursor = Cursor(NOON, NOON)
    for minutes in (0, 10):
        cursor.handled(str(minutes), NOON + timedelta(minutes=minutes))
    cursor.closed = {RUN: NOON, uuid4(): NOON - timedelta(days=1)}
    cursor.forget(NOON + timedelta(minutes=5), NOON)

    assert (["10"], [RUN], NOON + timedelta(minutes=10)) == (
        list(cursor.seen),
        list(cursor.closed),
        cursor.position,
    )


def test_an_unfinished_back_fill_goes_on() -> None:
    """Of the same time; a finished one, or another, begins anew."""
    since, later = NOON, NOON + timedelta(days=9)
    half = BackfillMark(since, later, NOON + timedelta(days=3))
    done = BackfillMark(since, later, later)
    now = NOON + timedelta(days=20)

    assert half == mark_for(half.to_json(), since, None, now)
    assert half == mark_for(half.to_json(), since, later, now)
    for saved, begin, until in (
        (None, since, None),
        (done.to_json(), since, None),
        (half.to_json(), since, now),
    ):
        assert BackfillMark(since, now, since) == mark_for(saved, begin, until, now)


@given(st.timedeltas(NARROWEST, WIDEST), st.integers(0, 10_000))
def test_windows_stay_within_their_bounds(width, found) -> None:
    """Narrower when there was much, wider when there was little."""
    after = next_width(width, found)

    assert NARROWEST <= after <= WIDEST
    assert after <= width or found < 200
    assert after >= width or found > 200


CLOUD = "https://api.prefect.cloud/api/accounts/a1/workspaces/w1"


@pytest.mark.parametrize(
    ("api", "ui"),
    [
        ("http://127.0.0.1:4200/api", "http://127.0.0.1:4200"),
        ("https://prefect.acme.io/base/api", "https://prefect.acme.io/base"),
        (CLOUD, "https://app.prefect.cloud/account/a1/workspace/w1"),
    ],
)
def test_the_ui_of_an_api(api, ui) -> None:
    """As Prefect infers it, so that the links are the collector's."""
    assert ui == ui_of(api)
    assert f"{ui}/runs/task-run/{RUN}" == connection(api, {}).page("TASK", RUN)


@pytest.mark.parametrize(
    ("settings", "authorization"),
    [
        ({}, None),
        ({"PREFECT_API_KEY": "pnu_1"}, "Bearer pnu_1"),
        ({"PREFECT_API_AUTH_STRING": "ann:pw"}, "Basic YW5uOnB3"),
        ({"PREFECT_API_KEY": "pnu_1", "PREFECT_API_AUTH_STRING": "ann:pw"}, "Basic YW5uOnB3"),
    ],
)
def test_signing_in(settings, authorization, tmp_path) -> None:
    """Keys of Cloud and basic authentication of a server; neither shows in a repr."""
    made = connection(None, {"PREFECT_API_URL": f"{CLOUD}/", "PREFECT_HOME": str(tmp_path), **settings})

    assert (CLOUD, authorization) == (made.api, made.authorization)
    assert "pnu_1" not in repr(made)


def test_the_active_profile_is_read(tmp_path) -> None:
    """Below the environment, above nothing."""
    profiles = 'active = "work"\n[profiles.work]\nPREFECT_API_URL = "http://w/api"\nPREFECT_API_KEY = "k"\n[profiles.home]\nPREFECT_API_URL = "http://h/api"\n'
    (tmp_path / "profiles.toml").write_text(profiles)
    home = {"PREFECT_HOME": str(tmp_path)}

    assert ("http://w/api", "Bearer k") == (connection(None, home).api, connection(None, home).authorization)
    assert connection(None, {**home, "PREFECT_PROFILE": "home"}).api == "http://h/api"
    assert connection(None, {**home, "PREFECT_API_URL": "http://e/api"}).api == "http://e/api"
    assert connection("http://o/api", home).api == "http://o/api"


@pytest.mark.parametrize("environ", [{}, {"PREFECT_API_URL": "ftp://ann:hunter2@x/api"}])
def test_no_api_is_said_with_the_remedy(environ, tmp_path) -> None:
    """And without the password in a URL."""
    with pytest.raises(ConnectionSettingsError, match="PREFECT_API_URL") as error:
        connection(None, {"PREFECT_HOME": str(tmp_path), **environ})

    assert "hunter2" not in str(error.value)


def test_retry_after_is_seconds_or_a_date() -> None:
    """RFC 9110; what is neither asks for nothing."""
    soon = "Thu, 01 Jan 2026 12:00:30 GMT"

    assert [7.0, 30.0, 0.0, None, None] == [
        retry_after(header, lambda: NOON)
        for header in ("7", soon, "Thu, 01 Jan 2026 11:00:00 GMT", "soon", None)
    ]


@given(st.integers(1, 1000), st.floats(0.1, 60), st.none() | st.floats(0, 600))
def test_waits_after_failures_are_bounded(failures, every, asked) -> None:
    """Never longer than the bound or what the API asks for, never shorter than that."""
    wait = backoff(failures, every, asked)

    assert (asked or 0) <= wait <= max(LONGEST_WAIT, asked or 0)
