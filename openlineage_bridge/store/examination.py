"""Everything about a store that an operator may have to know: what state it is in, what that means, and what to do.

Looks only; a store that a service has open is looked at as well.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from openlineage_bridge.config import Config
from openlineage_bridge.errors import StorageError
from openlineage_bridge.store.database import (
    locked,
    log_of,
    open_readonly,
    resets_its_log_unsafely,
    was_store,
)
from openlineage_bridge.store.salvage import damage, set_aside, unfinished
from openlineage_bridge.store.space import MIB, ballast_of
from openlineage_bridge.store.status import figures

Finding = dict[str, str]
"""``check``, ``state`` (``ok``, ``note`` or ``problem``), ``says`` and ``do``, as every doctor of the bridge has them."""

MOUNTS = Path("/proc/self/mounts")
REMOTE = ("nfs", "cifs", "smb", "afs", "9p", "fuse.sshfs", "glusterfs", "ceph")
"""File systems over a network, by the beginning of their names: SQLite's locks and shared memory do not hold there."""

LAG = 600.0
"""Seconds that an event or an aspect may wait before it is worth a word."""


def examine(config: Config) -> Iterator[Finding]:
    """What there is to say of the store that is configured, in the order in which it matters."""
    path = config.store
    yield from _file(path)
    if not path.exists():
        return
    yield _owner(path)
    yield from _disk(path, config)
    yield from _left_behind(path)
    yield _soundness(path)
    with suppress(StorageError, sqlite3.Error), closing(open_readonly(path)) as connection:
        yield from _contents(figures(connection))
    yield _library()


def finding(check: str, says: str, do: str = "", *, state: str = "ok") -> Finding:
    """One finding."""
    return {"check": check, "state": state, "says": says, "do": do}


def _file(path: Path) -> Iterator[Finding]:
    if path.exists():
        size, log = path.stat().st_size, log_of(path)
        more = f", and {log.stat().st_size // MIB:,} MiB in its log" if log.exists() else ""
        yield finding("file", f"{path}, {size // MIB:,} MiB{more}")
    elif was_store(path) or log_of(path).exists():
        do = "restore a copy of it; `serve` starts with what its log holds, if that is still there"
        yield finding("file", f"there was a store at {path}, and it is gone", do, state="problem")
    else:
        do = "name it with --store or OPENLINEAGE_BRIDGE_STORE, or start with `openlineage-bridge serve`"
        yield finding("file", f"there is no store at {path}", do, state="problem")


def _owner(path: Path) -> Finding:
    try:
        with locked(path):
            return finding(
                "service",
                "no process has it open",
                "openlineage-bridge serve, if events should arrive",
                state="note",
            )
    except StorageError as error:
        return finding("service", str(error).removeprefix(f"{path} is ").partition(":")[0])


def _disk(path: Path, config: Config) -> Iterator[Finding]:
    system = _file_system(path)
    if system.startswith(REMOTE):
        do = "put the store on a disk of the machine that runs the bridge"
        yield finding(
            "disk", f"{system} is a network file system, on which SQLite is not safe", do, state="problem"
        )
    free, least = shutil.disk_usage(path.parent).free, config.space.min_free_bytes
    says = f"{free // MIB:,} MiB are free, {least // MIB:,} MiB have to stay (space.min_free_bytes)"
    if free < least:
        yield finding(
            "space", f"{says}: events are refused with 503", "make room on this disk", state="problem"
        )
    else:
        yield finding("space", says)
    if config.space.ballast_bytes and not ballast_of(path).exists():
        yield finding(
            "ballast", "it is not there: laid by `serve` as soon as there is room for it", state="note"
        )


def _file_system(path: Path) -> str:
    """The type of the file system on which a path is; empty where the system does not say."""
    best, found = -1, ""
    with suppress(OSError):
        for line in MOUNTS.read_text().splitlines():
            _, mounted, type_, *_ = line.split(" ")
            place = Path(mounted.encode().decode("unicode_escape"))
            if path.resolve().is_relative_to(place) and len(place.parts) > best:
                best, found = len(place.parts), type_
    return found


def _left_behind(path: Path) -> Iterator[Finding]:
    for kept in set_aside(path):
        do = "when nothing is missing in the catalog, or it was replayed from elsewhere, delete the file"
        yield finding("damage", f"a damaged store was set aside: {kept}", do, state="note")
    if unfinished(path):
        do = "openlineage-bridge serve: it goes on where it was"
        yield finding("damage", "saving what a damaged store holds was interrupted", do, state="problem")


def _soundness(path: Path) -> Finding:
    try:
        wrong = damage(path, whole=True)
    except StorageError as error:
        return finding("pages", str(error), "choose another file, or another version", state="problem")
    if not wrong:
        return finding("pages", "every page was read and is sound")
    do = "start `openlineage-bridge serve` anew: it sets the file aside and goes on with everything that can be read"
    return finding("pages", f"the file is damaged: {wrong}", do, state="problem")


def _contents(figures_: dict[str, Any]) -> Iterator[Finding]:
    yield _queue(
        "inbox", figures_["inbox_events"], "events wait to be processed", figures_["inbox_oldest_age_seconds"]
    )
    yield _queue(
        "outbox", figures_["outbox_aspects"], "aspects wait to be delivered", figures_["delivery_lag_seconds"]
    )
    for name, destination in figures_["destinations"].items():
        if destination["failures"]:
            says = f"{name} would not have them {destination['failures']} times in a row: {destination['reason']}"
            do = "mend what it complains about; delivery goes on by itself"
            yield finding("destination", says, do, state="problem")
    quarantine = figures_["quarantine_events"]
    if quarantine:
        says = ", ".join(f"{count:,} at {stage}" for stage, count in quarantine.items())
        do = "openlineage-bridge quarantine list; then `show`, and `retry` or `drop`"
        yield finding("quarantine", says, do, state="note")
    else:
        yield finding("quarantine", "empty")


def _queue(check: str, count: int, what: str, age: float) -> Finding:
    if not count:
        return finding(check, "empty")
    says = f"{count:,} {what}, the oldest for {timedelta(seconds=int(age))} h"
    late = age > LAG
    return finding(
        check, says, "openlineage-bridge queue shows which" if late else "", state="note" if late else "ok"
    )


def _library() -> Finding:
    if not resets_its_log_unsafely():
        return finding("SQLite", sqlite3.sqlite_version)
    return finding(
        "SQLite",
        f"{sqlite3.sqlite_version} can damage a file that two programs write at once (https://sqlite.org/wal.html#walresetbug); "
        "the bridge never does, so leave other programs to read it only",
        "use a Python with SQLite 3.51.3 or newer when there is one",
        state="note",
    )
