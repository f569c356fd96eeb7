"""How long a connection may take for each part of a request; after that it is closed, and its sender tries again.

Without them a few hundred connections that say nothing, or a byte at a time, would take all the places there are.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable


class Phase(enum.Enum):
    """What a connection is being waited for."""

    HEAD = "head"
    BODY = "body"
    READER = "reader"


SECONDS: dict[Phase, float] = {
    Phase.HEAD: 10.0,
    Phase.BODY: 30.0,
    Phase.READER: 30.0,
}
"""From the connection, or the first byte after an answer, to the end of the head; from there to the end of the body; and
for a sender that does not take its answer."""


class Deadline:
    """The timer of one connection. A phase that goes on does not begin anew, however many bytes it brings.

    Args:
        loop: Where the timer runs.
        close: What happens when the time is over.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, close: Callable[[], None]) -> None:
        self._loop = loop
        self._close = close
        self._phase: Phase | None = None
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, phase: Phase | None) -> None:
        """The connection is in this phase now; None when it is not waited for."""
        if phase is self._phase:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._phase = phase
        self._timer = self._loop.call_later(SECONDS[phase], self._close) if phase is not None else None
