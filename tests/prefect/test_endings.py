"""What flows and tasks tell that end otherwise than by returning, beside the types of their events."""

from __future__ import annotations

import json
import urllib.request

import pytest
from bridge_tests.prefect_golden import BROKEN, START, by_run

pytestmark = pytest.mark.timeout(900)

# What is told of a flow run → the type of the state that Prefect's server has it in.
ON_THE_SERVER = {(START,): "RUNNING", BROKEN: "CRASHED"}


def test_a_process_that_ends_in_the_middle_of_a_run(scenario, prefect_server) -> None:
    """It tells of its flow run what Prefect's server knows of it."""
    flow_runs = {
        of: tuple(event["eventType"] for event in events)
        for of, events in by_run(scenario.events).items()
        if events[0]["job"]["name"] in {"ended", "async ended"}
    }

    assert flow_runs
    assert {of: ON_THE_SERVER[types] for of, types in flow_runs.items()} == {
        of: _state(prefect_server.api, of) for of in flow_runs
    }


def _state(api: str, flow_run: str) -> str:
    with urllib.request.urlopen(f"{api}/flow_runs/{flow_run}", timeout=10) as response:
        return str(json.load(response)["state_type"])


def test_the_rolled_back_task_ends_once(scenario) -> None:
    """Its last word is Completed."""
    states = [
        event["run"]["facets"]["prefect_taskRun"]["stateName"]
        for event in scenario.events
        if event["job"]["name"] == "rolls back.undone"
    ]

    assert ["Running", "Completed"] == states


def test_jobs_keep_their_names_whatever_their_runs_are_called(scenario) -> None:
    """``flow_run_name`` and ``task_run_name`` are names of runs: they are in the facets, and not in the jobs."""
    facets = [event["run"]["facets"] for event in scenario.events]
    flow_runs = {each["prefect_flowRun"]["flowRunName"] for each in facets if "prefect_flowRun" in each}
    task_runs = {each["prefect_taskRun"]["taskRunName"] for each in facets if "prefect_taskRun" in each}

    assert "renamed" in flow_runs
    assert "another-name" in task_runs
