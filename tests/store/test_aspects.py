"""What is held, what is still to be delivered, and what was delivered: always the difference, never more."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge.store import Store
from openlineage_bridge.store.aspects import holdings
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.translation import Aspect


@pytest.fixture
def store():
    with Store(MEMORY) as opened:
        yield opened


def aspect(value, urn="urn", at=None, rank=0, name="is") -> Aspect:
    return Aspect(urn, "dataset", name, {"v": value}, at, rank)


def due(store) -> list[tuple]:
    """What would be delivered: URN, moment, value."""
    return [
        (each.proposal.urn, each.proposal.timestamp_ms, json.loads(each.proposal.body)["v"])
        for each in store.aspects.due(100)
    ]


def held(store) -> list[tuple]:
    return [(each.urn, each.timestamp_ms, json.loads(each.body)["v"]) for each in holdings(store.connection)]


def deliver(store) -> None:
    store.aspects.delivered(store.aspects.due(100))


def test_versioned_aspects_coalesce(store):
    """However often it changes while the destination is away, one row waits, with the last content."""
    for value in range(10):
        store.aspects.claim(b"o", [aspect(value)])

    assert [("urn", None, 9)] == due(store) == held(store)


def test_timeseries_aspects_do_not_coalesce(store):
    """One row per moment."""
    store.aspects.claim(b"o", [aspect(1, at=1), aspect(2, at=2), aspect(3, at=2)])

    assert [("urn", 1, 1), ("urn", 2, 3)] == due(store)


def test_delivered_is_not_sent_again(store):
    """Not when it is claimed again, by whomever."""
    store.aspects.claim(b"o", [aspect(1)])
    deliver(store)
    store.aspects.claim(b"o", [aspect(1)])
    store.aspects.claim(b"p", [aspect(1)])

    assert [] == due(store)


def test_withdrawn_before_sending(store):
    """What is no longer claimed is no longer sent, nor held."""
    store.aspects.claim(b"o", [aspect(1)])
    store.aspects.claim(b"o", [])

    assert [] == due(store) == held(store)


def test_turned_back_before_sending(store):
    """What is again as it was delivered needs no sending."""
    store.aspects.claim(b"o", [aspect(1)])
    deliver(store)
    store.aspects.claim(b"o", [aspect(2)])
    store.aspects.claim(b"o", [aspect(1)])

    assert [] == due(store)


def test_changed_while_being_sent_stays(store):
    """The acknowledgement is of what was sent, not of what holds by now."""
    store.aspects.claim(b"o", [aspect(1)])
    sent = store.aspects.due(100)
    store.aspects.claim(b"o", [aspect(2)])
    store.aspects.delivered(sent)
    assert [("urn", None, 2)] == due(store)

    deliver(store)
    assert [] == due(store)


def test_withdrawn_while_being_sent(store):
    """There is nothing left to send."""
    store.aspects.claim(b"o", [aspect(1)])
    sent = store.aspects.due(100)
    store.aspects.claim(b"o", [])
    store.aspects.delivered(sent)

    assert [] == due(store)


def test_highest_rank_holds(store):
    """Of several claims on one aspect; when it goes, the next one holds and is sent."""
    store.aspects.claim(b"o", [aspect("low", rank=1)])
    store.aspects.claim(b"p", [aspect("high", rank=2)])
    assert [("urn", None, "high")] == held(store) == due(store)

    deliver(store)
    store.aspects.claim(b"p", [])
    assert [("urn", None, "low")] == held(store) == due(store)


def test_refused_is_not_offered_until_it_changes(store):
    """A destination that will never take it is not asked twice."""
    store.aspects.claim(b"o", [aspect(1)])
    store.aspects.refused(store.aspects.due(100))
    assert [] == due(store)

    store.aspects.claim(b"o", [aspect(2)])
    assert [("urn", None, 2)] == due(store)


def test_postponed_keeps_its_place_and_counts(store):
    """The order is that in which aspects first differed."""
    store.aspects.claim(b"o", [aspect(1, urn="a"), aspect(1, urn="b")])
    first = store.aspects.due(1)
    store.aspects.postponed(first, "busy")
    store.aspects.postponed(first, "still busy")

    assert ["a", "b"] == [urn for urn, *_ in due(store)]
    assert [2, 0] == [each.attempts for each in store.aspects.due(100)]
    assert [("still busy",), ("",)] == store.connection.execute(
        "SELECT reason FROM outbox ORDER BY seq"
    ).fetchall()


def test_what_changed_keeps_its_place(store):
    """A new destination is told everything in the order in which it was first claimed."""
    store.aspects.claim(b"o", [aspect(1, urn="a")])
    store.aspects.claim(b"p", [aspect(1, urn="b")])
    store.aspects.claim(b"o", [aspect(2, urn="a")])
    store.aspects.address("catalog")

    assert [("a", None, 2), ("b", None, 1)] == due(store)


def test_due_goes_on_behind_a_row(store):
    """``limit`` and ``after`` page through the outbox."""
    store.aspects.claim(b"o", [aspect(1, urn=urn) for urn in "abc"])
    [first] = store.aspects.due(1)

    assert ["b", "c"] == [each.proposal.urn for each in store.aspects.due(5, after=first.seq)]
    assert 3 == store.aspects.waiting()


_claims = st.lists(
    st.tuples(
        st.sampled_from([b"o", b"p", b"q"]),
        st.lists(
            st.builds(
                aspect,
                st.integers(0, 2),
                urn=st.sampled_from("ab"),
                at=st.none() | st.just(1),
                rank=st.integers(0, 1),
            ),
            max_size=2,
        ),
    ),
    max_size=8,
)


@given(_claims, st.lists(st.integers(0, 8), max_size=3))
def test_what_holds_depends_on_the_last_claim_of_each_owner(claims, deliveries):
    """Not on the order of the owners, on what was claimed before, nor on deliveries; and the outbox is the difference."""
    catalog: dict = {}
    with Store(MEMORY) as one, Store(MEMORY) as other:
        for number, (owner, aspects) in enumerate(claims):
            one.aspects.claim(owner, aspects)
            if number in deliveries:
                catalog |= {(urn, at): value for urn, at, value in due(one)}
                deliver(one)
        for owner, aspects in sorted(dict(claims).items(), reverse=True):
            other.aspects.claim(owner, aspects)

        assert held(one) == held(other)
        assert sorted(map(repr, due(one))) == sorted(
            repr(each) for each in held(one) if catalog.get(each[:2]) != each[2]
        )
