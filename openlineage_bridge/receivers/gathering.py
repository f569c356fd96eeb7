"""Events of several requests on their way into the inbox together, and their receipts on the way back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

import attrs

from openlineage_bridge.errors import RetryLater, StorageError
from openlineage_bridge.receivers import Inbox, Receipt

OFFLOAD_BYTES: Final = 256 * 1024
"""Work on more than this happens outside the event loop."""


@attrs.define
class Gathering:
    """Hands over to the inbox at once what several requests brought in one turn of the event loop.

    A wave of requests then costs one hand-over to the store's thread and one way back, and shares a commit.

    Args:
        inbox: Where the events go.
        receiver: Where they came from, for the operator.
        patience: Seconds to wait for the commit; clients give up after 5.
    """

    inbox: Inbox
    receiver: str
    patience: float
    _waiting: list[_Waiting] = attrs.field(factory=list, init=False)
    _size: int = attrs.field(default=0, init=False)

    async def store(self, bodies: Sequence[bytes]) -> list[Receipt]:
        """One receipt per body, after the commit.

        Raises:
            RetryLater: Nothing is known to be stored: the sender must send the events again.
        """
        try:
            return await self._offer(bodies, sum(map(len, bodies)))
        except StorageError as error:
            raise RetryLater(str(error)) from error

    async def _offer(self, bodies: Sequence[bytes], size: int) -> list[Receipt]:
        loop = asyncio.get_running_loop()
        mine = _Waiting(loop.create_future(), bodies)
        if size > OFFLOAD_BYTES:
            self._follow(await asyncio.to_thread(self.inbox.accept, bodies, self.receiver), [mine], loop)
            return await mine.future
        if self._size + size > OFFLOAD_BYTES:
            self._hand_over(loop)
        if not self._waiting:
            loop.call_soon(self._hand_over, loop)
        self._waiting.append(mine)
        self._size += size
        return await mine.future

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, self._waiting, self._size = self._waiting, [], 0
        if not waiting:
            return
        try:
            accepted = self.inbox.accept([body for each in waiting for body in each.bodies], self.receiver)
        except Exception as error:
            self._alone(waiting, error, loop)
            return
        self._follow(accepted, waiting, loop)

    def _alone(self, waiting: list[_Waiting], error: Exception, loop: asyncio.AbstractEventLoop) -> None:
        """A defect that one request brings out must not cost the others theirs."""
        if len(waiting) == 1:
            _blame(waiting, error)
            return
        for each in waiting:
            self._waiting.append(each)
            self._hand_over(loop)

    def _follow(
        self, accepted: Future[list[Receipt]], waiting: list[_Waiting], loop: asyncio.AbstractEventLoop
    ) -> None:
        """Tell those who wait what became of their events, or, when that takes too long, that it is not known."""
        reason = f"the events were not on disk within {self.patience:g} seconds: send them again"
        timer = loop.call_later(self.patience, _blame, waiting, RetryLater(reason))

        def committed(done: Future[list[Receipt]]) -> None:
            # On the store's thread, perhaps after the event loop has ended.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, done, waiting, timer)

        accepted.add_done_callback(committed)


@attrs.frozen
class _Waiting:
    """A request whose events were handed over."""

    future: asyncio.Future[list[Receipt]]
    bodies: Sequence[bytes]


def _settle(done: Future[list[Receipt]], waiting: list[_Waiting], timer: asyncio.TimerHandle) -> None:
    timer.cancel()
    error = done.exception()
    if error:
        _blame(waiting, error)
        return
    receipts, start = done.result(), 0
    for each in waiting:
        end = start + len(each.bodies)
        if not each.future.done():
            each.future.set_result(receipts[start:end])
        start = end


def _blame(waiting: list[_Waiting], error: BaseException) -> None:
    for each in waiting:
        if not each.future.done():
            each.future.set_exception(error)
