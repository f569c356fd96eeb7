"""Opening the SQLite file: one read-write connection in all, guarded by a lock; any number of read-only ones.

Exactly one connection writes and checkpoints, which keeps SQLite's WAL-reset race (https://sqlite.org/wal.html) out of
reach; read-only connections see the live file and can take no part in it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from openlineage_bridge.errors import StorageError
from openlineage_bridge.store import schema
from openlineage_bridge.store.pages import PAGE

MEMORY = ":memory:"

MARK = "openlineage-bridge"
"""Stands in the lock file once a store was opened beside it: what is there now is then damaged, and not somebody else's."""

_TABLE = b"CREATE TABLE inbox ("  # as it stands in the schema of a store that an older version wrote

LOG_PAGES, LOG_PAGES_IN_BULK = 1000, 32_768
"""Pages in the write-ahead log from which on a commit brings them to the file: SQLite's default, and 128 MiB."""

DAMAGES = ("SQLITE_CORRUPT", "SQLITE_NOTADB")

ADVICE = {
    "SQLITE_NOTADB": "it is not a SQLite file: choose another path with --store",
    "SQLITE_CANTOPEN": "it cannot be opened: does the folder exist, and may this user write there?",
    "SQLITE_READONLY": "it is read-only: may this user write there?",
    "SQLITE_FULL": "the disk is full: free some space; nothing that was acknowledged is lost",
    "SQLITE_CORRUPT": "the file is damaged, and nothing says that it was a store: choose another path with --store",
}
"""By SQLite's name of an error: what it means, and what to do."""


class DamagedStore(StorageError):  # noqa: N818  - named after what happened to the store
    """The file is, or was, a store, and can no longer be read as one; ``store.salvage`` saves what can be saved."""


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
                raise explained(self.path, error) from error
            raise
        if self._lock:
            _mark(self._lock)

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
                raise explained(self.path, error) from error
            raise

    @contextmanager
    def bulk(self) -> Iterator[None]:
        """Let the write-ahead log grow longer inside: a page that is written again and again goes to the file once."""
        self.connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES_IN_BULK}")
        try:
            yield
        finally:
            with suppress(sqlite3.ProgrammingError):  # it was closed meanwhile, and nothing is to be set back
                self.connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")

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
            f"file:{quoted(path)}?mode=ro", uri=True, check_same_thread=False, isolation_level=None
        )
        version = schema.check(connection)
        if version == 0:
            raise StorageError(f"{path} is empty: it is not a store of openlineage-bridge")
        if version < schema.VERSION:
            raise StorageError(
                f"{path} has format {version} of an older version: it becomes format {schema.VERSION} when it is opened for "
                "writing, by `openlineage-bridge serve` for example"
            )
    except sqlite3.Error as error:
        raise explained(path, error) from error
    return connection


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep everybody else from writing the store, without opening it.

    Raises:
        StorageError: Another process has it open.
    """
    with _lock(path):
        yield


def resets_its_log_unsafely(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> bool:
    """Whether SQLite has the WAL-reset bug, which two connections that write can bring out (https://sqlite.org/wal.html)."""
    mended = {(3, 44): 6, (3, 50): 7, (3, 51): 3}
    return version < (3, 51, 3) and version[2] < mended.get(version[:2], 1000)


def was_store(path: Path) -> bool:
    """Whether a store was opened under this path before, whatever is there now."""
    return MARK.encode() in _beginning(_lock_file(path)) or _TABLE in _beginning(path)


def _beginning(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(1 << 16)
    except OSError:
        return b""


def damaged(error: BaseException) -> bool:
    """Whether an error says that the file is damaged, and not what the statement got wrong or the disk refused."""
    name = getattr(error, "sqlite_errorname", "")
    return isinstance(error, DamagedStore) or (isinstance(error, sqlite3.Error) and name.startswith(DAMAGES))


def _connect(path: str) -> sqlite3.Connection:
    if path != MEMORY:
        _check_log(Path(path))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    schema.check(connection)  # a file that is not ours is left exactly as it is
    connection.execute(
        f"PRAGMA page_size = {PAGE}"
    )  # of a new file, as the next; an older one stays as it is
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
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


def _check_log(path: Path) -> None:
    """A log without its file holds what was acknowledged last, and SQLite would delete it."""
    if log_of(path).exists() and log_of(path).stat().st_size and not (path.exists() and path.stat().st_size):
        raise DamagedStore(f"{path}: its write-ahead log is there, and the file itself is not")


def log_of(path: Path) -> Path:
    """SQLite's write-ahead log of the file."""
    return path.with_name(f"{path.name}-wal")


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _lock(path: Path) -> IO[str]:
    """Hold ``PATH.lock`` for as long as the store is open for writing; the kernel releases it when the process dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _lock_file(path).open("a+")
    except OSError as error:
        raise StorageError(
            f"cannot write in {path.parent}: {error.strerror}; choose another path with --store"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        owner = handle.read().split(maxsplit=1)[:1] or ["unknown"]
        handle.close()
        raise StorageError(
            f"{path} is open in another openlineage-bridge (process {owner[0]}): stop it, or send the events to it over HTTP"
        ) from None
    marked = was_store(path)
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    if marked:
        _mark(handle)
    return handle


def _mark(handle: IO[str]) -> None:
    handle.seek(0)
    if MARK not in handle.read():
        handle.write(f" {MARK}")
        handle.flush()


def quoted(path: str | Path) -> str:
    """The path as part of a SQLite URI."""
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def explained(path: str | Path, error: sqlite3.Error) -> StorageError:
    """SQLite's word, and what to do about it."""
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    if damaged(error) and was_store(Path(path)):
        return DamagedStore(
            f"{path}: the file is damaged ({name}): `openlineage-bridge serve` sets it aside at its next start and goes on "
            "with everything in it that can be read; `openlineage-bridge doctor store` tells more"
        )
    return StorageError(f"{path}: {ADVICE.get(name, str(error))} ({name})")
