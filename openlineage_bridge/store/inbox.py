"""The inbox: an event is durable here before anyone is told that it was received."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

import attrs

from openlineage_bridge import events
from openlineage_bridge.errors import RejectedEvent
from openlineage_bridge.events import Event
from openlineage_bridge.receivers import Receipt, Rejected, Stored
from openlineage_bridge.redaction import redacted
from openlineage_bridge.store.quarantine import Failure, QuarantineTable

FRESH_BYTES = 16 * 1024 * 1024
"""Bodies of events whose reading is kept until they are processed; beyond it they are read again."""


@attrs.frozen
class Arrival:
    """An event as it was received, looked at but not yet stored.

    Args:
        body: The bytes without what looks like a credential; else untouched.
        digest: Of the canonical JSON; of the bytes themselves when they are not JSON.
        receipt: What the sender will be told once it is stored.
        event: What it says; None when it was refused.
    """

    body: bytes
    digest: bytes
    receipt: Receipt
    event: Event | None = None


@attrs.frozen
class Pending:
    """A stored event that waits to be processed."""

    seq: int
    digest: bytes
    receiver: str
    received: int
    body: bytes


def inspect(body: bytes) -> Arrival:
    """Look at a received event: is it one, and which digest does it have? Secrets leave it before it is looked at."""
    digest, body = None, redacted(body)
    try:
        canonical = events.canonical(body)
        digest = events.digest(canonical)
        event = events.parse(canonical)
        return Arrival(body, digest, Stored(warnings=event.warnings), event)
    except RejectedEvent as refusal:
        return Arrival(body, digest or events.digest(body), Rejected(str(refusal)))


class InboxTable:
    """The table ``inbox``. What is no event goes on to the quarantine."""

    def __init__(self, connection: sqlite3.Connection, quarantine: QuarantineTable) -> None:
        self._connection = connection
        self._quarantine = quarantine
        self._fresh: dict[bytes, tuple[Event, int]] = {}
        self._fresh_bytes = 0

    def put(self, arrivals: Iterable[Arrival], *, receiver: str, now: int) -> list[Receipt]:
        """Store what was received: events in the inbox, refused bytes in quarantine. ``now`` is in milliseconds."""
        return [self._put(arrival, receiver, now) for arrival in arrivals]

    def _put(self, arrival: Arrival, receiver: str, now: int) -> Receipt:
        if isinstance(arrival.receipt, Rejected):
            self._quarantine.keep(
                Failure("receive", arrival.receipt.reason, RejectedEvent.__name__),
                arrival.body,
                digest=arrival.digest,
                receiver=receiver,
                received=now,
            )
            return arrival.receipt
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO inbox (digest, received, receiver, body) VALUES (?, ?, ?, ?)",
            (arrival.digest, now, receiver, arrival.body),
        )
        if not cursor.rowcount:
            return attrs.evolve(arrival.receipt, duplicate=True)
        if arrival.event is not None:
            self._remember(arrival.digest, arrival.event, len(arrival.body))
        return arrival.receipt

    def _remember(self, digest: bytes, event: Event, size: int) -> None:
        if digest in self._fresh:  # it came before, and its commit failed
            return
        self._fresh[digest] = (event, size)
        self._fresh_bytes += size
        while self._fresh_bytes > FRESH_BYTES:
            oldest = next(iter(self._fresh))
            self._fresh_bytes -= self._fresh.pop(oldest)[1]

    def event(self, pending: Pending) -> Event:
        """What a stored event says: as it was read when it arrived, if that is not long ago, else read again.

        Raises:
            RejectedEvent: It cannot be read (any more), or is not what was stored.
        """
        if pending.digest not in self._fresh:
            canonical = events.canonical(pending.body)
            if events.digest(canonical) != pending.digest:
                raise RejectedEvent("its digest is another one than when it was stored: is the disk damaged?")
            return events.parse(canonical)
        event, size = self._fresh.pop(pending.digest)
        self._fresh_bytes -= size
        return event

    def pending(self, limit: int) -> list[Pending]:
        """The oldest events that were not processed yet."""
        rows = self._connection.execute(
            "SELECT seq, digest, receiver, received, body FROM inbox WHERE NOT done ORDER BY seq LIMIT ?",
            (limit,),
        )
        return [Pending(*row) for row in rows]

    def again(self, arrival: Arrival, *, receiver: str, received: int) -> None:
        """Process an event once more that was set aside, and hand it on once more; ``received`` in milliseconds."""
        self._connection.execute(
            "INSERT INTO inbox (digest, received, receiver, body) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (digest) DO UPDATE SET done = 0, seq = (SELECT max(seq) + 1 FROM inbox)",
            (arrival.digest, received, receiver, arrival.body),
        )

    def done(self, processed: Sequence[Pending]) -> None:
        """Mark events as processed; they stay for as long as duplicates of them are to be recognised."""
        self._connection.executemany(
            "UPDATE inbox SET done = 1 WHERE seq = ?", [(each.seq,) for each in processed]
        )
