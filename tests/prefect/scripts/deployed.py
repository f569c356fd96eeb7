"""Flows that a process worker or ``serve()`` runs, and, run as a script, their deployments."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from prefect import flow, serve, task
from prefect.deployments import run_deployment
from prefect.flow_runs import suspend_flow_run

WORK_POOL = "processes"
# Without one, Prefect's client writes "None" there as soon as it updates the deployment.
DESCRIPTION = "What becomes of a run"


def work(pid_file: str) -> None:
    """Take the time that flows take, and write the id of this process.

    The first event of a deployment's run needs answers of Prefect's server. When it is busy, they come later than a flow ends
    that does nothing, and its process is not held back for them; nor does somebody wait who kills it.
    """
    threading.Event().wait(6)
    # A rename, so that whoever waits for the file finds the whole number in it.
    Path(f"{pid_file}.new").write_text(str(os.getpid()))
    Path(f"{pid_file}.new").rename(pid_file)


@task
def hangs(pid_file: str) -> None:
    work(pid_file)
    threading.Event().wait(120)


@flow(name="hanging")
def hanging(pid_file: str) -> None:
    try:
        hangs(pid_file)
    finally:
        # Cleaning up takes its time; without it, Prefect before 3.8.8 ends the process while the task's end is on its way.
        threading.Event().wait(1)


@flow(name="deployed child")
def child(pid_file: str) -> None:
    work(pid_file)


@flow(name="deployed parent")
def parent(pid_file: str, child_pid_file: str) -> None:
    work(pid_file)
    # Awaited for longer than a busy machine needs for it.
    run_deployment(
        "deployed child/test", parameters={"pid_file": child_pid_file}, timeout=300, poll_interval=1
    )


@task
def needs(file: str) -> None:
    Path(file).read_text()


@flow(name="below")
def below(file: str) -> None:
    needs(file)


@flow(name="needing")
def needing(file: str) -> None:
    work(f"{file}.pid")
    below(file)


@task
def one() -> int:
    return 1


@flow(name="suspending", persist_result=True)
def suspending(pid_file: str) -> int:
    work(pid_file)
    suspend_flow_run(key="once")
    return one()


def main() -> None:
    here = Path(__file__)
    for name in ("hanging", "child", "parent", "needing", "suspending"):
        deployable = flow.from_source(source=str(here.parent), entrypoint=f"{here.name}:{name}")
        deployable.deploy("test", work_pool_name=WORK_POOL, description=DESCRIPTION, print_next_steps=False)


if __name__ == "__main__":
    serve(
        hanging.to_deployment("served", description=DESCRIPTION), limit=4
    ) if "serve" in sys.argv else main()
