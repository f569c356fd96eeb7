"""The inbox keeps each event once, with its bytes; the quarantine keeps what could not become one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge.receivers import Rejected, Stored
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.store.quarantine import quarantined

EVENT = {"eventTime": "2024-01-01T00:00:00Z", "job": {"namespace": "n", "name": "j"}}


@pytest.fixture
def store():
    with Store(MEMORY) as opened:
        yield opened


def put(store: Store, *bodies: bytes, now: int = 1) -> list:
    return store.inbox.put(map(inspect, bodies), receiver="test", now=now)


def test_bytes_are_kept_as_received(store):
    """White space, key order and all: the digest alone is of the canonical form."""
    body = b'\xef\xbb\xbf {"job": {"name": "j",\r\n "namespace": "n"} }\n'
    put(store, body)

    assert [body] == [each.body for each in store.inbox.pending(10)]


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=8), st.data())
def test_any_interleaving_of_duplicates(names, data):
    """However often, with whatever white space and key order: once each, in order of first arrival (G05)."""
    with Store(MEMORY) as store:
        receipts = []
        for name in names:
            event = dict(data.draw(st.permutations([*EVENT.items(), ("producer", name)])))
            indent = data.draw(st.sampled_from([None, 1]))
            receipts += put(store, json.dumps(event, indent=indent).encode())
        kept = [json.loads(each.body)["producer"] for each in store.inbox.pending(100)]

    assert list(dict.fromkeys(names)) == kept
    assert [Stored(duplicate=name in names[:index]) for index, name in enumerate(names)] == receipts


def test_processed_events_are_known_but_not_pending(store):
    """Duplicates of them are recognised for as long as they stay."""
    body = json.dumps(EVENT).encode()
    put(store, body)
    store.inbox.done(store.inbox.pending(10))

    assert [] == store.inbox.pending(10)
    assert [Stored(duplicate=True)] == put(store, body)


def test_refused_bytes_are_kept_with_the_reason(store):
    """Whatever they are, and once."""
    for now in (7, 8):
        receipts = put(store, b"\xff\x00 no event", now=now)
    [entry] = quarantined(store.connection)

    assert [Rejected(entry.failure.reason)] == receipts
    assert ("receive", "test", 7, b"\xff\x00 no event") == (
        entry.failure.stage,
        entry.receiver,
        entry.received,
        entry.body,
    )
    assert entry.failure.reason.startswith("not JSON: ")


def test_pending_is_oldest_first_and_limited(store):
    """As they came."""
    put(store, *(json.dumps(EVENT | {"producer": str(number)}).encode() for number in range(5)))

    assert ["0", "1", "2"] == [json.loads(each.body)["producer"] for each in store.inbox.pending(3)]
