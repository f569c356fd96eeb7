"""Logs as older versions of Dagster wrote them, made from one that this version wrote."""

from __future__ import annotations

import pytest
from dagster import Failure, job, op


@pytest.fixture
def failed(instance):
    """A run whose only step fails; its id."""

    @op
    def breaks():
        raise Failure("no more paper")

    @job
    def printing():
        breaks()

    return printing.execute_in_process(instance=instance, raise_on_error=False).run_id


def older(record):
    """Up to 1.12 the end of a failed run names the step that failed first, and not its error once more."""
    event = record.dagster_event
    if event.event_type_value != "PIPELINE_FAILURE":
        return record
    data = event.event_specific_data._replace(error=None)
    return record._replace(dagster_event=event._replace(event_specific_data=data))


def test_a_run_fails_of_what_its_first_step_failed_of(failed, records, folded):
    """Whoever wrote the log, the run's error is the step's."""
    log = [older(record) for record in records(failed)]

    [step, run] = [event for event in folded(failed, log=log) if event["eventType"] == "FAIL"]

    assert "no more paper" in step["run"]["facets"]["errorMessage"]["message"]
    assert step["run"]["facets"]["errorMessage"]["message"] == run["run"]["facets"]["errorMessage"]["message"]
