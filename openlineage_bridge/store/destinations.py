"""The destinations: which there are, what each was last heard to say, and up to where it has the events.

Those that are configured are *active*: what they lack is written down as it changes. What was delivered to others stays
known for a while, so that a store which is delivered elsewhere for once needs to send the difference only afterwards.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

import attrs

FORGOTTEN_AFTER = 30 * 86_400
"""Seconds after which a destination is forgotten that is configured no more."""

_NOW = "CAST(strftime('%s', 'now') AS INTEGER)"


@attrs.frozen
class Addressee:
    """One destination that is configured.

    Args:
        name: Which one it is, e.g. its address; another name is another destination, which lacks everything.
        label: What the configuration calls it; shown to people.
        events: Whether it takes the events themselves, in the order of the inbox, instead of aspects.
    """

    name: str
    label: str = attrs.field(default=attrs.Factory(lambda self: self.name, takes_self=True))
    events: bool = False


@attrs.frozen
class Forwarding:
    """An event that is to be handed on.

    Args:
        seq: Its place in the inbox.
        body: As it is stored: without what looks like a credential.
    """

    seq: int
    body: bytes


class DestinationTable:
    """The table ``destinations``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def address(self, wanted: Sequence[Addressee]) -> list[int]:
        """Make these the active ones, and no others; their numbers, in this order."""
        self._connection.execute("UPDATE destinations SET active = 0")
        self._connection.executemany(
            "INSERT INTO destinations (name, label, active, addressed, forwarded) "
            f"VALUES (?, ?, 1, {_NOW}, ?) ON CONFLICT (name) DO UPDATE SET label = excluded.label, "
            "active = 1, addressed = excluded.addressed",
            [(each.name, each.label, 0 if each.events else None) for each in wanted],
        )
        known = dict(self._connection.execute("SELECT name, id FROM destinations"))
        return [known[each.name] for each in wanted]

    def forget(self) -> None:
        """Drop what is known of destinations that were last configured long ago."""
        gone = f"active = 0 AND addressed < {_NOW} - {FORGOTTEN_AFTER}"
        self._connection.execute(
            f"DELETE FROM delivered WHERE destination IN (SELECT id FROM destinations WHERE {gone})"
        )
        self._connection.execute(f"DELETE FROM destinations WHERE {gone}")

    def heard(self, destination: int, reason: str) -> None:
        """What it said to the last attempt: why it would not have it, or nothing when it did."""
        self._connection.execute(
            "UPDATE destinations SET reason = ?1, failures = iif(?1 = '', 0, failures + 1) "
            "WHERE id = ?2 AND (?1 != '' OR failures)",
            (reason, destination),
        )

    # --- events that are handed on

    def to_forward(self, destination: int, limit: int) -> list[Forwarding]:
        """The oldest events in the inbox that it was not given yet."""
        rows = self._connection.execute(
            "SELECT seq, body FROM inbox WHERE seq > "
            "(SELECT forwarded FROM destinations WHERE id = ?) ORDER BY seq LIMIT ?",
            (destination, limit),
        )
        return [Forwarding(*row) for row in rows]

    def to_be_forwarded(self, destination: int) -> int:
        """How many events in the inbox it was not given yet."""
        count: int = self._connection.execute(
            "SELECT count(*) FROM inbox WHERE seq > (SELECT forwarded FROM destinations WHERE id = ?)",
            (destination,),
        ).fetchone()[0]
        return count

    def forwarded(self, destination: int, seq: int) -> None:
        """It has the events up to this place in the inbox."""
        self._connection.execute("UPDATE destinations SET forwarded = ? WHERE id = ?", (seq, destination))


def active(connection: sqlite3.Connection) -> list[tuple[int, str, bool]]:
    """Number, label, and whether it takes events, of each destination that is configured."""
    return [
        (number, label, bool(events))
        for number, label, events in connection.execute(
            "SELECT id, label, forwarded IS NOT NULL FROM destinations WHERE active ORDER BY id"
        )
    ]


def destination_figures(connection: sqlite3.Connection) -> dict[str, dict[str, float | str]]:
    """By label: what waits for it (aspects, or events), for how many seconds, and what it last said after how many failures."""
    rows = connection.execute(
        "SELECT label, forwarded IS NOT NULL, failures, reason, "
        "CASE WHEN forwarded IS NULL THEN (SELECT count(*) FROM outbox WHERE destination = id) "
        "ELSE (SELECT count(*) FROM inbox WHERE seq > forwarded) END, "
        "CASE WHEN forwarded IS NULL "
        "THEN (SELECT since FROM outbox WHERE destination = id ORDER BY seq LIMIT 1) "
        "ELSE (SELECT received / 1000.0 FROM inbox WHERE seq > forwarded ORDER BY seq LIMIT 1) END, "
        "? FROM destinations WHERE active ORDER BY id",
        (time.time(),),
    )
    return {
        label: {
            "takes": "events" if events else "aspects",
            "waiting": waiting,
            "lag_seconds": max(0.0, now - since) if since is not None else 0.0,
            "failures": failures,
            "reason": reason,
        }
        for label, events, failures, reason, waiting, since, now in rows
    }
