"""History: the runs of a time, oldest first, each folded from its whole log, as the sensor would have told them then."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs
from dagster import RunsFilter

from openlineage_bridge_dagster.delivery import DeliveryError, Event, RefusedError, Send, deliver
from openlineage_bridge_dagster.discovery import NOT_YET, create_time
from openlineage_bridge_dagster.reading import Reader
from openlineage_bridge_dagster.runless import dataset_event
from openlineage_bridge_dagster.tail import never

if TYPE_CHECKING:
    from dagster import RunRecord

log = logging.getLogger(__name__)

VERSION = 1
PAGE = 100
"""Runs asked for at a time."""

ATTEMPTS = 6
"""How often an event is sent before the backend counts as away."""

FIRST_WAIT = 0.5
"""Seconds before the second attempt; twice as many before each further one."""


@attrs.frozen
class Selection:
    """Which part of history.

    Args:
        since: Runs created from then on, seconds since the epoch.
        until: … and before then.
        jobs: Jobs by Dagster's own names; none means all of them.
        run_ids: These runs, whenever they were created; none means all.
    """

    since: float
    until: float
    jobs: tuple[str, ...] = ()
    run_ids: tuple[str, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether events without a run belong to it too."""
        return not self.jobs and not self.run_ids

    def filters(self, since: float | None = None) -> RunsFilter:
        """As Dagster's storage filters; its ``created_after`` leaves out that very moment."""
        if self.run_ids:
            return RunsFilter(run_ids=list(self.run_ids))
        after = max((self.since if since is None else since) - 1e-3, 0.0)
        return RunsFilter(
            created_after=datetime.fromtimestamp(after, UTC),
            created_before=datetime.fromtimestamp(self.until, UTC),
            job_name=self.jobs[0] if len(self.jobs) == 1 else None,
        )

    def holds(self, record: RunRecord) -> bool:
        """Whether a run that the filters let through belongs to it."""
        return not self.jobs or record.dagster_run.job_name in self.jobs


