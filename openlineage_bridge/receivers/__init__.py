"""The ways into the inbox, and the one contract they share.

* ``http``       what the Starlette app calls for ``POST /api/v1/lineage`` and ``/lineage/batch``
* ``gathering``  hands over together what arrives together
* ``sources``    where event files are: paths, patterns, archives, object stores, Marquez (``marquez``)
* ``files``      event files of every shape that producers and people write (``content``: their bytes; ``wrapping``: what
                 other tools put around events)
* ``follow``     files that grow, are rotated and truncated

A receiver puts bytes into the inbox and acknowledges to its own source **only after** the receipt is there: a receipt
means "committed with a full fsync". What the sender must change (``Rejected``) is kept in quarantine and reported; when
the future raises ``RetryLater`` or ``StorageError`` nothing was kept and the source must offer the event again.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Protocol

import attrs


@attrs.frozen
class Stored:
    """The event is in the inbox, durably.

    Args:
        duplicate: It had been there already (same canonical JSON); nothing new was stored.
        warnings: What was read leniently, in words.
    """

    duplicate: bool = False
    warnings: tuple[str, ...] = ()


@attrs.frozen
class Rejected:
    """The event was refused for good; its bytes are in quarantine with this reason."""

    reason: str


Receipt = Stored | Rejected


class Inbox(Protocol):
    """Where receivers put events."""

    def accept(self, bodies: Sequence[bytes], receiver: str) -> Future[list[Receipt]]:
        """Store events durably; the future is done after the commit, with one receipt per body, in order.

        Args:
            bodies: One event each, as received.
            receiver: Where they came from, for the operator: ``http``, ``file:events.jsonl``, …

        Raises (through the future):
            RetryLater: The bridge is stopping or too busy.
            StorageError: The store cannot be written.
        """
        ...


@attrs.frozen
class Position:
    """How far a receiver has come in something that it reads.

    Args:
        reader: Which receiver.
        source: What it reads.
        place: Where it goes on: plain JSON types.
    """

    reader: str
    source: str
    place: dict[str, Any]


class PositionedInbox(Protocol):
    """Where receivers put events that come from something with places in it: a file, a partition."""

    def accept(
        self, bodies: Sequence[bytes], receiver: str, position: Position | None
    ) -> Future[list[Receipt]]:
        """See ``Inbox.accept``; the position is committed together with the events."""
        ...

    def reached(self, reader: str, source: str) -> Future[dict[str, Any] | None]:
        """The place that was committed last; None where nothing was read."""
        ...
