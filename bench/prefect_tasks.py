"""What the collector adds to a flow of no-op tasks, beside the same flow without it and with ``prefect-datahub``.

Each figure is a process of its own against one real Prefect server (it and the receivers are on the first CPU; flows run on
the last), warm, the ways interleaved. The collector emits through the spool transport to a receiver that takes everything;
every event is counted there, so that nothing fast is merely lossy. ``prefect-datahub`` calls ``add_task`` in every task and
``emit_flow`` at the end, against a stub of DataHub that answers at once or after 20 ms.

The ways differ in ``OPENLINEAGE_URL`` alone: Prefect's plugins are on in all of them, and ours is the only one that is let in.
Two processes of one way differ by more than the collector adds, whatever else the machine does; so each round has its own ratio,
the ways change places from round to round, and what is told is the median of the ratios.

A flow of no-op tasks computes all the time, so what the collector's threads take its own wait for. Wall times say what a user
waits; where other work is on the machine they say more about that, and the CPU time of the flow's process, all threads
together, is the figure that holds.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import Process, Value
from pathlib import Path
from typing import Any

import attrs
import psutil
import report

FLOW = """
import gc, sys, time
count = int(sys.argv[1])
from prefect import flow, task
{setup}

@task
def nothing() -> None:
    {in_task}

@flow
def warm() -> None:
    for _ in range(5):
        nothing()

@flow
def many() -> None:
    started = time.perf_counter()
    for _ in range(count):
        nothing()
    print((time.perf_counter() - started) / count * 1000)
    started = time.perf_counter()
    {at_end}
    print(time.perf_counter() - started)

warm()
# A full collection of garbage takes up to a fifth of a second, and would fall into one flow or the other by chance.
gc.collect()
gc.freeze()
started, worked = time.perf_counter(), time.process_time()
many()
print(time.perf_counter() - started)
print((time.process_time() - worked) / count * 1000)
"""

PLAIN = {"setup": "", "in_task": "pass", "at_end": "pass"}
PEER = {
    "setup": "from prefect_datahub.datahub_emitter import DatahubEmitter\n"
    "from prefect_datahub.entities import Dataset\nimport os\n"
    "emitter = DatahubEmitter(datahub_rest_url=os.environ['STUB'])",
    "in_task": "emitter.add_task(outputs=[Dataset('snowflake', 'db.schema.t')])",
    "at_end": "emitter.emit_flow()",
}


@attrs.frozen
class Way:
    """One way to run the flow."""

    name: str
    code: dict[str, str]
    environment: dict[str, str]


@attrs.frozen
class Timing:
    """What one process measured: milliseconds a task, seconds at the end of the flow, seconds in all, CPU milliseconds a task."""

    per_task: float
    at_end: float
    whole: float
    cpu: float


MEASURES: dict[str, Callable[[Timing], float]] = {
    "wall": lambda each: each.per_task,
    "CPU": lambda each: each.cpu,
}
"""What of a timing is held against the aim. Not the whole: Prefect ends a flow at a whole second after its start, with the
collector and without."""


class Stub(BaseHTTPRequestHandler):
    """Answers what DataHub's emitter and the OpenLineage client ask for, after a while, and counts events."""

    protocol_version = "HTTP/1.1"
    delay = 0.0
    counted: Any = None

    def do_GET(self) -> None:  # http.server's name
        """DataHub's configuration."""
        self._answer(
            {"models": {}, "noCode": "true", "versions": {"acryldata/datahub": {"version": "v1.4.0"}}}
        )

    def do_POST(self) -> None:  # http.server's name
        """Take it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        decoded = json.loads(body)
        count = len(decoded) if isinstance(decoded, list) else 1
        with self.counted.get_lock():
            self.counted.value += count
        time.sleep(self.delay)
        self._answer({"summary": {"received": count, "successful": count, "failed": 0}})

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def stub(delay: float) -> Iterator[tuple[str, Any]]:
    """A receiver in a process of its own: its URL, and how many events or requests it has taken."""
    counted = Value("i", 0)
    handler = type("Handler", (Stub,), {"delay": delay, "counted": counted})
    listener = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    process = Process(target=serve_on_first_cpu, args=(listener,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{listener.server_port}", counted
    finally:
        process.terminate()
        process.join()
        listener.server_close()


def serve_on_first_cpu(listener: ThreadingHTTPServer) -> None:
    """Where the flows are not."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})
    listener.serve_forever()


