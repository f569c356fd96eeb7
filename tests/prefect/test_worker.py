"""Flow runs that a process worker and ``serve()`` ran: what is told of each, and that those outside tell the same."""

from __future__ import annotations

import sys
from typing import Any
from uuid import UUID

import pytest
from bridge_tests.event_files import read_events
from bridge_tests.prefect_golden import CASES, COMPLETE, DEPLOYED, FAIL, told

from openlineage_bridge_prefect.attempts import run_id

pytestmark = pytest.mark.timeout(900)

RUNS_AGAIN = "runs again"
SECONDS = 120.0

OUTSIDE = "from openlineage_bridge_prefect.commands import prefect; prefect()"


@pytest.mark.parametrize("case", CASES)
def test_what_is_told_of_a_flow_run(scenario, case) -> None:
    """Its own events, and those of all below it, under its own id, whichever process told them."""
    assert DEPLOYED[CASES[case]] == told(_below(scenario, case))


def test_a_run_that_had_ended_and_runs_again_is_another_run(scenario) -> None:
    """Each attempt has its own id, and its end."""
    ends = {event["run"]["runId"]: event["eventType"] for event in _below(scenario, RUNS_AGAIN)}
    first, second, third = _attempts(scenario.flow_runs[RUNS_AGAIN])

    assert [FAIL, COMPLETE, COMPLETE] == [ends[first], ends[second], ends[third]]


@pytest.mark.parametrize("what", ["backfill", "watch"])
def test_those_outside_tell_the_same(
    scenario, what, prefect_server, environment_of, process, wait_until, tmp_path
) -> None:
    """A back-fill and a watcher tell of runs that were suspended, or ran again, what the collector tells."""
    inside = {_key(event) for case in (RUNS_AGAIN, "suspended") for event in _below(scenario, case)}
    about, events = {of for of, *_ in inside}, tmp_path / "events.jsonl"
    since = ("--since", scenario.began.strftime("%Y-%m-%dT%H:%M:%S"), "--state", str(tmp_path / "state"))
    line = (sys.executable, "-c", OUTSIDE, what, *since, *(("--every", "0.3") if what == "watch" else ()))
    outside = lambda: {key for key in map(_key, read_events(events)) if key[0] in about}
    env = environment_of(tmp_path, events, PREFECT_API_URL=prefect_server.api)
    with process(*line, log=tmp_path / "log", env=env):
        wait_until(lambda: inside <= outside(), SECONDS, f"{what} to tell the same")

    # Only what is set by somebody outside is told from outside alone, and asides.
    assert {event_type for _, event_type, *_ in outside() - inside} <= {"OTHER", "RUNNING"}


def _attempts(flow_run: str) -> list[str]:
    """The ids of the runs that the three attempts of a flow run are."""
    return [str(run_id(UUID(flow_run), number)) for number in range(3)]


def _below(scenario, case: str) -> list[dict[str, Any]]:
    """The events of a flow run and of all below it."""
    flow_run = scenario.flow_runs[case]
    runs = set(_attempts(flow_run)) if case == RUNS_AGAIN else {flow_run}
    return [event for event in scenario.events if runs & {event["run"]["runId"], _root(event)}]


def _root(event: dict[str, Any]) -> str | None:
    return event["run"]["facets"].get("parent", {}).get("root", {}).get("run", {}).get("runId")


def _key(event: dict[str, Any]) -> tuple[str, str, str, str]:
    return event["run"]["runId"], event["eventType"], event["eventTime"], event["job"]["name"]
