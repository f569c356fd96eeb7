"""What may leave the store: events that are long processed, and runs that nobody looks at any more.

A run stays while it is among the newest of its job, while it is young enough, while something about it is still to be
delivered, and while it speaks for its job, so that pruning never changes what a job reads and writes. An event stays until
every destination that takes events has it, and the newest event always stays: its place is where counting goes on. What
the catalog was given about a run stays in the catalog.
"""

from __future__ import annotations

import sqlite3

from openlineage_bridge.config import RetentionConfig

DAY_MS = 86_400_000
EVENTS_AT_ONCE, RUNS_AT_ONCE = 5000, 500
"""Removed in one transaction: few, so that an acknowledgement never waits long."""

PAGES_AT_ONCE = 250
"""Given back in one transaction."""

SPARE = 5
"""One page in so many may be free."""

_LEAVING = """
SELECT run FROM (
    SELECT run, at, used,
           row_number() OVER (PARTITION BY job ORDER BY at DESC) AS place,
           row_number() OVER (PARTITION BY job, used, result, reporting ORDER BY at DESC, run_id DESC) AS place_among_alike
    FROM runs WHERE job IN (SELECT job FROM runs WHERE at < :before)
) WHERE place > :runs AND at < :before AND NOT (used AND place_among_alike <= :window) AND NOT EXISTS (
    SELECT 1 FROM aspects JOIN outbox USING (urn, name, at) WHERE owner = run AND destination > 0
) LIMIT :limit
"""

_OF_A_RUN = (
    "DELETE FROM outbox WHERE (urn, name, at) IN (SELECT urn, name, at FROM aspects WHERE owner = ?)",
    "DELETE FROM delivered WHERE (urn, name, at) IN (SELECT urn, name, at FROM aspects WHERE owner = ?)",
    "DELETE FROM aspects WHERE owner = ?",
    "DELETE FROM facts WHERE subject = ?",
    "DELETE FROM runs WHERE run = ?",
    "DELETE FROM subjects WHERE id = ?",
)


def prune(connection: sqlite3.Connection, retention: RetentionConfig, *, window: int, now: int) -> int:
    """Remove some of what may leave; how many rows of events and runs. 0 means that nothing more may leave.

    Args:
        connection: In a transaction.
        retention: How long things stay.
        window: How many completed runs speak for a job (``lineage_window``).
        now: Milliseconds since the epoch.
    """
    events = connection.execute(
        "DELETE FROM inbox WHERE seq IN (SELECT seq FROM inbox WHERE done AND received < ? "
        "AND seq <= (SELECT coalesce(min(forwarded), 9e18) FROM destinations WHERE active) "
        "AND seq < (SELECT max(seq) FROM inbox) ORDER BY seq LIMIT ?)",
        (now - int(retention.event_days * DAY_MS), EVENTS_AT_ONCE),
    ).rowcount
    limits = {
        "runs": retention.runs,
        "before": (now - int(retention.run_days * DAY_MS)) * 1000,
        "window": window,
        "limit": RUNS_AT_ONCE,
    }
    runs = connection.execute(_LEAVING, limits).fetchall()
    for statement in _OF_A_RUN:
        connection.executemany(statement, runs)
    if 0 < len(runs) < RUNS_AT_ONCE:  # the last slice: what no fact refers to any more leaves at once
        connection.execute("DELETE FROM bodies WHERE digest NOT IN (SELECT digest FROM facts)")
    return events + len(runs)


def shrink(connection: sqlite3.Connection) -> int:
    """Give some of what is free inside the file back to the disk, if it is much; how many pages.

    Some stays, because what arrives next needs it. Stores made by versions before 0.2 do not shrink: they reuse it.
    """
    free, pages = _pragma(connection, "freelist_count"), _pragma(connection, "page_count")
    surplus = free - pages // SPARE
    if surplus <= 0:
        return 0
    connection.execute(f"PRAGMA incremental_vacuum({min(surplus, PAGES_AT_ONCE)})").fetchall()
    return free - _pragma(connection, "freelist_count")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
