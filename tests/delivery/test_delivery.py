"""What the destination answers decides what happens: nothing is lost, nothing is sent twice without need."""

from __future__ import annotations

import json
import threading
from concurrent.futures import Future

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge import delivery, pacing
from openlineage_bridge.delivery import Deliverer, Here, couriers, deliver
from openlineage_bridge.errors import BridgeError, ConfigError
from openlineage_bridge.pacing import Report
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.destinations import FORGOTTEN_AFTER
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


# --- one delivery ---------------------------------------------------------------------------------------------------


def test_everything_is_delivered_once_and_in_order(store):
    """In the order in which the aspects first differed."""
    sink = MemorySink()
    claim(store, "a", "b", "c")

    assert Report(delivered=3) == deliver(store, sink)
    assert Report() == deliver(store, sink)
    assert ["a", "b", "c"] == [each.urn for each in sink.sent]


def test_several_batches(store):
    """More than fits in one."""
    urns = [f"u{number:04}" for number in range(2 * pacing.BATCH + 1)]
    sink = MoodySink()
    claim(store, *urns)

    assert Report(delivered=len(urns)) == deliver(store, sink)
    assert urns == sink.had


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
    assert ("deliver", "no such entity", "moody") == (
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


# --- several destinations -------------------------------------------------------------------------------------------


def test_each_destination_gets_everything_at_its_own_pace(store):
    """One that is away holds up no other, and goes on where it was."""
    here, away = (
        MoodySink(destination="here"),
        MoodySink(dict.fromkeys("abc", Retry("away")), destination="away"),
    )
    claim(store, *"ab")

    assert Report(delivered=2, postponed=2, reason="away") == deliver(store, here, away)
    claim(store, "c")
    away.answers.clear()
    assert Report(delivered=4) == deliver(store, here, away)
    assert ([*"abc"], [*"abc"]) == (here.had, away.had)


def test_what_one_refuses_the_other_may_have(store):
    """A refusal is remembered for the destination that refused, and quarantined in its name; both may refuse."""
    one, other = MoodySink({"a": Refused("no")}, destination="one"), MoodySink(destination="other")
    claim(store, "a", "b")
    deliver(store, one, other)
    assert (["b"], ["a", "b"]) == (one.had, other.had)

    other.answers["a"] = one.answers["a"]
    claim(store, "a", value=2)
    deliver(store, one, other)
    assert [("one", 1), ("one", 2), ("other", 2)] == sorted(
        (each.receiver, json.loads(each.body)["aspect"]["json"]["v"])
        for each in quarantined(store.connection)
    )


def test_back_to_a_destination_of_before_only_the_difference_goes(store):
    """A delivery elsewhere in between does not cost everything."""
    first, second = MoodySink(destination="first"), MoodySink(destination="second")
    claim(store, "a", "b")
    deliver(store, first)
    deliver(store, second)
    claim(store, "b", value=2)
    claim(store, "c")
    first.had.clear()

    assert Report(delivered=2) == deliver(store, first)
    assert ["b", "c"] == sorted(first.had)


def test_a_destination_of_long_ago_is_forgotten(store):
    """After that it is as if it had never been there, and takes no room."""
    old, new = MoodySink(destination="old"), MoodySink(destination="new")
    claim(store, "a")
    deliver(store, old)
    deliver(store, new)
    store.connection.execute("UPDATE destinations SET addressed = addressed - ?", (FORGOTTEN_AFTER + 60,))
    deliver(store, new)

    assert [("new",)] == store.connection.execute("SELECT name FROM destinations").fetchall()
    assert Report(delivered=1) == deliver(store, old)


def test_the_same_destination_twice(store):
    """Would be given everything twice: it is refused."""
    with pytest.raises(ConfigError, match="are the same"):
        couriers(Here(store), {"one": MoodySink(), "two": MoodySink()})


def test_figures_tell_each_destination(store):
    """By the name that the configuration gives it: what waits, since when, and what it last said."""
    claim(store, "a", "b")
    away = MoodySink({"a": Retry("away"), "b": Retry("away")}, destination="elsewhere")
    for courier in couriers(Here(store), {"prod": MoodySink(), "test": away}):
        courier.turn()
        courier.turn()
    told = figures(store.connection)["destinations"]

    assert {"takes": "aspects", "waiting": 0, "lag_seconds": 0.0, "failures": 0, "reason": ""} == told["prod"]
    assert (2, 2, "away") == tuple(told["test"][key] for key in ("waiting", "failures", "reason"))

    away.answers.clear()
    deliver(store, away)
    assert (0, "") == tuple(
        figures(store.connection)["destinations"]["elsewhere"][k] for k in ("failures", "reason")
    )


# --- what fails alone -----------------------------------------------------------------------------------------------


def test_what_the_destination_fails_on_alone_holds_up_nothing_else(store):
    """It is tried again and again; the rest is delivered meanwhile, and itself once it can be."""
    sink = MoodySink({"c": Retry("HTTP 500")})
    claim(store, *"abcdefgh")
    [courier] = couriers(Here(store), {"it": sink})
    while courier.turn() is not None:
        pass
    assert [*"abdefgh"] == sink.had
    assert ["c"] == waiting(store)
    assert courier.passes_over

    courier.try_again()
    assert 0 < courier.turn() <= pacing.FIRST_WAIT
    claim(store, "i")
    assert (0, None) == (courier.turn(), courier.turn())
    assert "i" == sink.had[-1]

    sink.answers.clear()
    courier.try_again()
    assert (0, None) == (courier.turn(), courier.turn())
    assert [] == waiting(store)
    assert not courier.passes_over


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
        started.append(Deliverer(writer, {"": sink}))
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
    monkeypatch.setattr(pacing, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(pacing, "LONGEST_WAIT", 0.02)
    sink = MoodySink({"a": Retry("away")})
    writer.run(lambda store: claim(store, "a")).result(WAIT)
    start(sink)
    assert until(lambda: len(sink.offered) > 3)

    sink.answers.clear()
    assert until(lambda: sink.had == ["a"])


def test_background_delivery_survives_a_sink_that_raises(writer, start, monkeypatch):
    """A programming error is logged and tried again."""
    monkeypatch.setattr(pacing, "FIRST_WAIT", 0.01)

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


def test_background_delivery_comes_back_to_what_was_passed_over(writer, start, monkeypatch):
    """Without being told, and without holding up what is new meanwhile."""
    monkeypatch.setattr(pacing, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(delivery, "LONGEST_WAIT", 0.05)
    sink = MoodySink({"a": Retry("HTTP 500")})
    writer.run(lambda store: claim(store, "a", "b")).result(WAIT)
    deliverer = start(sink)
    assert until(lambda: sink.had == ["b"])
    writer.run(lambda store: claim(store, "c")).result(WAIT)
    deliverer.notify()
    assert until(lambda: sink.had == ["b", "c"])

    sink.answers.clear()
    assert until(lambda: sink.had == ["b", "c", "a"])


def test_stops_promptly_while_it_waits_for_the_destination(writer, start):
    """Not after the back-off; the outbox keeps the rest."""
    sink = MoodySink({"a": Retry("away")})
    writer.run(lambda store: claim(store, "a")).result(WAIT)
    deliverer = start(sink)
    assert sink.called.wait(WAIT)

    deliverer.close(WAIT)
    assert sink.closed
    assert not any(each.is_alive() for each in deliverer._threads)
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
    deliverer = Deliverer(writer, {"": sink})
    assert sink.called.wait(WAIT)
    deliverer.close(0.05)

    assert any(each.is_alive() for each in deliverer._threads)
    assert ["a"] == writer.run(waiting).result(WAIT)
    answer.set_result([Delivered()])
    deliverer._threads[0].join(WAIT)
    assert not any(each.is_alive() for each in deliverer._threads)


def test_lag_is_the_age_of_the_oldest_that_is_lacking(store):
    """Not of the newest attempt; nothing lacking is no lag."""
    assert 0 == figures(store.connection)["delivery_lag_seconds"]
    claim(store, "a")
    store.connection.execute("UPDATE outbox SET since = since - 3600")
    claim(store, "b")

    assert 3600 <= figures(store.connection)["delivery_lag_seconds"] < 3700
