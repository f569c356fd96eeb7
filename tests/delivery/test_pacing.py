"""How much is offered next, and when: never a herd, never a hammer, and never longer than the longest wait."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge import pacing
from openlineage_bridge.outgoing import LONGEST_REST, retry_after
from openlineage_bridge.pacing import BATCH, STUCK, Pace, Report, wait_after

AWAY, TAKEN = Report(postponed=1, reason="away"), Report(delivered=1)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_wait_is_bounded(failures, jitter):
    """At least half of the first wait, at most the longest."""
    assert pacing.FIRST_WAIT / 2 <= wait_after(failures, jitter) <= pacing.LONGEST_WAIT


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_wait_grows(failures, jitter):
    """It never shrinks with the failures, and the jitter spreads it over its upper half."""
    assert wait_after(failures, jitter) <= wait_after(failures + 1, jitter)
    assert wait_after(failures, 0) * 2 == pytest.approx(wait_after(failures, 1))


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.5), (2, 1), (3, 2), (7, 32), (8, 60), (99, 60)])
def test_wait_doubles(failures, seconds):
    """From half a second to a minute."""
    assert seconds == wait_after(failures, 1)


def test_the_destinations_own_wish_is_honoured():
    """When it asks for more than we would wait anyway; asking for less does not make us hurry."""
    pace = Pace(failures=1)

    assert 120 == pace.wait(Report(postponed=1, after=120), 0.5)
    assert wait_after(1, 0.5) == pace.wait(Report(postponed=1, after=0.001), 0.5)
    assert 0 == Pace().wait(TAKEN, 0.5)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("7", 7),
        ("1.5", 1.5),
        ("-3", 0),
        ("soon", 0),
        ("999999999", LONGEST_REST),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0),
    ],
)
def test_retry_after(header, seconds):
    """Seconds or a date; what is neither says nothing; nobody silences us for longer than an hour."""
    assert seconds == retry_after(header, now=10.0)


def test_one_thing_is_the_probe():
    """While the destination is away it is offered one thing at a time; when it is back, four times as many each time."""
    pace, offered = Pace(), []
    for report in (AWAY, AWAY, AWAY, *[TAKEN] * 6):
        offered.append(pace.limit)
        pace = pace.after(report, 1)

    assert [BATCH, 1, 1, 1, 4, 16, 64, 256, BATCH] == offered


def test_some_progress_is_no_outage():
    """A destination that took a part starts the waiting anew."""
    assert Pace(1, 1) == Pace(BATCH, 7).after(Report(delivered=3, postponed=1), 1)


def test_the_thing_or_the_destination():
    """What fails alone time and again is passed over only if the destination takes the one behind it."""
    pace = Pace()
    for _ in range(STUCK + 1):
        pace = pace.after(AWAY, 10)
    assert Pace(1, STUCK + 1, passed=10, trial=True) == pace

    assert Pace(1, STUCK + 2) == pace.after(AWAY, 11)
    assert Pace(4, 0, passed=10) == pace.after(TAKEN, 11)


def test_what_was_passed_over_is_not_waited_for_twice():
    """When it fails again it is passed over at once, for the destination took others."""
    assert Pace(1, 1, passed=10, trial=True) == Pace(4, passed=10).again().after(AWAY, 10)
    assert Pace(4) == Pace(4, passed=10).again().after(TAKEN, 10)


@given(st.lists(st.sampled_from([AWAY, TAKEN]), max_size=60))
def test_waiting_exactly_while_it_fails(reports):
    """No wait after success, one after every failure, and always something to offer."""
    pace = Pace()
    for place, report in enumerate(reports, 1):
        pace = pace.after(report, place)
        assert bool(report.postponed) == (pace.wait(report, 0.0) > 0)
        assert 1 <= pace.limit <= BATCH


def test_many_bridges_make_no_herd():
    """200 bridges whose DataHub went away at the same moment do not come back at the same moment."""
    rng, arrivals = random.Random(7), Counter()
    for _ in range(200):
        at, failures = 0.0, 0
        while at < 3600:
            failures += 1
            at += wait_after(failures, rng.random())
        arrivals[int(at)] += 1  # the first probe after the outage

    assert max(arrivals.values()) < 200 / 10
    assert max(arrivals) <= 3600 + pacing.LONGEST_WAIT
