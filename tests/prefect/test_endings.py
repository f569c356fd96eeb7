"""Which events flows and tasks emit that end otherwise than by returning, under a real Prefect."""

from __future__ import annotations

import json
import urllib.request
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

START, RUNNING, COMPLETE, FAIL, OTHER = "START", "RUNNING", "COMPLETE", "FAIL", "OTHER"

FINE = (START, COMPLETE)
BROKEN = (START, FAIL)

# (job, parent's job) → the event types of each run of it, in order. Written by hand.
GOLDEN: dict[tuple[str, str | None], list[tuple[str, ...]]] = {
    ("caught failures", None): [FINE],
    ("caught failures.fails", "caught failures"): [BROKEN],
    # Two were called; the one whose input failed never ran.
    ("caught failures.takes", "caught failures"): [FINE],
    ("caught failures.one", "caught failures"): [FINE, FINE],
    ("caught failures.always_fails", "caught failures"): [(START, RUNNING, RUNNING, FAIL)],
    ("caught failures.fails_for_good", "caught failures"): [BROKEN],
    ("caught failures.takes_too_long", "caught failures"): [BROKEN],
    ("caught failures.fails_with_broken_hook", "caught failures"): [BROKEN],
    ("caught failures.cached_by_key", "caught failures"): [FINE, FINE],
    ("caught failures.catches_a_failing_flow", "caught failures"): [FINE],
    ("failing child", "caught failures.catches_a_failing_flow"): [BROKEN],
    ("generators left early", None): [FINE],
    ("generators left early.counts", "generators left early"): [FINE],
    ("generators left early.async_counts", "generators left early"): [FINE],
    ("cancels a task", None): [FINE],
    ("cancels a task.waits", "cancels a task"): [BROKEN],
    ("flow that takes too long", None): [BROKEN],
    ("sync flow that takes too long", None): [BROKEN],
    ("says completed", None): [FINE],
    ("says failed", None): [BROKEN],
    ("returns failed futures", None): [BROKEN],
    ("returns failed futures.one", "returns failed futures"): [FINE],
    ("returns failed futures.fails", "returns failed futures"): [BROKEN],
    ("rolls back", None): [BROKEN],
    # Prefect says RolledBack after the end, which is final.
    ("rolls back.undone", "rolls back"): [FINE],
    ("paused for ever", None): [(START, OTHER, FAIL)],
    ("named", None): [FINE],
    ("starts a flow in a thread", None): [FINE],
    # A bare thread knows nothing of the run that started it, for Prefect neither.
    ("plain child", None): [FINE],
    ("plain child.one", "plain child"): [FINE],
    # That it was resumed, the server says to itself; a watcher tells it.
    ("paused", None): [(START, OTHER, COMPLETE)],
    ("paused.one", "paused"): [FINE],
    ("processes", None): [BROKEN],
    ("processes.fails_on_two", "processes"): [FINE, FINE, BROKEN],
    ("processes.takes", "processes"): [FINE],
}

# Prefect cannot do it everywhere: job → what it takes.
TAKES = {
    "processes": "process pools",
    "processes.fails_on_two": "process pools",
    "processes.takes": "process pools",
}

# How a process ends in the middle of a task → its exit code, and what is told of its flow run and of its task run.
ENDS = {
    "sigint": (-2, BROKEN, BROKEN),
    "sigterm": (-15, BROKEN, BROKEN),
    "async-sigterm": (1, BROKEN, BROKEN),
    # Nobody is left to tell the end; a watcher does.
    "sigkill": (-9, (START,), (START,)),
}

# Prefect does not do it everywhere: how → what it takes, and what is told where it does not. Before 3.8.8 the handler of a
# synchronous flow's SIGTERM hands the signal on as soon as it has left the flow's context, so that the process is gone
# before the engine says Crashed: Prefect's server has the flow run RUNNING from then on. A watcher tells its end.
ELSEWHERE = {"sigterm": ("flows that crash on SIGTERM", (-15, (START,), BROKEN))}

