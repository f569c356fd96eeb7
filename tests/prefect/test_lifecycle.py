"""What the events of ordinary flows and tasks say, beside which run they are of."""

from __future__ import annotations

from typing import Any

import pytest
from bridge_tests.prefect_golden import COMPLETE, FAIL, START, by_run

# The scenario takes minutes, and on a busy machine the server alone takes one to start.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def runs(scenario) -> dict[str, list[dict[str, Any]]]:
    """The events of each run, in the order of emission."""
    return by_run(scenario.events)


def _first(runs: dict[str, list[dict[str, Any]]], job: str, event_type: str) -> dict[str, Any]:
    matching = (
        event
        for events in runs.values()
        for event in events
        if (event["job"]["name"], event["eventType"]) == (job, event_type)
    )
    return next(matching)


def test_a_failure_says_why(runs) -> None:
    """The message, without its secrets, and the traceback where there was an exception."""
    error = _first(runs, "failing flow.fails", FAIL)["run"]["facets"]["errorMessage"]

    assert error["message"] == "ValueError: cannot connect to postgres://ann:***@db.acme.io/shop"
    assert error["programmingLanguage"] == "PYTHON"
    assert "in fails" in error["stackTrace"]


def test_a_state_without_an_exception_fails_with_its_message(runs) -> None:
    """``return Failed(message=…)`` has no traceback to show."""
    error = _first(runs, "failing flow.returns_failed", FAIL)["run"]["facets"]["errorMessage"]

    assert error["message"] == "said so"
    assert "stackTrace" not in error


def test_parameters_are_shown_at_the_start_only(runs) -> None:
    """Scalars as text, other values as the name of their type, secrets as asterisks."""
    start = _first(runs, "sync flow", START)["run"]["facets"]["executionParameters"]["parameters"]
    expected = {"number": "1", "token": "***", "options": "<dict>"}

    assert expected == {parameter["key"]: parameter["value"] for parameter in start}
    assert "executionParameters" not in _first(runs, "sync flow", COMPLETE)["run"]["facets"]


def test_jobs_are_described(runs) -> None:
    """The flow's description and the task's docstring, and what kind of job each is."""
    flow, task = (
        _first(runs, "sync flow", START)["job"]["facets"],
        _first(runs, "one", START)["job"]["facets"],
    )

    assert flow["documentation"]["description"] == "Everything synchronous."
    assert task["documentation"]["description"] == "The first number."
    assert (flow["jobType"]["integration"], flow["jobType"]["jobType"]) == ("PREFECT", "FLOW")
    assert (task["jobType"]["processingType"], task["jobType"]["jobType"]) == ("BATCH", "TASK")


def test_tags_are_run_tags(runs) -> None:
    """Tags of the flow run are tags of the run, beside the one that the client adds itself."""
    tags = _first(runs, "retried flow", START)["run"]["facets"]["tags"]["tags"]

    assert {("nightly", "PREFECT"), ("openlineage_client_version", "OPENLINEAGE_CLIENT")} == {
        (tag["key"], tag["source"]) for tag in tags
    }


def test_the_custom_facets_tell_prefects_own_state(runs) -> None:
    """State and count of attempts are Prefect's, also where OpenLineage has one word for several states."""
    times_out = _first(runs, "failing flow.times_out", FAIL)["run"]["facets"]["prefect_taskRun"]
    crashed = _first(runs, "crashing flow", FAIL)["run"]["facets"]["prefect_flowRun"]
    retried = _first(runs, "retried flow", COMPLETE)["run"]["facets"]["prefect_flowRun"]

    assert (times_out["stateType"], times_out["stateName"]) == ("FAILED", "TimedOut")
    assert (crashed["stateType"], crashed["stateName"]) == ("CRASHED", "Crashed")
    assert (retried["runCount"], retried["flowName"]) == (2, "retried flow")


def test_upstream_tasks_are_job_dependencies(runs) -> None:
    """A task that takes another's future depends on that task's run."""
    dependent = next(
        event
        for events in runs.values()
        for event in events
        if "jobDependencies" in event["run"]["facets"] and event["job"]["name"] == "sync flow.plus"
    )
    (upstream,) = dependent["run"]["facets"]["jobDependencies"]["upstream"]

    assert upstream["job"] == {"namespace": "prefect", "name": "sync flow.one"}
    assert runs[upstream["run"]["runId"]][0]["job"]["name"] == "sync flow.one"
