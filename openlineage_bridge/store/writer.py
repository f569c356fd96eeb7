"""The thread that owns the store of a service: receivers hand events over, and are told when they are durable.

Events that arrive while a commit is under way are committed together (group commit): the full fsync that makes an
acknowledgement true is shared by all of them. Between commits the thread processes the inbox in small steps, so that
neither accepting nor processing starves.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import attrs

from openlineage_bridge.errors import RetryLater, StorageError
from openlineage_bridge.receivers import Position, Receipt
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import damaged
from openlineage_bridge.store.inbox import Arrival, inspect

T = TypeVar("T")

GROUP = 256
"""Most events in one commit."""


@attrs.frozen
class _Offer:
    """Events handed over together, to be committed together."""

    arrivals: list[Arrival]
    receiver: str
    position: Position | None
    accepted: Future[list[Receipt]]


class Writer:
    """Owns a store on a thread of its own. Implements ``openlineage_bridge.receivers.Inbox``.

    Args:
        open_store: Opens the store, on the new thread.
        on_damage: Told, on that thread, when the store turns out to be damaged; what is asked of it fails from then on.
    """

    def __init__(
        self, open_store: Callable[[], Store], on_damage: Callable[[BaseException], object] = lambda _: None
    ) -> None:
        self._on_damage = on_damage
        self._offers: deque[_Offer] = deque()
        self._tasks: deque[tuple[Callable[[Store], Any], Future[Any]]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(open_store,), name="openlineage-bridge-store")
        self._thread.start()
        self._opened.result()

    def accept(
        self, bodies: Sequence[bytes], receiver: str, position: Position | None = None
    ) -> Future[list[Receipt]]:
        """See ``Inbox.accept``. The events are looked at on the caller's thread; only the commit waits for its turn."""
        offer = _Offer([inspect(body) for body in bodies], receiver, position, Future())
        with self._wake:
            if self._closing:
                offer.accepted.set_exception(RetryLater("the bridge is stopping: send the event again"))
            else:
                self._offers.append(offer)
                self._wake.notify()
        return offer.accepted

    def run(self, task: Callable[[Store], T]) -> Future[T]:
        """Call ``task(store)`` on the store's thread, between two commits; its result or exception is the future's."""
        future: Future[T] = Future()
        with self._wake:
            if self._closing:
                future.set_exception(RetryLater("the bridge is stopping"))
            else:
                self._tasks.append((task, future))
                self._wake.notify()
        return future

    def close(self) -> None:
        """Refuse what comes from now on, finish what was handed over, close the store."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    # --- on the store's thread

    def _run(self, open_store: Callable[[], Store]) -> None:
        try:
            store = open_store()
        except BaseException as error:
            self._opened.set_exception(error)
            return
        self._opened.set_result(None)
        with store:
            while self._turn(store):
                pass

    def _turn(self, store: Store) -> bool:
        """One group of offers and one task; False when closing and nothing is left."""
        with self._wake:
            self._wake.wait_for(lambda: self._offers or self._tasks or self._closing)
            offers = self._next_group()
            task = self._tasks.popleft() if self._tasks else None
            if not offers and task is None:
                return False
        if offers:
            self._commit(store, offers)
        if task is not None:
            self._call(store, *task)
        return True

    def _next_group(self) -> list[_Offer]:
        offers: list[_Offer] = []
        events = 0
        while self._offers and events < GROUP:
            offer = self._offers.popleft()
            if offer.accepted.set_running_or_notify_cancel():
                offers.append(offer)
                events += len(offer.arrivals)
        return offers

    def _commit(self, store: Store, offers: list[_Offer]) -> None:
        now = time.time_ns() // 1_000_000
        try:
            with store.transaction():
                receipts = [_put(store, each, now) for each in offers]
        except Exception as error:
            if damaged(error):
                self._on_damage(error)
            for each in offers:
                each.accepted.set_exception(
                    StorageError(f"the event could not be stored, send it again: {error}")
                )
            return
        for each, receipt in zip(offers, receipts, strict=True):
            each.accepted.set_result(receipt)

    def _call(self, store: Store, task: Callable[[Store], Any], future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(task(store))
        except BaseException as error:
            if damaged(error):
                self._on_damage(error)
            future.set_exception(error)


def _put(store: Store, offer: _Offer, now: int) -> list[Receipt]:
    receipts = store.inbox.put(offer.arrivals, receiver=offer.receiver, now=now)
    if offer.position is not None:
        store.positions.put(offer.position.reader, offer.position.source, offer.position.place)
    return receipts