# What is told of a flow run → the state that Prefect's server has it in.
ON_THE_SERVER = {(START,): "RUNNING", BROKEN: "CRASHED"}

JOBS = {"async-sigterm": ("async ended", "async ended.async_ends")}


@pytest.fixture(scope="module")
def outcomes(run_script) -> dict[str, Any]:
    """A process that runs all scenarios, and one for each way to end; most of the time they wait."""
    with ThreadPoolExecutor(3) as pool:
        everything = pool.submit(run_script, "endings.py")
        ended = {how: pool.submit(run_script, "endings.py", how) for how in ENDS}
        return {"everything": everything.result(), **{how: each.result() for how, each in ended.items()}}


def _sequences(events: list[dict[str, Any]]) -> dict[tuple[str, str | None], list[tuple[str, ...]]]:
    runs, found = defaultdict(list), defaultdict(list)
    for event in events:
        runs[event["run"]["runId"]].append(event)
    for of_run in runs.values():
        parent = of_run[0]["run"]["facets"].get("parent", {}).get("job", {}).get("name")
        found[of_run[0]["job"]["name"], parent].append(tuple(event["eventType"] for event in of_run))
    return {job: sorted(sequences) for job, sequences in found.items()}


def test_every_run_has_the_events_of_the_golden_list(outcomes, can) -> None:
    """Whatever becomes of a run: one START, one end, and the parent that it really has."""
    outcome = outcomes["everything"]
    expected = {
        job: sorted(sequences)
        for job, sequences in GOLDEN.items()
        if job[0] not in TAKES or can(TAKES[job[0]])
    }

    assert outcome.returncode == 0, outcome.stderr
    assert expected == _sequences(outcome.events)


@pytest.mark.parametrize("how", ENDS)
def test_a_process_that_ends_in_the_middle_of_a_run(outcomes, how, can, prefect_server) -> None:
    """The exit code is what it would be without us, and the runs end as far as Prefect itself knows."""
    takes, elsewhere = ELSEWHERE.get(how, ("", ENDS[how]))
    returncode, of_flow, of_task = ENDS[how] if not takes or can(takes) else elsewhere
    outcome, (flow, task) = outcomes[how], JOBS.get(how, ("ended", "ended.ends_as_told"))
    told = _sequences(outcome.events)

    assert returncode == outcome.returncode, outcome.stderr
    if how == "sigkill":
        # How far the sender had come by then is chance.
        assert {of_flow} >= {each for sequences in told.values() for each in sequences}
        return
    assert {(flow, None): [of_flow], (task, flow): [of_task]} == told
    assert ON_THE_SERVER[of_flow] == _state(prefect_server.api, outcome.events, flow)


def _state(api: str, events: list[dict[str, Any]], flow: str) -> str:
    """The type of the state in which Prefect's server has the run of a flow."""
    run_id = next(event["run"]["runId"] for event in events if event["job"]["name"] == flow)
    with urllib.request.urlopen(f"{api}/flow_runs/{run_id}", timeout=10) as response:
        return str(json.load(response)["state_type"])


def test_the_rolled_back_task_ends_once(outcomes) -> None:
    """Its last word is Completed."""
    states = [
        event["run"]["facets"]["prefect_taskRun"]["stateName"]
        for event in outcomes["everything"].events
        if event["job"]["name"] == "rolls back.undone"
    ]

    assert ["Running", "Completed"] == states


def test_jobs_keep_their_names_whatever_their_runs_are_called(outcomes) -> None:
    """``flow_run_name`` and ``task_run_name`` are names of runs: they are in the facets, and not in the jobs."""
    facets = [event["run"]["facets"] for event in outcomes["everything"].events]
    flow_runs = {each["prefect_flowRun"]["flowRunName"] for each in facets if "prefect_flowRun" in each}
    task_runs = {each["prefect_taskRun"]["taskRunName"] for each in facets if "prefect_taskRun" in each}

    assert "renamed" in flow_runs
    assert "another-name" in task_runs
