"""``openlineage-bridge serve`` as a process of its own, on one store and one port, which is killed and started again."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from bridge_tests.waiting import wait_until

LINEAGE = "/api/v1/lineage"
SERVE = """
import sys
import openlineage_bridge.cli.serve, openlineage_bridge.receivers.follow, openlineage_bridge.server.app
import openlineage_bridge.server.run, openlineage_bridge.service, openlineage_bridge.store.status, openlineage_bridge_datahub
from openlineage_bridge.cli import main
sys.stdin.readline()
main()
"""
"""``openlineage-bridge``, once it is told to go."""

JSON = {"Content-Type": "application/json"}


class Bridge:
    """A bridge that may be running or not.

    Args:
        folder: Where its store and its log are.
        arguments: Of ``serve``, behind store and port.
        environment: Further environment variables.
    """

    def __init__(self, folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.store = folder / "bridge.db"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "bridge.log"
        self._arguments = ("--store", str(self.store), "--port", str(self.port), *arguments)
        self._environment = os.environ | {"HOME": str(folder)} | (environment or {})
        self._folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self._next: subprocess.Popen[bytes] | None = None

    def warm_up(self) -> None:
        """Have the next process import everything already, so that a test with many starts need not wait for it."""
        self._next = self._next or self._spawn()

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it, without waiting."""
        self.process, self._next = self._next or self._spawn(), None
        self.process.stdin.write(b"go\n")
        self.process.stdin.close()
        return self.process

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", SERVE, "serve", *self._arguments],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stderr=log,
                stdout=log,
            )

    def start(self) -> float:
        """Start it; seconds until it was ready."""
        started = time.monotonic()
        process = self.launch()
        wait_until(lambda: self.status() == 200 or process.poll() is not None, 60)
        assert process.poll() is None, self.log
        return time.monotonic() - started

    def status(self, path: str = "/readyz") -> int:
        """What it answers; 0 when it does not."""
        with suppress(OSError, http.client.HTTPException), closing(self.connect()) as connection:
            connection.request("GET", path)
            return connection.getresponse().status
        return 0

    def connect(self) -> http.client.HTTPConnection:
        """A connection that may be kept."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def kill(self) -> None:
        """``kill -9``."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(30)
        self.process = None
        return code

    def close(self) -> None:
        """Leave nothing behind, whatever became of it."""
        for process in (self.process, self._next):
            if process is not None:
                process.kill()
                process.wait(30)

    @property
    def log(self) -> str:
        """Everything that it logged."""
        return self._log.read_text() if self._log.exists() else ""

    @property
    def records(self) -> list[dict]:
        """The same, record by record."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]


@contextmanager
def running(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[Bridge]:
    """A bridge that is ready; it is gone behind the block, whatever became of it."""
    bridge = Bridge(folder, *arguments, environment=environment)
    try:
        bridge.start()
        yield bridge
    finally:
        bridge.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
