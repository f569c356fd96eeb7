"""A damaged store is set aside, never emptied: everything in it that can be read goes into a new one.

Events and facts carry the digest of their content, so what is read from a damaged file is either whole or left out. The
merge of what events say does not depend on their order or their number; so every event that is found is processed
again, those that were waiting first, and a fact that stood on a damaged page comes back with the event that said it.
What was delivered is not carried over: the catalog is told everything once more, which changes nothing in it.

The new file is complete before the damaged one is touched, and each step may be cut off and begun again.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from pathlib import Path

import attrs

from openlineage_bridge.errors import StorageError
from openlineage_bridge.events import DatasetKey, JobKey, digest
from openlineage_bridge.facts import Kind, Role, RunKey, Subject
from openlineage_bridge.receivers import Rejected
from openlineage_bridge.store import Store, schema
from openlineage_bridge.store.database import DamagedStore, damaged, locked, log_of, quoted, was_store
from openlineage_bridge.store.identity import subject_id
from openlineage_bridge.store.inbox import Arrival, inspect
from openlineage_bridge.store.pages import Pages, Record
from openlineage_bridge.store.quarantine import Failure
from openlineage_bridge.store.run_ids import TIME_BYTES, content

CHECK_SECONDS, CHECK_BYTES = 1.0, 256 * 1024 * 1024
"""For looking at a store before it is opened: of a larger one only the head. What is not found then is found when it is read."""

AT_ONCE = 5000
"""Records in one transaction."""

STAGES = frozenset({"receive", "parse", "translate", "deliver"})

_OURS = {"inbox", "quarantine", "facts"}
_ABSURD = 1000
"""A format so much newer than ours is none."""

_DIGEST = 16


@attrs.frozen
class Salvage:
    """What was saved of a damaged store.

    Args:
        reason: What is wrong with it.
        kept: Where the damaged file is now.
        events: Events that were found, and are processed again.
        quarantined: What was in quarantine, and events that were waiting and of which only a part could be read.
        facts: Facts.
    """

    reason: str
    kept: Path
    events: int = 0
    quarantined: int = 0
    facts: int = 0


def mend(path: Path, derive: Callable[[Store], object], *, strict: bool = False) -> Salvage | None:
    """See that the store can be opened; a damaged one is set aside, with a new one in its place.

    Args:
        path: The store; nothing is done where there never was one.
        derive: Derives what the catalog should hold from the facts that were saved.
        strict: Refuse instead.

    Returns:
        What was saved; None when there was no damage.

    Raises:
        StorageError: Another process has it open; there is damage, and ``strict`` was said; or there is no room for what
            can be saved. The damaged store is as it was.
    """
    if not was_store(path):
        return None
    with locked(path):
        if _built(path).exists():  # it was cut off when everything was saved already
            return Salvage("it was found damaged before", _swap(path))
        reason = damage(path)
        if not reason:
            return None
        if strict:
            raise StorageError(
                f"{path} is damaged ({reason}), and nothing was changed, because of --strict: restore a copy, or start "
                "without --strict, which sets it aside and goes on with everything in it that can be read"
            )
        salvage = _save(path, reason, derive)
        return attrs.evolve(salvage, kept=_swap(path))


def behind_the_log(path: Path) -> list[StoredEvent]:
    """Events that SQLite would forget without a word: it takes the first damaged frame of its log for the log's end.

    To be asked for before the store is opened. Among them may be some that were never acknowledged; they are events all the same.
    """
    if not log_of(path).exists() or not path.exists():
        return []
    with Pages(path) as pages, closing(_opened(path)) as connection:
        known = "SELECT EXISTS (SELECT 1 FROM inbox WHERE digest = ?)"
        missing = {
            event.digest: event
            for event in map(_event, pages.records_in_log())
            if event and not connection.execute(known, (event.digest,)).fetchone()[0]
        }
    return [event for event in missing.values() if event.whole]


def set_aside(path: Path) -> list[Path]:
    """The damaged stores that lie beside a store, oldest first."""
    found = path.parent.glob(f"{path.name}.corrupt-*")
    return sorted(each for each in found if not each.name.endswith(("-wal", "-shm")))


def unfinished(path: Path) -> bool:
    """Whether saving what a damaged store holds was cut off."""
    return _built(path).exists() or _building(path).exists()


# --- is it damaged? -------------------------------------------------------------------------------------------------


def damage(path: Path, *, whole: bool = False) -> str:
    """What is wrong with a file that was a store; empty when nothing was found, in the short time that a start has.

    Args:
        path: The store.
        whole: Look at every page, however long that takes.

    Raises:
        StorageError: It is sound, but not ours, or of a newer version.
    """
    if not path.exists() or not path.stat().st_size:
        return "the file is gone" if not path.exists() else "the file is empty"
    try:
        with closing(_opened(path)) as connection:
            return _wrong_head(connection) or _wrong_pages(connection, path.stat().st_size, whole=whole)
    except sqlite3.Error as error:
        if damaged(error):
            return str(error)
        raise StorageError(f"{path}: {error}") from error


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quoted(path)}?mode=ro", uri=True, isolation_level=None)


def _wrong_head(connection: sqlite3.Connection) -> str:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if not 0 <= version <= schema.VERSION + _ABSURD:
        return f"its format is {version}"
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables >= _OURS and connection.execute("PRAGMA application_id").fetchone()[0] != schema.APPLICATION_ID:
        return "its mark is gone"
    schema.check(connection)
    return "" if tables >= _OURS else "its tables are gone"


def _wrong_pages(connection: sqlite3.Connection, size: int, *, whole: bool) -> str:
    if not whole:
        if size > CHECK_BYTES:
            return ""
        until = time.monotonic() + CHECK_SECONDS
        connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)
    try:
        found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname == "SQLITE_INTERRUPT":
            return ""
        raise
    return "" if found == "ok" else found


# --- saving what can be read ----------------------------------------------------------------------------------------


def _save(path: Path, reason: str, derive: Callable[[Store], object]) -> Salvage:
    building = _building(path)
    _remove(building)  # what an attempt that was cut off left behind
    with Pages(path) as pages, Store(building) as store:
        for take in (_take_first, _take_then):
            records = pages.records()
            while some := list(islice(records, AT_ONCE)):
                with store.transaction():
                    take(store, some)
        with store.transaction():
            for statement in _LEAVE_OUT:
                store.connection.execute(statement)
        derive(store)
        counts = {table: _count(store, table) for table in ("inbox", "quarantine", "facts")}
    building.rename(_built(path))
    _remove(building)
    return Salvage(reason, path, counts["inbox"], counts["quarantine"], counts["facts"])


def _count(store: Store, table: str) -> int:
    count: int = store.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return count


def _take_first(store: Store, records: Sequence[Record]) -> None:
    """Facts, quarantine, and the events that were waiting."""
    _take_facts(store, records)
    _take_quarantined(store, records)
    for event in map(_event, records):
        if event and not event.done:
            _take_event(store, event)


def _take_then(store: Store, records: Sequence[Record]) -> None:
    """The events that were processed."""
    for event in map(_event, records):
        if event and event.done and event.whole:
            _take_event(store, event)


def _take_event(store: Store, event: StoredEvent) -> None:
    """Into the inbox; one of which only a part could be read goes into quarantine."""
    if event.whole:
        store.inbox.put([event.arrival], receiver=event.receiver, now=event.received)
    else:
        store.quarantine.keep(
            _BROKEN, event.body, digest=event.digest, receiver=event.receiver, received=event.received
        )


_BROKEN = Failure("receive", "the store was damaged, and this event with it", DamagedStore.__name__)


@attrs.frozen
class StoredEvent:
    """An event as it stands in a page of the inbox.

    Args:
        digest: As it was stored.
        received: When, in milliseconds since the epoch.
        receiver: Where it came from.
        body: As much of it as could be read.
        done: Whether it was processed.
    """

    digest: bytes
    received: int
    receiver: str
    body: bytes
    done: bool

    @cached_property
    def arrival(self) -> Arrival:
        """What the body says."""
        return inspect(self.body)

    @property
    def whole(self) -> bool:
        """Whether the body is what was stored."""
        return self.arrival.digest == self.digest and not isinstance(self.arrival.receipt, Rejected)


def _take_quarantined(store: Store, records: Iterable[Record]) -> None:
    for record in records:
        match record:
            case [
                None,
                bytes() as stored,
                str() as stage,
                str() as reason,
                str() as receiver,
                int() as received,
                *rest,
            ]:
                match rest:
                    case [bytes() as body, str() as error, int(), int() as failed]:
                        failure = Failure(stage, reason, error)
                    case [bytes() as body]:  # written by a version that knew no more
                        failure, failed = Failure(stage, reason), received
                    case _:
                        continue
                if stage in STAGES:
                    store.quarantine.keep(
                        failure, body, digest=stored, receiver=receiver, received=received, failed=failed
                    )


_TAKE_SUBJECT = "INSERT OR IGNORE INTO subjects (id, kind, namespace, name, run_id) VALUES (?, ?, ?, ?, ?)"
_TAKE_BODY = "INSERT OR IGNORE INTO bodies (digest, body) VALUES (?, ?)"
_TAKE_FACT = (
    "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET time = excluded.time, digest = excluded.digest "
    "WHERE (excluded.time, excluded.digest) > (time, digest)"
)
"""The newest stands, by the rule of ``openlineage_bridge.facts``: a page may be there in several versions."""


def _take_facts(store: Store, records: Sequence[Record]) -> None:
    for statement, belongs, columns in (
        (_TAKE_SUBJECT, _is_subject, 5),
        (_TAKE_BODY, _is_body, 2),
        (_TAKE_FACT, _is_fact, 6),
    ):
        store.connection.executemany(statement, [each[:columns] for each in records if belongs(each)])


_LEAVE_OUT = (
    """DELETE FROM facts WHERE subject NOT IN (SELECT id FROM subjects) OR digest NOT IN (SELECT digest FROM bodies)
       OR (dataset <> x'' AND dataset NOT IN (SELECT id FROM subjects))""",
    "DELETE FROM bodies WHERE digest NOT IN (SELECT digest FROM facts)",
    "DELETE FROM subjects WHERE id NOT IN (SELECT subject FROM facts) AND id NOT IN (SELECT dataset FROM facts)",
    f"DELETE FROM quarantine WHERE error = '{_BROKEN.error}' AND digest IN (SELECT digest FROM inbox)",
)
"""Facts of which a part is missing, what no fact refers to, and parts of events of which another page holds the whole."""


# --- which record is what -------------------------------------------------------------------------------------------


def _event(record: Record) -> StoredEvent | None:
    match record:
        case [
            None,
            bytes() as stored,
            int() as received,
            str() as receiver,
            bytes() as body,
            (0 | 1) as done,
        ]:
            return (
                StoredEvent(stored, received, receiver, body, bool(done)) if len(stored) == _DIGEST else None
            )
    return None


def _is_subject(record: Record) -> bool:
    match record:
        case [bytes() as identity, str() as kind, str() as namespace, str() as name, str() as run_id, *_]:
            if kind == Kind.RUN:
                return identity[TIME_BYTES:] == content(RunKey(JobKey(namespace, name), run_id))
            return kind in set(Kind) and identity == subject_id(Kind(kind), _subject(kind, namespace, name))
    return False


def _subject(kind: str, namespace: str, name: str) -> Subject:
    return JobKey(namespace, name) if kind == Kind.JOB else DatasetKey(namespace, name)


def _is_body(record: Record) -> bool:
    match record:
        case [bytes() as stored, bytes() as body]:
            return digest(body) == stored
    return False


def _is_fact(record: Record) -> bool:
    match record:
        case [bytes() as subject, str() as role, bytes() as dataset, str(), int(), bytes() as content]:
            lengths = (len(subject), len(dataset), len(content))
            return role in set(Role) and lengths in {(_DIGEST, 0, _DIGEST), (_DIGEST,) * 3}
    return False


# --- one file for another -------------------------------------------------------------------------------------------


def _building(path: Path) -> Path:
    """The new store, while it is being filled."""
    return path.with_name(f"{path.name}.salvaging")


def _built(path: Path) -> Path:
    """The new store, complete; what is under the store's own name is damaged for as long as this file is there."""
    return path.with_name(f"{path.name}.salvaged")


def _swap(path: Path) -> Path:
    """Set the damaged file aside and put the new one in its place; where it is now."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    kept = path.with_name(f"{path.name}.corrupt-{moment}")
    for file, name in ((path, kept), (log_of(path), log_of(kept))):
        with suppress(FileNotFoundError):
            file.rename(name)
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    _built(path).rename(path)
    _sync(path.parent)
    return kept


def _remove(store: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".lock"):
        store.with_name(f"{store.name}{suffix}").unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Renames are on the disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
