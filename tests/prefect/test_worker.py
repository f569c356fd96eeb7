"""A real process worker and ``serve()``: runs that die or are cancelled from outside, that are suspended, and run again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest

from openlineage_bridge_prefect.attempts import run_id

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(600)]

WORK_POOL = "processes"
STARTED = 120.0
ENDED = 120.0
DEALT_WITH = 3.0
"""Seconds."""
BUSY_ATTEMPTS = 5

START, COMPLETE, FAIL, ABORT = "START", "COMPLETE", "FAIL", "ABORT"
ENDS = {COMPLETE, FAIL, ABORT}

Family = dict[tuple[str, str | None], list[tuple[str, ...]]]

# What becomes of a flow run → (job, parent's job) → the event types of each run of it, in order. Written by hand.
GOLDEN: dict[str, Family] = {
    # Who started the process says that the flow run crashed; of the task run nobody says anything any more.
    "killed": {("hanging", None): [(START, FAIL)], ("hanging.hangs", "hanging"): [(START,)]},
    "cancelled": {("hanging", None): [(START, ABORT)], ("hanging.hangs", "hanging"): [(START, FAIL)]},
    "deployed": {
        ("deployed parent", None): [(START, COMPLETE)],
        ("deployed child", "deployed parent"): [(START, COMPLETE)],
    },
    "failed": {
        ("needing", None): [(START, FAIL)],
        ("below", "needing"): [(START, FAIL)],
        ("below.needs", "below"): [(START, FAIL)],
    },
    "run again": {
        ("needing", None): [(START, COMPLETE)],
        ("below", "needing"): [(START, COMPLETE)],
        ("below.needs", "below"): [(START, COMPLETE)],
    },
    "suspended": {
        ("suspending", None): [(START, "OTHER", "RUNNING", COMPLETE)],
        ("suspending.one", "suspending"): [(START, COMPLETE)],
    },
}
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

# What "Retry" in Prefect's UI asks of the API.
RETRY = {
    "state": {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"},
    "force": True,
}

OUTSIDE = "from openlineage_bridge_prefect.commands import prefect; prefect()"


@attrs.frozen
class Api:
    """The few calls of Prefect's REST API that these tests make."""

    url: str

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._call(
            urllib.request.Request(
                f"{self.url}{path}",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
                method="POST",
            )
        )

    def get(self, path: str) -> Any:
        return self._call(urllib.request.Request(f"{self.url}{path}"))

    def run_deployment(self, name: str, **parameters: str) -> str:
        """Have a deployment run; the id of its flow run."""
        deployment = self.get(f"/deployments/name/{urllib.parse.quote(name)}")
        flow_run = self.post(f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})
        return str(flow_run["id"])

    def is_deployed(self, name: str) -> bool:
        """Whether there is a deployment of this name."""
        found = self.post("/deployments/filter", {"deployments": {"name": {"any_": [name]}}})
        return bool(found)

    def state(self, flow_run_id: str) -> str:
        """The type of the state of a flow run."""
        return str(self.get(f"/flow_runs/{flow_run_id}")["state_type"])

    def ended(self, flow_run_id: str) -> bool:
        """Whether the run has reached a terminal state."""
        return self.state(flow_run_id) in TERMINAL

    def _call(self, request: urllib.request.Request) -> Any:
        # SQLite makes the server say 503, or nothing for long, when it is busy.
        for _ in range(BUSY_ATTEMPTS):
            with (
                contextlib.suppress(urllib.error.HTTPError, TimeoutError),
                urllib.request.urlopen(request, timeout=10) as response,
            ):
                return json.loads(response.read())
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read())