@attrs.define
class Mark:
    """How far a back-fill has come.

    Args:
        selection: Of what.
        run_id: The last run that was dealt with, None before the first.
        created: When it was created.
        runless: Storage id of the last event without a run that was dealt with.
        done: Whether all of it was.
    """

    selection: Selection
    run_id: str | None = None
    created: float = 0.0
    runless: int = -1
    done: bool = False

    def to_json(self) -> str:
        """As a line of JSON."""
        return json.dumps({"v": VERSION, **attrs.asdict(self)}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Mark:
        """The inverse of ``to_json``.

        Raises:
            ValueError: Something else wrote it.
        """
        try:
            data: dict[str, Any] = json.loads(text)
            selection = data.pop("selection") if data.pop("v") == VERSION else {}
            return cls(Selection(**{k: _tuple(v) for k, v in selection.items()}), **data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"It was not written by a back-fill of this version: {error}") from error


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def mark_for(
    saved: str | None, *, since: float, until: float | None, jobs: tuple[str, ...], now: float
) -> Mark:
    """Where to begin: where an unfinished back-fill of the same part of history stopped, else at its start.

    Raises:
        ValueError: What was saved cannot be read.
    """
    if saved is not None:
        mark = Mark.from_json(saved)
        selection = mark.selection
        same = selection.since == since and selection.jobs == jobs and until in (None, selection.until)
        if same and not mark.done:
            return mark
    return Mark(Selection(since, now if until is None else until, jobs))


@attrs.define
class Tally:
    """What came of it so far.

    Args:
        runs: Runs that were told.
        not_started: Runs that nothing has happened to yet.
        delivered: Events that were acknowledged.
        refused: Events that the backend refuses.
        unreadable: Runs, or events without a run, that cannot be read to the end.
    """

    runs: int = 0
    not_started: int = 0
    delivered: int = 0
    refused: int = 0
    unreadable: int = 0


@attrs.define
class Backfill:
    """Tells what happened in the past.

    Args:
        reader: Reads the instance.
        mark: What to tell, and how far it has come; moves as it goes on.
        send: Delivers one event and returns when it was acknowledged.
        keep: Keeps the mark.
        wait: Waits so many seconds, or less when it is to stop.
        stop: Whether to end as soon as may be.
        clock: Now, in seconds since the epoch.
    """

    reader: Reader
    mark: Mark
    send: Send
    keep: Callable[[str], None] = lambda _text: None
    wait: Callable[[float], object] = time.sleep
    stop: Callable[[], bool] = never
    clock: Callable[[], float] = time.time
    tally: Tally = attrs.field(factory=Tally)

    def count(self) -> int:
        """How many runs are still to be told; about, where several jobs are named."""
        selection = self.mark.selection
        instance = self.reader.require_instance()
        since = self.mark.created if self.mark.run_id else None
        jobs = selection.jobs if len(selection.jobs) > 1 else (None,)
        narrowed = [selection if job is None else attrs.evolve(selection, jobs=(job,)) for job in jobs]
        return sum(instance.get_runs_count(each.filters(since)) for each in narrowed)

    def run(self) -> Iterator[str]:
        """Go through it; yields the id of each run when it was dealt with. It has come to its end when ``mark.done``.

        Raises:
            DeliveryError: The backend is away; a new start goes on with the run.
            Exception: Dagster's storage cannot be read.
        """
        for record in self._records():
            if not self._tell(record):
                return
            self.mark.run_id, self.mark.created = record.dagster_run.run_id, create_time(record)
            self.keep(self.mark.to_json())
            yield record.dagster_run.run_id
        if self.mark.selection.is_everything and not self._tell_runless():
            return
        self.mark.done = not self.stop()
        self.keep(self.mark.to_json())

    def _records(self) -> Iterator[RunRecord]:
        """The runs in the order of their creation. The storage pages behind a run's id, which must not be gone."""
        selection, instance = self.mark.selection, self.reader.require_instance()
        behind, created = self.mark.run_id, self.mark.created
        while not self.stop():
            if behind is not None and instance.get_run_record_by_id(behind) is None:
                behind = None  # deleted meanwhile: from its time on again, though some of it be told twice
            records = instance.get_run_records(
                selection.filters(created or None), limit=PAGE, cursor=behind, ascending=True
            )
            yield from (record for record in records if selection.holds(record))
            if len(records) < PAGE:
                return
            behind, created = records[-1].dagster_run.run_id, create_time(records[-1])

    def _tell(self, record: RunRecord) -> bool:
        """Tell a run; whether to go on with the next."""
        if record.dagster_run.status in NOT_YET:
            self.tally.not_started += 1
            return True
        try:
            for events in self.reader.told(record, self.clock() - self.reader.settle()):
                for event in events:
                    self._deliver(event)
                if self.stop():
                    return False
        except DeliveryError:
            raise
        except Exception as error:
            self.tally.unreadable += 1
            log.warning(
                "Run %s cannot be read to its end: %s: %s",
                record.dagster_run.run_id,
                type(error).__name__,
                error,
            )
        self.tally.runs += 1
        return True

    def _tell_runless(self) -> bool:
        """Tell the asset events without a run; whether that came to its end."""
        selection, more = self.mark.selection, True
        while more:
            try:
                records, more = self.reader.runless_page(self.mark.runless)
            except Exception as error:
                self.tally.unreadable += 1
                log.warning("Events without a run after id %s cannot be read: %s", self.mark.runless, error)
                return True
            for record in records:
                if self.stop():
                    return False
                if selection.since <= record.timestamp < selection.until:
                    self._tell_one_runless(record)
                self.mark.runless = record.storage_id
        return True

    def _tell_one_runless(self, record: Any) -> None:
        try:
            event = dataset_event(record.event_log_entry, self.reader.assets())
        except Exception as error:
            self.tally.unreadable += 1
            log.warning("The event without a run with id %s cannot be read: %s", record.storage_id, error)
            return
        if event is not None:
            self._deliver(event)

    def _deliver(self, event: Event) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                deliver(self.send, event)
            except RefusedError as error:
                self.tally.refused += 1
                log.warning("The backend refuses an event: %s", error)
                return
            except DeliveryError:
                if attempt == ATTEMPTS or self.stop():
                    raise
                self.wait(FIRST_WAIT * 2 ** (attempt - 1))
            else:
                self.tally.delivered += 1
                return


def seconds(moment: datetime) -> float:
    """Seconds since the epoch; a time without a zone is UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
