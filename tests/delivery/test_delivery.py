"""What the destination answers decides what happens: nothing is lost, nothing is sent twice without need."""

from __future__ import annotations

import json
import threading
from concurrent.futures import Future

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge import delivery
from openlineage_bridge.delivery import Deliverer, Report, deliver, wait_after
from openlineage_bridge.errors import BridgeError
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.quarantine import quarantined
from openlineage_bridge.store.status import figures
from openlineage_bridge.store.writer import Writer
from openlineage_bridge.translation import Aspect, Delivered, MemorySink, Refused, Retry

WAIT = 20


@attrs.define
class MoodySink:
    """Answers by URN; what it has no answer for is delivered."""

    answers: dict = attrs.field(factory=dict)
    offered: list[str] = attrs.field(factory=list)
    had: list[str] = attrs.field(factory=list)
    called: threading.Event = attrs.field(factory=threading.Event)
    closed: bool = False
    destination: str = "moody"

    def send(self, proposals):
        urns = [each.urn for each in proposals]
        self.offered += urns
        outcomes = [self.answers.get(urn, Delivered()) for urn in urns]
        self.had += [urn for urn, outcome in zip(urns, outcomes, strict=True) if outcome == Delivered()]
        self.called.set()
        return outcomes

    def close(self):
        self.closed = True


def claim(store: Store, *urns: str, value: int = 1) -> None:
    for urn in urns:
        store.aspects.claim(urn.encode(), [Aspect(urn, "dataset", "is", {"v": value})])


def waiting(store: Store) -> list[str]:
    return [each.proposal.urn for each in store.aspects.due(1000)]


@pytest.fixture
def store():
    with Store(MEMORY) as opened:
        yield opened


# --- waiting --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_wait_is_bounded(failures, jitter):
    """At least half of the first wait, at most the longest."""
    assert delivery.FIRST_WAIT / 2 <= wait_after(failures, jitter) <= delivery.LONGEST_WAIT


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_wait_grows(failures, jitter):
    """It never shrinks with the failures, and the jitter spreads it over its upper half."""
    assert wait_after(failures, jitter) <= wait_after(failures + 1, jitter)
    assert wait_after(failures, 0) * 2 == pytest.approx(wait_after(failures, 1))


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.5), (2, 1), (3, 2), (7, 32), (8, 60), (99, 60)])
def test_wait_doubles(failures, seconds):
    """From half a second to a minute."""
    assert seconds == wait_after(failures, 1)


# --- one delivery ---------------------------------------------------------------------------------------------------


def test_everything_is_delivered_once_and_in_order(store):
    """In the order in which the aspects first differed."""
    sink = MemorySink()
    claim(store, "a", "b", "c")

    assert Report(delivered=3) == deliver(store, sink)
    assert Report() == deliver(store, sink)
    assert ["a", "b", "c"] == [each.urn for each in sink.sent]


def test_several_batches(store, monkeypatch):
    """More than fits in one."""
    monkeypatch.setattr(delivery, "BATCH", 2)
    claim(store, *"abcde")

    assert Report(delivered=5) == deliver(store, MemorySink())


def test_retry_keeps_everything_in_order(store):
    """A destination that is away loses nothing, and delivery stops there."""
    sink = MoodySink(dict.fromkeys("abc", Retry("away")))
    claim(store, *"abc")

    assert Report(postponed=3, reason="away") == deliver(store, sink)
    assert [*"abc"] == waiting(store) == sink.offered

    sink.answers.clear()
    assert Report(delivered=3) == deliver(store, sink)
    assert [*"abc"] == sink.had


def test_refused_goes_to_quarantine_and_the_rest_goes_on(store):
    """With the proposal itself and the destination's word."""
    sink = MoodySink({"b": Refused("no such entity")})
    claim(store, *"abc")
    report = deliver(store, sink)
    [entry] = quarantined(store.connection)

    assert Report(delivered=2, refused=1) == report
    assert ["a", "c"] == sink.had
    assert [] == waiting(store)
    assert ("deliver", "no such entity", "outbox") == (
        entry.failure.stage,
        entry.failure.reason,
        entry.receiver,
    )
    assert {
        "entityType": "dataset",
        "entityUrn": "b",
        "changeType": "UPSERT",
        "aspectName": "is",
        "aspect": {"json": {"v": 1}},
    } == json.loads(entry.body)


def test_every_outcome_in_one_batch(store):
    """Each proposal has its own fate."""
    sink = MoodySink({"b": Retry("busy"), "c": Refused("no")})
    claim(store, *"abcd")

    assert Report(delivered=2, refused=1, postponed=1, reason="busy") == deliver(store, sink)
    assert ["b"] == waiting(store)


