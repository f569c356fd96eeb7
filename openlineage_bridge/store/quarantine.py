"""The quarantine: what was refused, or could not be processed or delivered, with its bytes and everything known of the failure.

The fields are those of Kafka Connect's dead letters: original bytes, source, stage, error class, words, attempts, times.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator

import attrs

_FIELDS = "id, digest, stage, reason, error, attempts, receiver, received, failed, body"


@attrs.frozen
class Failure:
    """What went wrong.

    Args:
        stage: ``receive``, ``parse``, ``translate`` or ``deliver``.
        reason: Why, in words; a traceback when a defect is to blame.
        error: Name of the exception's class; empty when a destination refused it.
    """

    stage: str
    reason: str
    error: str = ""


@attrs.frozen
class Quarantined:
    """What was refused, or could not be processed or delivered.

    Args:
        id: Number in this store.
        digest: Of the canonical JSON, or of the bytes when they are no JSON.
        failure: What went wrong the last time.
        attempts: How often it was tried.
        receiver: Where it came from.
        received: When, in milliseconds since the epoch.
        failed: When it last went wrong, in milliseconds since the epoch.
        body: The original bytes.
    """

    id: int
    digest: bytes
    failure: Failure
    attempts: int
    receiver: str
    received: int
    failed: int
    body: bytes


class QuarantineTable:
    """The table ``quarantine``; once per content."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def keep(
        self,
        failure: Failure,
        body: bytes,
        *,
        digest: bytes,
        receiver: str,
        received: int,
        failed: int | None = None,
    ) -> None:
        """Keep the bytes with what went wrong; the same content again counts as one more attempt.

        Args:
            failure: What went wrong.
            body: The original bytes.
            digest: Of the canonical JSON, or of the bytes when they are no JSON.
            receiver: Where they came from.
            received: When, in milliseconds since the epoch.
            failed: When it went wrong; None for the moment they were received.
        """
        values = (digest, failure.stage, failure.reason, failure.error, receiver, received, body)
        self._connection.execute(
            "INSERT INTO quarantine (digest, stage, reason, error, receiver, received, body, failed) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET stage = excluded.stage, "
            "reason = excluded.reason, error = excluded.error, failed = excluded.failed, attempts = attempts + 1",
            (*values, received if failed is None else failed),
        )

    def entries(self, numbers: Collection[int] | None = None) -> Iterator[Quarantined]:
        """Those with these numbers, or all; oldest first."""
        return (each for each in quarantined(self._connection) if numbers is None or each.id in numbers)

    def drop(self, number: int) -> None:
        """Forget an entry, for good."""
        self._connection.execute("DELETE FROM quarantine WHERE id = ?", (number,))


def quarantined(connection: sqlite3.Connection) -> list[Quarantined]:
    """Everything in quarantine, oldest first."""
    rows = connection.execute(f"SELECT {_FIELDS} FROM quarantine ORDER BY id")
    return [
        Quarantined(number, digest, Failure(stage, reason, error), *rest)
        for number, digest, stage, reason, error, *rest in rows
    ]
