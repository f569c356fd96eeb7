"""What the chaos tests share: a ledger of what was done to the bridge, printed at the end, and senders that never give up."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from bridge_tests.disks import small_disk
from bridge_tests.process import JSON, LINEAGE, Bridge, running


class Ledger:
    """By guarantee what was done, and how many times; figures that are not counts stand as they are."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def note(self, guarantee: str, **counts: int) -> None:
        """So many more."""
        for what, count in counts.items():
            self._counts.setdefault(guarantee, Counter())[what.replace("_", " ")] += count

    @property
    def lines(self) -> Iterator[str]:
        for guarantee, counts in sorted(self._counts.items()):
            yield f"{guarantee}  " + " · ".join(f"{count:,} {what}" for what, count in counts.items())


LEDGER = pytest.StashKey[Ledger]()


def pytest_configure(config):
    config.stash[LEDGER] = Ledger()


def pytest_terminal_summary(terminalreporter, config):
    lines = list(config.stash[LEDGER].lines)
    if lines:
        terminalreporter.section("what was done to the bridge")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def ledger(pytestconfig) -> Ledger:
    return pytestconfig.stash.setdefault(LEDGER, Ledger())


@pytest.fixture
def bridge(tmp_path) -> Iterator[Bridge]:
    """A bridge that is ready."""
    with running(tmp_path) as bridge:
        yield bridge


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A folder on a small disk of its own."""
    with small_disk(tmp_path / "disk") as folder:
        yield folder


def event(run: str, job: str = "job") -> bytes:
    """A completed run, now, with an output."""
    return json.dumps(
        {
            "eventTime": datetime.now(UTC).isoformat(),
            "eventType": "COMPLETE",
            "producer": "https://example.com/chaos",
            "run": {"runId": run},
            "job": {"namespace": "chaos", "name": job},
            "outputs": [{"namespace": "postgres://h:5432", "name": f"d.s.{job}"}],
        }
    ).encode()


class Sender(threading.Thread):
    """Sends one event after the other on a connection that it keeps, and notes which were acknowledged.

    Args:
        bridge: Where to.
        job: Of its events.
    """

    def __init__(self, bridge: Bridge, job: str) -> None:
        super().__init__(name=f"sender {job}")
        self._bridge = bridge
        self._job = job
        self._stopping = threading.Event()
        self.acknowledged: list[str] = []
        self.answers: Counter[int] = Counter()

    def run(self) -> None:
        while not self._stopping.is_set():
            connection = self._bridge.connect()
            with suppress(OSError, http.client.HTTPException):
                self._send_on(connection)
            connection.close()
            self._stopping.wait(0.01)

    def _send_on(self, connection: http.client.HTTPConnection) -> None:
        while not self._stopping.is_set():
            run = str(uuid4())
            connection.request("POST", LINEAGE, event(run, self._job), JSON)
            answer = connection.getresponse()
            answer.read()
            self.answers[answer.status] += 1
            if answer.status == 200:
                self.acknowledged.append(run)

    def stop(self) -> None:
        self._stopping.set()


@contextmanager
def sending(bridge: Bridge, count: int) -> Iterator[list[Sender]]:
    """That many senders at once."""
    senders = [Sender(bridge, f"job{number}") for number in range(count)]
    for each in senders:
        each.start()
    try:
        yield senders
    finally:
        for each in senders:
            each.stop()
        for each in senders:
            each.join(30)


@pytest.fixture
def under_load():
    return sending
