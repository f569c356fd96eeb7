"""The one SQLite file: inbox, facts, aspects, outbox, quarantine; the only place that speaks SQL.

* ``schema``    the tables and their migrations
* ``database``  opening the file: one read-write connection, a lock, any number of read-only ones
* ``inbox``     events as received
* ``quarantine`` what was refused, or could not be processed or delivered
* ``identity``  what subjects are called in a store; ``run_ids``: runs
* ``facts``     what OpenLineage now says
* ``jobs``      the state of runs, and what each job reads and writes now
* ``aspects``   what the catalog should hold, and what it still lacks
* ``destinations`` which there are, what each last said, and up to where it has the events
* ``positions`` how far readers of files have come
* ``rehearsal`` a copy in which something is tried
* ``retention`` what may leave the store
* ``space``     room for all that, and what happens without
* ``graph``     the lineage graph, for people
* ``writer``    the thread that owns the read-write connection in a service, with group commit
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from openlineage_bridge.config import RetentionConfig
from openlineage_bridge.store.aspects import AspectTable
from openlineage_bridge.store.database import Database
from openlineage_bridge.store.destinations import DestinationTable
from openlineage_bridge.store.facts import FactTable
from openlineage_bridge.store.inbox import InboxTable
from openlineage_bridge.store.jobs import JobTable
from openlineage_bridge.store.positions import PositionTable
from openlineage_bridge.store.quarantine import QuarantineTable
from openlineage_bridge.store.retention import prune, shrink

__all__ = ["Store"]


class Store:
    """The store, open for writing; to be used by one thread at a time.

    Args:
        path: The SQLite file, created when absent; ``:memory:`` for one that lives as long as this object.

    Raises:
        StorageError: It is in use, is no store, is one of a newer version, or cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self._database = Database(path)
        self.connection = self._database.connection
        self.quarantine = QuarantineTable(self.connection)
        self.inbox = InboxTable(self.connection, self.quarantine)
        self.facts = FactTable(self.connection)
        self.jobs = JobTable(self.connection, self.facts.run_ids)
        self.aspects = AspectTable(self.connection)
        self.destinations = DestinationTable(self.connection)
        self.positions = PositionTable(self.connection)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is committed with a full fsync, or nothing is."""
        with self._database.transaction():
            yield

    @contextmanager
    def bulk(self) -> Iterator[None]:
        """Much is written inside, and nobody waits for any of it (``store.database``)."""
        with self._database.bulk():
            yield

    def prune(self, retention: RetentionConfig, *, window: int, now: int) -> int:
        """Remove some of what may leave, in one transaction; 0 means that nothing more may (``store.retention``)."""
        with self.transaction():
            return prune(self.connection, retention, window=window, now=now)

    def shrink(self) -> int:
        """Give some of what is free inside the file back to the disk; 0 when there is not much (``store.retention``)."""
        with self.transaction():
            return shrink(self.connection)

    def close(self) -> None:
        """Close the file and let others open it."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