@contextmanager
def server(home: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A real Prefect server on the first CPU: the URL of its API, and its process."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Stub) as probe:
        port = str(probe.server_port)
    command = [
        sys.executable,
        "-m",
        "prefect",
        "server",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        port,
        "--no-ui",
    ]
    with (home / "server.log").open("wb") as log:
        running = subprocess.Popen(pinned(0, command), stdout=log, stderr=log, env=environment(home, {}))
        try:
            api = f"http://127.0.0.1:{port}/api"
            wait_for(f"{api}/health")
            yield api, running
        finally:
            running.terminate()
            running.wait(20)


def wait_for(url: str) -> None:
    """Until it answers, at most three minutes."""
    until = time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return


def pinned(cpu: int, command: list[str]) -> list[str]:
    """On one CPU, where the machine can tell them apart."""
    return ["taskset", "-c", str(cpu % (os.cpu_count() or 1)), *command]


def environment(home: Path, more: dict[str, str]) -> dict[str, str]:
    """What a flow's process sees."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "OPENLINEAGE"))
    }
    own = {
        "HOME": str(home),
        "PREFECT_HOME": str(home),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Importing every integration that is installed takes the server long.
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
        "DO_NOT_TRACK": "1",
    }
    return {**inherited, **own, **more}


def until_idle(process: subprocess.Popen[bytes]) -> None:
    """Wait until the server has dealt with what flows before have sent it, which takes it longer than it took them.

    It is idle when it takes less than a twentieth of its CPU for two seconds.
    """
    watched = psutil.Process(process.pid)
    watched.cpu_percent()
    while watched.cpu_percent(interval=2) > 5:
        pass


def run(way: Way, tasks: int, home: Path) -> Timing:
    """One process."""
    script = home / "flow.py"
    script.write_text(FLOW.format(**way.code))
    command = pinned(-1, [sys.executable, str(script), str(tasks)])
    done = subprocess.run(
        command,
        env=environment(home, way.environment),
        capture_output=True,
        text=True,
        timeout=1200,
        cwd=home,
        check=True,
    )
    return Timing(*(float(line) for line in done.stdout.split()[-4:]))


def compare(
    ways: list[Way], tasks: int, rounds: int, home: Path, running: subprocess.Popen[bytes]
) -> dict[str, list[Timing]]:
    """All ways, round after round, so that a slow minute of the machine hits all."""
    timings: dict[str, list[Timing]] = {way.name: [] for way in ways}
    for number in range(rounds):
        for way in ways if number % 2 else reversed(ways):
            until_idle(running)
            found = run(way, tasks, home)
            timings[way.name].append(found)
            progress = (
                f"{tasks:,} tasks, round {number + 1}, {way.name}: {found.per_task:.2f} ms, CPU {found.cpu:.2f} ms, "
                f"in all {found.whole:.2f} s"
            )
            print(progress, file=sys.stderr, flush=True)
    return timings


def tell(tasks: int, timings: dict[str, list[Timing]]) -> None:
    """The medians and the best, and what they are beside the flow without us."""
    report.heading(
        f"A flow of {tasks:,} no-op tasks, median (best) of {len(timings['plain'])}: wall ms per task, CPU ms per task; its end"
    )
    for name, found in timings.items():
        end = statistics.median(each.at_end for each in found)
        wall, cpu = spread([each.per_task for each in found]), spread([each.cpu for each in found])
        report.figure(name, f"{wall}  CPU {cpu}  +{end:.2f} s")
    for name in [name for name in timings if name != "plain"]:
        compared(name, timings[name], timings["plain"])


def spread(values: list[float]) -> str:
    """Median and best."""
    return f"{statistics.median(values):.2f} ({min(values):.2f})"


def compared(name: str, found: list[Timing], plain: list[Timing]) -> None:
    """The ratios: of the whole flow's wall time, and of its CPU time."""
    if name != "collector":
        whole = statistics.median(each.whole for each in found) / statistics.median(
            each.whole for each in plain
        )
        report.figure(f"  {name}, end included", f"{whole:.2f} ×")
        return
    for what, pick in MEASURES.items():
        ours, theirs = [pick(each) for each in found], [pick(each) for each in plain]
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        median, best = statistics.median(ratios), min(ours) / min(theirs)
        report.ratio(
            f"  the collector's flow beside the plain one, {what}", median, "≤ 1.10", met=median <= 1.1
        )
        report.figure(f"    the best of each, {what}", f"{best:.2f} ×")


def main() -> None:
    """200 tasks all ways, 2,000 tasks without the peer, which takes minutes for each."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--peer-rounds", type=int, default=2)
    options.add_argument("--tasks", type=int, nargs="+", default=[200, 2000])
    chosen = options.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        stub(0) as (url, taken),
        stub(0) as (quick, _),
        stub(0.02) as (slow, _),
    ):
        home = Path(name)
        with server(home) as (api, running):
            base = {
                "PREFECT_API_URL": api,
                "PREFECT_PLUGINS_ENABLED": "1",
                "PREFECT_PLUGINS_ALLOW": "openlineage-bridge",
            }
            ways = [Way("plain", PLAIN, base), Way("collector", PLAIN, {**base, "OPENLINEAGE_URL": url})]
            peers = [
                Way("prefect-datahub, 0 ms", PEER, {**base, "STUB": quick}),
                Way("prefect-datahub, 20 ms", PEER, {**base, "STUB": slow}),
            ]
            if importlib.util.find_spec("prefect_datahub") is None:
                peers = []
                print(
                    "prefect-datahub is not installed: pip install -c constraints.txt '.[bench]' to compare with it"
                )
            for tasks in chosen.tasks:
                before = taken.value
                found = compare(ways, tasks, chosen.rounds, home, running)
                if tasks <= 200 and chosen.peer_rounds:
                    found |= compare(peers, tasks, chosen.peer_rounds, home, running)
                tell(tasks, found)
                expected = chosen.rounds * (2 * (tasks + 5) + 4)
                report.figure(
                    "events that the collector's receiver took, of those there are",
                    f"{taken.value - before:,} of {expected:,}",
                )


if __name__ == "__main__":
    main()
