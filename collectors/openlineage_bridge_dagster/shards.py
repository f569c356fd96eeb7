"""Dagster's default storage, one SQLite file for each run, opened without the check that costs ten times the reading.

Whenever a storage object opens a run's file for the first time, it loads every migration there is to see whether the file is
of the newest schema (``SqliteEventLogStorage._initdb``, dagster 1.10 to 1.13: 60 ms of CPU on a slow machine). A sensor gets
a new storage object at each tick, so with some hundred runs under way a tick would do little else. The process that wrote
the first record has made the file's tables; who only reads needs to know no more than that they are there.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def take_as_initialized(storage: Any, run_id: str) -> None:
    """Spare the storage its check of a run's file, where that has its table of events. Without it all is slower, not wrong.

    Args:
        storage: The instance's event log storage, of whichever kind.
        run_id: The run whose log is to be read.
    """
    known = getattr(storage, "_initialized_dbs", None)
    path_of = getattr(storage, "path_for_shard", None)
    if not isinstance(known, set) or path_of is None or run_id in known:
        return
    try:
        if _has_events(Path(path_of(run_id))):
            known.add(run_id)
    except (OSError, sqlite3.Error, TypeError, ValueError):
        log.debug("The file of run %s is left to Dagster", run_id, exc_info=True)


def _has_events(file: Path) -> bool:
    if not file.exists():
        return False
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'event_logs'")
        return found.fetchone() is not None
