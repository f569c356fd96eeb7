"""How far readers have come in what they read, committed together with the events that they took from there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from openlineage_bridge import events


class PositionTable:
    """The table ``positions``.

    Args:
        connection: To the store; whoever writes opens the transaction, so that events and position are one.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, reader: str, source: str) -> dict[str, Any] | None:
        """Where a reader was in a source, as it wrote it down; None when it never was there."""
        row = self._connection.execute(
            "SELECT position FROM positions WHERE reader = ? AND source = ?", (reader, source)
        ).fetchone()
        return events.decode(row[0]) if row else None

    def put(self, reader: str, source: str, position: dict[str, Any]) -> None:
        """Where a reader is in a source now: plain JSON types."""
        self._connection.execute(
            "INSERT INTO positions (reader, source, position) VALUES (?, ?, ?) "
            "ON CONFLICT (reader, source) DO UPDATE SET position = excluded.position",
            (reader, source, events.encode(position)),
        )

    def forget(self, reader: str, sources: Iterable[str]) -> None:
        """The reader is through with these."""
        self._connection.executemany(
            "DELETE FROM positions WHERE reader = ? AND source = ?", [(reader, each) for each in sources]
        )
