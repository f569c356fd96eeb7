"""Over a thousand statements of interleaved tasks under a real Prefect: each in the run that executed it."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

pytestmark = pytest.mark.system

ENDS = {"COMPLETE", "FAIL"}
TWENTY = tuple(range(20))

# Job → how many runs made which tables; each table is called after the run that makes it. Written by hand.
MADE = {
    "threads": [(1, TWENTY)],
    "threads.in_thread": [(12, TWENTY)],
    "threads.nested": [(2, TWENTY)],
    "threads.leaf": [(2, TWENTY)],
    "threads.by_hand": [(1, TWENTY)],
    "below": [(2, TWENTY)],
    "below.leaf": [(2, TWENTY)],
    # The loop bodies around one generator task, and around two that take turns.
    "loop": [(1, (0, 1, 2, 10, 11, 12, 20, 21, 22))],
    "loop.in_loop": [(12, TWENTY)],
    "loop.to_thread": [(6, TWENTY)],
    "loop.async_steps": [(3, (0, 1, 2, 3))],
    # The loop bodies: of two generators side by side, of a task that consumes another, of a flow, of one left early.
    "generators": [(1, (0, 11, 22, 33, 100, 101, 102, 200, 201, 202, 300, 400))],
    # To its end; beside it, given up by zip after its fifth; inside another one; left after the first; submitted.
    "generators.steps": [(2, (0, 1, 2, 3, 4)), (2, (0, 1, 2, 3)), (1, (0,))],
    "generators.of_steps": [(1, (0, 1, 2))],
    # The four of the first loop body, one of each generator that got to its second step, one at the end.
    "generators.leaf": [(9, TWENTY)],
    "flow-steps": [(1, (0, 1, 2))],
    "processes": [(1, TWENTY)],
    "processes.in_thread": [(8, TWENTY)],
    "by-children": [(1, ())],
    "by-children.by_processes": [(1, tuple(range(10)))],
    "by-children.not_carried": [(1, (0,))],
}


@pytest.fixture(scope="module")
def outcome(run_script):
    """One process that runs all flows: threads, asyncio, generators, process pools."""
    done = run_script("attribution.py")
    assert (0, "") == (done.returncode, done.stderr)
    return done


def _made(event: dict[str, Any]) -> list[tuple[str, int]]:
    """Owner and number in the name of each table that the run made."""
    names = (re.fullmatch(r"(?:.*\.)?(\w+)_(\d+)", each["name"]) for each in event["outputs"])
    return sorted((name[1], int(name[2])) for name in names if name is not None)


def _owner(event: dict[str, Any]) -> str:
    return "r" + event["run"]["runId"].replace("-", "")


def test_every_statement_belongs_to_the_run_that_executed_it(outcome):
    """The exact tables of every run, and every name names its run: nothing missing, nothing wrong, nothing twice."""
    ends = [event for event in outcome.events if event["eventType"] in ENDS]
    expected = Counter({(job, made): runs for job, groups in MADE.items() for runs, made in groups})
    actual = Counter((event["job"]["name"], tuple(number for _, number in _made(event))) for event in ends)
    strangers = {
        (event["job"]["name"], owner) for event in ends for owner, _ in _made(event) if owner != _owner(event)
    }

    assert set() == strangers
    assert expected == actual
    assert sum(map(len, map(_made, ends))) > 1000
    assert len(ends) > 50


def test_what_nobody_carries_is_counted_where_it_happens(outcome):
    """A bare thread's statements are counted; those of a forked child too, in the child, which keeps no recording."""
    assert ["in a forked child: 3", "unattributed: 20"] == outcome.stdout.splitlines()


def test_a_task_called_between_the_steps_of_a_generator_is_its_consumers(outcome):
    """Its parent is the consumer's run, though Prefect's own contexts still are the generator's."""
    consumer = next(event for event in outcome.events if event["job"]["name"] == "generators")
    parents = Counter(
        event["run"]["facets"]["parent"]["job"]["name"]
        for event in outcome.events
        if event["job"]["name"] == "generators.leaf" and event["eventType"] in ENDS
    )
    steps = [
        event["run"]["facets"]["parent"]["run"]["runId"]
        for event in outcome.events
        if event["job"]["name"] == "generators.steps" and event["eventType"] in ENDS
    ]

    assert {"generators": 5, "generators.steps": 4} == dict(parents)
    assert 4 == steps.count(consumer["run"]["runId"])


def test_with_threads_that_inherit_a_bare_thread_is_the_tasks(run_script):
    """``OPENLINEAGE_BRIDGE_THREADS=inherit``: no code, and nothing is left to count; a forked child still counts its own."""
    done = run_script("attribution.py", "not_carried", OPENLINEAGE_BRIDGE_THREADS="inherit")
    (end,) = [event for event in done.events if event["eventType"] in ENDS]

    assert (0, "") == (done.returncode, done.stderr)
    assert ["in a forked child: 3", "unattributed: 0"] == done.stdout.splitlines()
    assert [("nobody", number) for number in range(20)] + [(_owner(end), 0)] == _made(end)
