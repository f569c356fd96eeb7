"""Opening the SQLite file: one read-write connection in all, guarded by a lock; any number of read-only ones.

Exactly one connection writes and checkpoints, which keeps SQLite's WAL-reset race (https://sqlite.org/wal.html) out of
reach; read-only connections see the live file and can take no part in it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from openlineage_bridge.errors import StorageError
from openlineage_bridge.store import schema

MEMORY = ":memory:"


class Database:
    """The read-write connection and the lock that goes with it; to be used by one thread at a time.

    Args:
        path: The file, created when absent; ``:memory:`` for a store that lives as long as this object.

    Raises:
        StorageError: Another process has the store open, the file is no store or a newer one, or it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._lock = None if self.path == MEMORY else _lock(Path(self.path))
        try:
            self.connection = _connect(self.path)
            schema.prepare(self.connection)
        except BaseException as error:
            self._unlock()
            if isinstance(error, sqlite3.Error):
                raise StorageError(_explain(self.path, error)) from error
            raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside is committed with a full fsync, or nothing is.

        Raises:
            StorageError: The disk is full, damaged or away; not for what the statements themselves got wrong.
        """
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException as error:
            if self.connection.in_transaction:  # SQLite may have rolled back by itself
                self.connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError:
                raise StorageError(_explain(self.path, error)) from error
            raise

    def close(self) -> None:
        """Close the file and release the lock."""
        self.connection.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock:
            self._lock.close()


def open_readonly(path: str | Path) -> sqlite3.Connection:
    """A connection that can only read, beside a running service if there is one.

    Raises:
        StorageError: There is no such file, or it is no store of a version that can be read.
    """
    if not Path(path).is_file():
        raise StorageError(
            f"there is no store at {path}: name one with --store or OPENLINEAGE_BRIDGE_STORE, "
            "or make one with `openlineage-bridge demo`, `serve` or `replay`"
        )
    try:
        connection = sqlite3.connect(
            f"file:{_quoted(path)}?mode=ro", uri=True, check_same_thread=False, isolation_level=None
        )
        if schema.check(connection) == 0:
            raise StorageError(f"{path} is empty: it is not a store of openlineage-bridge")
    except sqlite3.Error as error:
        raise StorageError(_explain(str(path), error)) from error
    return connection


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    schema.check(connection)  # a file that is not ours is left exactly as it is
    if path != MEMORY:
        for pragma, wanted in (("journal_mode", "wal"), ("synchronous", 2)):
            connection.execute(f"PRAGMA {pragma} = {wanted}")
            if connection.execute(f"PRAGMA {pragma}").fetchone()[0] != wanted:
                raise StorageError(
                    f"{path}: the file system does not allow {pragma}={wanted}; use a local disk"
                )
    connection.execute("PRAGMA cache_size = -65536")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _lock(path: Path) -> IO[str]:
    """Hold ``PATH.lock`` for as long as the store is open for writing; the kernel releases it when the process dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.with_name(path.name + ".lock").open("a+")
    except OSError as error:
        raise StorageError(
            f"cannot write in {path.parent}: {error.strerror}; choose another path with --store"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        owner = handle.read().strip() or "unknown"
        handle.close()
        raise StorageError(
            f"{path} is open in another openlineage-bridge (process {owner}): stop it, or send the events to it over HTTP"
        ) from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def _quoted(path: str | Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _explain(path: str, error: sqlite3.Error) -> str:
    """SQLite's word, and what to do about it."""
    advice = {
        "SQLITE_NOTADB": "it is not a SQLite file: choose another path with --store",
        "SQLITE_CANTOPEN": "it cannot be opened: does the folder exist, and may this user write there?",
        "SQLITE_READONLY": "it is read-only: may this user write there?",
        "SQLITE_FULL": "the disk is full: free some space; nothing that was acknowledged is lost",
        "SQLITE_CORRUPT": "the file is damaged: restore a copy, or start a new store and replay the events",
    }
    name = getattr(error, "sqlite_errorname", "")
    return f"{path}: {advice.get(name, str(error))} ({name or type(error).__name__})"
