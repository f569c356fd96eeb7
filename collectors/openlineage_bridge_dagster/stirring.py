"""Which runs have said something lately: asked once for all of them, where they share one table.

On PostgreSQL and MySQL Dagster opens a connection for every question, and with some hundred silent runs under way a turn
would do little else than ask each of them. What is learned here is a hint and nothing more: a record may be seen long after
it was numbered, so every run is asked now and then all the same.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.sqlalchemy_compat import db_select

log = logging.getLogger(__name__)


@attrs.define
class Stirring:
    """Remembers from turn to turn how far the log was.

    Args:
        look_back: Seconds for which a run that said something counts as stirring.
        clock: Seconds that only grow.
    """

    look_back: float
    clock: Callable[[], float] = time.monotonic
    _looks: deque[tuple[float, int]] = attrs.field(factory=deque)

    def runs(self, storage: Any) -> frozenset[str] | None:
        """The runs with a record in the last ``look_back`` seconds, or a little more.

        None where only asking each run can tell: in the first seconds, and of a storage without such a table.
        """
        if not isinstance(storage, SqlEventLogStorage) or storage.is_run_sharded:
            return None
        try:
            since = self._look(storage.get_maximum_record_id() or 0)
            return _runs_behind(storage, since) if since is not None else None
        except Exception:
            log.debug("Every run is asked: the log does not say which of them stir", exc_info=True)
            self._looks.clear()
            return None

    def _look(self, newest: int) -> int | None:
        """How far the log was ``look_back`` seconds ago; None when nobody looked so long ago."""
        now = self.clock()
        self._looks.append((now, newest))
        while len(self._looks) > 1 and self._looks[1][0] <= now - self.look_back:
            self._looks.popleft()
        moment, since = self._looks[0]
        return since if moment <= now - self.look_back else None


def _runs_behind(storage: SqlEventLogStorage, since: int) -> frozenset[str]:
    table = SqlEventLogStorageTable.c
    query = db_select([table.run_id]).where(table.id > since).distinct()
    with storage.index_connection() as connection:
        return frozenset(run_id for (run_id,) in connection.execute(query))
