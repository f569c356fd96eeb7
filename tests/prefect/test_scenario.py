"""Which events everything emits that a Prefect run can do, under a real server, a task worker, a process worker and ``serve()``."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from bridge_tests import prefect_golden

pytestmark = pytest.mark.timeout(900)

SECRETS = ("t0p", "hunter2")


@pytest.fixture(scope="module")
def runs(scenario) -> dict[str, list[dict[str, Any]]]:
    """The events of each run, in the order of emission."""
    return prefect_golden.by_run(scenario.events)


def test_every_run_has_the_events_of_the_golden(scenario, can) -> None:
    """No run more, none less; each has its events in their order, and the parent and root that it really has."""
    assert prefect_golden.scenario(can) == prefect_golden.told(scenario.events)


def test_every_process_ends_as_it_would_without_us(scenario, can) -> None:
    """The exit codes are those of the user's own ``sys.exit``, exceptions and signals."""
    expected = {name: script.returncode for name, script in prefect_golden.scripts(can).items()}

    assert expected == scenario.returncodes


def test_all_events_of_a_run_agree_about_job_parent_and_root(runs) -> None:
    """Whichever process told them."""
    contradictory = {
        run_id: families
        for run_id, events in runs.items()
        if len(families := {prefect_golden.family(event) for event in events}) > 1
    }

    assert not contradictory


def test_parents_and_roots_are_runs_that_were_reported(runs) -> None:
    """Ids in parent facets are the ids of events, and the jobs beside them are those runs' jobs."""
    job_of = {run_id: events[0]["job"]["name"] for run_id, events in runs.items()}
    for events in runs.values():
        for event in events:
            if parent := event["run"]["facets"].get("parent"):
                assert job_of[parent["run"]["runId"]] == parent["job"]["name"]
                assert job_of[parent["root"]["run"]["runId"]] == parent["root"]["job"]["name"]


def test_failures_say_why_and_nothing_else_does(scenario) -> None:
    """A run that failed once and recovered has no error."""
    found = {
        (event["eventType"] == prefect_golden.FAIL, "errorMessage" in event["run"]["facets"])
        for event in scenario.events
    }

    assert {(True, True), (False, False)} == found


def test_no_secret_leaves_a_process(scenario) -> None:
    """Parameters with telling names and passwords in URLs are replaced, wherever they would show up."""
    text = str(scenario.events)

    assert not [secret for secret in SECRETS if secret in text]


def test_events_are_what_the_specification_asks_for(scenario) -> None:
    """UUIDs, times with a zone, our producer, one namespace."""
    for event in scenario.events:
        assert UUID(event["run"]["runId"])
        assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
        assert "openlineage_bridge_prefect" in event["producer"]
        assert event["run"]["facets"]["processing_engine"]["name"] == "Prefect"
    assert {event["job"]["namespace"] for event in scenario.events} == {"prefect"}


def test_times_do_not_go_back_within_a_run(runs) -> None:
    """Events of a run are emitted in the order of their times, also where several processes emit them."""
    for events in runs.values():
        times = [datetime.fromisoformat(event["eventTime"]) for event in events]
        assert sorted(times) == times


def test_no_event_is_emitted_twice(scenario) -> None:
    """A state that an engine announces twice is one event."""
    keys = Counter(
        (event["run"]["runId"], event["eventType"], event["eventTime"]) for event in scenario.events
    )

    assert not [key for key, count in keys.items() if count > 1]


def test_the_collector_says_nothing_when_all_is_well(scenario) -> None:
    """No line of ours on the console of any process."""
    assert not [process for process, text in scenario.said.items() if "openlineage" in text]
