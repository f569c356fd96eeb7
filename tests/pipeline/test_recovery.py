"""What is in quarantine is tried again, or dropped; nothing of it is ever half there (G09, G10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge.delivery import deliver
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.recovery import Report, drop, retry
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.quarantine import Failure, quarantined
from openlineage_bridge.translation import Aspect, Delivered, Refused


@pytest.fixture
def moods(plain):
    """A translator that cannot name what ``poison`` holds."""

    class Moody(plain.PlainTranslator):
        poison = frozenset({"poison"})

        def resolve(self, dataset):
            if dataset.key.name in self.poison:
                raise LookupError(f"no name for {dataset.key.name}")
            return super().resolve(dataset)

    return Moody


class Picky:
    """A destination that refuses what ``refused`` holds, and keeps the rest."""

    destination = "picky"

    def __init__(self, *refused):
        self.refused = set(refused)
        self.had = []

    def send(self, proposals):
        self.had += [each.urn for each in proposals if each.urn not in self.refused]
        return [Refused("no") if each.urn in self.refused else Delivered() for each in proposals]


def test_an_event_is_processed_after_the_mend(bridge, moods, world):
    """As if nothing had ever been wrong: late, but the order in which events come does not matter."""
    events = [
        world.run_event(name, inputs=[name], run=number) for number, name in enumerate(["a", "poison", "b"])
    ]
    bridge.pipeline = Pipeline(bridge.store, moods())
    bridge.hear(*events)
    [entry] = quarantined(bridge.store.connection)
    moods.poison = frozenset()
    report = retry(bridge.store, {entry.id})
    bridge.pipeline.drain()
    recovered = bridge.knows()

    assert Report(done=(entry.id,)) == report
    with Store(MEMORY) as store:
        undisturbed = type(bridge)(store, Pipeline(store, moods()))
        assert undisturbed.hear(*events).knows() == recovered


def test_what_fails_again_is_there_again(bridge, moods, world):
    """With the time of it, and the bytes and the moment as they came."""
    poison = world.encoded(world.run_event("bad", inputs=["poison"]))
    bridge.pipeline = Pipeline(bridge.store, moods())
    bridge.hear(poison)
    retry(bridge.store, None)
    bridge.pipeline.drain()
    [entry] = quarantined(bridge.store.connection)

    assert (1, "translate", "LookupError", poison) == (
        entry.attempts,
        entry.failure.stage,
        entry.failure.error,
        entry.body,
    )
    assert entry.failed > entry.received == 1


def test_what_is_no_event_stays(bridge):
    """The reason is said again, and an attempt is counted."""
    bridge.hear(b"no event")
    [before] = quarantined(bridge.store.connection)
    report = retry(bridge.store, None)
    [after] = quarantined(bridge.store.connection)

    assert Report(refused={before.id: before.failure.reason}) == report
    assert (1, 2) == (before.attempts, after.attempts)
    assert before.body == after.body == b"no event"


def test_bytes_that_have_become_readable(bridge, world):
    """What an older version refused and this one can read is received, under the time at which it came."""
    body = world.encoded(world.run_event("old"))
    bridge.store.quarantine.keep(
        Failure("receive", "too new"), body, digest=b"other", receiver="http", received=7
    )
    retry(bridge.store, None)
    [pending] = bridge.store.inbox.pending(10)

    assert (body, "http", 7) == (pending.body, pending.receiver, pending.received)
    assert [] == quarantined(bridge.store.connection)


@pytest.mark.parametrize("moment", [None, 5])
def test_a_proposal_is_offered_again_as_it_holds_now(bridge, moment):
    """Not as it was refused; versioned and timeseries aspects alike."""
    claim = lambda value: bridge.store.aspects.claim(
        b"o", [Aspect("u", "dataset", "is", {"v": value, "timestampMillis": 5}, timestamp_ms=moment)]
    )
    sink = Picky("u")
    claim(1)
    deliver(bridge.store, sink)
    [entry] = quarantined(bridge.store.connection)
    sink.refused.clear()

    assert 0 == deliver(bridge.store, sink).delivered
    assert Report(done=(entry.id,)) == retry(bridge.store, None)
    [due] = bridge.store.aspects.due(10)
    assert b'"v":1' in due.proposal.body
    assert 1 == deliver(bridge.store, sink).delivered


def test_a_proposal_that_nothing_claims_any_more(bridge):
    """Is not offered: what is not held is not delivered."""
    sink = Picky("u")
    bridge.store.aspects.claim(b"o", [Aspect("u", "dataset", "is", {"v": 1})])
    deliver(bridge.store, sink)
    bridge.store.aspects.claim(b"o", [])

    assert 1 == len(retry(bridge.store, None).done)
    assert [] == bridge.store.aspects.due(10) == quarantined(bridge.store.connection)


@given(
    st.sets(st.integers(1, 6), max_size=6),
    st.none() | st.sets(st.integers(1, 8), max_size=6),
    st.sampled_from([retry, drop]),
)
def test_every_number_is_accounted_for(events, numbers, operation):
    """Done, refused or unknown; what was not asked for is untouched."""
    with Store(MEMORY) as store:
        for number in range(1, 7):
            body = (
                b'{"job": {"namespace": "n", "name": "%d"}}' % number
                if number in events
                else b"no %d" % number
            )
            store.quarantine.keep(
                Failure("parse", "r"), body, digest=b"%d" % number, receiver="t", received=1
            )
        report = operation(store, numbers)
        left = {each.id for each in quarantined(store.connection)}

    wanted = set(range(1, 7)) if numbers is None else numbers
    assert sorted(wanted) == sorted([*report.done, *report.refused, *report.unknown])
    assert set(range(1, 7)) - set(report.done) == left
    assert operation is retry or not report.refused
