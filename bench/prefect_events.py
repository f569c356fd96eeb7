"""What an event of a Prefect task costs, thread by thread: CPU of who runs the task, of who builds events, of who sends them.

Real task runs, states and contexts of Prefect go through all of the collector, spool and receiver included; only the engine
between two transitions is left out, and with it nearly all of a task's time. CPU time of single threads says the same on a busy
machine as on a quiet one, nearly; what a whole flow takes is what ``prefect_tasks.py`` measures.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from types import SimpleNamespace
from uuid import UUID

import attrs
import report
from prefect_tasks import stub

LIMIT = 100.0
"""Microseconds on the calling thread that an event may take."""

THREADS = {"building, encoding, writing": "openlineage-emitter", "sending, in batches": "openlineage-spool"}
"""What is done → the thread that does it."""


TOGETHER = 50
"""Tasks that end before the collector's threads have caught up: those of a tenth of a second, and some more."""


@attrs.frozen
class Cost:
    """CPU microseconds for each event."""

    calling: float
    building: float
    sending: float


def measure(tasks: int) -> Cost:
    """In this process, which nothing of the collector has run in before."""
    from prefect.context import FlowRunContext

    from openlineage_bridge_capture.emitter import emitter
    from openlineage_bridge_prefect import activation

    assert activation.activate()
    engines, around = task_engines(tasks), flow_engine()
    with FlowRunContext.model_construct(flow=around.flow, flow_run=around.flow_run):
        enter(around, "FLOW", around.state)
        assert emitter().flush(20)
        before, calling = spent(), 0.0
        for first in range(0, tasks, TOGETHER):
            calling += run(engines[first : first + TOGETHER])
            while emitter().waiting:
                time.sleep(0.01)
        assert emitter().flush(60)
    seconds = (calling, *(after - earlier for after, earlier in zip(spent(), before, strict=True)))
    assert emitter().sent == 2 * tasks + 1
    return Cost(*(each / (2 * tasks) * 1e6 for each in seconds))


def run(engines: list[SimpleNamespace]) -> float:
    """Have tasks start and end, one after the other; CPU seconds of this thread."""
    began = time.thread_time()
    for engine in engines:
        for state in engine.states:
            enter(engine, "TASK", state)
    return time.thread_time() - began


def enter(engine: SimpleNamespace, kind: str, state: object) -> None:
    """What the wrapped ``set_state`` of an engine does beside the engine's own work."""
    from openlineage_bridge_prefect import observer

    run = observer.before(engine, kind)
    observer.after(engine, run, state)
    observer.settle(run, state)


def flow_engine() -> SimpleNamespace:
    """What the observer reads of a flow's engine."""
    from prefect import flow
    from prefect.client.schemas.objects import FlowRun
    from prefect.states import Pending, Running

    many = flow(lambda: None, name="many")
    flow_run = FlowRun(flow_id=UUID(int=1), name="busy-bee", state=Pending())
    return SimpleNamespace(flow=many, flow_run=flow_run, parameters={}, state=Running())


def task_engines(count: int) -> list[SimpleNamespace]:
    """What the observer reads of tasks' engines, and the states that they go through."""
    from prefect import task
    from prefect.client.schemas.objects import TaskRun
    from prefect.states import Completed, Pending, Running

    @task
    def nothing() -> None:
        """A task."""

    return [
        SimpleNamespace(
            task=nothing,
            task_run=TaskRun(
                task_key=nothing.task_key,
                dynamic_key=str(number),
                name=f"nothing-{number}",
                flow_run_id=UUID(int=2),
                state=Pending(),
            ),
            parameters={},
            states=(Running(), Completed()),
        )
        for number in range(count)
    ]


def spent() -> list[float]:
    """CPU seconds that each of the collector's threads has taken so far."""
    running = {thread.name: thread.ident for thread in threading.enumerate()}
    return [time.clock_gettime(time.pthread_getcpuclockid(running[name])) for name in THREADS.values()]


def in_a_process(tasks: int, url: str) -> Cost:
    """Measured in a process of its own, which knows nothing of the user's settings."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "OPENLINEAGE"))
    }
    with tempfile.TemporaryDirectory() as home:
        own = {"HOME": home, "PREFECT_HOME": home, "OPENLINEAGE_URL": url, "PREFECT_LOGGING_LEVEL": "ERROR"}
        done = subprocess.run(
            [sys.executable, __file__, "--tasks", str(tasks), "--here"],
            env={**inherited, **own},
            stdout=subprocess.PIPE,
            text=True,
            timeout=600,
            check=True,
        )
    return Cost(*map(float, done.stdout.split()))


def tell(tasks: int, costs: list[Cost]) -> None:
    """The medians and the best."""
    report.heading(f"An event of one of {tasks:,} tasks: CPU microseconds, median (best) of {len(costs)}")
    calling = [each.calling for each in costs]
    report.figure("on the thread that runs the task", spread(calling))
    median = statistics.median(calling) / LIMIT
    report.ratio("  of what it may take", median, f"≤ {LIMIT:.0f} µs", met=median <= 1)
    for what, values in zip(
        THREADS, ([each.building for each in costs], [each.sending for each in costs]), strict=True
    ):
        report.figure(what, spread(values))


def spread(values: list[float]) -> str:
    """Median and best."""
    return f"{statistics.median(values):.0f} ({min(values):.0f}) µs"


def main() -> None:
    """Several processes, one after the other."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tasks", type=int, default=5_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.here:
        print(*attrs.astuple(measure(chosen.tasks)))
        return
    with stub(0) as (url, taken):
        costs = [in_a_process(chosen.tasks, url) for _ in range(chosen.rounds)]
        tell(chosen.tasks, costs)
        expected = chosen.rounds * (2 * chosen.tasks + 1)
        report.figure("events that the receiver took, of those there are", f"{taken.value:,} of {expected:,}")


if __name__ == "__main__":
    main()
