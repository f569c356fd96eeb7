"""Which events a real Prefect process emits for flows and tasks of every kind."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from bridge_tests.prefect_golden import COMPLETE, FAIL, LIFECYCLE, START, by_run, family, told

# Seconds: on a busy machine the server alone takes a minute to start.
pytestmark = pytest.mark.timeout(600)

SECRETS = ("t0p", "hunter2")


@pytest.fixture(scope="module")
def outcome(run_script):
    """One process that runs all scenarios."""
    return run_script("lifecycle.py")


@pytest.fixture(scope="module")
def runs(outcome) -> dict[str, list[dict[str, Any]]]:
    """The events of each run, in the order of emission."""
    return by_run(outcome.events)


def _first(runs: dict[str, list[dict[str, Any]]], job: str, event_type: str) -> dict[str, Any]:
    matching = (
        event
        for events in runs.values()
        for event in events
        if (event["job"]["name"], event["eventType"]) == (job, event_type)
    )
    return next(matching)


def test_every_run_has_the_events_of_the_golden(outcome) -> None:
    """Each run has one START, one end, what happened between them, and the parent and root it really has."""
    assert LIFECYCLE == told(outcome.events)


def test_the_outcome_of_the_process_is_the_users(outcome) -> None:
    """The exit code is what the script's own ``sys.exit`` says."""
    expected = 3

    assert expected == outcome.returncode


def test_all_events_of_a_run_name_the_same_job_parent_and_root(runs) -> None:
    """A later event never contradicts where an earlier one put the run."""
    for events in runs.values():
        assert len({family(event) for event in events}) == 1


def test_parents_and_roots_are_runs_that_were_reported(runs) -> None:
    """Ids in parent facets are the ids of events, and the jobs beside them are those runs' jobs."""
    job_of = {run_id: events[0]["job"]["name"] for run_id, events in runs.items()}
    for events in runs.values():
        for event in events:
            if parent := event["run"]["facets"].get("parent"):
                assert job_of[parent["run"]["runId"]] == parent["job"]["name"]
                assert job_of[parent["root"]["run"]["runId"]] == parent["root"]["job"]["name"]


def test_a_failure_says_why(runs) -> None:
    """Every FAIL carries the message, and the traceback where there was an exception."""
    failed = [event for events in runs.values() for event in events if event["eventType"] == FAIL]
    silent = [event["job"]["name"] for event in failed if "errorMessage" not in event["run"]["facets"]]
    error = _first(runs, "failing flow.fails", FAIL)["run"]["facets"]["errorMessage"]

    assert not silent
    assert error["message"] == "ValueError: cannot connect to postgres://ann:***@db.acme.io/shop"
    assert error["programmingLanguage"] == "PYTHON"
    assert "in fails" in error["stackTrace"]


def test_a_state_without_an_exception_fails_with_its_message(runs) -> None:
    """``return Failed(message=…)`` has no traceback to show."""
    error = _first(runs, "failing flow.returns_failed", FAIL)["run"]["facets"]["errorMessage"]

    assert error["message"] == "said so"
    assert "stackTrace" not in error


def test_only_failures_carry_an_error(runs) -> None:
    """A run that failed once and recovered has no error."""
    with_error = {
        event["eventType"]
        for events in runs.values()
        for event in events
        if "errorMessage" in event["run"]["facets"]
    }

    assert with_error == {FAIL}


def test_no_secret_leaves_the_process(outcome) -> None:
    """Parameters with telling names and passwords in URLs are replaced, wherever they would show up."""
    text = str(outcome.events)

    assert not [secret for secret in SECRETS if secret in text]


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


def test_events_are_what_the_specification_asks_for(outcome) -> None:
    """UUIDs, times with a zone, our producer, one namespace."""
    for event in outcome.events:
        assert UUID(event["run"]["runId"])
        assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
        assert "openlineage_bridge_prefect" in event["producer"]
        assert event["run"]["facets"]["processing_engine"]["name"] == "Prefect"
    assert {event["job"]["namespace"] for event in outcome.events} == {"prefect"}


def test_times_do_not_go_back_within_a_run(runs) -> None:
    """Events of a run are emitted in the order of their times."""
    for events in runs.values():
        times = [datetime.fromisoformat(event["eventTime"]) for event in events]
        assert sorted(times) == times


def test_no_event_is_emitted_twice(outcome) -> None:
    """A state that an engine announces twice is one event."""
    keys = Counter(
        (event["run"]["runId"], event["eventType"], event["eventTime"]) for event in outcome.events
    )

    assert not [key for key, count in keys.items() if count > 1]


def test_the_collector_says_nothing_when_all_is_well(outcome) -> None:
    """No line of ours on the console."""
    assert "openlineage" not in outcome.stdout + outcome.stderr