@attrs.frozen
class Place:
    """A folder whose ``events.jsonl`` a worker, a ``serve()`` and their children write to, while they run.

    Args:
        folder: The folder.
        began: A moment before the first run.
        env: What a process that writes there has in its environment.
        api: Prefect's API.
        wait_until: Polls until a condition holds.
        process: Runs a process while the block lasts.
    """

    folder: Path
    began: datetime
    env: dict[str, str]
    api: Api
    wait_until: Callable[[Callable[[], bool], float, str], None]
    process: Callable[..., contextlib.AbstractContextManager[Any]]

    def events(self, name: str = "events.jsonl") -> list[dict[str, Any]]:
        """What was written so far."""
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def told(self, of: str) -> list[str]:
        """Types of the events of a run."""
        return [event["eventType"] for event in self.events() if event["run"]["runId"] == of]

    def family(self, of: str) -> Family:
        """What was told of a run and of all below it."""
        runs, found = defaultdict(list), defaultdict(list)
        for event in self.events():
            if _of(event, {of}):
                runs[event["run"]["runId"]].append(event)
        for events in runs.values():
            parent = events[0]["run"]["facets"].get("parent", {}).get("job", {}).get("name")
            types = tuple(event["eventType"] for event in events)
            found[events[0]["job"]["name"], parent].append(types)
        return {job: sorted(sequences) for job, sequences in found.items()}

    def await_family(self, of: str, what: str) -> None:
        """Wait until what was told of a run is what becomes of it; the ends of several processes cross."""
        with contextlib.suppress(pytest.fail.Exception):
            self.wait_until(lambda: self.family(of) == GOLDEN[what], ENDED, what)
        assert GOLDEN[what] == self.family(of)

    def await_exit(self, pid_file: Path) -> None:
        """Wait until a process is gone and its worker has dealt with that, which leaves no trace.

        Scheduled anew before, a run is taken for crashed, or finds its working directory removed under its feet.
        """
        process_id = int(pid_file.read_text())
        self.wait_until(lambda: not _lives(process_id), ENDED, "the process of an attempt to end")
        threading.Event().wait(DEALT_WITH)

    def await_end(self, of: str) -> None:
        """Wait until the end of a run was written."""
        has_ended = lambda: bool(ENDS & set(self.told(of)))
        self.wait_until(has_ended, ENDED, "the end of a run to be reported")


@pytest.fixture(scope="module")
def place(
    prefect_server, run_script, environment_of, observed, process, wait_until, tmp_path_factory
) -> Iterator[Place]:
    """Where a process worker, and a process that serves, run what this module asks for."""
    home = tmp_path_factory.mktemp("worker")
    settings = {
        "PREFECT_API_URL": prefect_server.api,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    }
    env = environment_of(home, home / "events.jsonl", **settings)
    # Not `python -m prefect`, which the first versions do not know.
    prefect = (str(Path(sys.executable).with_name("prefect")),)
    create = [*prefect, "work-pool", "create", "--type", "process", "--overwrite", WORK_POOL]
    subprocess.run(create, env=env, check=True, capture_output=True, timeout=60)
    deployed = run_script("deployed.py", backend={})
    assert deployed.returncode == 0, deployed.stderr
    began = datetime.now(UTC) - timedelta(seconds=1)
    # The first versions serve what lies below the working directory.
    script = shutil.copy(Path(__file__).parent / "scripts" / "deployed.py", home)
    with contextlib.ExitStack() as running:
        worker = observed(*prefect, "worker", "start", "--pool", WORK_POOL)
        served = observed(sys.executable, script, "serve")
        running.enter_context(process(*worker, log=home / "worker.log", env=env))
        running.enter_context(process(*served, log=home / "serve.log", env=env))
        api = Api(prefect_server.api)
        wait_until(lambda: api.is_deployed("served"), STARTED, "the deployment that is served")
        yield Place(home, began, env, api, wait_until, process)


