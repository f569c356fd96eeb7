"""Who goes first: processing waits for acknowledgements, which a task of somebody's waits for, but never for long."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import attrs

GAP = 0.02
"""Seconds without an arrival or an acknowledgement after which nobody is taken to wait: reading the next events of some dozens
of senders takes about as long."""

LULL = 0.1
"""Seconds after which events are taken to arrive no more."""

BURST = 10.0
"""Seconds without a lull after which a burst, which the inbox is there to absorb, is taken for a stream, which has no end."""

SHARE_IN_A_BURST, SHARE_IN_A_STREAM = 0.1, 0.5
"""Of the time, what processing has at least however many wait: it never stands still, and does not fall behind for ever."""


@attrs.define
class RightOfWay:
    """Knows who waits for an acknowledgement; told by any thread, asked by the one that processes.

    Args:
        clock: Seconds, of any beginning.
    """

    clock: Callable[[], float] = time.monotonic
    _waiting: set[Future[Any]] = attrs.field(factory=set, init=False)
    _last: float = attrs.field(default=float("-inf"), init=False)  # something arrived, or was acknowledged
    _began: float = attrs.field(default=float("-inf"), init=False)  # the first arrival since the last lull

    def arrived(self, accepted: Future[Any]) -> None:
        """Somebody waits for this."""
        self._waiting.add(accepted)  # sets are safe between threads for one item at a time
        if not self.arriving:
            self._began = self.clock()
        self._last = self.clock()
        accepted.add_done_callback(self._acknowledged)

    def _acknowledged(self, accepted: Future[Any]) -> None:
        self._waiting.discard(accepted)
        self._last = self.clock()

    @property
    def arriving(self) -> bool:
        """Whether more is to be expected at any moment."""
        return self.clock() - self._last < LULL

    @property
    def share(self) -> float:
        """Of the time, what processing has at least."""
        return SHARE_IN_A_STREAM if self._last - self._began > BURST else SHARE_IN_A_BURST

    def give(self, worked: float, pause: Callable[[float], bool]) -> None:
        """Let those go first who wait, for as long as processing can afford.

        Args:
            worked: Seconds for which processing had the machine since it gave way the time before.
            pause: Waits for so many seconds; true when everything is to end.
        """
        until = self.clock() + worked * (1 / self.share - 1)
        while (now := self.clock()) < until and (self._waiting or now - self._last < GAP):
            if pause(min(GAP, until - now)):
                return
