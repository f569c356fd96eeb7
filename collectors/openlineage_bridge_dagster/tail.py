"""The core that every observer of a running Dagster instance shares: discover runs, read each one's log, fold, deliver.

Delivery is at least once. A record counts as read only when all its events were acknowledged; the folds in memory are
only a convenience, rebuilt by feeding the log again in silence. An event that is sent twice is the same to the byte.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from openlineage_bridge_dagster.announcing import Announcer
from openlineage_bridge_dagster.cursor import Cursor, RunMark
from openlineage_bridge_dagster.delivery import DeliveryError, Event, RefusedError, Send, deliver
from openlineage_bridge_dagster.discovery import GRACE, Wanted, discover, sweep, vanished
from openlineage_bridge_dagster.fold import RunFold
from openlineage_bridge_dagster.reading import Reader
from openlineage_bridge_dagster.runless import dataset_event
from openlineage_bridge_dagster.stirring import Stirring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster import DagsterInstance, EventLogRecord, RunRecord

log = logging.getLogger(__name__)

MAX_FAILURES = 5
"""Turns in which a run may fail to be read, folded or accepted, without any progress, before it is given up."""

HEAD_START = 60.0
"""Seconds before the first turn from which on runs count: a user launches the first run while the sensor comes up, and
the database's clock, which dates the runs, is not ours."""

ANNOUNCING_SHARE = 0.5
"""Part of a turn in which the declared graph may be told while runs wait."""

QUIET_SHARE, QUIET_MOST = 1 / 60, 30.0
"""A run whose log said nothing for a while is asked again after this share of that while, at most so many seconds later;
at once when Dagster says that it changed. Runs whose process died, and that Dagster never closes, so cost next to nothing."""

FEW = 10
"""Runs under way that are simply asked: beyond it one look at all of them costs less."""

LOOK_BACK = QUIET_MOST + 15.0
"""Seconds for which a run that said something is asked at every turn: longer than a silent one is left alone."""


def everything(_record: RunRecord) -> bool:
    """The filter of a tail that observes the whole instance."""
    return True


def never() -> bool:
    """The wish to stop of whoever has none."""
    return False


@attrs.define
class Progress:
    """What one turn of the tail came to.

    Args:
        delivered: Events acknowledged.
        open_runs: Runs that still go on.
        more: Whether the turn ended before everything was read.
        given_up: Runs that were given up, and events without a run that were left out.
        problems: What the operator should know, a sentence each.
        error: The delivery that stopped the turn.
    """

    delivered: int = 0
    open_runs: int = 0
    more: bool = False
    given_up: int = 0
    problems: list[str] = attrs.field(factory=list)
    error: DeliveryError | None = None


@attrs.define
class _Folding:
    """A fold, how far it was fed, and when (by the monotonic clock) its run was last asked and last said something.

    ``caught_up`` is whether all that the log held was fed when the run was last asked.
    """

    fold: RunFold
    position: int = -1
    fed: int = 0
    asked: float = 0.0
    spoke: float = attrs.field(factory=time.monotonic)
    updated: float = 0.0
    caught_up: bool = False

    def is_quiet(self, mark: RunMark) -> bool:
        """Whether it need not be asked now."""
        quiet = min((self.asked - self.spoke) * QUIET_SHARE, QUIET_MOST)
        return mark.updated == self.updated and time.monotonic() - self.asked < quiet

    def may_rest(self, mark: RunMark) -> bool:
        """Whether it need not be asked now if a look at the whole log found nothing new of it."""
        recently = time.monotonic() - self.asked < QUIET_MOST
        return self.caught_up and mark.updated == self.updated and recently


