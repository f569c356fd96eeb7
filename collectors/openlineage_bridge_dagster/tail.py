"""The core that every observer of a Dagster instance shares: discover runs, read each one's log, fold, deliver.

Delivery is at least once. A record counts as read only when all its events were acknowledged; the folds in memory are
only a convenience, rebuilt by feeding the log again in silence. An event that is sent twice is the same to the byte.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs
from dagster import AssetKey
from dagster._core.event_api import EventLogCursor

from openlineage_bridge_dagster.assets import AssetDefinition, Definitions, RunAssets, nothing_defined, plain
from openlineage_bridge_dagster.cursor import Cursor, RunMark
from openlineage_bridge_dagster.delivery import DeliveryError, RefusedError, Send, deliver
from openlineage_bridge_dagster.discovery import GRACE, Wanted, discover, sweep, vanished
from openlineage_bridge_dagster.fold import EVENT_TYPES, RunFold
from openlineage_bridge_dagster.identity import identify
from openlineage_bridge_dagster.naming import AssetNaming, Metadata
from openlineage_bridge_dagster.runless import RUNLESS_TYPES, dataset_event
from openlineage_bridge_dagster.snapshot import job_details

if TYPE_CHECKING:
    from dagster import DagsterInstance, EventLogRecord, RunRecord
    from openlineage.client.event_v2 import RunEvent

log = logging.getLogger(__name__)

PAGE = 500
"""Records read at a time; the runs take turns, a page each."""

MAX_FAILURES = 5
"""Ticks in which a run may fail to be read, folded or accepted before it is given up."""

SETTLE = 2.0
"""Seconds that a record must be old: PostgreSQL and MySQL show rows later than they number them."""


HEAD_START = 60.0
"""Seconds before the first turn from which on runs count: a user launches the first run while the sensor comes up, and
the database's clock, which dates the runs, is not ours."""


def everything(_record: RunRecord) -> bool:
    """The filter of a tail that observes the whole instance."""
    return True


@attrs.define
class Progress:
    """What one turn of the tail came to.

    Args:
        delivered: Events acknowledged.
        open_runs: Runs that still go on.
        problems: What the operator should know, a sentence each.
        error: The delivery that stopped the turn.
    """

    delivered: int = 0
    open_runs: int = 0
    problems: list[str] = attrs.field(factory=list)
    error: DeliveryError | None = None


@attrs.define
class _Folding:
    """A fold and how far it was fed."""

    fold: RunFold
    position: int = -1
    fed: int = 0


