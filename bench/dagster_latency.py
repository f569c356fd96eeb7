"""How long after Dagster stored it an event is received: through the sensor in a real daemon, and through the tailer.

Small runs are started one after another at odd times. An event's time is that of the record it tells of, so what it is late
by is the clock at the receiver minus that.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import attrs
import dagster_logs
import dagster_receiver
import report
from dagster import DagsterInstance, job, op
from dagster_sensors import quiet

EVENTS = 4
"""Of each run: its own start and end, and those of its op."""


@attrs.frozen
class Way:
    """A way to observe, as a process of its own."""

    name: str
    command: list[str]


WAYS = (
    Way(
        "sensor in dagster-daemon, every 5 s",
        ["-m", "dagster._daemon", "run", "-m", "openlineage_bridge_dagster.location"],
    ),
    Way("tailer, every 0.5 s", ["-m", "openlineage_bridge", "dagster", "tail"]),
)


@op
def nothing() -> None:
    """Nothing."""


@job
def small() -> None:
    """One op."""
    nothing()


@contextmanager
def running(way: Way, home: Path, url: str) -> Iterator[None]:
    """The process, and all that it starts, ended when the block is left."""
    settings = {**os.environ, "DAGSTER_HOME": str(home), "OPENLINEAGE_URL": url}
    with (home / "observer.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *way.command],
            env=settings,
            stdout=log,
            stderr=log,
            cwd=home,
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def lateness(gms: dagster_receiver.Gms, known: set[str]) -> list[float]:
    """Seconds that each event of the known runs was late by."""
    late = {}
    for moment, event in gms.bodies():
        run, told = event.get("run"), event.get("eventTime")
        if run and {run["runId"], _parent(event)} & known:
            late.setdefault(
                (run["runId"], event["eventType"]), moment - datetime.fromisoformat(told).timestamp()
            )
    return list(late.values())


def _parent(event: dict[str, dict[str, dict[str, dict[str, str]]]]) -> str:
    return event["run"].get("facets", {}).get("parent", {}).get("run", {}).get("runId", "")


def observed(way: Way, runs: int, patience: float) -> list[float]:
    """Seconds of lateness of all events of so many runs, after a first that is only waited for."""
    with (
        tempfile.TemporaryDirectory() as folder,
        dagster_receiver.listening(Path(folder)) as gms,
        dagster_logs.opened(Path(folder) / "home", None) as instance,
        running(way, Path(folder) / "home", gms.url),
    ):
        _wait(gms, {_run(instance)}, EVENTS, patience, instance)
        known = set()
        for pause in itertools.islice(itertools.cycle([0.7, 1.3, 2.1]), runs):
            time.sleep(pause)
            known.add(_run(instance))
        _wait(gms, known, EVENTS * runs, patience, None)
        return lateness(gms, known)


def _run(instance: DagsterInstance) -> str:
    return small.execute_in_process(instance=instance).run_id


def _wait(
    gms: dagster_receiver.Gms, known: set[str], events: int, patience: float, instance: DagsterInstance | None
) -> None:
    """Until so many events have come; while the observer comes up, with a new run now and then."""
    until, again = time.monotonic() + patience, time.monotonic() + 15
    while len(lateness(gms, known)) < events:
        if time.monotonic() > until:
            raise TimeoutError(f"{len(lateness(gms, known))} of {events} events came in {patience:.0f} s")
        if instance is not None and time.monotonic() > again:
            known.clear()
            known.add(_run(instance))
            again = time.monotonic() + 15
        time.sleep(0.2)


def main() -> None:
    """Both ways."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=15)
    options.add_argument("--patience", type=float, default=180.0, help="seconds to wait for events")
    chosen = options.parse_args()
    quiet()
    report.heading(f"From the record in Dagster's log to the receiver, {chosen.runs} runs: seconds")
    for way in WAYS:
        late = sorted(observed(way, chosen.runs, chosen.patience))
        p90, p99 = late[int(len(late) * 0.9)], late[int(len(late) * 0.99)]
        report.figure(
            f"{way.name}: p50, p90, p99 of {len(late)} events",
            f"{statistics.median(late):.2f}  {p90:.2f}  {p99:.2f}",
        )


if __name__ == "__main__":
    main()
