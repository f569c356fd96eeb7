"""Dagster's default storage, one SQLite file for each run, looked at before Dagster itself opens it.

A sensor gets a new storage object at each tick, and that one opens every run's file anew: it builds an engine, compiles the
query (together 3 ms on a slow machine), and the first time loads every migration there is to see whether the file is of the
newest schema (``SqliteEventLogStorage._initdb``, dagster 1.10 to 1.13: 60 ms). With some hundred runs under way a tick would do
little else, and most of them have said nothing since the tick before. Whether one has, its file tells in a tenth of the time;
and where it tells, the process that wrote the first record has made its tables, which is all that who only reads needs.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagster import DagsterEventType

log = logging.getLogger(__name__)


def is_read_to_the_end(storage: Any, run_id: str, position: int, types: Iterable[DagsterEventType]) -> bool:
    """Whether a run's log certainly holds no record of these types behind a storage id; False where only Dagster can tell.

    Spares the storage its check of the run's file as well, where that has its table of events. Without either all is
    slower, not wrong.

    Args:
        storage: The instance's event log storage, of whichever kind.
        run_id: The run whose log is to be read.
        position: The last storage id that was read, -1 before the first.
        types: Record types that are asked for.
    """
    known = getattr(storage, "_initialized_dbs", None)
    path_of = getattr(storage, "path_for_shard", None)
    if not isinstance(known, set) or path_of is None:
        return False
    try:
        file = Path(path_of(run_id))
        if not file.exists():
            return False
        more = _has_more(file, position, [each.value for each in types])
    except (OSError, sqlite3.Error, TypeError, ValueError):
        log.debug("The file of run %s is left to Dagster", run_id, exc_info=True)
        return False
    known.add(run_id)
    return not more


def _has_more(file: Path, position: int, types: list[str]) -> bool:
    query = f"SELECT 1 FROM event_logs WHERE id > ? AND dagster_event_type IN ({', '.join('?' * len(types))}) LIMIT 1"
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query, (position, *types)).fetchone() is not None
