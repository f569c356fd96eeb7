"""The running service: the thread that owns the store, processing, and delivery.

Receivers hand events to ``Service.accept``; whatever was accepted is processed and delivered in the background, and goes
on where it was when the service is started again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import attrs

from openlineage_bridge import recovery, redelivery
from openlineage_bridge.config import RetentionConfig, SpaceConfig
from openlineage_bridge.delivery import Deliverer, Destination
from openlineage_bridge.errors import RetryLater, StorageError
from openlineage_bridge.pipeline import FROM_NOTHING, Pipeline
from openlineage_bridge.receivers import Position, Receipt
from openlineage_bridge.recovery import Report
from openlineage_bridge.right_of_way import RightOfWay
from openlineage_bridge.store import Store
from openlineage_bridge.store.salvage import Salvage, behind_the_log, mend
from openlineage_bridge.store.space import Space, with_ballast
from openlineage_bridge.store.writer import Writer
from openlineage_bridge.translation import Sink, Translator

log = logging.getLogger(__name__)

T = TypeVar("T")

STEP, STEP_UNDER_LOAD = 200, 16
"""Events processed in one transaction: few while events arrive, because an acknowledgement may have to wait for it."""

PRUNING = 3600.0
"""Seconds between two looks at what may leave the store."""

PAUSE = 5.0
"""Seconds to wait after processing failed for a reason that lies in the store, not in the events."""


class Service:
    """Everything behind the receivers.

    Implements ``openlineage_bridge.receivers.Inbox`` and ``PositionedInbox``, and
    ``openlineage_bridge.server.operations.Operations``.

    Args:
        path: The store.
        translator: From OpenLineage states to aspects.
        sink: Where aspects are delivered; None keeps them in the store.
        window: How many of a job's last completed runs are united into its lineage.
        retention: How long events and runs stay.
        space: How much of the disk may be taken; None for all of it.
        also: Further destinations, by the name that the configuration gives them.
        strict: Refuse a damaged store instead of going on with what can be saved of it.

    Raises:
        ConfigError: Two destinations are the same.
        StorageError: The store cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        translator: Translator,
        sink: Sink | None = None,
        window: int = 1,
        *,
        retention: RetentionConfig | None = None,
        space: SpaceConfig | None = None,
        also: Mapping[str, Destination] | None = None,
        strict: bool = False,
    ) -> None:
        self._window = window
        self._retention = retention or RetentionConfig()
        self._next_pruning = time.monotonic()
        self._right_of_way = RightOfWay()
        self.salvage: Salvage | None = None
        """What was saved of a store that was found damaged at the start."""
        self._damaged: Future[BaseException] = Future()
        self._writer = Writer(
            lambda: with_ballast(path, lambda: self._opened(path, translator, strict=strict)),
            self._stop_accepting,
        )
        self._open = ExitStack()
        try:
            self._space = self._open.enter_context(Space(path, space)) if space else None
            self._pipeline = self._writer.run(lambda store: Pipeline(store, translator, window)).result()
            sinks = ({sink.destination: sink} if sink else {}) | dict(also or {})
            self._deliverer = Deliverer(self._writer, sinks) if sinks else None
        except BaseException:
            self._open.close()
            self._writer.close()  # its thread would keep the process alive
            raise
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._processing = threading.Thread(target=self._process, name="openlineage-bridge-processing")
        self._processing.start()

    def when_damaged(self, stop: Callable[[], object]) -> None:
        """Call ``stop`` when the store turns out to be damaged: it is mended at the next start."""
        self._damaged.add_done_callback(lambda _: stop())

    @property
    def damaged(self) -> bool:
        """Whether the store turned out to be damaged since the start."""
        return self._damaged.done()

    def accept(
        self, bodies: Sequence[bytes], receiver: str, position: Position | None = None
    ) -> Future[list[Receipt]]:
        """See ``Inbox.accept`` and ``PositionedInbox.accept``; refused while there is no room for more."""
        if self._space and self._space.refusal:
            refused: Future[list[Receipt]] = Future()
            refused.set_exception(RetryLater(self._space.refusal))
            return refused
        accepted = self._writer.accept(bodies, receiver, position)
        self._right_of_way.arrived(accepted)
        accepted.add_done_callback(lambda _: self._wake.set())
        return accepted

    def reached(self, reader: str, source: str) -> Future[dict[str, Any] | None]:
        """See ``PositionedInbox.reached``."""
        return self._writer.run(lambda store: store.positions.get(reader, source))

    def retry(self, numbers: Collection[int] | None) -> Future[Report]:
        """Send what is in quarantine on its way again: these numbers, or everything."""
        return self._operate(lambda store: recovery.retry(store, numbers))

    def drop(self, numbers: Collection[int] | None) -> Future[Report]:
        """Forget what is in quarantine, for good: these numbers, or everything."""
        return self._operate(lambda store: recovery.drop(store, numbers))

    def redeliver(self, urns: Collection[str] | None, to: str | None) -> Future[dict[str, int]]:
        """See ``Operations.redeliver``."""
        return self._operate(lambda store: redelivery.redeliver(store, urns, to))

    def _operate(self, operation: Callable[[Store], T]) -> Future[T]:
        done = self._writer.run(operation)
        done.add_done_callback(lambda _: self._wake.set())
        return done

    def close(self, timeout: float = 5.0) -> None:
        """Finish the step and the batch under way, at most ``timeout`` seconds each, and close the store.

        What is still in the inbox or the outbox stays there for the next start.
        """
        self._closing.set()
        self._wake.set()
        self._processing.join()
        if self._deliverer:
            self._deliverer.close(timeout)
        self._open.close()
        self._writer.close()

    # --- the store

    def _opened(self, path: Path, translator: Translator, *, strict: bool) -> Store:
        """The store, mended first if it is damaged."""
        self.salvage = mend(
            path,
            lambda store: Pipeline(store, translator, self._window).retranslate(FROM_NOTHING),
            strict=strict,
        )
        if self.salvage is not None:
            log.critical("the store was damaged and is set aside", extra=_said(self.salvage))
        late = behind_the_log(path)
        store = Store(path)
        if late:
            log.critical(
                "the store's log was damaged: events behind that are taken", extra={"events": len(late)}
            )
            with store.transaction():
                for event in late:
                    store.inbox.put([event.arrival], receiver=event.receiver, now=event.received)
        return store

    def _stop_accepting(self, error: BaseException) -> None:
        if not self._damaged.done():
            log.critical("the store is damaged: stopping, to mend it at the next start", exc_info=error)
            self._damaged.set_result(error)

    # --- processing

    def _process(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            arriving = self._right_of_way.arriving
            started = time.monotonic()
            try:
                taken = self._step(STEP_UNDER_LOAD if arriving else STEP)
                more = bool(taken) or self._prune()
            except RetryLater:
                return
            except Exception as error:
                log.exception("processing waits for the store")
                self._recover(error)
                continue
            if self._deliverer:
                self._deliverer.notify()
            if not more:
                self._wake.wait(PRUNING)
            elif arriving:
                self._right_of_way.give(time.monotonic() - started, self._closing.wait)

    def _recover(self, error: Exception) -> None:
        """Go on at once with the ballast's room, if that helps and it was still there; else after a pause."""
        if not (isinstance(error, StorageError) and self._space and self._space.give_up_ballast()):
            self._closing.wait(PAUSE)

    def _step(self, limit: int) -> int:
        return self._writer.run(lambda _: self._pipeline.step(limit)).result()

    def _prune(self) -> bool:
        """Once in a while remove some of what may leave the store; whether there may be more."""
        if time.monotonic() < self._next_pruning:
            return False
        now = time.time_ns() // 1_000_000
        prune = self._writer.run(lambda store: store.prune(self._retention, window=self._window, now=now))
        if prune.result() or self._writer.run(Store.shrink).result():
            return True
        self._next_pruning = time.monotonic() + PRUNING
        return False


def _said(salvage: Salvage) -> dict[str, Any]:
    return attrs.asdict(salvage) | {"kept": str(salvage.kept)}
