"""Which events tasks emit that a task worker runs in the background, and the tasks and flows that these call."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

START, RUNNING, COMPLETE, FAIL = "START", "RUNNING", "COMPLETE", "FAIL"

FINE = (START, COMPLETE)

SCRIPT = Path(__file__).parent / "scripts" / "background.py"
SECONDS = 240.0

# (job, parent's job, root's job) → the event types of each run of it, in order. Written by hand.
GOLDEN: dict[tuple[str, str | None, str | None], list[tuple[str, ...]]] = {
    # Asked for by a script: nobody is around them.
    ("doubles", None, None): [FINE],
    ("async_doubles", None, None): [FINE],
    ("breaks", None, None): [(START, FAIL)],
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


@pytest.fixture(scope="module")
def events(run_script, prefect_server, environment_of, observed, process, wait_until, tmp_path_factory):
    """What a task worker and the script that has it work said."""
    home = tmp_path_factory.mktemp("task-worker")
    path = home / "events.jsonl"
    env = environment_of(home, path, PREFECT_API_URL=prefect_server.api)
    # The worker is given the parameters in a file below the home, of Prefect or of the user.
    shared = {
        "HOME": str(home),
        "PREFECT_HOME": str(home),
        "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH": str(path),
    }
    worker = observed(sys.executable, str(SCRIPT), "serve")
    with process(*worker, log=home / "worker.log", env=env):
        outcome = run_script("background.py", **shared)
        assert outcome.returncode == 0, outcome.stderr + (home / "worker.log").read_text()
        wait_until(lambda: _all_ended(_read(path)), SECONDS, "the ends of all runs")
    return _read(path)


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _all_ended(events: list[dict[str, Any]]) -> bool:
    ends = [event for event in events if event["eventType"] in {COMPLETE, FAIL}]
    return len(ends) == sum(map(len, GOLDEN.values()))


def _family(event: dict[str, Any]) -> tuple[str, str | None, str | None]:
    parent = event["run"]["facets"].get("parent")
    if parent is None:
        return event["job"]["name"], None, None
    return event["job"]["name"], parent["job"]["name"], parent["root"]["job"]["name"]


def test_every_run_has_the_events_of_the_golden_list(events) -> None:
    """One START, one end, and the parent and root are those who asked for it, whichever process runs it."""
    runs, actual = defaultdict(list), defaultdict(list)
    for event in events:
        runs[event["run"]["runId"]].append(event)
    for of_run in runs.values():
        actual[_family(of_run[0])].append(tuple(event["eventType"] for event in of_run))

    assert GOLDEN == {family: sorted(sequences) for family, sequences in actual.items()}
