"""The events themselves to another OpenLineage endpoint: each of them, in order, until it has them."""

from __future__ import annotations

import json
from importlib import import_module

import pytest

from openlineage_bridge import recovery
from openlineage_bridge.config import RetentionConfig
from openlineage_bridge.delivery import Here, couriers, deliver
from openlineage_bridge.errors import ConfigError
from openlineage_bridge.forwarding import OpenLineageSink
from openlineage_bridge.redelivery import redeliver
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.destinations import destination_figures
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.store.quarantine import quarantined
from openlineage_bridge.translation import MemorySink, load_sink

loopback = import_module("bridge_tests.loopback")


class Api(loopback.Handler):
    """Takes events, but answers the numbers in ``answers`` first."""

    def do_POST(self):
        body = self.body()
        status, headers = self.server.answers.pop(0) if self.server.answers else (201, {})
        self.server.seen.append((self.path, self.headers.get("Authorization"), body, status))
        self.reply(b"its word", status, headers)


@pytest.fixture
def marquez():
    with loopback.serving(Api, seen=[], answers=[]) as server:
        yield server


@pytest.fixture
def store():
    with Store(MEMORY) as opened:
        yield opened


@pytest.fixture
def sink(marquez):
    opened = OpenLineageSink(marquez.url, api_key="key")
    yield opened
    opened.close()


@pytest.fixture
def hear(store, world):
    """Puts events of so many seconds into the inbox; their bytes."""

    def hear(*seconds: int) -> list[bytes]:
        bodies = [json.dumps(world.run_event(second=second, run=second)).encode() for second in seconds]
        with store.transaction():
            store.inbox.put(map(inspect, bodies), receiver="test", now=1)
        return bodies

    return hear


def had(marquez) -> list[bytes]:
    return [body for _, _, body, status in marquez.seen if status == 201]


def test_every_event_once_and_in_order(store, marquez, sink, hear):
    """As it was received; what comes later follows."""
    first = hear(1, 2, 3)
    assert 3 == deliver(store, sink).delivered
    second = hear(4)
    assert 1 == deliver(store, sink).delivered

    assert first + second == had(marquez)
    assert {("/api/v1/lineage", "Bearer key")} == {seen[:2] for seen in marquez.seen}


def test_a_receiver_that_is_away_loses_nothing(store, marquez, sink, hear):
    """It goes on with the event that it would not have, and not before it asked for it."""
    bodies = hear(1, 2, 3)
    marquez.answers += [(201, {}), (503, {"Retry-After": "9"})]
    report = deliver(store, sink)
    assert (1, 2, 9) == (report.delivered, report.postponed, report.after)
    assert "its word" in report.reason

    deliver(store, sink)
    assert bodies == had(marquez)


def test_a_refused_event_is_set_aside_and_handed_on_again_when_asked(store, marquez, sink, hear):
    """The rest goes on."""
    bodies = hear(1, 2, 3)
    marquez.answers += [(201, {}), (422, {})]
    report = deliver(store, sink)
    assert (2, 1) == (report.delivered, report.refused)
    [entry] = quarantined(store.connection)
    assert ("forward", bodies[1], sink.destination) == (entry.failure.stage, entry.body, entry.receiver)
    assert "its word" in entry.failure.reason

    recovery.retry(store, None)
    assert 1 == deliver(store, sink).delivered
    assert sorted(bodies) == sorted(had(marquez))
    assert [] == quarantined(store.connection)


def test_what_the_receiver_fails_on_holds_up_what_is_behind_it(store, marquez, sink, hear):
    """Order is kept; once it is taken, everything follows at once."""
    bodies = hear(1, 2, 3)
    marquez.answers += [(500, {})] * 12
    [courier] = couriers(Here(store), {"marquez": sink})
    waits = [courier.turn() for _ in range(12)]
    assert 0 not in waits
    assert [] == had(marquez)

    assert [0, 0, None] == [courier.turn() for _ in range(3)]
    assert bodies == had(marquez)


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 502, 302])
def test_what_may_pass_waits(store, marquez, sink, hear, status):
    """Nothing is refused for the receiver's or the operator's trouble."""
    hear(1, 2)
    marquez.answers += [(status, {})]

    assert 2 == deliver(store, sink).postponed
    assert 1 == len(marquez.seen)
    assert [] == quarantined(store.connection)


def test_events_stay_until_they_are_handed_on(store, marquez, sink, hear):
    """However old they are; and counting goes on behind them when all others have left."""
    hear(1, 2)
    marquez.answers += [(503, {})]
    deliver(store, sink)
    store.inbox.done(store.inbox.pending(10))
    forgetful = RetentionConfig(event_days=0)
    store.prune(forgetful, window=1, now=10**13)
    assert 2 == deliver(store, sink).delivered

    store.prune(forgetful, window=1, now=10**13)
    assert 1 == store.connection.execute("SELECT count(*) FROM inbox").fetchone()[0]
    [third] = hear(3)
    deliver(store, sink)
    assert third == had(marquez)[-1]


def test_beside_a_catalog(store, marquez, sink, hear):
    """Aspects to the one, events to the other; figures tell both."""
    hear(1, 2)
    marquez.answers += [(503, {})]
    deliver(store, MemorySink(), sink)
    told = destination_figures(store.connection)

    assert {"memory": "aspects", sink.destination: "events"} == {
        name: each["takes"] for name, each in told.items()
    }
    assert (2, 1) == (told[sink.destination]["waiting"], told[sink.destination]["failures"])
    assert 0 < told[sink.destination]["lag_seconds"]


def test_redelivered(store, marquez, sink, hear):
    """Everything that the inbox still keeps."""
    bodies = hear(1, 2)
    deliver(store, sink)
    assert {sink.destination: 2} == redeliver(store, None)

    deliver(store, sink)
    assert bodies + bodies == had(marquez)


def test_packed(store, marquez, hear):
    """Where it is wanted."""
    sink = OpenLineageSink.from_options({"url": marquez.url, "compression": "gzip"})
    [body] = hear(1)
    deliver(store, sink)
    sink.close()

    assert [body] == had(marquez)


def test_options(monkeypatch):
    """As those of OpenLineage's own HTTP transport; found as the sink `openlineage`."""
    sink = load_sink(
        "openlineage", {"sink": "openlineage", "url": "https://m/", "endpoint": "/x/", "api_key": "secret"}
    )

    assert "https://m/x" == sink.destination
    assert "secret" not in repr(sink)
    for wrong in (
        {},
        {"url": "m:5000"},
        {"url": "http://m", "compression": "zip"},
        {"url": "http://m", "timeout": 0},
    ):
        with pytest.raises(ConfigError):
            OpenLineageSink.from_options(wrong)
