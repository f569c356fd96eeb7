"""What the collector adds to a flow's wall time when its backend or the disk is in trouble, next to the bound.

Prints a line for each kind of trouble: seconds of the whole process and of the flow, the best of several rounds, what was
added to the process that reports nowhere, and how long the process's own threads waited for the collector, which other work
on the machine changes least. Starts a Prefect server of its own, on a free port and with a database that is gone afterwards.
"""

from __future__ import annotations

import argparse
import http.server
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

BOUND_SECONDS = 2.0
SCRIPT = Path(__file__).parents[1] / "tests" / "prefect" / "scripts" / "small.py"

PROBE = """
import atexit, runpy, sys, time
from openlineage_bridge_capture import emitter

waited = 0.0

def timed(waiting):
    def wait(*arguments):
        global waited
        began = time.perf_counter()
        try:
            return waiting(*arguments)
        finally:
            waited += time.perf_counter() - began
    return wait

# Registered first, so called last.
atexit.register(lambda: print(f"{waited:.3f}"))
emitter.Emitter.flush = timed(emitter.Emitter.flush)
emitter._close_at_exit = timed(emitter._close_at_exit)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs the script and tells how long it was held up: at the end of its flow, and of the process."""


@attrs.frozen
class Trouble:
    """A way for things to be wrong.

    Args:
        name: What to call it.
        url: Address of the backend; None for none at all.
        arguments: What the script is told to do to its own process.
        environment: What else it sees.
    """

    name: str
    url: str | None = None
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Timing:
    """Seconds: of the process, of the flow in it, and that its threads waited for the collector."""

    process: float
    flow: float
    waited: float


class _Broken(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_error(500)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def troubles() -> Iterator[list[Trouble]]:
    """All kinds; the first is none."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Broken) as broken, socket.socket() as hanging:
        threading.Thread(target=broken.serve_forever, daemon=True).start()
        hanging.bind(("127.0.0.1", 0))
        # Connections are made by the kernel, and nobody ever answers.
        hanging.listen(128)
        hangs = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        nowhere = {"HOME": "/proc", "XDG_STATE_HOME": "", "OPENLINEAGE_BRIDGE_SPOOL_FOLDER": ""}
        yield [
            Trouble("nothing configured"),
            Trouble("refuses", "http://127.0.0.1:9"),
            Trouble("hangs", hangs),
            Trouble("answers 500", f"http://127.0.0.1:{broken.server_address[1]}"),
            Trouble("host unknown", "http://backend.invalid:5000"),
            Trouble("resolver hangs", "http://backend.invalid:5000", ("hanging-resolver",)),
            Trouble("disk full, refuses", "http://127.0.0.1:9", ("full-disk",)),
            Trouble("disk full, hangs", hangs, ("full-disk",)),
            Trouble("no home, hangs", hangs, environment=nowhere),
        ]
        broken.shutdown()


@contextmanager
def server(home: str) -> Iterator[str]:
    """The URL of the API of a Prefect server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("prefect")),
        "server",
        "start",
        "--no-ui",
        "--port",
        str(port),
    ]
    env = {
        **os.environ,
        "PREFECT_HOME": home,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    }
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            api = f"http://127.0.0.1:{port}/api"
            while running.poll() is None and not _answers(f"{api}/health"):
                time.sleep(0.5)
            yield api
        finally:
            running.terminate()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def timing(trouble: Trouble, home: str, api: str) -> Timing:
    """One process with one flow."""
    own = {
        "HOME": home,
        "PREFECT_HOME": home,
        "PREFECT_API_URL": api,
        "PREFECT_PLUGINS_ENABLED": "1",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "OPENLINEAGE_BRIDGE_SPOOL_FOLDER": f"{home}/spool-{time.monotonic_ns()}",
        **({"OPENLINEAGE_URL": trouble.url} if trouble.url else {}),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENLINEAGE")}
    command = [sys.executable, "-c", PROBE, str(SCRIPT), *trouble.arguments]
    began = time.monotonic()
    done = subprocess.run(
        command,
        env={**inherited, **own, **trouble.environment},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    _, flow, waited = done.stdout.split()
    return Timing(time.monotonic() - began, float(flow), float(waited))


def best(found: list[Timing]) -> Timing:
    """The least of each; other work on the machine only adds."""
    return Timing(*(min(values) for values in zip(*map(attrs.astuple, found), strict=True)))


def main() -> None:
    """All kinds of trouble, round after round."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    rounds = options.parse_args().rounds
    with tempfile.TemporaryDirectory() as home, server(home) as api, troubles() as kinds:
        timing(kinds[0], home, api)
        found: dict[str, list[Timing]] = {trouble.name: [] for trouble in kinds}
        for _ in range(rounds):
            for trouble in kinds:
                found[trouble.name].append(timing(trouble, home, api))
    plain = best(found[kinds[0].name])
    print(f"{'':20} {'process':>8} {'flow':>6} {'added':>6} {'waited':>7}   bound {BOUND_SECONDS:.1f} s")
    for name, timings in found.items():
        least, held_up = best(timings), max(each.waited for each in timings)
        added = max(least.process - plain.process, least.flow - plain.flow)
        print(f"{name:20} {least.process:8.2f} {least.flow:6.2f} {added:6.2f} {held_up:7.2f}")


if __name__ == "__main__":
    main()
