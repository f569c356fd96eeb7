"""A disk that fills up: senders are told to try again, what was acknowledged is processed, and all goes on by itself (G13)."""

from __future__ import annotations

import pytest
from bridge_tests.disks import fill, small_disk
from bridge_tests.waiting import wait_until

from openlineage_bridge.config import RetentionConfig, SpaceConfig
from openlineage_bridge.errors import RetryLater
from openlineage_bridge.receivers import Stored
from openlineage_bridge.service import Service
from openlineage_bridge.store import Store, space
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.store.space import MIB, Space
from openlineage_bridge.store.status import Queries

WAIT = 20
LIMITS = SpaceConfig(inbox_bytes=4 * MIB, min_free_bytes=16 * MIB, ballast_bytes=8 * MIB)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A folder on a small disk of its own, looked at all the time."""
    monkeypatch.setattr(space, "LOOK_SECONDS", 0.05)
    with small_disk(tmp_path / "disk") as folder:
        yield folder


def test_senders_wait_while_the_disk_is_nearly_full(disk, plain, world):
    """Refused with the figures; accepted again as soon as there is room, without a restart."""
    service = Service(disk / "bridge.db", plain.PlainTranslator(), space=LIMITS)
    try:
        filler = fill(disk, 4 * MIB)
        wait_until(lambda: service._space.refusal)
        with pytest.raises(RetryLater, match=r"only \d MiB are free .* 16 MiB \(space.min_free_bytes\)"):
            service.accept([world.encoded(world.run_event())], "test").result(WAIT)
        filler.unlink()
        wait_until(lambda: not service._space.refusal)
        assert [Stored()] == service.accept([world.encoded(world.run_event())], "test").result(WAIT)
    finally:
        service.close()


def test_a_full_disk_is_drained_with_the_ballast(disk, plain, world):
    """Nothing is free at all: what waits is processed in the ballast's place, which is laid again when there is room."""
    path, ballast = disk / "bridge.db", disk / "bridge.db.ballast"
    with Store(path) as store:
        with store.transaction():
            events = [world.encoded(world.run_event(run=run, second=run % 60)) for run in range(300)]
            store.inbox.put(map(inspect, events), receiver="test", now=1)
        with Space(path, LIMITS):
            assert LIMITS.ballast_bytes == ballast.stat().st_size
    filler = fill(disk)
    service = Service(path, plain.PlainTranslator(), space=LIMITS, retention=RetentionConfig(runs=1000))
    try:
        wait_until(lambda: Queries(path).status()["inbox_events"] == 0)
        assert not ballast.exists()
        assert 300 == sum(Queries(path).status()["runs"].values())
        filler.unlink()
        wait_until(ballast.exists)
    finally:
        service.close()


def test_senders_wait_while_too_much_waits(tmp_path, world):
    """The inbox has a size; what is below it is taken, what is beyond it is not."""
    path = tmp_path / "bridge.db"
    big = {"documentation": {"description": "x" * MIB}}
    with Store(path) as store:
        room = Space(path, LIMITS)
        for run in range(5):
            room.look()
            refused = bool(room.refusal)
            with store.transaction():
                event = world.encoded(world.run_event(run=run, run_facets=big))
                store.inbox.put([inspect(event)], receiver="test", now=1)
            assert (run >= 4) == refused
        store.inbox.done(store.inbox.pending(10))
        room.look()

        assert "" == room.refusal
