"""A copy of a store in which something is tried, and what the catalog would hold otherwise because of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from openlineage_bridge.changes import Change, changes
from openlineage_bridge.store import Store
from openlineage_bridge.store.aspects import holdings
from openlineage_bridge.store.database import MEMORY, open_readonly


class Rehearsal:
    """The copy, and the store as it was when it was copied.

    Args:
        store: The copy, to be written.
        before: A connection that sees the original as it was then.
    """

    def __init__(self, store: Store, before: sqlite3.Connection) -> None:
        self.store = store
        self._before = before

    def changes(self) -> Iterator[Change]:
        """What differs in the copy, sorted by entity, aspect and moment; in constant memory."""
        return changes(holdings(self._before), holdings(self.store.connection))


@contextmanager
def rehearsal(path: Path) -> Iterator[Rehearsal]:
    """Try something beside whoever uses the store at ``path``; without one there, in an empty one. Nothing stays of it.

    Raises:
        StorageError: There is something else at ``path``, or no room for the copy.
    """
    with ExitStack() as open_:
        copy = Path(open_.enter_context(TemporaryDirectory(prefix="openlineage-bridge-"))) / "rehearsal.db"
        if path.exists():
            before = open_.enter_context(closing(open_readonly(path)))
            _copy(before, copy)
        else:
            before = open_.enter_context(Store(MEMORY)).connection
        yield Rehearsal(open_.enter_context(Store(copy)), before)


def _copy(source: sqlite3.Connection, target: Path) -> None:
    """Copy the file; the source goes on to see what it saw while it was copied."""
    source.execute("BEGIN")
    source.execute(
        "SELECT count(*) FROM sqlite_master"
    ).fetchone()  # a read-only transaction begins when it reads
    with closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