@attrs.define
class Tail:
    """Tails all runs of an instance; lives as long as its process, and is handed the instance anew at every turn.

    Args:
        send: Delivers one event and returns when it was acknowledged.
        reader: Reads the instance.
        announcer: What the code declares.
        wanted: Which runs to observe.
        clock: Now, in seconds since the epoch.
        rest: Seconds that a run that failed is left alone, times the failures.
        stop: Whether to end the turn as soon as may be.
    """

    send: Send
    reader: Reader = attrs.field(factory=Reader)
    announcer: Announcer = attrs.field(factory=Announcer)
    wanted: Wanted = everything
    clock: Callable[[], float] = time.time
    rest: float = 0.0
    stop: Callable[[], bool] = never
    _deadline: float = 0.0
    _progress: Progress = attrs.field(factory=Progress)
    _folds: dict[str, _Folding] = attrs.field(factory=dict)
    _turns: dict[str, float] = attrs.field(factory=dict)
    _resting: dict[str, float] = attrs.field(factory=dict)
    _stirring: Stirring = attrs.field(factory=lambda: Stirring(LOOK_BACK))
    _stirred: frozenset[str] | None = None

    def begin(self, instance: DagsterInstance, start: float | None = None) -> Cursor:
        """The cursor of a tail that has seen nothing: runs created before ``start`` (default: just now) stay untouched."""
        now = self.clock()
        if start is None:
            self.reader.instance = instance
            return Cursor(born=now, start=now - HEAD_START, watermark=now, runless=self.reader.last_runless())
        return Cursor(born=now, start=start, watermark=start)

    def advance(self, instance: DagsterInstance, cursor: Cursor, *, budget: float) -> Progress:
        """One turn of at most about ``budget`` seconds; at least one record is handled. ``cursor`` moves in place.

        Raises:
            Exception: The instance itself cannot be read.
        """
        self._deadline = time.monotonic() + budget
        self.reader.instance = instance
        self._progress = progress = Progress()
        seen = discover(instance, cursor, wanted=self.wanted)
        for run_id in vanished(instance, cursor, seen):
            cursor.runs[run_id].done = self.clock()
        try:
            self._announce(cursor)
            self._tail_all(cursor, seen)
            self._tail_runless(cursor)
        except DeliveryError as error:
            progress.error = error
        sweep(cursor)
        self._forget(cursor)
        progress.open_runs = sum(1 for mark in cursor.runs.values() if not mark.done)
        return progress

    def _announce(self, cursor: Cursor) -> None:
        """The declared graph, in a part of the turn's time, and before the runs that fill it."""
        until = time.monotonic() + (self._deadline - time.monotonic()) * ANNOUNCING_SHARE
        try:
            while (event := self.announcer.due(self.reader, cursor.announced, self.clock())) is not None:
                self._deliver_declared(event)
                self.announcer.delivered()
                if time.monotonic() > until or self.stop():
                    self._progress.more = True
                    return
        except DeliveryError:
            raise
        except Exception as error:
            self.announcer.declare((), self.announcer.code)
            self._say(f"The declared graph cannot be told until the code is loaded anew: {error}", error)

    def _deliver_declared(self, event: Event) -> None:
        try:
            self._deliver(event)
        except RefusedError as error:
            self._leave_out(f"An event of the declared graph is refused: {error}", error)

    def _tail_all(self, cursor: Cursor, seen: dict[str, RunRecord]) -> None:
        many = sum(1 for mark in cursor.runs.values() if not mark.done) > FEW
        storage = self.reader.require_instance().event_log_storage
        self._stirred = self._stirring.runs(storage) if many else None
        waiting = deque(
            sorted((run_id for run_id in cursor.runs if run_id in seen), key=self._precedence(cursor))
        )
        while waiting:
            run_id = waiting.popleft()
            mark = cursor.runs[run_id]
            self._turns[run_id] = time.monotonic()
            if mark.done:
                self._recount(seen[run_id], mark)
            elif not self._is_left_alone(run_id, mark) and self._tail_page(seen[run_id], mark):
                waiting.append(run_id)
            if self._is_over():
                self._progress.more |= any(not cursor.runs[each].done for each in waiting)
                return

    def _is_over(self) -> bool:
        return time.monotonic() > self._deadline or self.stop()

    def _is_left_alone(self, run_id: str, mark: RunMark) -> bool:
        if time.monotonic() < self._resting.get(run_id, 0.0):
            return True
        folding = self._folds.get(run_id)
        if folding is None:
            return False
        still = self._stirred is not None and run_id not in self._stirred
        return folding.is_quiet(mark) or (still and folding.may_rest(mark))

    def _precedence(self, cursor: Cursor) -> Callable[[str], tuple[bool, float, float]]:
        """Open runs first, and of these the one whose turn is longest ago: no run starves behind many others."""

        def precedence(run_id: str) -> tuple[bool, float, float]:
            mark = cursor.runs[run_id]
            return mark.done > 0, self._turns.get(run_id, 0.0), mark.updated

        return precedence

    def _tail_page(self, record: RunRecord, mark: RunMark) -> bool:
        """Handle one page of a run's log; whether there is more to handle now."""
        run_id = record.dagster_run.run_id
        try:
            folding = self._folds.get(run_id) or _Folding(self.reader.fold(record))
            self._folds[run_id] = folding
            more = self._feed_page(run_id, folding, mark)
        except DeliveryError as error:
            # The fold has swallowed a record whose events did not get through: rebuild it from the log.
            self._folds.pop(run_id, None)
            if not isinstance(error, RefusedError):
                raise
            self._failed(run_id, mark, error)
            return False
        except Exception as error:
            self._folds.pop(run_id, None)
            self._failed(run_id, mark, error)
            return False
        if folding.fold.ended:
            mark.done, mark.fed = self.clock(), folding.fed
            return False
        return more

    def _feed_page(self, run_id: str, folding: _Folding, mark: RunMark) -> bool:
        records, more = self._ask(run_id, folding, mark)
        horizon = self.clock() - self._settle()
        for record in records:
            folding.spoke = folding.asked
            if record.timestamp > horizon:
                return False
            events = folding.fold.feed(record.event_log_entry)
            folding.position, folding.fed = record.storage_id, folding.fed + 1
            if record.storage_id > mark.last:
                for event in events:
                    self._deliver(event)
                mark.last, mark.failures = record.storage_id, 0
            if folding.fold.ended:
                return False
            if self._is_over():
                return True
        folding.caught_up = not more
        return more

    def _ask(self, run_id: str, folding: _Folding, mark: RunMark) -> tuple[Sequence[EventLogRecord], bool]:
        folding.asked, folding.updated, folding.caught_up = time.monotonic(), mark.updated, False
        return self.reader.page(run_id, folding.position)

    def _recount(self, record: RunRecord, mark: RunMark) -> None:
        """Once, after the grace time: fold a run again if its log holds more up to the end than was folded then.

        The settle time trusts the writers' clocks; a writer far behind them could still have slipped a record in.
        """
        if self._settle() == 0 or mark.fed == 0 or self.clock() < mark.done + GRACE:
            return
        run_id = record.dagster_run.run_id
        try:
            missed = self.reader.count(run_id, mark.last) > mark.fed
            told = list(self.reader.told(record, self.clock())) if missed else []
        except Exception as error:
            self._say(f"Run {run_id} cannot be counted again: {error}", error)
            told = []
        for events in told:
            for event in events:
                self._deliver(event)
        mark.fed = 0  # counted

    def _deliver(self, event: Event) -> None:
        deliver(self.send, event)
        self._progress.delivered += 1

    def _failed(self, run_id: str, mark: RunMark, error: Exception) -> None:
        mark.failures += 1
        self._resting[run_id] = time.monotonic() + self.rest * mark.failures
        outcome = "it is tried again"
        if mark.failures >= MAX_FAILURES:
            mark.done = self.clock()
            self._progress.given_up += 1
            outcome = (
                "it is given up; once the cause is mended, bring the rest of it with "
                f"`openlineage-bridge dagster backfill --run-id {run_id}`"
            )
        self._say(
            f"Run {run_id} failed {mark.failures} time(s): {outcome}: {type(error).__name__}: {error}", error
        )

    def _tail_runless(self, cursor: Cursor) -> None:
        more = True
        while more:
            records, more = self._read_runless(cursor.runless)
            horizon = self.clock() - self._settle()
            for record in records:
                if record.timestamp > horizon:
                    return
                self._deliver_runless(record)
                cursor.runless = record.storage_id
            if self._is_over():
                self._progress.more |= more
                return

    def _read_runless(self, position: int) -> tuple[Sequence[EventLogRecord], bool]:
        try:
            return self.reader.runless_page(position)
        except Exception as error:  # one row that nobody can read stops the runless events, never the runs
            self._say(f"Runless events after id {position} cannot be read: {error}", error)
            return [], False

    def _deliver_runless(self, record: EventLogRecord) -> None:
        try:
            event = dataset_event(record.event_log_entry, self.reader.assets())
            if event is not None:
                self._deliver(event)
        except DeliveryError as error:
            if not isinstance(error, RefusedError):
                raise
            self._leave_out(f"A runless event (id {record.storage_id}) is refused: {error}", error)
        except Exception as error:
            self._leave_out(f"A runless event (id {record.storage_id}) cannot be read: {error}", error)

    def _leave_out(self, problem: str, error: Exception) -> None:
        self._progress.given_up += 1
        self._say(f"{problem}; it is left out", error)

    def _say(self, problem: str, error: Exception) -> None:
        self._progress.problems.append(problem)
        log.warning("%s", problem, exc_info=error)

    def _settle(self) -> float:
        return self.reader.settle()

    def _forget(self, cursor: Cursor) -> None:
        open_runs = {run_id for run_id, mark in cursor.runs.items() if not mark.done}
        self._folds = {run_id: folding for run_id, folding in self._folds.items() if run_id in open_runs}
        self._resting = {run_id: until for run_id, until in self._resting.items() if run_id in open_runs}
        self._turns = {run_id: turn for run_id, turn in self._turns.items() if run_id in cursor.runs}
