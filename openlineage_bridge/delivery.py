"""Outbox → sinks: what still differs is offered in order, until each destination has it or refuses it for good.

A transient failure keeps everything and is tried again for ever, with capped and jittered waits (``pacing``); a refusal
sets its proposal aside in quarantine, and the rest goes on. Several destinations are served side by side, each at its own
pace: one that is away holds up no other.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

import attrs

from openlineage_bridge.errors import BridgeError, ConfigError
from openlineage_bridge.events import digest
from openlineage_bridge.forwarding import EventSink
from openlineage_bridge.pacing import LONGEST_WAIT, Pace, Report
from openlineage_bridge.store import Store
from openlineage_bridge.store.aspects import Due
from openlineage_bridge.store.destinations import Addressee, Forwarding
from openlineage_bridge.store.quarantine import Failure
from openlineage_bridge.translation import Delivered, Outcome, Refused, Retry, Sink

log = logging.getLogger(__name__)

T = TypeVar("T")

Destination = Sink | EventSink


class StoreThread(Protocol):
    """Runs a task where the store may be written."""

    def run(self, task: Callable[[Store], T]) -> Future[T]:
        """Call ``task(store)`` there."""
        ...


@attrs.frozen
class Here:
    """A store that is written by the thread that asks."""

    store: Store

    def run(self, task: Callable[[Store], T]) -> Future[T]:
        """Call ``task(store)`` now."""
        done: Future[T] = Future()
        done.set_result(task(self.store))
        return done


# --- what is carried ------------------------------------------------------------------------------------------------


class Lane(Protocol):
    """One kind of thing on its way to one destination."""

    @property
    def sink(self) -> Destination:
        """Where it goes."""
        ...

    @property
    def passes_over(self) -> bool:
        """Whether one thing may be passed over; else all wait for it."""
        ...

    def due(self, store: Store, pace: Pace) -> Sequence[Any]:
        """What is to be offered next, each with its place ``seq``."""
        ...

    def send(self, offered: Sequence[Any]) -> list[Outcome]:
        """Offer it."""
        ...

    def settle(self, store: Store, offered: Sequence[Any], outcomes: Sequence[Outcome], now: int) -> Report:
        """Write down what became of it, in one transaction. ``now`` is in milliseconds."""
        ...


@attrs.frozen
class AspectLane:
    """Aspects that a destination lacks.

    Args:
        destination: Its number in the store.
        sink: Where they go.
    """

    destination: int
    sink: Sink
    passes_over: bool = attrs.field(default=True, init=False)

    def due(self, store: Store, pace: Pace) -> list[Due]:
        """The oldest rows of its outbox, behind what is passed over."""
        return store.aspects.due(pace.limit, pace.passed, self.destination)

    def send(self, offered: Sequence[Due]) -> list[Outcome]:
        """Offer what they hold now."""
        return self.sink.send([due.proposal for due in offered])

    def settle(self, store: Store, offered: Sequence[Due], outcomes: Sequence[Outcome], now: int) -> Report:
        """What was delivered is lacking no more; what was refused is in quarantine, and not offered again until it changes."""
        pairs = _paired(offered, outcomes)
        delivered = [due for due, outcome in pairs if isinstance(outcome, Delivered)]
        refused = [(due, outcome.reason) for due, outcome in pairs if isinstance(outcome, Refused)]
        postponed = [(due, outcome) for due, outcome in pairs if isinstance(outcome, Retry)]
        with store.transaction():
            store.aspects.delivered(delivered)
            for due, retry in postponed:
                store.aspects.postponed([due], retry.reason)
            for due, reason in refused:
                _set_aside(store, Failure("deliver", reason), due.proposal.to_mcp(), self.sink, now)
            store.aspects.refused([due for due, _ in refused])
            return _heard(store, self.destination, outcomes)


@attrs.frozen
class EventLane:
    """The events themselves, in the order in which they arrived.

    Args:
        destination: Its number in the store.
        sink: Where they go.
    """

    destination: int
    sink: EventSink
    passes_over: bool = attrs.field(default=False, init=False)

    def due(self, store: Store, pace: Pace) -> list[Forwarding]:
        """The oldest events behind the last that it has."""
        return store.destinations.to_forward(self.destination, pace.limit)

    def send(self, offered: Sequence[Forwarding]) -> list[Outcome]:
        """Offer their bytes."""
        return self.sink.forward([each.body for each in offered])

    def settle(
        self, store: Store, offered: Sequence[Forwarding], outcomes: Sequence[Outcome], now: int
    ) -> Report:
        """It has the events up to the first that it would not take now; what it refused before that is in quarantine."""
        pairs = _paired(offered, outcomes)
        until = next((n for n, outcome in enumerate(outcomes) if isinstance(outcome, Retry)), len(pairs))
        with store.transaction():
            for event, outcome in pairs[:until]:
                if isinstance(outcome, Refused):
                    _set_aside(store, Failure("forward", outcome.reason), event.body, self.sink, now)
            if until:
                store.destinations.forwarded(self.destination, offered[until - 1].seq)
            return _heard(store, self.destination, outcomes)


def _paired(offered: Sequence[T], outcomes: Sequence[Outcome]) -> list[tuple[T, Outcome]]:
    if len(outcomes) != len(offered):
        raise BridgeError(f"the sink answered {len(outcomes)} outcomes for {len(offered)} proposals")
    return list(zip(offered, outcomes, strict=True))


def _set_aside(store: Store, failure: Failure, body: bytes, sink: Destination, now: int) -> None:
    """Once per content and destination: two may refuse the same."""
    key = digest(sink.destination.encode() + b"\0" + body)
    store.quarantine.keep(failure, body, digest=key, receiver=sink.destination, received=now)


def _heard(store: Store, destination: int, outcomes: Sequence[Outcome]) -> Report:
    retries = [each for each in outcomes if isinstance(each, Retry)]
    reason = retries[0].reason if retries else ""
    store.destinations.heard(destination, reason)
    refused = sum(isinstance(each, Refused) for each in outcomes)
    delivered = len(outcomes) - len(retries) - refused
    after = max((each.after for each in retries), default=0.0)
    return Report(delivered, refused, len(retries), reason, after)


# --- who carries it -------------------------------------------------------------------------------------------------


class Courier:
    """Carries what is due to one destination, one offer at a time.

    Args:
        store: Where it is written down.
        lane: What goes where.
        jitter: Gives a number in [0, 1).
    """

    def __init__(self, store: StoreThread, lane: Lane, jitter: Callable[[], float] = random.random) -> None:
        self._store = store
        self._lane = lane
        self._jitter = jitter
        self._pace = Pace()
        self.report = Report()

    @property
    def passes_over(self) -> bool:
        """Whether something is passed over for now, because the destination fails on it alone."""
        return bool(self._pace.passed)

    def try_again(self) -> None:
        """Offer what was passed over with the next turn."""
        self._pace = self._pace.again()

    def turn(self) -> float | None:
        """Make one offer; the seconds to wait before the next turn, or None when nothing is due."""
        offered = self._store.run(lambda store: self._lane.due(store, self._pace)).result()
        if not offered:
            return None
        try:
            outcomes = self._lane.send(offered)
            settled = self._store.run(lambda store: self._lane.settle(store, offered, outcomes, _now()))
            report = settled.result()
        except BridgeError:
            raise
        except Exception:
            log.exception("delivery failed and will be tried again")
            report = Report(postponed=len(offered), reason="an error of the sink's own: see the log")
        self.report += report
        self._pace = self._pace.after(report, offered[0].seq if self._lane.passes_over else 0)
        if report.postponed and self._pace.failures == 1:
            log.warning("the destination does not take proposals now", extra={"reason": report.reason})
        return self._pace.wait(report, self._jitter())


def couriers(store: StoreThread, sinks: Mapping[str, Destination]) -> list[Courier]:
    """Make these the destinations of the store, and a courier for each.

    Args:
        store: Where the outbox and the inbox are.
        sinks: By the name that the configuration gives them.

    Raises:
        ConfigError: Two of them are the same destination.
    """
    addressees = [
        Addressee(sink.destination, label or sink.destination, isinstance(sink, EventSink))
        for label, sink in sinks.items()
    ]
    if len({each.name for each in addressees}) < len(addressees):
        raise ConfigError(f"two destinations are the same: {', '.join(sorted(sinks))}")

    def address(opened: Store) -> list[int]:
        with opened.transaction():
            return opened.aspects.address(*addressees)

    numbers = store.run(address).result()
    return [
        Courier(store, EventLane(number, sink) if isinstance(sink, EventSink) else AspectLane(number, sink))
        for number, sink in zip(numbers, sinks.values(), strict=True)
    ]


def deliver(store: Store, *sinks: Destination) -> Report:
    """Offer everything that is due once, in order; for commands that deliver and end.

    Stops at each destination's first transient failure: what comes after it stays in its outbox.
    """
    report = Report()
    for courier in couriers(Here(store), {sink.destination: sink for sink in sinks}):
        while courier.turn() == 0:
            pass
        report += courier.report
    return report


class Deliverer:
    """Delivers in the background for as long as a service runs, in a thread for each destination.

    Args:
        store: Where the outbox is.
        sinks: Where it goes, by the name that the configuration gives them; closed with the deliverer.

    Raises:
        ConfigError: Two of them are the same destination.
    """

    def __init__(self, store: StoreThread, sinks: Mapping[str, Destination]) -> None:
        self._sinks = sinks
        self._closing = threading.Event()
        self._wakes = [threading.Event() for _ in sinks]
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(courier, wake),
                name=f"openlineage-bridge-delivery-{number}",
                daemon=True,
            )
            for number, (courier, wake) in enumerate(zip(couriers(store, sinks), self._wakes, strict=True))
        ]
        for thread in self._threads:
            thread.start()

    def notify(self) -> None:
        """There may be something in the outbox."""
        for wake in self._wakes:
            wake.set()

    def close(self, timeout: float) -> None:
        """Let the batches under way finish, for at most ``timeout`` seconds; the outbox keeps the rest."""
        self._closing.set()
        self.notify()
        until = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        for sink in self._sinks.values():
            sink.close()

    def _run(self, courier: Courier, wake: threading.Event) -> None:
        failures = 0
        while not self._closing.is_set():
            wake.clear()
            try:
                wait = courier.turn()
                failures = 0
            except Exception:
                log.exception("delivery failed and will be tried again")
                failures += 1
                wait = Pace(failures=failures).wait(Report(), random.random())  # noqa: S311  - spreads load, hides nothing
            if wait is None and not wake.wait(LONGEST_WAIT if courier.passes_over else None):
                courier.try_again()
            elif wait:
                self._closing.wait(wait)


def _now() -> int:
    return time.time_ns() // 1_000_000
