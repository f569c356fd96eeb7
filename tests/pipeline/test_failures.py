"""What the bridge does when the store, not an event, is what fails."""

from __future__ import annotations

import sqlite3

import pytest

from openlineage_bridge.errors import StorageError
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.store.quarantine import quarantined


@pytest.fixture
def full(tmp_path, plain, world):
    """A store with ten waiting events and a disk that is full; calling it frees the disk."""
    big = {"documentation": {"description": "x" * 50_000}}
    with Store(tmp_path / "bridge.db") as store:
        with store.transaction():
            bodies = (
                world.encoded(world.run_event(run=run, second=run, run_facets=big)) for run in range(10)
            )
            store.inbox.put(map(inspect, bodies), receiver="test", now=1)
        pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        yield store, Pipeline(store, plain.PlainTranslator())


def test_full_disk_is_not_the_events_fault(full):
    """A disk that is full while events are processed is a StorageError; no event is set aside, and none is lost."""
    store, pipeline = full
    with pytest.raises(StorageError):
        pipeline.drain()

    assert [] == quarantined(store.connection)
    assert 10 == len(store.inbox.pending(100))

    store.connection.execute("PRAGMA max_page_count = 1000000")
    assert 10 == pipeline.drain()
    assert [] == quarantined(store.connection)


def test_rollback_of_a_full_disk_tells_the_true_error(full):
    """SQLite may have rolled back by itself: the error that is reported is the disk's, not that of a second rollback."""
    store, _ = full
    with pytest.raises(StorageError, match="disk is full"), store.transaction():
        store.connection.execute("INSERT INTO bodies VALUES (x'00', zeroblob(10000000))")

    assert isinstance(store.connection, sqlite3.Connection)
    assert not store.connection.in_transaction
