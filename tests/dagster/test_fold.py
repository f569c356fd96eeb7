"""What each kind of run and step becomes, on logs that a real Dagster wrote."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid5

import pytest
from bridge_tests.dagster_jobs import one, plus
from dagster import (
    DynamicOut,
    DynamicOutput,
    Out,
    Output,
    RetryPolicy,
    graph,
    job,
    op,
)
from dagster._core.errors import DagsterExecutionInterruptedError


@op(out={"a": Out(is_required=False), "b": Out(is_required=False)})
def branch():
    yield Output(1, "a")


@op
def broken(number):
    raise ValueError(f"no {number}")


def run_facet(events, event_type, job_name, facet):
    [found] = [
        event["run"]["facets"].get(facet)
        for event in events
        if (event["eventType"], event["job"]["name"]) == (event_type, job_name)
    ]
    return found


def test_a_run_and_its_steps_start_and_complete(instance, folded, story):
    """Node paths name the steps of a nested graph; the run's id is Dagster's own and the parent of every step."""

    @graph
    def inner(number):
        return plus(number)

    @job(tags={"team": "data", ".dagster/hidden": "x"}, description="Adds one, twice.")
    def adding():
        inner(one())

    run_id = adding.execute_in_process(instance=instance).run_id

    events = folded(run_id)

    assert story(events) == [
        "START adding",
        "START adding.one",
        "COMPLETE adding.one",
        "START adding.inner.plus",
        "COMPLETE adding.inner.plus",
        "COMPLETE adding",
    ]
    step_ids = {str(uuid5(UUID(run_id), f"{key}#1")) for key in ("one", "inner.plus")}
    assert {run_id} | step_ids == {event["run"]["runId"] for event in events}
    parent = {
        "run": {"runId": run_id, "facets": {}},
        "job": {"namespace": "dagster", "name": "adding", "facets": {}},
    }
    found = run_facet(events, "START", "adding.one", "parent")
    assert (parent, parent) == ({key: found[key] for key in ("run", "job")}, found["root"])
    assert run_facet(events, "START", "adding", "tags")["tags"] == [
        {"key": "team", "value": "data", "source": "DAGSTER"}
    ]
    assert events[0]["job"]["facets"]["documentation"]["description"] == "Adds one, twice."
    assert run_facet(events, "START", "adding.inner.plus", "dagster_step")["opName"] == "plus"
    job_types = [event["job"]["facets"]["jobType"]["jobType"] for event in events]
    assert job_types == ["JOB", "STEP", "STEP", "STEP", "STEP", "JOB"]


def test_event_times_are_those_of_the_log(instance, folded, records):
    """Never the present moment: a replay says the same."""

    @job
    def single():
        one()

    run_id = single.execute_in_process(instance=instance).run_id

    times = [event["eventTime"] for event in folded(run_id)]

    stamps = [
        entry.timestamp
        for entry in records(run_id)
        if entry.dagster_event_type.name in {"RUN_START", "RUN_SUCCESS"}
    ]
    assert [times[0], times[-1]] == [
        f"{datetime.fromtimestamp(stamp, UTC):%Y-%m-%dT%H:%M:%S.%f}Z" for stamp in stamps
    ]


def test_a_failing_op_fails_its_step_and_the_run(instance, folded, story):
    """What comes after it never starts, so nothing is said of it; the message is the user's, not the wrapper's."""

    @job
    def failing():
        plus(broken(one()))

    run_id = failing.execute_in_process(instance=instance, raise_on_error=False).run_id

    events = folded(run_id)

    assert story(events) == [
        "START failing",
        "START failing.one",
        "COMPLETE failing.one",
        "START failing.broken",
        "FAIL failing.broken",
        "FAIL failing",
    ]
    error = run_facet(events, "FAIL", "failing.broken", "errorMessage")
    assert (error["message"], error["programmingLanguage"]) == ("ValueError: no 1", "PYTHON")
    assert "raise ValueError" in error["stackTrace"]


@pytest.mark.parametrize("retries", [1, 2])
def test_every_attempt_of_a_step_is_a_run_of_its_own(instance, folded, story, retries):
    """A retried attempt fails and the next one starts, under another run id of the same job."""

    @op(retry_policy=RetryPolicy(max_retries=retries))
    def flaky(context):
        if context.retry_number < retries:
            raise RuntimeError("again")

    @job
    def retrying():
        flaky()

    run_id = retrying.execute_in_process(instance=instance).run_id

    events = folded(run_id)

    failed = ["START retrying.flaky", "FAIL retrying.flaky"] * retries
    assert [
        "START retrying",
        *failed,
        "START retrying.flaky",
        "COMPLETE retrying.flaky",
        "COMPLETE retrying",
    ] == story(events)
    steps = [event for event in events if event["job"]["name"] == "retrying.flaky"]
    ids = [str(uuid5(UUID(run_id), f"flaky#{attempt}")) for attempt in range(1, retries + 2)]
    assert [step_id for step_id in ids for _ in range(2)] == [event["run"]["runId"] for event in steps]
    attempts = [event["run"]["facets"]["dagster_step"]["attempt"] for event in steps[::2]]
    assert list(range(1, retries + 2)) == attempts
    assert steps[1]["run"]["facets"]["errorMessage"]["message"] == "RuntimeError: again"


def test_mapped_steps_are_runs_of_one_job(instance, folded, story):
    """The mapping key is per run: it is in the run id and in the facet, never in the job's name."""

    @op(out=DynamicOut())
    def fan():
        for key in ("k0", "k1"):
            yield DynamicOutput(1, mapping_key=key)

    @job
    def mapping():
        fan().map(plus)

    run_id = mapping.execute_in_process(instance=instance).run_id

    events = folded(run_id)

    mapped = [event for event in events if event["job"]["name"] == "mapping.plus"]
    assert story(mapped) == ["START mapping.plus", "COMPLETE mapping.plus"] * 2
    assert [str(uuid5(UUID(run_id), f"plus[{key}]#1")) for key in ("k0", "k1")] == [
        event["run"]["runId"] for event in mapped[::2]
    ]
    assert {"plus[k0]", "plus[k1]"} == {event["run"]["facets"]["dagster_step"]["stepKey"] for event in mapped}


