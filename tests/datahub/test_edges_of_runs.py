"""Each history of a job's runs ends in the right edges in DataHub, whatever the order in which its events arrive."""

from __future__ import annotations

from itertools import permutations

import pytest

LOAD = "urn:li:dataJob:(urn:li:dataFlow:(openlineage,flow,PROD),load)"
RUNS = [f"urn:li:dataProcessInstance:00000000-0000-4000-8000-00000000000{number}" for number in range(3)]


def urns(*tables):
    return {f"urn:li:dataset:(urn:li:dataPlatform:postgres,db.s.{table},PROD)" for table in tables}


@pytest.fixture
def event(world):
    """An event of the job ``flow.load``; datasets are tables."""

    def table(name):
        return {"namespace": "postgres://h:5432", "name": f"db.s.{name}"}

    def make(second, event_type, inputs=(), outputs=(), run=0, **parts):
        uses = [list(map(table, each)) for each in (inputs, outputs)]
        return world.run_event("flow.load", run, second, event_type, *uses, **parts)

    return make


@pytest.fixture
def after_any_order(catalog_after):
    """What DataHub holds after these events, which is the same in every order and with every event twice."""

    def hear(*heard):
        expected = catalog_after(*heard)
        for order in permutations(heard):
            assert expected == catalog_after(*order)
        assert expected == catalog_after(*heard, *reversed(heard))
        return expected

    return hear


def results(catalog, run):
    return [each.get("result", {}).get("type") for each in catalog[run, "dataProcessInstanceRunEvent"]]


def test_start_with_inputs_and_complete_without_them(event, after_any_order):
    """The events of a run add up: COMPLETE, which names the outputs only, erases no input; of job nor run."""
    held = after_any_order(event(1, "START", ["a", "b"]), event(2, "COMPLETE", (), ["c"]))

    assert (urns("a", "b"), urns("c")) == (held.inputs(LOAD), held.outputs(LOAD))
    assert urns("a", "b") == set(held[RUNS[0], "dataProcessInstanceInput"]["inputs"])
    assert urns("c") == set(held[RUNS[0], "dataProcessInstanceOutput"]["outputs"])


def test_complete_before_start(event, catalog_after):
    """A START that arrives after the COMPLETE adds what it says, and the run stays complete."""
    held = catalog_after(event(5, "COMPLETE", (), ["c"]), event(1, "START", ["a"]))

    assert (urns("a"), urns("c")) == (held.inputs(LOAD), held.outputs(LOAD))
    assert [None, "SUCCESS"] == results(held, RUNS[0])
    assert 4000 == held[RUNS[0], "dataProcessInstanceRunEvent"][1]["durationMillis"]


@pytest.mark.parametrize("second", [2, 9])
def test_a_late_running(event, after_any_order, second):
    """A RUNNING that arrives, or even happened, after the end adds edges, but neither reopens the run nor starts it again."""
    held = after_any_order(
        event(1, "START", ["a"]), event(5, "COMPLETE", (), ["c"]), event(second, "RUNNING", ["b"])
    )

    assert (urns("a", "b"), urns("c")) == (held.inputs(LOAD), held.outputs(LOAD))
    assert [None, "SUCCESS"] == results(held, RUNS[0])


def test_an_empty_fail(event, after_any_order):
    """A run that failed without a word on datasets leaves the job's edges as the last completed run drew them."""
    held = after_any_order(
        event(1, "COMPLETE", ["a"], ["b"]),
        event(2, "START", ["x"], run=1),
        event(3, "FAIL", run=1),
    )

    assert (urns("a"), urns("b")) == (held.inputs(LOAD), held.outputs(LOAD))
    assert urns("x") == set(held[RUNS[1], "dataProcessInstanceInput"]["inputs"])
    assert [None, "FAILURE"] == results(held, RUNS[1])


def test_an_empty_fail_of_the_first_run(event, after_any_order):
    """Where no run ever completed, what the failed one said it was about to read stands."""
    held = after_any_order(event(1, "START", ["a"]), event(2, "FAIL"))

    assert (urns("a"), set()) == (held.inputs(LOAD), held.outputs(LOAD))


def test_a_replay_of_last_year(event, after_any_order):
    """Old events that arrive today bring their run and change neither edges nor description of the job."""
    now, then = ({"documentation": {"description": each}} for each in ("now", "then"))
    held = after_any_order(
        event(100, "COMPLETE", ["new"], ["c"], run=2, job_facets=now),
        event(1, "START", ["old"], job_facets=then),
        event(2, "COMPLETE", (), ["c"], job_facets=then),
    )

    assert (urns("new"), urns("c")) == (held.inputs(LOAD), held.outputs(LOAD))
    assert "now" == held[LOAD, "dataJobInfo"]["description"]
    assert urns("old") == set(held[RUNS[0], "dataProcessInstanceInput"]["inputs"])


def test_an_edge_that_the_job_no_longer_uses(event, after_any_order):
    """What the latest completed run did not read is no input any more."""
    held = after_any_order(event(1, "COMPLETE", ["a", "b"], ["c"]), event(2, "COMPLETE", ["a"], ["c"], run=1))

    assert (urns("a"), urns("c")) == (held.inputs(LOAD), held.outputs(LOAD))
