"""A store of a version that knew one destination goes on where it was."""

from __future__ import annotations

import sqlite3

import pytest

from openlineage_bridge.delivery import deliver
from openlineage_bridge.events import digest, encode
from openlineage_bridge.store import Store
from openlineage_bridge.store.schema import APPLICATION_ID, MIGRATIONS
from openlineage_bridge.translation import MemorySink

LAST_WITH_ONE = 4


@pytest.fixture
def old(tmp_path):
    """Makes such a store: ``a`` was delivered, ``b`` is still lacking."""

    def make(destination: str | None) -> str:
        path = tmp_path / "old.db"
        connection = sqlite3.connect(path, isolation_level=None)
        for version in range(1, LAST_WITH_ONE + 1):
            connection.executescript(MIGRATIONS[version])
        connection.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {LAST_WITH_ONE};"
        )
        body = encode({"v": 1})
        for urn in "ab":
            connection.execute(
                "INSERT INTO aspects VALUES (?, 'is', -1, ?, 'dataset', 0, ?, ?)",
                (urn, urn.encode(), digest(body), body),
            )
        connection.execute(
            "INSERT INTO outbox (urn, name, at, attempts, reason, since) VALUES ('b', 'is', -1, 7, 'away', 5)"
        )
        if destination:
            connection.execute("INSERT INTO destination VALUES (?)", (destination,))
            connection.execute("INSERT INTO delivered VALUES ('a', 'is', -1, ?)", (digest(body),))
        else:
            connection.execute("INSERT INTO outbox (urn, name, at, since) VALUES ('a', 'is', -1, 5)")
        connection.close()
        return str(path)

    return make


@pytest.mark.parametrize(
    ("destination", "expected"), [("memory", ["b"]), ("another", ["a", "b"]), (None, ["a", "b"])]
)
def test_the_difference_goes_out(old, destination, expected):
    """To the destination of before what it lacked, to another one everything."""
    sink = MemorySink()
    with Store(old(destination)) as store:
        [first, *_] = store.aspects.due(10)
        assert ("b", 7) == (first.proposal.urn, first.attempts)
        deliver(store, sink)

    assert expected == sorted(each.urn for each in sink.sent)


def test_the_age_stays(old):
    """Of what was lacking."""
    with Store(old("memory")) as store:
        assert [("b", 5, "away", 1)] == store.connection.execute(
            "SELECT urn, since, reason, destination FROM outbox"
        ).fetchall()
