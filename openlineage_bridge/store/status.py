"""What is in a store: the figures that ``status``, the page and the metrics show."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import attrs

from openlineage_bridge.events import decode
from openlineage_bridge.facts import Kind
from openlineage_bridge.store.database import explained, open_readonly
from openlineage_bridge.store.destinations import destination_figures
from openlineage_bridge.store.graph import Graph, GraphQueries, Node
from openlineage_bridge.store.salvage import set_aside


@attrs.frozen
class RunLine:
    """One run, for a list of the newest.

    Args:
        namespace: Of its job.
        name: Of its job.
        run_id: A UUID.
        state: ``RUNNING``, ``COMPLETE``, ``FAIL`` or ``ABORT``.
        started: Microseconds since the epoch; None when unknown.
        at: Time of its end, else of the last thing heard of it.
        error: The first line of its ``errorMessage``; None when it has none.
    """

    namespace: str
    name: str
    run_id: str
    state: str
    started: int | None
    at: int
    error: str | None


class Queries:
    """Questions that are answered from the file, beside a service that writes it.

    Args:
        path: The store; every question opens it read-only.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(open_readonly(self._path)) as connection:
            try:
                connection.execute("BEGIN")  # one consistent view for all statements of a question
                yield connection
            except sqlite3.Error as error:
                raise explained(self._path, error) from error

    def check(self) -> None:
        """See that the store answers, at next to no cost."""
        with self._open() as connection:
            connection.execute("SELECT 1 FROM inbox LIMIT 1").fetchone()

    def status(self) -> dict[str, Any]:
        """The figures of the store, by table."""
        with self._open() as connection:
            return figures(connection) | {
                "disk_free_bytes": shutil.disk_usage(Path(self._path).parent).free,
                "stores_set_aside": len(set_aside(Path(self._path))),
            }

    def find(self, text: str) -> list[Node]:
        """The nodes that ``text`` names exactly."""
        with self._open() as connection:
            return GraphQueries(connection).find(text)

    def search(self, text: str, limit: int) -> list[Node]:
        """Nodes whose name, namespace or URN contains ``text``."""
        with self._open() as connection:
            return GraphQueries(connection).search(text, limit)

    def graph(self, node: str, depth: int) -> Graph | None:
        """The lineage around the node that ``node`` names exactly; None when it names none, the first when several."""
        with self._open() as connection:
            queries = GraphQueries(connection)
            found = queries.find(node)
            return queries.graph(found[0], depth) if found else None

    def runs(self, limit: int) -> list[RunLine]:
        """The newest runs, newest first."""
        with self._open() as connection:
            return newest_runs(connection, limit)


def figures(connection: sqlite3.Connection) -> dict[str, Any]:
    """How much there is of everything.

    ``inbox_events`` wait to be processed and ``outbox_aspects`` to be delivered; ``outbox_attempts`` and ``outbox_reason`` are
    those of the aspect that was offered most often without success; ``newest_event`` is in microseconds since the epoch.
    The ages, in seconds, are those of the oldest event that waits and of the oldest aspect that is lacking. ``destinations``
    has, by label, what waits for each of them and what it last said.
    """

    def one(query: str) -> Any:
        return connection.execute(query).fetchone()[0]

    def age(query: str) -> float:
        since = connection.execute(query).fetchone()
        return max(0.0, time.time() - since[0]) if since else 0.0

    def by(query: str) -> dict[str, int]:
        return dict(connection.execute(query).fetchall())

    attempts, reason = connection.execute(
        "SELECT attempts, reason FROM outbox ORDER BY attempts DESC, seq LIMIT 1"
    ).fetchone() or (0, "")
    subjects = by("SELECT kind, count(*) FROM subjects WHERE kind <> 'run' GROUP BY kind")
    return {
        "events": one("SELECT count(*) FROM inbox"),
        "inbox_events": one("SELECT count(*) FROM inbox WHERE NOT done"),
        "inbox_bytes": one("SELECT coalesce(sum(length(body)), 0) FROM inbox WHERE NOT done"),
        "inbox_oldest_age_seconds": age(
            "SELECT received / 1000.0 FROM inbox WHERE NOT done ORDER BY seq LIMIT 1"
        ),
        "quarantine_events": by("SELECT stage, count(*) FROM quarantine GROUP BY stage ORDER BY stage"),
        "jobs": subjects.get(Kind.JOB, 0),
        "datasets": subjects.get(Kind.DATASET, 0),
        "runs": by("SELECT coalesce(result, 'RUNNING'), count(*) FROM runs GROUP BY 1 ORDER BY 1"),
        "facts": one("SELECT count(*) FROM facts"),
        "aspects": one("SELECT count(*) FROM (SELECT DISTINCT urn, name, at FROM aspects)"),
        "delivered_aspects": one(
            "SELECT count(*) FROM delivered WHERE destination IN (SELECT 0 UNION SELECT id FROM destinations WHERE active)"
        ),
        "outbox_aspects": one("SELECT count(*) FROM outbox"),
        "delivery_lag_seconds": age("SELECT since FROM outbox ORDER BY seq LIMIT 1"),
        "outbox_attempts": attempts,
        "outbox_reason": reason,
        "destinations": destination_figures(connection),
        "newest_event": one("SELECT max(at) FROM runs"),
    }


def newest_runs(connection: sqlite3.Connection, limit: int) -> list[RunLine]:
    """The newest runs, newest first."""
    rows = connection.execute(
        "SELECT s.namespace, s.name, r.run_id, coalesce(r.result, 'RUNNING'), r.started, r.at, "
        "b.body FROM runs r JOIN subjects s ON s.id = r.run "
        "LEFT JOIN facts f ON f.subject = r.run AND f.role = '' AND f.dataset = x'' AND f.facet = 'errorMessage' "
        "LEFT JOIN bodies b ON b.digest = f.digest ORDER BY r.at DESC, r.run_id DESC LIMIT ?",
        (limit,),
    )
    return [
        RunLine(namespace, name, run_id, state, started, at, _first_line(body))
        for namespace, name, run_id, state, started, at, body in rows
    ]


def _first_line(error_message: bytes | None) -> str | None:
    """The first line of an ``errorMessage`` facet."""
    message = decode(error_message).get("message") if error_message else None
    return message.partition("\n")[0] if isinstance(message, str) else None
