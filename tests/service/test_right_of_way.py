"""Processing gives way to those who wait for an acknowledgement, and gets on all the same."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from openlineage_bridge.right_of_way import BURST, GAP, LULL, RightOfWay

WORKED = 0.02


class World:
    """Time that passes only while processing works or pauses, and senders who come in it.

    Args:
        every: Seconds from one arrival to the next.
        at_once: Whether each is acknowledged as soon as it is there, or only when the next one comes.
    """

    def __init__(self, every: float, *, at_once: bool = False) -> None:
        self.now = 0.0
        self.every = every
        self.at_once = at_once
        self.way = RightOfWay(lambda: self.now)
        self.next = 0.0
        self.waiting: Future[None] = Future()

    def pass_(self, seconds: float) -> bool:
        until = self.now + seconds
        while self.next <= until:
            self.now = self.next
            if not self.waiting.done():
                self.waiting.set_result(None)
            self.waiting = Future()
            self.way.arrived(self.waiting)
            if self.at_once:
                self.waiting.set_result(None)
            self.next += self.every
        self.now = until
        return False

    def share(self, seconds: float) -> float:
        """Of so many seconds, what processing got that works in steps of ``WORKED`` and gives way between them."""
        worked, until, began = 0.0, self.now + seconds, self.now
        while self.now < until:
            self.pass_(WORKED)
            worked += WORKED
            self.way.give(WORKED, self.pass_)
        return worked / (self.now - began)


@pytest.mark.parametrize("every", [0.002, GAP])
def test_it_never_stands_still(every):
    """However much arrives: a tenth of the time in a burst, half of it once that has turned out to be a stream (G04)."""
    world = World(every)

    assert 0.1 == pytest.approx(world.share(BURST / 2), rel=0.02)
    world.share(BURST)
    assert 0.5 == pytest.approx(world.share(BURST), rel=0.02)


def test_a_burst_after_a_lull_is_a_burst_again():
    """What came before does not count."""
    world = World(GAP / 2)
    world.share(2 * BURST)
    world.waiting.set_result(None)
    world.next += 2 * LULL
    world.pass_(3 * LULL)

    assert 0.1 == pytest.approx(world.share(BURST / 2), rel=0.02)


def test_nobody_waits():
    """Then it takes no rest."""
    way = RightOfWay(lambda: 0.0)
    way.give(WORKED, lambda _: pytest.fail("it paused"))

    assert not way.arriving


def test_the_gap_between_an_acknowledgement_and_the_senders_next_event():
    """Is not taken for the end: it goes on a little after the last one, and not at once."""
    world = World(float("inf"))
    world.pass_(1)
    world.waiting.set_result(None)
    world.way.give(WORKED, world.pass_)

    assert 0.99 * GAP < world.now - 1 < 2.01 * GAP


@pytest.mark.parametrize("per_second", [1, 10, 20])
def test_now_and_then_an_event(per_second):
    """What leaves time between two is processed nearly at once: the machine has room for both."""
    world = World(1 / per_second, at_once=True)

    assert world.share(BURST) > 0.5


def test_the_end_does_not_wait():
    """It stops giving way when everything is to end, whoever waits."""
    way = RightOfWay(lambda: 0.0)
    way.arrived(Future())
    way.give(WORKED, lambda _: True)