def test_a_branch_not_taken_says_nothing(instance, folded, story):
    """A skipped step neither starts nor ends."""

    @job
    def branching():
        taken, other = branch()
        plus.alias("taken")(taken)
        plus.alias("skipped")(other)

    run_id = branching.execute_in_process(instance=instance).run_id

    assert [line for line in story(folded(run_id)) if "skipped" in line] == []


def test_a_run_canceled_in_the_queue_aborts(instance, folded, story):
    """It never started: one event says all."""

    @job
    def waiting():
        one()

    run = instance.create_run_for_job(waiting)
    instance.report_run_canceling(run)
    instance.report_run_canceled(run)

    assert story(folded(run.run_id)) == ["ABORT waiting"]


def test_a_canceled_step_aborts_with_its_run(instance, folded, story):
    """The interruption is no failure of the step."""

    @op
    def interrupted(context):
        context.instance.report_run_canceling(context.run)
        raise DagsterExecutionInterruptedError

    @job
    def canceling():
        interrupted()

    with pytest.raises(DagsterExecutionInterruptedError):
        canceling.execute_in_process(instance=instance)
    [run] = instance.get_runs()

    lines = story(folded(run.run_id))

    assert lines == [
        "START canceling",
        "START canceling.interrupted",
        "ABORT canceling.interrupted",
        "ABORT canceling",
    ]


def test_a_crash_closes_the_open_steps(instance, folded, records, story):
    """A worker that died says nothing: the run's failure, reported from outside, ends the steps that were open."""

    @op
    def crashing(context):
        context.instance.report_run_failed(context.run)

    @job
    def crash():
        crashing()

    run_id = crash.execute_in_process(instance=instance, raise_on_error=False).run_id

    events = folded(run_id)

    assert story(events) == ["START crash", "START crash.crashing", "FAIL crash.crashing", "FAIL crash"]
    assert "failed from outside" in events[-1]["run"]["facets"]["errorMessage"]["message"]


def test_outputs_handled_by_an_io_manager_are_no_datasets(instance, folded, story):
    """The pickle that the default IO manager writes is new for every run: it would flood the catalog."""

    @job
    def passing():
        plus(one())

    run_id = passing.execute_in_process(instance=instance).run_id

    assert [(event["inputs"], event["outputs"]) for event in folded(run_id)] == [([], [])] * 6