def test_who_started_a_run_reports_what_it_cannot(place) -> None:
    """A killed run FAILs, a cancelled one is ABORTed, under a worker and under ``serve()``."""
    api, pid_files, hanging = place.api, {}, {}
    for how in ("killed", "cancelled"):
        for deployment in ("test", "served"):
            pid_file = place.folder / f"{how}-{deployment}.pid"
            pid_files[how, deployment] = pid_file
            hanging[how, deployment] = api.run_deployment(f"hanging/{deployment}", pid_file=str(pid_file))
    place.wait_until(lambda: all(path.exists() for path in pid_files.values()), STARTED, "the tasks")
    # A log file has no spool: what a killed process had not written yet is gone, and not this test's subject.
    begun = {("hanging", None): [(START,)], ("hanging.hangs", "hanging"): [(START,)]}
    all_begun = lambda: all(place.family(each) == begun for each in hanging.values())
    place.wait_until(all_begun, STARTED, "the STARTs to be written")
    for (how, deployment), flow_run_id in hanging.items():
        if how == "killed":
            os.kill(int(pid_files[how, deployment].read_text()), signal.SIGKILL)
        else:
            api.post(f"/flow_runs/{flow_run_id}/set_state", {"state": {"type": "CANCELLING"}})
    for (how, _), flow_run_id in hanging.items():
        place.await_family(flow_run_id, how)


def test_the_run_of_a_deployment_names_the_run_that_asked_for_it(place) -> None:
    """The parent is in another process, and found through the API."""
    parent = place.api.run_deployment("deployed parent/test")
    place.await_end(parent)

    place.await_family(parent, "deployed")


def test_a_run_that_had_ended_and_runs_again_is_another_run(place) -> None:
    """Each attempt has its own id, START, end and children."""
    api, file = place.api, place.folder / "needed"
    pid_file = Path(f"{file}.pid")
    first = api.run_deployment("needing/test", file=str(file))
    place.await_end(first)
    place.await_exit(pid_file)
    file.write_text("there")
    second, third = (str(run_id(UUID(first), number)) for number in (1, 2))
    api.post(f"/flow_runs/{first}/set_state", RETRY)
    place.await_end(second)
    place.await_exit(pid_file)
    api.post(f"/flow_runs/{first}/set_state", RETRY)
    place.await_end(third)

    place.await_family(first, "failed")
    place.await_family(second, "run again")
    # What Prefect keeps of the second attempt below it, and what it runs again, is its own choice.
    assert [START, COMPLETE] == place.told(third)
    _agree(place, {first, second, third})


def test_a_run_that_was_suspended_goes_on(place) -> None:
    """One START, though two processes ran it."""
    api, pid_file = place.api, place.folder / "suspending.pid"
    flow_run_id = api.run_deployment("suspending/test", pid_file=str(pid_file))
    place.wait_until(lambda: api.state(flow_run_id) == "PAUSED", STARTED, "the run to be suspended")
    place.await_exit(pid_file)
    api.post(f"/flow_runs/{flow_run_id}/resume", {})
    place.await_end(flow_run_id)

    place.await_family(flow_run_id, "suspended")
    _agree(place, {flow_run_id})


def _lives(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def _agree(place: Place, runs: set[str]) -> None:
    """A back-fill and a watcher tell the same of these runs, and of all below them, as the collector."""
    since = place.began.strftime("%Y-%m-%dT%H:%M:%S")
    inside = {_key(event) for event in place.events() if _of(event, runs)}
    about = {of for of, *_ in inside}
    for what in ("backfill", "watch"):
        name = f"{what}-{min(runs)}.jsonl"
        env = {**place.env, "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH": str(place.folder / name)}
        state = ("--state", str(place.folder / f"{name}.state"), "--since", since)
        line = (sys.executable, "-c", OUTSIDE, what, *state, *(("--every", "0.3") if what == "watch" else ()))
        told = lambda name=name: {key for key in map(_key, place.events(name)) if key[0] in about}
        with place.process(*line, log=place.folder / f"{name}.log", env=env):
            place.wait_until(lambda told=told: inside <= told(), ENDED, f"{what} to tell the same")
        # Only what is set by somebody outside is told from outside alone, and asides.
        assert {event_type for _, event_type, *_ in told() - inside} <= {"OTHER", "RUNNING"}


def _of(event: dict[str, Any], runs: set[str]) -> bool:
    parent = event["run"]["facets"].get("parent", {})
    return bool(runs & {event["run"]["runId"], parent.get("root", {}).get("run", {}).get("runId")})


def _key(event: dict[str, Any]) -> tuple[str, str, str, str]:
    return event["run"]["runId"], event["eventType"], event["eventTime"], event["job"]["name"]
