"""Room for the store: events are refused before the disk is full, so that what was acknowledged can still be processed.

SQLite needs space even to delete. So senders are told to try again while there is still some left, and a ballast file
beside the store is given up when there is none: what waits is then processed and delivered, which makes room.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

from openlineage_bridge.config import SpaceConfig
from openlineage_bridge.errors import StorageError
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import open_readonly

LOOK_SECONDS = 1.0
"""Between two looks at the disk."""

MIB = 1024 * 1024

_WAITING = "SELECT coalesce(sum(length(body)), 0) FROM inbox WHERE NOT done"


def ballast_of(path: Path) -> Path:
    """The file that stands beside a store and is given up when the disk is full."""
    return path.with_name(f"{path.name}.ballast")


def with_ballast(path: Path, opening: Callable[[], Store]) -> Store:
    """Open a store. SQLite needs some space even to open one, so on a full disk the ballast goes first.

    Raises:
        StorageError: See ``Store``.
    """
    try:
        return opening()
    except StorageError as error:
        if not _for_want_of_space(error) or not _removed(ballast_of(path)):
            raise
        return opening()


def _for_want_of_space(error: StorageError) -> bool:
    """Whether a full disk may be the reason: SQLite does not always say so when it cannot make its files."""
    name = getattr(error.__cause__, "sqlite_errorname", "")
    return name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN")) or (
        getattr(error.__cause__, "errno", None) == errno.ENOSPC
    )


def _removed(file: Path) -> bool:
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True


class Space:
    """Looks at the disk and the inbox, on a thread of its own while it is open.

    Args:
        path: The store, which is there.
        limits: How much may be taken, and what has to stay.
    """

    def __init__(self, path: Path, limits: SpaceConfig) -> None:
        self._path = path
        self._limits = limits
        self._ballast = ballast_of(path)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="openlineage-bridge-space", daemon=True)
        self.refusal = ""
        """Why no event can be taken now; empty when it can."""

    def __enter__(self) -> Self:
        self.look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()

    def look(self) -> None:
        """See how much there is, and lay the ballast when there is enough."""
        free = shutil.disk_usage(self._path.parent).free
        if free >= self._limits.min_free_bytes + self._limits.ballast_bytes:
            self._lay_ballast()
        self.refusal = self._short_of_disk(free) or self._short_of_inbox()

    def give_up_ballast(self) -> bool:
        """The disk is full: make what room there is. False when that was done before."""
        return _removed(self._ballast)

    def _watch(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            with suppress(OSError):  # the disk may be away; then the store says so
                self.look()

    def _short_of_disk(self, free: int) -> str:
        if free >= self._limits.min_free_bytes:
            return ""
        return (
            f"only {free // MIB} MiB are free where the store is, and {self._limits.min_free_bytes // MIB} MiB "
            "(space.min_free_bytes) have to stay: send the events again"
        )

    def _short_of_inbox(self) -> str:
        waiting = self._waiting()
        if waiting < self._limits.inbox_bytes:
            return ""
        return (
            f"{waiting // MIB} MiB of events wait to be processed, and {self._limits.inbox_bytes // MIB} MiB "
            "(space.inbox_bytes) may: send the events again"
        )

    def _waiting(self) -> int:
        with suppress(StorageError, sqlite3.Error), closing(open_readonly(self._path)) as connection:
            return int(connection.execute(_WAITING).fetchone()[0])
        return 0

    def _lay_ballast(self) -> None:
        """Blocks that are really taken: a file with a hole in it would give nothing back."""
        if not self._limits.ballast_bytes or self._ballast.exists():
            return
        try:
            with self._ballast.open("xb") as file:
                os.posix_fallocate(file.fileno(), 0, self._limits.ballast_bytes)
        except OSError:
            self.give_up_ballast()
