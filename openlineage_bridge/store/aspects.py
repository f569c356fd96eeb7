"""What the catalog should hold, what it still lacks (the outbox), and what it was last given.

Several owners may claim the same aspect of the same entity (each task also describes its flow): the highest rank holds,
ties are broken by content. An aspect is in the outbox exactly while what holds differs from what was delivered, at most
one row per (urn, aspect) and, for timeseries, per moment: an hour of outage leaves as many rows as there are changed
aspects, not events.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

import attrs

from openlineage_bridge.events import digest, encode
from openlineage_bridge.translation import Aspect, Proposal

VERSIONED = -1
"""Stands for the moment of a versioned aspect, which has none."""

_HOLDS = "ORDER BY rank DESC, digest DESC LIMIT 1"

_NOW = "CAST(strftime('%s', 'now') AS INTEGER)"

Key = tuple[str, str, int]
"""``urn``, aspect name, and moment in milliseconds or VERSIONED."""


@attrs.frozen
class Due:
    """An outbox row with what is to be delivered for it."""

    seq: int
    attempts: int
    digest: bytes
    proposal: Proposal


class AspectTable:
    """The tables ``aspects``, ``outbox`` and ``delivered``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    # --- what should be held

    def claim(self, owner: bytes, aspects: Iterable[Aspect]) -> None:
        """Replace everything that ``owner`` claims; what differs from what was delivered goes to the outbox."""
        claimed = {_key(each): each for each in aspects}
        rows = self._connection.execute(
            "SELECT urn, name, at, digest, rank FROM aspects WHERE owner = ?", (owner,)
        )
        before = {(urn, name, at): (digest_, rank) for urn, name, at, digest_, rank in rows}
        for key in before.keys() - claimed.keys():
            self._connection.execute(
                "DELETE FROM aspects WHERE urn = ? AND name = ? AND at = ? AND owner = ?", (*key, owner)
            )
            self._compare(key)
        for key, aspect in claimed.items():
            body = encode(aspect.value)
            state = (digest(body), aspect.rank)
            if before.get(key) != state:
                self._connection.execute(
                    "INSERT OR REPLACE INTO aspects (urn, name, at, owner, entity_type, rank, digest, body) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (*key, owner, aspect.entity_type, aspect.rank, state[0], body),
                )
                self._compare(key)

    def _compare(self, key: Key) -> None:
        """Put the aspect into the outbox, or take it out, as what holds differs from what was delivered or not."""
        holds = self._connection.execute(
            f"SELECT digest FROM aspects WHERE urn = ? AND name = ? AND at = ? {_HOLDS}", key
        ).fetchone()
        given = self._connection.execute(
            "SELECT digest FROM delivered WHERE urn = ? AND name = ? AND at = ?", key
        ).fetchone()
        if holds is None or holds == given:
            self._connection.execute("DELETE FROM outbox WHERE urn = ? AND name = ? AND at = ?", key)
        else:
            self._connection.execute(
                f"INSERT OR IGNORE INTO outbox (urn, name, at, since) VALUES (?, ?, ?, {_NOW})", key
            )

    # --- what is still lacking

    def due(self, limit: int, after: int = 0) -> list[Due]:
        """The oldest outbox rows behind ``after``, with what is to be delivered."""
        rows = self._connection.execute(
            "SELECT seq, attempts, urn, name, at FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        ).fetchall()
        return [Due(seq, attempts, *self._holding((urn, name, at))) for seq, attempts, urn, name, at in rows]

    def _holding(self, key: Key) -> tuple[bytes, Proposal]:
        digest_, entity_type, body = self._connection.execute(
            f"SELECT digest, entity_type, body FROM aspects WHERE urn = ? AND name = ? AND at = ? {_HOLDS}",
            key,
        ).fetchone()
        return digest_, _proposal(entity_type, *key, body)

    def address(self, destination: str) -> None:
        """Deliver to ``destination`` from now on; when it is another one than before, it lacks everything.

        Raises:
            StorageError: The change could not be committed.
        """
        known = self._connection.execute("SELECT name FROM destination").fetchone()
        if known == (destination,):
            return
        self._connection.execute("DELETE FROM destination")
        self._connection.execute("INSERT INTO destination VALUES (?)", (destination,))
        self._connection.execute("DELETE FROM delivered")
        self._connection.execute(
            f"INSERT OR IGNORE INTO outbox (urn, name, at, since) SELECT DISTINCT urn, name, at, {_NOW} FROM aspects "
            "ORDER BY rowid"
        )

    def waiting(self) -> int:
        """How many proposals are still to be delivered."""
        count: int = self._connection.execute("SELECT count(*) FROM outbox").fetchone()[0]
        return count

    def delivered(self, sent: Sequence[Due]) -> None:
        """The destination has these; what changed meanwhile stays in the outbox."""
        for each in sent:
            key = _moment(each.proposal)
            self._connection.execute(
                "INSERT OR REPLACE INTO delivered VALUES (?, ?, ?, ?)", (*key, each.digest)
            )
            self._compare(key)

    def refused(self, sent: Sequence[Due]) -> None:
        """The destination will never take these: not offered again until they change."""
        self.delivered(sent)

    def offer_again(self, urn: str, name: str, moment: int | None) -> None:
        """Offer what holds once more, as if the destination lacked it; ``moment`` in milliseconds, of a timeseries aspect."""
        for at in (VERSIONED, moment):
            if at is not None:
                self._connection.execute(
                    "DELETE FROM delivered WHERE urn = ? AND name = ? AND at = ?", (urn, name, at)
                )
                self._compare((urn, name, at))

    def postponed(self, rows: Sequence[Due], reason: str) -> None:
        """The destination would not have these now."""
        self._connection.executemany(
            "UPDATE outbox SET attempts = attempts + 1, reason = ? WHERE seq = ?",
            [(reason, row.seq) for row in rows],
        )


def holdings(connection: sqlite3.Connection) -> Iterator[Proposal]:
    """Everything the catalog should hold, sorted by entity, aspect and moment."""
    rows = connection.execute(
        "SELECT entity_type, urn, name, at, body FROM aspects a WHERE NOT EXISTS ("
        "SELECT 1 FROM aspects b WHERE b.urn = a.urn AND b.name = a.name AND b.at = a.at "
        "AND (b.rank, b.digest, b.owner) > (a.rank, a.digest, a.owner)) ORDER BY urn, name, at"
    )
    return (_proposal(*row) for row in rows)


def _proposal(entity_type: str, urn: str, name: str, at: int, body: bytes) -> Proposal:
    return Proposal(entity_type, urn, name, body, None if at == VERSIONED else at)


def _key(aspect: Aspect) -> Key:
    return aspect.urn, aspect.name, VERSIONED if aspect.timestamp_ms is None else aspect.timestamp_ms


def _moment(proposal: Proposal) -> Key:
    at = VERSIONED if proposal.timestamp_ms is None else proposal.timestamp_ms
    return proposal.urn, proposal.aspect_name, at
