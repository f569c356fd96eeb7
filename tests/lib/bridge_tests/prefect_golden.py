"""What the collector tells of everything that a Prefect run can do: the golden of ``scenario.py``, written by hand.

A part of the scenario is a script, or what a worker makes of a flow run; its golden says (job, parent's job, root's job) → the event
types of each run of it, in order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import attrs

START, RUNNING, COMPLETE, FAIL, ABORT, OTHER = "START", "RUNNING", "COMPLETE", "FAIL", "ABORT", "OTHER"

FINE = (START, COMPLETE)
BROKEN = (START, FAIL)

Family = tuple[str, str | None, str | None]
Runs = dict[Family, list[tuple[str, ...]]]


@attrs.frozen
class Part:
    """What becomes of a script.

    Args:
        returncode: Its exit code, which is what it would be without us.
        runs: What is told of the runs in it.
    """

    returncode: int
    runs: Runs


LIFECYCLE: Runs = {
    ("one", None, None): [FINE, FINE],
    ("sync flow", None, None): [FINE],
    ("sync flow.one", "sync flow", "sync flow"): [FINE, FINE],
    ("sync flow.plus", "sync flow", "sync flow"): [FINE, FINE, FINE, FINE],
    ("sync flow.calls_another", "sync flow", "sync flow"): [FINE],
    ("sync flow.one", "sync flow.calls_another", "sync flow"): [FINE],
    ("sync flow.calls_a_flow", "sync flow", "sync flow"): [FINE],
    ("child-flow", "sync flow.calls_a_flow", "sync flow"): [FINE],
    ("child-flow", "sync flow", "sync flow"): [FINE],
    ("child-flow.one", "child-flow", "sync flow"): [FINE, FINE],
    ("sync flow.generates", "sync flow", "sync flow"): [FINE],
    # The loop body is the flow's own, though Prefect's contexts are the generating task's there.
    ("sync flow.takes", "sync flow", "sync flow"): [FINE, FINE],
    ("sync flow.fails_once", "sync flow", "sync flow"): [(START, RUNNING, COMPLETE)],
    ("sync flow.fails_once_and_waits", "sync flow", "sync flow"): [(START, OTHER, RUNNING, COMPLETE)],
    ("flow in a task", None, None): [FINE],
    ("child-flow", "flow in a task", "flow in a task"): [FINE],
    ("child-flow.one", "child-flow", "flow in a task"): [FINE],
    ("generating", None, None): [FINE],
    ("generating.generates", "generating", "generating"): [FINE],
    ("generating.takes", "generating", "generating"): [FINE, FINE],
    ("async flow", None, None): [FINE],
    ("async flow.async_one", "async flow", "async flow"): [FINE, FINE],
    ("async flow.async_generates", "async flow", "async flow"): [FINE],
    ("async flow.async_takes", "async flow", "async flow"): [FINE, FINE, FINE],
    ("async flow.async_calls_another", "async flow", "async flow"): [FINE],
    ("async flow.async_one", "async flow.async_calls_another", "async flow"): [FINE],
    ("async generating", "async flow", "async flow"): [FINE],
    ("async generating.async_generates", "async generating", "async flow"): [FINE],
    ("async generating.async_takes", "async generating", "async flow"): [FINE],
    ("async child", "async flow", "async flow"): [FINE],
    ("async child.async_one", "async child", "async flow"): [FINE],
    ("failing flow", None, None): [BROKEN],
    ("failing flow.times_out", "failing flow", "failing flow"): [BROKEN],
    ("failing flow.returns_failed", "failing flow", "failing flow"): [BROKEN],
    ("failing flow.fails", "failing flow", "failing flow"): [BROKEN],
    ("retried flow", None, None): [(START, OTHER, RUNNING, COMPLETE)],
    ("retried flow.one", "retried flow", "retried flow"): [FINE, FINE],
    ("retried flow that waits", None, None): [(START, OTHER, RUNNING, COMPLETE)],
    ("cancelled flow", None, None): [(START, ABORT)],
    ("strict flow", None, None): [BROKEN],
    ("cached flow", None, None): [FINE],
    ("cached flow.cached", "cached flow", "cached flow"): [FINE, FINE],
    ("abandons", None, None): [FINE],
    # No engine ever ran these: somebody set their state through a client.
    ("abandoned", "abandons", "abandons"): [(START, ABORT)],
    ("abandoned", None, None): [BROKEN],
    ("crashing flow", None, None): [BROKEN],
    ("crashing flow.exits", "crashing flow", "crashing flow"): [BROKEN],
}

ENDINGS: Runs = {
    ("caught failures", None, None): [FINE],
    ("caught failures.fails", "caught failures", "caught failures"): [BROKEN],
    # Two were called; the one whose input failed never ran.
    ("caught failures.takes", "caught failures", "caught failures"): [FINE],
    ("caught failures.one", "caught failures", "caught failures"): [FINE, FINE],
    ("caught failures.always_fails", "caught failures", "caught failures"): [(START, RUNNING, RUNNING, FAIL)],
    ("caught failures.fails_for_good", "caught failures", "caught failures"): [BROKEN],
    ("caught failures.takes_too_long", "caught failures", "caught failures"): [BROKEN],
    ("caught failures.fails_with_broken_hook", "caught failures", "caught failures"): [BROKEN],
    ("caught failures.cached_by_key", "caught failures", "caught failures"): [FINE, FINE],
    ("caught failures.catches_a_failing_flow", "caught failures", "caught failures"): [FINE],
    ("failing child", "caught failures.catches_a_failing_flow", "caught failures"): [BROKEN],
    ("generators left early", None, None): [FINE],
    ("generators left early.counts", "generators left early", "generators left early"): [FINE],
    ("generators left early.async_counts", "generators left early", "generators left early"): [FINE],
    ("cancels a task", None, None): [FINE],
    ("cancels a task.waits", "cancels a task", "cancels a task"): [BROKEN],
    ("flow that takes too long", None, None): [BROKEN],
    ("sync flow that takes too long", None, None): [BROKEN],
    ("says completed", None, None): [FINE],
    ("says failed", None, None): [BROKEN],
    ("returns failed futures", None, None): [BROKEN],
    ("returns failed futures.one", "returns failed futures", "returns failed futures"): [FINE],
    ("returns failed futures.fails", "returns failed futures", "returns failed futures"): [BROKEN],
    ("rolls back", None, None): [BROKEN],
    # Prefect says RolledBack after the end, which is final.
    ("rolls back.undone", "rolls back", "rolls back"): [FINE],
    ("paused for ever", None, None): [(START, OTHER, FAIL)],
    ("named", None, None): [FINE],
    ("starts a flow in a thread", None, None): [FINE],
    # A bare thread knows nothing of the run that started it, for Prefect neither.
    ("plain child", None, None): [FINE],
    ("plain child.one", "plain child", "plain child"): [FINE],
    # That it was resumed, the server says to itself; a watcher tells it.
    ("paused", None, None): [(START, OTHER, COMPLETE)],
    ("paused.one", "paused", "paused"): [FINE],
    ("processes", None, None): [BROKEN],
    ("processes.fails_on_two", "processes", "processes"): [FINE, FINE, BROKEN],
    ("processes.takes", "processes", "processes"): [FINE],
}

BACKGROUND: Runs = {
    # Asked for by a script: nobody is around them.
    ("doubles", None, None): [FINE],
    ("async_doubles", None, None): [FINE],
    ("breaks", None, None): [BROKEN],
    ("fails_once", None, None): [(START, RUNNING, COMPLETE)],
    ("calls_another", None, None): [FINE],
    ("doubles", "calls_another", "calls_another"): [FINE],
    ("calls_a_flow", None, None): [FINE],
    ("called from the background", "calls_a_flow", "calls_a_flow"): [FINE],
    ("called from the background.doubles", "called from the background", "calls_a_flow"): [FINE],
    ("delegates", None, None): [FINE],
    ("doubles", "delegates", "delegates"): [FINE],
    # Asked for by a flow, which is in another process, and may be over.
    ("asks and leaves", None, None): [FINE],
    ("asks and leaves.doubles", "asks and leaves", "asks and leaves"): [FINE],
    ("asks and waits", None, None): [FINE],
    ("asks and waits.doubles", "asks and waits", "asks and waits"): [FINE] * 5,
    ("asks and waits.asks_in_a_task", "asks and waits", "asks and waits"): [FINE],
    ("asks and waits.doubles", "asks and waits.asks_in_a_task", "asks and waits"): [FINE],
}


def _ended(flow: str, task: str, of_flow: tuple[str, ...], of_task: tuple[str, ...]) -> Runs:
    return {(flow, None, None): [of_flow], (f"{flow}.{task}", flow, flow): [of_task]}


# How a process ends in the middle of a task.
ENDED = {
    "sigint": Part(-2, _ended("ended", "ends_as_told", BROKEN, BROKEN)),
    "sigterm": Part(-15, _ended("ended", "ends_as_told", BROKEN, BROKEN)),
    "async-sigterm": Part(1, _ended("async ended", "async_ends", BROKEN, BROKEN)),
    # Nobody is left to tell the end; a watcher does.
    "sigkill": Part(-9, _ended("ended", "ends_as_told", (START,), (START,))),
}

# What becomes of a deployment's flow run.
DEPLOYED: dict[str, Runs] = {
    # Who started the process says that the flow run crashed; of the task run nobody says anything any more.
    "killed": {("hanging", None, None): [BROKEN], ("hanging.hangs", "hanging", "hanging"): [(START,)]},
    "cancelled": {
        ("hanging", None, None): [(START, ABORT)],
        ("hanging.hangs", "hanging", "hanging"): [BROKEN],
    },
    # The run that asked for it is in another process.
    "calls": {
        ("deployed parent", None, None): [FINE],
        ("deployed child", "deployed parent", "deployed parent"): [FINE],
    },
    # A run that had ended and runs again is another run, with other runs below it.
    "runs again": {
        ("needing", None, None): [FINE, FINE, BROKEN],
        ("below", "needing", "needing"): [FINE, FINE, BROKEN],
        ("below.needs", "below", "needing"): [FINE, FINE, BROKEN],
    },
    # One START, though two processes ran it.
    "suspended": {
        ("suspending", None, None): [(START, OTHER, RUNNING, COMPLETE)],
        ("suspending.one", "suspending", "suspending"): [FINE],
    },
}

# Case of the deployments → what becomes of its flow run; who started it makes no difference.
CASES = {
    "killed, test": "killed",
    "killed, served": "killed",
    "cancelled, test": "cancelled",
    "cancelled, served": "cancelled",
    "calls": "calls",
    "runs again": "runs again",
    "suspended": "suspended",
}

# Prefect cannot do it everywhere: job → what it takes.
TAKES = {
    "processes": "process pools",
    "processes.fails_on_two": "process pools",
    "processes.takes": "process pools",
}

# Prefect does not do it everywhere: part → what it takes, and what becomes of it where it does not. Before 3.8.8 the handler of a
# synchronous flow's SIGTERM hands the signal on as soon as it has left the flow's context, so that the process is gone
# before the engine says Crashed: Prefect's server has the flow run RUNNING from then on. A watcher tells its end.
ELSEWHERE = {
    "sigterm": (
        "flows that crash on SIGTERM",
        Part(-15, _ended("ended", "ends_as_told", (START,), BROKEN)),
    )
}

Can = Callable[[str], bool]


def scripts(can: Can) -> dict[str, Part]:
    """What becomes of each script of the scenario where Prefect can do these things."""
    endings = {
        family: runs for family, runs in ENDINGS.items() if family[0] not in TAKES or can(TAKES[family[0]])
    }
    everywhere = {
        "lifecycle": Part(3, LIFECYCLE),
        "endings": Part(0, endings),
        "background": Part(0, BACKGROUND),
        **ENDED,
    }
    elsewhere = {part: otherwise for part, (takes, otherwise) in ELSEWHERE.items() if not can(takes)}
    return everywhere | elsewhere


def scenario(can: Can) -> Runs:
    """All runs of the scenario."""
    deployed = (DEPLOYED[what] for what in CASES.values())
    return together(*(part.runs for part in scripts(can).values()), *deployed)


def together(*parts: Runs) -> Runs:
    """All runs of these parts, in the order of ``told``."""
    found: Runs = defaultdict(list)
    for part in parts:
        for each, runs in part.items():
            found[each] += runs
    return {each: sorted(runs) for each, runs in found.items()}


def by_run(events: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The events of each run, in the order of emission."""
    found = defaultdict(list)
    for event in events:
        found[event["run"]["runId"]].append(event)
    return found


def family(event: dict[str, Any]) -> Family:
    """Where an event puts its run: the names of its job, its parent's and its root's."""
    parent = event["run"]["facets"].get("parent")
    if parent is None:
        return event["job"]["name"], None, None
    return event["job"]["name"], parent["job"]["name"], parent["root"]["job"]["name"]


def told(events: Iterable[dict[str, Any]]) -> Runs:
    """What these events tell of each run."""
    found = defaultdict(list)
    for of_run in by_run(events).values():
        found[family(of_run[0])].append(tuple(event["eventType"] for event in of_run))
    return {each: sorted(runs) for each, runs in found.items()}
