"""What the catalog should hold, what it still lacks (the outbox), and what it was last given.

Several owners may claim the same aspect of the same entity (each task also describes its flow): the highest rank holds,
ties are broken by content. An aspect is in the outbox of a destination exactly while what holds differs from what that
destination was given, at most one row per (urn, aspect) and, for timeseries, per moment: an hour of outage leaves as many
rows as there are changed aspects, not events.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import attrs

from openlineage_bridge.events import digest, encode
from openlineage_bridge.store.database import open_readonly
from openlineage_bridge.store.destinations import Addressee, DestinationTable
from openlineage_bridge.translation import Aspect, Proposal

VERSIONED = -1
"""Stands for the moment of a versioned aspect, which has none."""

NOBODY = 0
"""Stands for the destination while none is configured: what a first one will lack is written down all the same."""

_HOLDS = "ORDER BY rank DESC, digest DESC LIMIT 1"

_NOW = "CAST(strftime('%s', 'now') AS INTEGER)"

_GIVEN = f"""given.digest = (
    SELECT digest FROM aspects WHERE urn = claimed.urn AND name = claimed.name AND at = claimed.at {_HOLDS}
)"""


def _lacking(claims: str) -> str:
    """Put those of the claimed aspects that differ from what ``:destination`` was given into its outbox."""
    return f"""INSERT OR IGNORE INTO outbox (urn, name, at, destination, since)
    SELECT urn, name, at, :destination, {_NOW} FROM ({claims}) AS claimed WHERE NOT EXISTS (
        SELECT 1 FROM delivered AS given WHERE given.urn = claimed.urn AND given.name = claimed.name
        AND given.at = claimed.at AND given.destination = :destination AND {_GIVEN}
    ) ORDER BY seq"""


def _settled(claims: str) -> str:
    """Take those of the claimed aspects that are as ``:destination`` was given them out of its outbox."""
    return f"""DELETE FROM outbox WHERE seq IN (
        SELECT waiting.seq FROM ({claims}) AS claimed CROSS JOIN delivered AS given USING (urn, name, at)
        CROSS JOIN outbox AS waiting USING (urn, name, at, destination)
        WHERE given.destination = :destination AND {_GIVEN}
    )"""


_CLAIMS = "SELECT seq, urn, name, at FROM aspects"
_OF_OWNER = f"{_CLAIMS} WHERE owner = :owner"
_OF_KEY = f"{_CLAIMS} WHERE urn = :urn AND name = :name AND at = :at {_HOLDS}"  # one, of however many owners

_ALL_LACKING = _lacking(f"{_CLAIMS} WHERE (:urn IS NULL OR urn = :urn)")
_OWNERS_DIFFERENCE = (_settled(_OF_OWNER), _lacking(_OF_OWNER))
_KEYS_DIFFERENCE = (_settled(_OF_KEY), _lacking(_OF_KEY))

_WITHDRAW = (
    "DELETE FROM outbox WHERE urn = ?1 AND name = ?2 AND at = ?3 "
    "AND NOT EXISTS (SELECT 1 FROM aspects WHERE urn = ?1 AND name = ?2 AND at = ?3)"
)

_CLAIM = "INSERT INTO aspects (urn, name, at, owner, entity_type, rank, digest, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_CLAIM_OTHERWISE = "UPDATE aspects SET entity_type = ?, rank = ?, digest = ?, body = ? WHERE seq = ?"

Key = tuple[str, str, int]
"""``urn``, aspect name, and moment in milliseconds or VERSIONED."""


@attrs.frozen
class Due:
    """An outbox row with what is to be delivered for it."""

    seq: int
    attempts: int
    destination: int
    digest: bytes
    proposal: Proposal


class AspectTable:
    """The tables ``aspects``, ``outbox`` and ``delivered``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        rows = connection.execute(
            "SELECT id FROM destinations WHERE active AND forwarded IS NULL ORDER BY id"
        )
        self._active = tuple(number for (number,) in rows) or (NOBODY,)

    # --- what should be held

    def claim(self, owner: bytes, aspects: Iterable[Aspect]) -> None:
        """Replace everything that ``owner`` claims; what differs from what was delivered goes to the outbox."""
        rows = self._connection.execute(
            "SELECT urn, name, at, digest, rank, seq FROM aspects WHERE owner = ?", (owner,)
        )
        before = {(urn, name, at): (digest_, rank, seq) for urn, name, at, digest_, rank, seq in rows}
        fresh, changed = [], []
        for key, aspect in {_key(each): each for each in aspects}.items():
            body = encode(aspect.value)
            content = (aspect.entity_type, aspect.rank, digest(body), body)
            digest_, rank, seq = before.pop(key, (None, None, None))
            if seq is None:
                fresh.append((*key, owner, *content))
            elif (digest_, rank) != (content[2], content[1]):
                changed.append((*content, seq))
        self._connection.executemany(_CLAIM, fresh)
        self._connection.executemany(_CLAIM_OTHERWISE, changed)
        if fresh or changed:
            self._differ(_OWNERS_DIFFERENCE, self._active, owner=owner)
        for key, (_, _, seq) in before.items():
            self._connection.execute("DELETE FROM aspects WHERE seq = ?", (seq,))
            self._compare(key, self._active)

    def _compare(self, key: Key, destinations: Iterable[int]) -> None:
        """Put the aspect into the outboxes, or take it out, as what holds differs from what was delivered or not."""
        self._connection.execute(_WITHDRAW, key)
        urn, name, at = key
        self._differ(_KEYS_DIFFERENCE, destinations, urn=urn, name=name, at=at)

    def _differ(self, statements: Iterable[str], destinations: Iterable[int], **which: object) -> None:
        for destination in destinations:
            for statement in statements:
                self._connection.execute(statement, {"destination": destination, **which})

    # --- what is still lacking

    def due(self, limit: int, after: int = 0, destination: int | None = None) -> list[Due]:
        """The oldest outbox rows behind ``after``, with what is to be delivered; of the first destination if none is named."""
        whose = self._active[0] if destination is None else destination
        rows = self._connection.execute(
            "SELECT seq, attempts, urn, name, at FROM outbox WHERE destination = ? AND seq > ? ORDER BY seq LIMIT ?",
            (whose, after, limit),
        ).fetchall()
        return [
            Due(seq, attempts, whose, *self._holding((urn, name, at)))
            for seq, attempts, urn, name, at in rows
        ]

    def _holding(self, key: Key) -> tuple[bytes, Proposal]:
        digest_, entity_type, body = self._connection.execute(
            f"SELECT digest, entity_type, body FROM aspects WHERE urn = ? AND name = ? AND at = ? {_HOLDS}",
            key,
        ).fetchone()
        return digest_, _proposal(entity_type, *key, body)

    def address(self, *wanted: str | Addressee) -> list[int]:
        """Deliver to these from now on; their numbers. One that was not among them before lacks what it was not given.

        Raises:
            StorageError: The change could not be committed.
        """
        addressees = [Addressee(each) if isinstance(each, str) else each for each in wanted]
        destinations = DestinationTable(self._connection)
        numbers = destinations.address(addressees)
        taking = [number for number, each in zip(numbers, addressees, strict=True) if not each.events] or [
            NOBODY
        ]
        for destination in taking:
            if destination not in self._active:
                self._connection.execute(_ALL_LACKING, {"destination": destination, "urn": None})
        for former in set(self._active) - set(taking):
            self._connection.execute("DELETE FROM outbox WHERE destination = ?", (former,))
        self._active = tuple(taking)
        destinations.forget()
        return numbers

    def waiting(self, destination: int | None = None) -> int:
        """How many proposals are still to be delivered; to all destinations if none is named."""
        count: int = self._connection.execute(
            "SELECT count(*) FROM outbox WHERE ?1 IS NULL OR destination = ?1", (destination,)
        ).fetchone()[0]
        return count

    def holds(self, urn: str) -> bool:
        """Whether anything should be held about an entity."""
        return (
            self._connection.execute("SELECT 1 FROM aspects WHERE urn = ? LIMIT 1", (urn,)).fetchone()
            is not None
        )

    def redeliver(self, destination: int, urn: str | None = None) -> int:
        """Deliver everything once more that holds, or that holds of one entity; how many proposals then wait for it.

        For a destination that was rebuilt, or in which somebody changed what is the bridge's.
        """
        self._connection.execute(
            "DELETE FROM delivered WHERE destination = ?1 AND (?2 IS NULL OR urn = ?2)", (destination, urn)
        )
        self._connection.execute(_ALL_LACKING, {"destination": destination, "urn": urn})
        return self.waiting(destination)

    def delivered(self, sent: Sequence[Due]) -> None:
        """The destination has these; what changed meanwhile stays in the outbox."""
        for each in sent:
            key = _moment(each.proposal)
            self._connection.execute(
                "INSERT OR REPLACE INTO delivered VALUES (?, ?, ?, ?, ?)",
                (*key, each.destination, each.digest),
            )
            self._compare(key, [each.destination])

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
                self._compare((urn, name, at), self._active)

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


def held_in(path: Path) -> Iterator[Proposal]:
    """The same, of a store that may be in use.

    Raises:
        StorageError: There is no such store, or it cannot be read.
    """
    with closing(open_readonly(path)) as connection:
        yield from holdings(connection)


def _proposal(entity_type: str, urn: str, name: str, at: int, body: bytes) -> Proposal:
    return Proposal(entity_type, urn, name, body, None if at == VERSIONED else at)


def _key(aspect: Aspect) -> Key:
    return aspect.urn, aspect.name, VERSIONED if aspect.timestamp_ms is None else aspect.timestamp_ms


def _moment(proposal: Proposal) -> Key:
    at = VERSIONED if proposal.timestamp_ms is None else proposal.timestamp_ms
    return proposal.urn, proposal.aspect_name, at
