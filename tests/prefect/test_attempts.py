"""Which attempt of a flow run a state belongs to, and the id of that attempt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge_prefect.attempts import Attempt, attempt_at, run_id
from openlineage_bridge_prefect.transitions import TERMINAL, resumed

PREFECT_ID = UUID("0192f7a0-0000-7000-8000-000000000001")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TYPES = ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING", *TERMINAL]


def _states(*types: str) -> list[tuple[datetime, str]]:
    return [(BEGIN + timedelta(seconds=number), each) for number, each in enumerate(types)]


@pytest.mark.parametrize(
    ("before", "entered", "expected"),
    [
        ((), "RUNNING", Attempt(0, begun=False)),
        (("SCHEDULED", "PENDING"), "RUNNING", Attempt(0, begun=False)),
        (("RUNNING", "SCHEDULED"), "RUNNING", Attempt(0, begun=True)),
        (("RUNNING", "PAUSED", "SCHEDULED", "PENDING"), "RUNNING", Attempt(0, begun=True)),
        (("RUNNING", "FAILED"), "RUNNING", Attempt(1, begun=False)),
        (("RUNNING", "FAILED", "SCHEDULED", "PENDING"), "RUNNING", Attempt(1, begun=False)),
        (("SCHEDULED", "CANCELLED", "SCHEDULED"), "RUNNING", Attempt(1, begun=False)),
        (("RUNNING", "FAILED", "RUNNING", "CRASHED", "PENDING"), "RUNNING", Attempt(2, begun=False)),
        (("RUNNING", "COMPLETED"), "FAILED", Attempt(0, begun=True, ended=True)),
        (("RUNNING", "COMPLETED", "FAILED", "RUNNING"), "COMPLETED", Attempt(1, begun=True)),
        (("RUNNING",), None, Attempt(0, begun=True)),
        (("RUNNING", "COMPLETED"), None, Attempt(0, begun=True, ended=True)),
        (("RUNNING", "FAILED", "SCHEDULED"), None, Attempt(1, begun=False)),
        (("RUNNING", "FAILED", "RUNNING", "COMPLETED"), None, Attempt(1, begun=True, ended=True)),
    ],
)
def test_which_attempt_a_state_belongs_to(before, entered, expected) -> None:
    """An end is followed by another attempt; its correction, a retry, a resumption or a task in the background is not."""
    states = _states(*before)

    assert expected == attempt_at(states, BEGIN + timedelta(hours=1), entered)


@given(st.lists(st.sampled_from(TYPES)), st.sampled_from([None, *TYPES]), st.randoms())
def test_later_states_and_order_do_not_matter(types, entered, random) -> None:
    """Whoever asks later, or gets the states in another order, computes the same."""
    states = _states(*types)
    moment = BEGIN + timedelta(seconds=len(types) // 2)
    known = [each for each in states if each[0] < moment]
    shuffled = list(states)
    random.shuffle(shuffled)

    assert attempt_at(known, moment, entered) == attempt_at(shuffled, moment, entered)


def test_the_first_attempt_has_prefects_own_id() -> None:
    """Further ones have ids of their own, the same for everybody, now and later."""
    expected = [
        PREFECT_ID,
        UUID("e548652b-3df1-58c7-930d-6245a6a37a18"),
        UUID("cf733327-0c8d-5db3-b81e-82dfe4c90065"),
    ]

    assert expected == [run_id(PREFECT_ID, number) for number in range(3)]


def test_what_an_earlier_process_began_does_not_start_again() -> None:
    """The first events of the engine that goes on with it are without START."""
    assert ("RUNNING",) == resumed(("START",))
    assert ("FAIL",) == resumed(("START", "FAIL"))
