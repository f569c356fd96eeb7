"""The OpenLineage client as it is, through restarts of the bridge: its retries are enough (G18)."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import closing, suppress

import pytest
from bridge_tests.process import running
from bridge_tests.waiting import wait_until

from openlineage_bridge.events import canonical, digest
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import open_readonly
from openlineage_bridge.store.space import MIB

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


@pytest.mark.parametrize("transport", ["http", "async_http"])
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_client_through_a_restart(bridge, ledger, transport, end):
    """Every event of a client that emits all the while is there, whether the bridge was stopped or killed in between."""
    command = [sys.executable, "-c", PROGRAM, transport, bridge.url, str(EVENTS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        emitted = [client.stdout.readline().strip() for _ in range(EVENTS // 3)]
        getattr(bridge, end)()
        threading.Event().wait(0.5)
        ready = bridge.start()
        emitted += [line.strip() for line in client.stdout]
        said = client.stderr.read()
    with closing(open_readonly(bridge.store)) as reader:
        stored = {row[0] for row in reader.execute("SELECT json_extract(body, '$.run.runId') FROM inbox")}

    assert 0 == client.returncode, said
    assert (EVENTS, set()) == (len(emitted), set(emitted) - stored)
    ledger.note("G18", restarts=1, emitted=EVENTS, lost=0)
    assert ready < 9  # after which clients give up


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own, of 64 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={64 * MIB}", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("transport", ["http", "async_http"])
def test_client_through_a_full_disk(small_disk, ledger, transport):
    """While the disk is full a client is told to come again; it does, and every event is there (G18)."""
    environment = {
        "OPENLINEAGE_BRIDGE__SPACE__MIN_FREE_BYTES": f"{16 * MIB}",
        "OPENLINEAGE_BRIDGE__SPACE__BALLAST_BYTES": f"{8 * MIB}",
    }
    with running(small_disk, environment=environment) as bridge:
        command = [sys.executable, "-c", PROGRAM, transport, bridge.url, str(EVENTS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
            emitted = [client.stdout.readline().strip() for _ in range(EVENTS // 3)]
            filler = small_disk / "filler"
            with suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * MIB)
            wait_until(lambda: '"request_refused"' in bridge.log)
            filler.unlink()
            emitted += [line.strip() for line in client.stdout]
            said = client.stderr.read()
        with closing(open_readonly(bridge.store)) as reader:
            stored = {row[0] for row in reader.execute("SELECT json_extract(body, '$.run.runId') FROM inbox")}

    assert 0 == client.returncode, said
    assert (EVENTS, set()) == (len(emitted), set(emitted) - stored)
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
