"""A service whose store is damaged, before it starts or while it runs: nobody is told a lie, and it goes on (G14)."""

from __future__ import annotations

import json
import threading

import pytest
from bridge_tests.process import JSON, LINEAGE, Bridge, running
from bridge_tests.waiting import wait_until

from openlineage_bridge.errors import StorageError
from openlineage_bridge.service import Service
from openlineage_bridge.store import Store
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.store.salvage import set_aside
from openlineage_bridge.store.status import Queries

WAIT = 20


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bridge.db"


def events(world, count: int) -> list[bytes]:
    return [world.encoded(world.run_event("job", run, run, outputs=["t"])) for run in range(count)]


def wreck(path) -> None:
    """Nothing but the first page is left as it was."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xaa" * (size - 4096))


def test_found_at_the_start(path, plain, world, caplog):
    """It is mended, told of in the log, and what was saved is processed without being asked."""
    service = Service(path, plain.PlainTranslator())
    service.accept(events(world, 50), "test").result(WAIT)
    service.close()
    data = path.read_bytes()
    path.write_bytes(bytes(100) + data[100:])

    service = Service(path, plain.PlainTranslator())
    try:
        assert service.salvage
        assert (50, data[100:]) == (service.salvage.events, service.salvage.kept.read_bytes()[100:])
        assert "the store was damaged and is set aside" in caplog.messages
        wait_until(lambda: Queries(path).status()["inbox_events"] == 0)
        assert 1 == Queries(path).status()["stores_set_aside"]
    finally:
        service.close()


def test_found_while_it_runs(path, plain, world, caplog):
    """Senders are told to come again, the service asks to be stopped, and the next start has what was acknowledged."""
    service, stopped = Service(path, plain.PlainTranslator()), threading.Event()
    service.when_damaged(stopped.set)
    service.accept(events(world, 50), "test").result(WAIT)
    wait_until(lambda: Queries(path).status()["inbox_events"] == 0)
    service._writer.run(
        lambda store: store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    ).result()
    service._writer.run(lambda store: store.connection.execute("PRAGMA cache_size = 0")).result()
    wreck(path)
    try:
        assert not service.damaged
        with pytest.raises(StorageError):
            service.accept(events(world, 51)[-1:], "test").result(WAIT)
        assert stopped.wait(WAIT)
        assert service.damaged
    finally:
        service.close()

    again = Service(path, plain.PlainTranslator())
    again.close()
    assert again.salvage
    assert 1 == len(set_aside(path))


@pytest.mark.parametrize("frame", [40, 90, 140])
def test_log_that_is_damaged_in_the_middle(path, plain, world, caplog, frame):
    """SQLite forgets what stands behind without a word; the bridge takes it from there."""
    bodies = events(world, 60)
    with Store(path) as store:
        for body in bodies:
            with store.transaction():
                store.inbox.put([inspect(body)], receiver="test", now=1)
        file, log = path.read_bytes(), bytearray(path.with_name("bridge.db-wal").read_bytes())
    start = 32 + frame * (24 + 4096)
    assert start < len(log)
    log[start + 12 : start + 24] = bytes(12)
    path.write_bytes(file)
    path.with_name("bridge.db-wal").write_bytes(log)

    service = Service(path, plain.PlainTranslator())
    service.close()
    assert service.salvage is None
    assert "the store's log was damaged: events behind that are taken" in caplog.messages
    assert len(bodies) == Queries(path).status()["events"]


def test_the_command(tmp_path, world):
    """``serve`` tells of it in its log and its figures; with --strict it refuses, and nothing is changed."""
    with running(tmp_path) as bridge:
        connection = bridge.connect()
        connection.request("POST", LINEAGE, b"[" + b",".join(events(world, 50)) + b"]", JSON)
        assert 200 == connection.getresponse().status
        connection.close()
        assert 0 == bridge.stop()
        damaged = bytes(100) + bridge.store.read_bytes()[100:]
        bridge.store.write_bytes(damaged)

        strict = Bridge(tmp_path, "--strict")
        assert 1 == strict.launch().wait(WAIT)
        assert "because of --strict: restore a copy, or start without --strict" in strict.log
        assert damaged == bridge.store.read_bytes()

        bridge.start()
        [told] = [each for each in bridge.records if each["level"] == "critical"]
        assert ("the store was damaged and is set aside", 50) == (told["event"], told["events"])
        connection = bridge.connect()
        connection.request("GET", "/metrics")
        assert "olbridge_stores_set_aside 1.0" in connection.getresponse().read().decode()
        connection.close()
        assert json.loads(json.dumps(told))["kept"] == str(set_aside(bridge.store)[0])