@given(st.lists(st.sampled_from([Delivered(), Retry("away"), Refused("no")]), max_size=12))
def test_delivered_refused_and_waiting_are_everything(outcomes):
    """Nothing falls between."""
    urns = [f"u{number:02}" for number in range(len(outcomes))]
    sink = MoodySink(dict(zip(urns, outcomes, strict=True)))
    with Store(MEMORY) as store:
        claim(store, *urns)
        deliver(store, sink)
        refused = [json.loads(each.body)["entityUrn"] for each in quarantined(store.connection)]

        assert urns == sorted([*sink.had, *refused, *waiting(store)])


def test_sink_that_answers_too_little(store):
    """A programming error in a sink marks nothing as delivered."""
    claim(store, "a", "b")

    class Silent(MemorySink):
        def send(self, proposals):
            return []

    with pytest.raises(BridgeError, match="answered 0 outcomes for 2 proposals"):
        deliver(store, Silent())
    assert ["a", "b"] == waiting(store)


def test_another_destination_lacks_everything(store):
    """What one catalog has says nothing of another; the same one again is sent the difference only."""
    claim(store, "a", "b")
    deliver(store, MoodySink())
    claim(store, "c")
    other, same = MoodySink(destination="elsewhere"), MoodySink(destination="elsewhere")

    assert Report(delivered=3) == deliver(store, other)
    claim(store, "d")
    assert Report(delivered=1) == deliver(store, same)
    assert (["a", "b", "c"], ["d"]) == (sorted(other.had), same.had)


# --- in the background ----------------------------------------------------------------------------------------------


@pytest.fixture
def writer():
    opened = Writer(lambda: Store(MEMORY))
    yield opened
    opened.close()


@pytest.fixture
def start(writer):
    """Starts deliverers that are closed with the test."""
    started = []

    def start_(sink):
        started.append(Deliverer(writer, sink))
        return started[-1]

    yield start_
    for each in started:
        each.close(WAIT)


def until(condition) -> bool:
    """Wait for what another thread brings about."""
    tick = threading.Event()
    return any(condition() or tick.wait(0.01) for _ in range(WAIT * 100)) and condition()


def test_background_delivery(writer, start):
    """What was there before, and what comes later."""
    sink = MoodySink()
    writer.run(lambda store: claim(store, "a")).result(WAIT)
    deliverer = start(sink)
    assert until(lambda: sink.had == ["a"])

    writer.run(lambda store: claim(store, "b")).result(WAIT)
    deliverer.notify()
    assert until(lambda: sink.had == ["a", "b"])


def test_background_delivery_tries_again(writer, start, monkeypatch):
    """For ever, without being told."""
    monkeypatch.setattr(delivery, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(delivery, "LONGEST_WAIT", 0.02)
    sink = MoodySink({"a": Retry("away")})
    writer.run(lambda store: claim(store, "a")).result(WAIT)
    start(sink)
    assert until(lambda: len(sink.offered) > 3)

    sink.answers.clear()
    assert until(lambda: sink.had == ["a"])


def test_background_delivery_survives_a_sink_that_raises(writer, start, monkeypatch):
    """A programming error is logged and tried again."""
    monkeypatch.setattr(delivery, "FIRST_WAIT", 0.01)

    class Faulty(MoodySink):
        def send(self, proposals):
            if not self.called.is_set():
                self.called.set()
                raise LookupError("a bug")
            return super().send(proposals)

    sink = Faulty()
    writer.run(lambda store: claim(store, "a")).result(WAIT)
    start(sink)

    assert until(lambda: sink.had == ["a"])


def test_stops_promptly_while_it_waits_for_the_destination(writer, start):
    """Not after the back-off; the outbox keeps the rest."""
    sink = MoodySink({"a": Retry("away")})
    writer.run(lambda store: claim(store, "a")).result(WAIT)
    deliverer = start(sink)
    assert sink.called.wait(WAIT)

    deliverer.close(WAIT)
    assert sink.closed
    assert not deliverer._thread.is_alive()
    assert ["a"] == writer.run(waiting).result(WAIT)


def test_does_not_wait_for_a_destination_that_hangs(writer):
    """``close`` returns after its timeout; what hung is still in the outbox."""
    answer: Future = Future()

    class Hanging(MoodySink):
        def send(self, proposals):
            self.called.set()
            return answer.result(WAIT)

    sink = Hanging()
    writer.run(lambda store: claim(store, "a")).result(WAIT)
    deliverer = Deliverer(writer, sink)
    assert sink.called.wait(WAIT)
    deliverer.close(0.05)

    assert deliverer._thread.is_alive()
    assert ["a"] == writer.run(waiting).result(WAIT)
    answer.set_result([Delivered()])
    deliverer._thread.join(WAIT)
    assert not deliverer._thread.is_alive()


def test_lag_is_the_age_of_the_oldest_that_is_lacking(store):
    """Not of the newest attempt; nothing lacking is no lag."""
    assert 0 == figures(store.connection)["delivery_lag_seconds"]
    claim(store, "a")
    store.connection.execute("UPDATE outbox SET since = since - 3600")
    claim(store, "b")

    assert 3600 <= figures(store.connection)["delivery_lag_seconds"] < 3700