@attrs.define
class Tail:
    """Tails all runs of an instance; lives as long as its process, and is handed the instance anew at every turn.

    Args:
        send: Delivers one event and returns when it was acknowledged.
        namespace: Namespace of the jobs.
        naming: How assets are named.
        wanted: Which runs to observe.
        ui: Address of Dagster's web UI.
        clock: Now, in seconds since the epoch.
    """

    send: Send
    namespace: str = "dagster"
    naming: AssetNaming = attrs.field(factory=AssetNaming)
    wanted: Wanted = everything
    ui: str | None = None
    clock: Callable[[], float] = time.time
    definitions: Definitions = nothing_defined
    _instance: DagsterInstance | None = None
    _folds: dict[str, _Folding] = attrs.field(factory=dict)
    _turns: dict[str, float] = attrs.field(factory=dict)

    def begin(self, instance: DagsterInstance, start: float | None = None) -> Cursor:
        """The cursor of a tail that has seen nothing: runs created before ``start`` (default: just now) stay untouched."""
        now = self.clock()
        if start is None:
            return Cursor(born=now, start=now - HEAD_START, watermark=now, runless=_last_runless(instance))
        return Cursor(born=now, start=start, watermark=start)

    def advance(self, instance: DagsterInstance, cursor: Cursor, *, budget: float) -> Progress:
        """One turn of at most about ``budget`` seconds; at least one record is handled. ``cursor`` moves in place.

        Raises:
            Exception: The instance itself cannot be read.
        """
        deadline = time.monotonic() + budget
        self._instance = instance
        progress = Progress()
        seen = discover(instance, cursor, wanted=self.wanted)
        for run_id in vanished(instance, cursor, seen):
            cursor.runs[run_id].done = self.clock()
        try:
            self._tail_all(cursor, seen, deadline, progress)
            self._tail_runless(cursor, deadline, progress)
        except DeliveryError as error:
            progress.error = error
        sweep(cursor)
        self._forget(cursor)
        progress.open_runs = sum(1 for mark in cursor.runs.values() if not mark.done)
        return progress

    def _tail_all(
        self, cursor: Cursor, seen: dict[str, RunRecord], deadline: float, progress: Progress
    ) -> None:
        waiting = deque(
            sorted((run_id for run_id in cursor.runs if run_id in seen), key=self._precedence(cursor))
        )
        while waiting:
            run_id = waiting.popleft()
            mark = cursor.runs[run_id]
            self._turns[run_id] = time.monotonic()
            if mark.done:
                self._recount(seen[run_id], mark, progress)
            elif self._tail_page(seen[run_id], mark, deadline, progress):
                waiting.append(run_id)
            if time.monotonic() > deadline:
                return

    def _precedence(self, cursor: Cursor) -> Callable[[str], tuple[bool, float, float]]:
        """Open runs first, and of these the one whose turn is longest ago: no run starves behind many others."""

        def precedence(run_id: str) -> tuple[bool, float, float]:
            mark = cursor.runs[run_id]
            return mark.done > 0, self._turns.get(run_id, 0.0), mark.updated

        return precedence

    def _tail_page(self, record: RunRecord, mark: RunMark, deadline: float, progress: Progress) -> bool:
        """Handle one page of a run's log; whether there is more to handle now."""
        run_id = record.dagster_run.run_id
        try:
            folding = self._folds.get(run_id) or self._new_folding(record)
            self._folds[run_id] = folding
            more = self._feed_page(run_id, folding, mark, deadline, progress)
        except DeliveryError as error:
            # The fold has swallowed a record whose events did not get through: rebuild it from the log.
            self._folds.pop(run_id, None)
            if not isinstance(error, RefusedError):
                raise
            self._failed(run_id, mark, progress, error)
            return False
        except Exception as error:
            self._folds.pop(run_id, None)
            self._failed(run_id, mark, progress, error)
            return False
        if folding.fold.ended:
            mark.done, mark.fed = self.clock(), folding.fed
            return False
        return more

    def _feed_page(
        self, run_id: str, folding: _Folding, mark: RunMark, deadline: float, progress: Progress
    ) -> bool:
        records, more = self._read(run_id, folding.position)
        horizon = self.clock() - self._settle()
        for record in records:
            if record.timestamp > horizon:
                return False
            events = folding.fold.feed(record.event_log_entry)
            folding.position, folding.fed = record.storage_id, folding.fed + 1
            if record.storage_id > mark.last:
                for event in events:
                    deliver(self.send, event)
                    progress.delivered += 1
                mark.last = record.storage_id
            if folding.fold.ended:
                return False
            if time.monotonic() > deadline:
                return True
        return more

    def _read(self, run_id: str, position: int) -> tuple[Sequence[EventLogRecord], bool]:
        page = self._require_instance().get_records_for_run(
            run_id, cursor=_after(position), of_type=set(EVENT_TYPES), limit=PAGE, ascending=True
        )
        return page.records, page.has_more

    def _recount(self, record: RunRecord, mark: RunMark, progress: Progress) -> None:
        """Once, after the grace time: fold a run again if its log holds more up to the end than was folded then.

        The settle time trusts the writers' clocks; a writer far behind them could still have slipped a record in.
        """
        if self._settle() == 0 or mark.fed == 0 or self.clock() < mark.done + GRACE:
            return
        try:
            fed, events = self._fold_again(record)
        except Exception as error:
            progress.problems.append(f"Run {record.dagster_run.run_id} cannot be counted again: {error}")
            fed, events = 0, []
        if fed > mark.fed:
            for event in events:
                deliver(self.send, event)
                progress.delivered += 1
        mark.fed = 0  # counted

    def _fold_again(self, record: RunRecord) -> tuple[int, list[RunEvent]]:
        """How many records the run's log holds up to its end, and all their events."""
        events: list[RunEvent] = []
        folding, more = self._new_folding(record), True
        while more and not folding.fold.ended:
            records, more = self._read(record.dagster_run.run_id, folding.position)
            for entry in records:
                events.extend(folding.fold.feed(entry.event_log_entry))
                folding.position, folding.fed = entry.storage_id, folding.fed + 1
                if folding.fold.ended:
                    break
        return folding.fed, events

    def _failed(self, run_id: str, mark: RunMark, progress: Progress, error: Exception) -> None:
        mark.failures += 1
        given_up = mark.failures >= MAX_FAILURES
        if given_up:
            mark.done = self.clock()
        outcome = "it is given up, its remaining lineage is lost" if given_up else "it is tried again"
        problem = f"Run {run_id} failed {mark.failures} time(s): {outcome}: {type(error).__name__}: {error}"
        progress.problems.append(problem)
        log.warning("%s", problem, exc_info=error)

    def _tail_runless(self, cursor: Cursor, deadline: float, progress: Progress) -> None:
        more = True
        while more and time.monotonic() <= deadline:
            records, more = self._read_runless(cursor.runless, progress)
            horizon = self.clock() - self._settle()
            for record in records:
                if record.timestamp > horizon:
                    return
                self._deliver_runless(record, progress)
                cursor.runless = record.storage_id

    def _read_runless(self, position: int, progress: Progress) -> tuple[Sequence[EventLogRecord], bool]:
        try:
            page = self._require_instance().get_records_for_run(
                "", cursor=_after(position), of_type=set(RUNLESS_TYPES), limit=PAGE, ascending=True
            )
        except Exception as error:  # one row that nobody can read stops the runless events, never the runs
            progress.problems.append(f"Runless events after id {position} cannot be read: {error}")
            log.warning("Runless events after id %s cannot be read", position, exc_info=True)
            return [], False
        return page.records, page.has_more

    def _deliver_runless(self, record: EventLogRecord, progress: Progress) -> None:
        try:
            event = dataset_event(record.event_log_entry, self._assets())
            if event is not None:
                deliver(self.send, event)
                progress.delivered += 1
        except DeliveryError as error:
            if not isinstance(error, RefusedError):
                raise
            progress.problems.append(
                f"A runless event (id {record.storage_id}) is refused and left out: {error}"
            )
        except Exception as error:
            progress.problems.append(f"A runless event (id {record.storage_id}) cannot be read: {error}")
            log.warning("Runless event %s cannot be read", record.storage_id, exc_info=True)

    def _new_folding(self, record: RunRecord) -> _Folding:
        run = record.dagster_run
        details = job_details(self._require_instance(), run)
        return _Folding(
            RunFold(identify(run, namespace=self.namespace, ui=self.ui, details=details), self._assets())
        )

    def _assets(self) -> RunAssets:
        return RunAssets(
            naming=self.naming, definitions=self._definition, last_materialization=self._last_materialization
        )

    def _definition(self, key: AssetKey) -> AssetDefinition | None:
        return self.definitions(key)

    def _last_materialization(self, key: AssetKey) -> Metadata | None:
        entry = self._require_instance().get_latest_materialization_event(key)
        return plain(entry.asset_materialization.metadata) if entry and entry.asset_materialization else None

    def _settle(self) -> float:
        """SQLite has a single writer: what is visible has no gaps."""
        storage = type(self._require_instance().event_log_storage).__name__
        return 0.0 if "Sqlite" in storage or "InMemory" in storage else SETTLE

    def _require_instance(self) -> DagsterInstance:
        assert self._instance is not None, "advance() hands the instance over"
        return self._instance

    def _forget(self, cursor: Cursor) -> None:
        open_runs = {run_id for run_id, mark in cursor.runs.items() if not mark.done}
        self._folds = {run_id: folding for run_id, folding in self._folds.items() if run_id in open_runs}
        self._turns = {run_id: turn for run_id, turn in self._turns.items() if run_id in cursor.runs}


def _after(position: int) -> str | None:
    return EventLogCursor.from_storage_id(position).to_string() if position >= 0 else None


def _last_runless(instance: DagsterInstance) -> int:
    page = instance.get_records_for_run("", of_type=set(RUNLESS_TYPES), limit=1, ascending=False)
    return page.records[0].storage_id if page.records else -1
