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
from typing import Any

from bridge_tests.forking import Fork, forked
from bridge_tests.waiting import wait_until
from openlineage_bridge.store.database import open_readonly
from openlineage_bridge.store.status import Queries

LINEAGE = "/api/v1/lineage"
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
        self.process: subprocess.Popen[bytes] | Fork | None = None
        self._forks = False

    def warm_up(self) -> None:
        """Fork the processes to come from one that has imported everything: a test with many starts waits for none of it."""
        self._forks = True

    def launch(self) -> subprocess.Popen[bytes] | Fork:
        """Start it, without waiting."""
        self.process = self._fork() if self._forks else self._spawn()
        return self.process

    def _fork(self) -> Fork:
        return forked(
            "serve",
            *self._arguments,
            folder=self._folder,
            output=self._log,
            environment=self._environment,
        )

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "openlineage_bridge", "serve", *self._arguments]
        with self._log.open("ab") as log:
            return subprocess.Popen(command, cwd=self._folder, env=self._environment, stdout=log, stderr=log)

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
        if self.process is not None:
            self.kill()

    @property
    def runs(self) -> set[str]:
        """The runs whose events its store holds."""
        return set(self._column("json_extract(body, '$.run.runId')"))

    @property
    def digests(self) -> set[bytes]:
        """Those of the events that its store holds."""
        return set(self._column("digest"))

    def _column(self, what: str) -> list[Any]:
        with closing(open_readonly(self.store)) as reader:
            return [value for (value,) in reader.execute(f"SELECT {what} FROM inbox")]

    @property
    def settled(self) -> bool:
        """Whether nothing waits in its store, neither to be processed nor to be delivered."""
        figures = Queries(self.store).status()
        return not (figures["inbox_events"] or figures["outbox_aspects"])

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
