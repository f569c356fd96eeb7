"""Stores as released versions left them, opened by this one: every event, fact and aspect is still there (G33).

``versions/N.sql`` is a store that the last release with format N wrote: three runs of which two were delivered, an event
that waits, and one in quarantine.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.aspects import holdings
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.store.schema import VERSION
from openlineage_bridge.store.status import Queries
from openlineage_bridge.translation import load_translator

VERSIONS = sorted(Path(__file__).with_name("versions").glob("*.sql"), key=lambda file: int(file.stem))

WAITING = "00000000-0000-4000-8000-000000000004"


@pytest.fixture(params=VERSIONS, ids=lambda file: f"format {file.stem}")
def old(request, tmp_path):
    """A store of that format."""
    path = tmp_path / "bridge.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(request.param.read_text())
    return path


def held(store: Store) -> dict[tuple, object]:
    return {
        (each.urn, each.aspect_name, each.timestamp_ms): json.loads(each.body)
        for each in holdings(store.connection)
    }


def test_there_is_one_of_every_format():
    """Every format that a release wrote; those before the newest, which has its own tests."""
    assert {f"{number}" for number in range(1, 4)} == {file.stem for file in VERSIONS}


def test_everything_is_still_there(old):
    """Opened once, the store has the newest format, and holds what it held."""
    with closing(sqlite3.connect(old)) as connection:
        tables = (
            "inbox",
            "quarantine",
            "subjects",
            "facts",
            "bodies",
            "runs",
            "edges",
            "aspects",
            "outbox",
            "delivered",
        )
        before = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables
        }
    Store(old).close()
    with closing(sqlite3.connect(old)) as connection:
        after = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
        version = connection.execute("PRAGMA user_version").fetchone()[0]

    assert (VERSION, before) == (version, after)


def test_what_is_claimed_stays_in_order(old):
    """To the byte: in this order a new destination would be told of it."""
    claimed = "SELECT urn, name, at, owner, entity_type, rank, digest, body FROM aspects ORDER BY rowid"
    with closing(sqlite3.connect(old)) as connection:
        before = connection.execute(claimed).fetchall()
    with Store(old) as store:
        assert before == store.connection.execute(claimed).fetchall()


def test_it_goes_on(old):
    """What waited is processed, and after deriving everything again the catalog should hold what a new store would say."""
    translator = load_translator("datahub", {})
    with Store(old) as store:
        pipeline = Pipeline(store, translator)
        assert 1 == pipeline.drain()
        assert [] == pipeline.retranslate()
        migrated = held(store)
        bodies = [row[0] for row in store.connection.execute("SELECT body FROM inbox ORDER BY seq")]
        assert ["receive"] == [each.failure.stage for each in store.quarantine.entries()]
    assert WAITING in {run.run_id for run in Queries(old).runs(10)}

    with Store(":memory:") as store:
        with store.transaction():
            store.inbox.put(map(inspect, bodies), receiver="test", now=1)
        Pipeline(store, translator).drain()
        assert held(store) == migrated
