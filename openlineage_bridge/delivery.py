"""Outbox → sink: what still differs is offered in order, until the destination has it or refuses it for good.

A transient failure keeps everything and is tried again for ever, with capped and jittered waits; a refusal sets its
proposal aside in quarantine, and the rest goes on.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol, TypeVar

import attrs

from openlineage_bridge.errors import BridgeError
from openlineage_bridge.events import digest
from openlineage_bridge.store import Store
from openlineage_bridge.store.aspects import Due
from openlineage_bridge.store.quarantine import Failure
from openlineage_bridge.translation import Delivered, Outcome, Refused, Retry, Sink

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH = 500
"""Most proposals handed to the sink at once."""

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds: the wait after a transient failure doubles from the first to the longest."""


class StoreThread(Protocol):
    """Runs a task where the store may be written."""

    def run(self, task: Callable[[Store], T]) -> Future[T]:
        """Call ``task(store)`` there."""
        ...


@attrs.frozen
class Report:
    """What one delivery did.

    Args:
        delivered: Proposals that the destination has now.
        refused: Proposals in quarantine now.
        postponed: Proposals that are still in the outbox.
        reason: Why something was postponed; empty when nothing was.
    """

    delivered: int = 0
    refused: int = 0
    postponed: int = 0
    reason: str = ""

    def __add__(self, other: Report) -> Report:
        return Report(
            self.delivered + other.delivered,
            self.refused + other.refused,
            self.postponed + other.postponed,
            other.reason or self.reason,
        )


def wait_after(failures: int, jitter: float) -> float:
    """Seconds to wait after that many failures in a row; ``jitter`` in [0, 1) spreads the probes of many bridges."""
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 16))
    return longest * (0.5 + jitter / 2)


def settle(store: Store, offered: Sequence[Due], outcomes: Sequence[Outcome], *, now: int) -> Report:
    """Write down what became of the proposals, in one transaction. ``now`` is in milliseconds."""
    if len(outcomes) != len(offered):
        raise BridgeError(f"the sink answered {len(outcomes)} outcomes for {len(offered)} proposals")
    pairs = list(zip(offered, outcomes, strict=True))
    delivered = [due for due, outcome in pairs if isinstance(outcome, Delivered)]
    postponed = [(due, outcome.reason) for due, outcome in pairs if isinstance(outcome, Retry)]
    refused = [(due, outcome.reason) for due, outcome in pairs if isinstance(outcome, Refused)]
    with store.transaction():
        store.aspects.delivered(delivered)
        for due, reason in postponed:
            store.aspects.postponed([due], reason)
        for due, reason in refused:
            body = due.proposal.to_mcp()
            store.quarantine.keep(
                Failure("deliver", reason), body, digest=digest(body), receiver="outbox", received=now
            )
        store.aspects.refused([due for due, _ in refused])
    return Report(len(delivered), len(refused), len(postponed), postponed[0][1] if postponed else "")


def deliver(store: Store, sink: Sink) -> Report:
    """Offer everything that is due once, in order; for commands that deliver and end.

    Stops at the first transient failure: what comes after it stays in the outbox.
    """
    report = Report()
    _address(store, sink)
    while not report.postponed and (offered := store.aspects.due(BATCH)):
        report += settle(store, offered, sink.send([due.proposal for due in offered]), now=_now())
    return report


class Deliverer:
    """Delivers in the background for as long as a service runs.

    Args:
        store: Where the outbox is.
        sink: Where it goes; closed with the deliverer.
    """

    def __init__(self, store: StoreThread, sink: Sink) -> None:
        self._store = store
        self._sink = sink
        self._wake = threading.Event()
        self._closing = threading.Event()
        store.run(lambda opened: _address(opened, sink)).result()
        self._thread = threading.Thread(target=self._run, name="openlineage-bridge-delivery", daemon=True)
        self._thread.start()

    def notify(self) -> None:
        """There may be something in the outbox."""
        self._wake.set()

    def close(self, timeout: float) -> None:
        """Let the batch under way finish, for at most ``timeout`` seconds; the outbox keeps the rest."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout)
        self._sink.close()

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            self._wake.clear()
            try:
                failures = failures + 1 if self._round() else 0
            except Exception:
                log.exception("delivery failed and will be tried again")
                failures += 1
            if failures:
                self._closing.wait(wait_after(failures, random.random()))  # noqa: S311  - spreads load, hides nothing
            else:
                self._wake.wait()

    def _round(self) -> bool:
        """Empty the outbox as far as the destination takes it; whether it would not."""
        while not self._closing.is_set():
            offered = self._store.run(lambda store: store.aspects.due(BATCH)).result()
            if not offered:
                return False
            outcomes = self._sink.send([due.proposal for due in offered])
            report = self._store.run(lambda store: settle(store, offered, outcomes, now=_now())).result()  # noqa: B023  - awaited here
            if report.postponed:
                log.warning("the destination does not take proposals now", extra={"reason": report.reason})
                return True
        return False


def _address(store: Store, sink: Sink) -> None:
    with store.transaction():
        store.aspects.address(sink.destination)


def _now() -> int:
    return time.time_ns() // 1_000_000
