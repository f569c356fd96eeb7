"""The OpenLineage client as it is, through restarts of the bridge: its retries are enough (G18)."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import attrs
import pytest
from bridge_tests.disks import LITTLE_ROOM, fill
from bridge_tests.process import Bridge, running
from bridge_tests.waiting import wait_until

from openlineage_bridge.events import canonical, digest
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import open_readonly

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(600)]

EVENTS = 150
BACKLOG = 100_000

# Emits the events one after the other; prints the run of each that the client took to be delivered.
PROGRAM = """
import sys, time
from datetime import datetime, UTC
from uuid import uuid4
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
client = OpenLineageClient(config={"transport": {"type": sys.argv[1], "url": sys.argv[2]}})
for _ in range(int(sys.argv[3])):
    run = str(uuid4())
    client.emit(RunEvent(eventTime=datetime.now(UTC).isoformat(), run=Run(run), job=Job("chaos", "client"),
                         producer="https://example.com/chaos", eventType=RunState.COMPLETE))
    print(run, flush=True)
    time.sleep(0.02)
assert client.close(60)
"""


@attrs.define
class Client:
    """A process that emits events all the while.

    Args:
        process: Runs ``PROGRAM``.
        emitted: The runs that it took to be delivered, as far as they were read.
    """

    process: subprocess.Popen[str]
    emitted: list[str] = attrs.field(factory=list)

    def emit(self, count: int) -> None:
        """Wait until it has emitted so many more."""
        self.emitted += [self.process.stdout.readline().strip() for _ in range(count)]

    def finish(self) -> None:
        """Wait until it has emitted everything, and is content."""
        self.emitted += map(str.strip, self.process.stdout)
        said = self.process.stderr.read()
        assert 0 == self.process.wait(30), said


@contextmanager
def emitting(bridge: Bridge, transport: str) -> Iterator[Client]:
    """OpenLineage's client in a process of its own, which has begun to emit."""
    command = [sys.executable, "-c", PROGRAM, transport, bridge.url, str(EVENTS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        client = Client(process)
        try:
            client.emit(EVENTS // 3)
            yield client
        finally:
            process.kill()


def turn_away(port: int) -> None:
    """Wait until somebody comes, and close the door on them."""
    with socket.create_server(("127.0.0.1", port)) as door:
        door.settimeout(30)
        door.accept()[0].close()


@pytest.mark.parametrize("transport", ["http", "async_http"])
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_client_through_a_restart(bridge, ledger, transport, end):
    """Every event of a client that emits all the while is there, whether the bridge was stopped or killed in between."""
    with emitting(bridge, transport) as client:
        getattr(bridge, end)()
        turn_away(bridge.port)
        ready = bridge.start()
        client.finish()

    assert (EVENTS, set()) == (len(client.emitted), set(client.emitted) - bridge.runs)
    ledger.note("G18", restarts=1, emitted=EVENTS, lost=0)
    assert ready < 9  # after which clients give up


@pytest.mark.parametrize("transport", ["http", "async_http"])
def test_client_through_a_full_disk(disk, ledger, transport):
    """While the disk is full a client is told to come again; it does, and every event is there (G18)."""
    with running(disk, environment=LITTLE_ROOM) as bridge:
        with emitting(bridge, transport) as client:
            filler = fill(disk)
            wait_until(lambda: '"request_refused"' in bridge.log)
            filler.unlink()
            client.finish()

        assert (EVENTS, set()) == (len(client.emitted), set(client.emitted) - bridge.runs)
    ledger.note("G18", full_disks=1, emitted=EVENTS, lost=0)


def canonical_event(number: int) -> bytes:
    """An event whose bytes are its canonical form already."""
    return (
        b'{"eventTime":"2026-01-01T00:00:00Z","job":{"name":"j%d","namespace":"n"},"outputs":[{"facets":{"documentation":'
        b'{"description":"%s"}},"name":"t%d","namespace":"s3://b"}]}' % (number % 500, b"x" * 500, number)
    )


def test_ready_with_much_to_do(bridge, ledger):
    """With 100,000 events waiting it takes new ones as soon as it is started."""
    bridge.stop()
    assert canonical(canonical_event(0)) == canonical_event(0)
    with Store(bridge.store) as store, store.transaction():
        rows = ((digest(body), body) for body in map(canonical_event, range(BACKLOG)))
        store.connection.executemany(
            "INSERT INTO inbox (digest, body, received, receiver) VALUES (?, ?, 1, 'test')", rows
        )
    seconds = bridge.start()
    with closing(open_readonly(bridge.store)) as reader:
        waiting = reader.execute("SELECT count(*) FROM inbox WHERE NOT done").fetchone()[0]
    assert waiting > BACKLOG // 2
    wait_until(lambda: bridge.status("/readyz") == 200)

    ledger.note("G18", events_waiting_at_a_start=waiting, milliseconds_until_it_was_ready=int(seconds * 1000))
    assert seconds < 9  # after which clients give up
