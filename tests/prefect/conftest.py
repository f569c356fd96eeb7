"""A real Prefect server for the whole session, and scripts run against it as users run theirs.

These tests also run on older versions of Prefect; what those lack is in ``SINCE``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import prefect
import pytest
from bridge_tests.event_files import read_events

VERSION = tuple(int(part) for part in prefect.__version__.split(".")[:3])

SINCE = {
    "plugins": (3, 4, 24),
    "assets": (3, 4, 5),
    "process pools": (3, 4, 25),
    # Before, it leaves the flow run RUNNING for ever; the task run in it crashes.
    "flows that crash on SIGTERM": (3, 8, 8),
}
"""What Prefect can do → the first version that can, of those that are tested."""

SCRIPTS = Path(__file__).parent / "scripts"
SERVER_START_SECONDS = 120.0
SCRIPT_SECONDS = 500.0

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # Importing every integration that is installed takes the server many seconds.
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    # In a task worker, Prefect's first log record of a synchronous task and an asynchronous task's next state wait for each
    # other for ever (its services share a lock, and start in the loop that the worker runs in).
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
}


@attrs.frozen
class Outcome:
    """What a script left behind.

    Args:
        returncode: Its exit code.
        stdout: What it printed.
        stderr: What it and its libraries complained about.
        seconds: How long the process lived.
        events: The OpenLineage events in its file, in order.
    """

    returncode: int
    stdout: str
    stderr: str
    seconds: float
    events: list[dict[str, Any]]


RunScript = Callable[..., Outcome]


def environment(home: Path, events: Path | None = None, **variables: str) -> dict[str, str]:
    """What a user's process sees: nothing of this one's Prefect or OpenLineage settings; it may report to a file."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "OPENLINEAGE"))
    }
    transport = {
        "OPENLINEAGE__TRANSPORT__TYPE": "file",
        "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH": str(events),
        "OPENLINEAGE__TRANSPORT__APPEND": "true",
    }
    own = {
        "HOME": str(home),
        "PREFECT_HOME": str(home),
        "PREFECT_PLUGINS_ENABLED": "1",
        # What the setting was called while plugins were an experiment.
        "PREFECT_EXPERIMENTS_PLUGINS_ENABLED": "1",
        "OPENLINEAGE_BRIDGE_SPOOL_FOLDER": str(home / "spool"),
    }
    return {**inherited, **QUIET, **own, **(transport if events else {}), **variables}


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until the condition holds; fail with ``what`` was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.1)


@contextlib.contextmanager
def process(*command: str, log: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process with all its children in a group of its own, gone when the block is left."""
    with log.open("wb") as output:
        running = subprocess.Popen(
            command, stdout=output, stderr=output, env=env, cwd=log.parent, start_new_session=True
        )
        try:
            yield running
        finally:
            running.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait(10)


@attrs.frozen
class Server:
    """A running Prefect server.

    Args:
        api: URL of its API.
        events: The file that the collector would write to in the server's process.
    """

    api: str
    events: Path


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real ``prefect server`` with an empty database, our plugin loaded and a backend configured."""
    home = tmp_path_factory.mktemp("prefect-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = (
        # Not `python -m prefect`, which the first versions do not know.
        str(Path(sys.executable).with_name("prefect")),
        "server",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        port,
        "--no-ui",
    )
    server = Server(f"http://127.0.0.1:{port}/api", home / "events.jsonl")
    with process(*command, log=home / "server.log", env=environment(home, server.events)):
        wait_until(lambda: _answers(f"{server.api}/health"), SERVER_START_SECONDS, "the Prefect server")
        yield server


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="session")
def run_script(prefect_server: Server, tmp_path_factory: pytest.TempPathFactory) -> RunScript:
    """Run one of ``scripts/`` as a process, with the plugin loader on unless told otherwise.

    Without further settings it reports to a file; ``backend={}`` configures none.
    """

    def run(script: str, *arguments: str, backend: dict[str, str] | None = None, **variables: str) -> Outcome:
        home = tmp_path_factory.mktemp("script")
        events = home / "events.jsonl"
        settings = {"PREFECT_API_URL": prefect_server.api, **(backend or {}), **variables}
        began = time.monotonic()
        done = subprocess.run(
            observed(sys.executable, str(SCRIPTS / script), *arguments),
            env=environment(home, events if backend is None else None, **settings),
            cwd=home,
            timeout=SCRIPT_SECONDS,
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(
            done.returncode, done.stdout, done.stderr, time.monotonic() - began, read_events(events)
        )

    return run


@attrs.frozen
class Scenario:
    """What everything that a Prefect run can do left behind.

    Args:
        began: A moment before the first run.
        returncodes: How each of its scripts ended.
        flow_runs: Case of the deployments → Prefect's id of the flow run.
        said: Process → what it and its libraries wrote to the console.
        events: The events of all processes, in the order of emission.
    """

    began: datetime
    returncodes: dict[str, int]
    flow_runs: dict[str, str]
    said: dict[str, str]
    events: list[dict[str, Any]]


@pytest.fixture(scope="session")
def scenario(run_script: RunScript) -> Scenario:
    """``scenario.py``, run once for all tests that look at it."""
    began = datetime.now(UTC) - timedelta(seconds=1)
    outcome = run_script("scenario.py")
    assert outcome.returncode == 0, outcome.stderr
    return Scenario(began, **json.loads(outcome.stdout), events=outcome.events)


def observed(*command: str) -> tuple[str, ...]:
    """The command, with the collector in its processes: Prefect's plugins see to it, where it has plugins."""
    if VERSION >= SINCE["plugins"]:
        return command
    return (str(Path(sys.executable).with_name("openlineage-bridge")), "run", *command)


@pytest.fixture(scope="session")
def can() -> Callable[[str], bool]:
    """Whether the installed Prefect can do something that older ones cannot; the names are those of ``SINCE``."""
    return lambda what: VERSION >= SINCE[what]


# Test modules cannot import this file (they are no package), so its functions are handed out as fixtures.
@pytest.fixture(scope="session", name="environment_of")
def _environment_of() -> Callable[..., dict[str, str]]:
    return environment


@pytest.fixture(scope="session", name="observed")
def _observed() -> Callable[..., tuple[str, ...]]:
    return observed


@pytest.fixture(scope="session", name="process")
def _process() -> Callable[..., contextlib.AbstractContextManager[subprocess.Popen[bytes]]]:
    return process


@pytest.fixture(scope="session", name="wait_until")
def _wait_until() -> Callable[[Callable[[], bool], float, str], None]:
    return wait_until
