"""Everything that a Prefect run can do: the scripts beside this one, a task worker, a process worker and ``serve()``, at work.

Prints as JSON how each part ended, what it and the workers said, and the flow run of each case of the deployments.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import prefect_rest
from processes import DEALT_WITH, GIVEN_UP, await_exit, run, running, wait_until

SCRIPTS = Path(__file__).parent
HERE = Path.cwd()
# Not `python -m prefect`, which the first versions do not know.
PREFECT = str(Path(sys.executable).with_name("prefect"))
WORK_POOL = "processes"
OFTEN = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_RUNNER_POLL_FREQUENCY": "1"}

# What "Retry" in Prefect's UI asks of the API.
RETRY = {
    "state": {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"},
    "force": True,
}

# Part → the script that it is, with its arguments.
ALONE = {
    "lifecycle": ("lifecycle.py",),
    "endings": ("endings.py",),
    "sigint": ("endings.py", "sigint"),
    "sigterm": ("endings.py", "sigterm"),
    "async-sigterm": ("endings.py", "async-sigterm"),
    "sigkill": ("endings.py", "sigkill"),
}


def script(part: str, file: str, *arguments: str) -> int:
    return run(part, sys.executable, str(SCRIPTS / file), *arguments)


def background() -> int:
    """A script, and the task worker that runs what it asks for."""
    with running("task-worker", sys.executable, str(SCRIPTS / "background.py"), "serve"):
        return script("background", "background.py")


def deployments() -> dict[str, str]:
    """What a process worker and ``serve()`` run: case → flow run."""
    made = run("work-pool", PREFECT, "work-pool", "create", "--type", "process", "--overwrite", WORK_POOL)
    if made or script("deploy", "deployed.py"):
        raise RuntimeError("there is no work pool, or there are no deployments")
    # The first versions serve what lies below the working directory.
    served = shutil.copy(SCRIPTS / "deployed.py", HERE)
    with (
        running("worker", PREFECT, "worker", "start", "--pool", WORK_POOL, **OFTEN),
        running("serve", sys.executable, served, "serve", **OFTEN),
    ):
        wait_until(lambda: prefect_rest.is_deployed("served"), "the deployment that is served")
        ended = ended_from_outside()
        with ThreadPoolExecutor() as pool:
            cases = {name: pool.submit(case) for name, case in CASES.items()}
            return ended | {name: case.result() for name, case in cases.items()}


def ended_from_outside() -> dict[str, str]:
    """A run that is killed and one that is cancelled, under a worker and under ``serve()``."""
    flow_runs, pid_files = {}, {}
    for how in ("killed", "cancelled"):
        for deployment in ("test", "served"):
            case = f"{how}, {deployment}"
            pid_files[case] = HERE / f"{case}.pid"
            flow_runs[case] = prefect_rest.run_deployment(
                f"hanging/{deployment}", pid_file=str(pid_files[case])
            )
    wait_until(lambda: all(file.exists() for file in pid_files.values()), "the tasks that hang")
    # So that what is killed has said what it had to say.
    threading.Event().wait(DEALT_WITH)
    for case, flow_run in flow_runs.items():
        if case.startswith("killed"):
            os.kill(int(pid_files[case].read_text()), signal.SIGKILL)
        else:
            prefect_rest.post(f"/flow_runs/{flow_run}/set_state", {"state": {"type": "CANCELLING"}})
    for case, flow_run in flow_runs.items():
        await_end(flow_run, pid_files[case])
    return flow_runs


def calls() -> str:
    """A run that has another deployment run."""
    parent, child = HERE / "parent.pid", HERE / "child.pid"
    flow_run = prefect_rest.run_deployment(
        "deployed parent/test", pid_file=str(parent), child_pid_file=str(child)
    )
    await_end(flow_run, parent)
    await_exit(child)
    return flow_run


def runs_again() -> str:
    """A run that fails, and is retried from outside, twice."""
    file = HERE / "needed"
    pid_file = Path(f"{file}.pid")
    flow_run = prefect_rest.run_deployment("needing/test", file=str(file))
    await_end(flow_run, pid_file)
    file.write_text("there")
    for _ in range(2):
        prefect_rest.post(f"/flow_runs/{flow_run}/set_state", RETRY)
        await_end(flow_run, pid_file)
    return flow_run


def suspended() -> str:
    """A run that is suspended, and goes on in another process."""
    pid_file = HERE / "suspending.pid"
    flow_run = prefect_rest.run_deployment("suspending/test", pid_file=str(pid_file))
    wait_until(lambda: prefect_rest.state(flow_run) == "PAUSED", "the run to be suspended")
    await_exit(pid_file)
    prefect_rest.post(f"/flow_runs/{flow_run}/resume", {})
    await_end(flow_run, pid_file)
    return flow_run


CASES = {"calls": calls, "runs again": runs_again, "suspended": suspended}


def await_end(flow_run: str, pid_file: Path) -> None:
    """Wait until a flow run has ended, and the process that ran it."""
    wait_until(lambda: prefect_rest.has_ended(flow_run), f"the end of {pid_file.stem}")
    await_exit(pid_file)


def conduct() -> dict[str, dict[str, Any]]:
    """Everything; how each script ended, case → flow run, and process → what it said."""
    # The deployments beside the rest: more would have two processors do nothing but start Prefect.
    with ThreadPoolExecutor(2) as pool:
        deployed, asked = pool.submit(deployments), pool.submit(background)
        parts = {"background": asked} | {
            part: pool.submit(script, part, *line) for part, line in ALONE.items()
        }
        try:
            for each in as_completed([deployed, *parts.values()]):
                each.result()
        except BaseException:
            GIVEN_UP.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        codes = {part: code.result() for part, code in parts.items()}
        return {"returncodes": codes, "flow_runs": deployed.result(), "said": said()}


def said() -> dict[str, str]:
    """Process → what it has written to its log so far."""
    return {log.stem: log.read_text() for log in sorted(HERE.glob("*.log"))}


def main() -> None:
    # So that nothing is left behind when somebody has enough of it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print(json.dumps(conduct(), indent=2))  # noqa: T201
    except Exception:
        for name, text in said().items():
            sys.stderr.write(f"{name}: {text[-2000:]}\n")
        raise


if __name__ == "__main__":
    main()
