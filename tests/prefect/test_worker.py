"""A real process worker: runs that die or are cancelled from outside, and parents in another process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

WORK_POOL = "processes"
STARTED = 40.0
ENDED = 40.0


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

    def ended(self, flow_run_id: str) -> bool:
        """Whether the run has reached a terminal state."""
        return self.get(f"/flow_runs/{flow_run_id}")["state_type"] in {
            "COMPLETED",
            "FAILED",
            "CRASHED",
            "CANCELLED",
        }

    def _call(self, request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read())


@pytest.fixture
def api(prefect_server) -> Api:
    return Api(prefect_server.api)


@pytest.fixture
def worker_home(prefect_server, run_script, environment_of, process, tmp_path):
    """A folder whose ``events.jsonl`` a worker and its children write to, while the worker runs."""
    settings = {"PREFECT_API_URL": prefect_server.api, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    env = environment_of(tmp_path, tmp_path / "events.jsonl", **settings)
    create = [
        sys.executable,
        "-m",
        "prefect",
        "work-pool",
        "create",
        "--type",
        "process",
        "--overwrite",
        WORK_POOL,
    ]
    subprocess.run(create, env=env, check=True, capture_output=True, timeout=60)
    deployed = run_script("deployed.py", backend={})
    assert deployed.returncode == 0, deployed.stderr
    start = (sys.executable, "-m", "prefect", "worker", "start", "--pool", WORK_POOL)
    with process(*start, log=tmp_path / "worker.log", env=env):
        yield tmp_path


def _events(home: Path, flow_run_id: str) -> list[tuple[str, str, str | None]]:
    """Type, job and parent's job of the events of a run."""
    events = [json.loads(line) for line in (home / "events.jsonl").read_text().splitlines()]
    return [
        (
            event["eventType"],
            event["job"]["name"],
            event["run"]["facets"].get("parent", {}).get("job", {}).get("name"),
        )
        for event in events
        if event["run"]["runId"] == flow_run_id
    ]


def _has_ended(home: Path, flow_run_id: str) -> Callable[[], bool]:
    return lambda: any(event[0] in {"COMPLETE", "FAIL", "ABORT"} for event in _events(home, flow_run_id))


@pytest.mark.reliability
def test_a_worker_reports_what_its_children_cannot(api, worker_home, wait_until) -> None:
    """A killed run FAILs, a cancelled one is ABORTed, and a deployment's run names the run that asked for it."""
    pid_files = {how: worker_home / f"{how}.pid" for how in ("killed", "cancelled")}
    hanging = {how: api.run_deployment("hanging/test", pid_file=str(path)) for how, path in pid_files.items()}
    parent = api.run_deployment("deployed parent/test")
    wait_until(lambda: all(path.exists() for path in pid_files.values()), STARTED, "both tasks")
    os.kill(int(pid_files["killed"].read_text()), signal.SIGKILL)
    api.post(f"/flow_runs/{hanging['cancelled']}/set_state", {"state": {"type": "CANCELLING"}})
    for flow_run_id in (*hanging.values(), parent):
        wait_until(lambda run=flow_run_id: api.ended(run), ENDED, "the runs to end")
        wait_until(_has_ended(worker_home, flow_run_id), ENDED, "their events")
    child = api.post("/flow_runs/filter", {"flows": {"name": {"any_": ["deployed child"]}}})[0]["id"]

    assert _events(worker_home, hanging["killed"]) == [("START", "hanging", None), ("FAIL", "hanging", None)]
    assert _events(worker_home, hanging["cancelled"]) == [
        ("START", "hanging", None),
        ("ABORT", "hanging", None),
    ]
    assert _events(worker_home, parent) == [
        ("START", "deployed parent", None),
        ("COMPLETE", "deployed parent", None),
    ]
    assert _events(worker_home, child) == [
        ("START", "deployed child", "deployed parent"),
        ("COMPLETE", "deployed child", "deployed parent"),
    ]
