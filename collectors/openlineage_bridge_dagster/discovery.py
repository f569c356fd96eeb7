"""Which runs there are to tail: every run that changed since the watermark, found without relying on ids or luck."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dagster import DagsterRunStatus, RunsFilter

from openlineage_bridge_dagster.cursor import Cursor, RunMark

if TYPE_CHECKING:
    from dagster import DagsterInstance, RunRecord

OVERLAP = 120.0
"""Seconds that discovery looks back behind the watermark: update times are the writers' clocks."""

GRACE = 60.0
"""Seconds after its end in which a run's log is not yet trusted to be complete."""

PAGE = 500
"""Runs asked for at a time."""

MAX_WAITING = 1_000
"""Runs that may wait to be tailed; beyond it discovery waits, so that history never makes the cursor large."""

# Nothing of lineage has happened to these yet; they come again when it has.
NOT_YET = frozenset({DagsterRunStatus.NOT_STARTED, DagsterRunStatus.QUEUED, DagsterRunStatus.MANAGED})
IN_PROGRESS = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]

Wanted = Callable[["RunRecord"], bool]


def discover(
    instance: DagsterInstance, cursor: Cursor, *, wanted: Wanted, page: int = PAGE, waiting: int = MAX_WAITING
) -> dict[str, RunRecord]:
    """Mark every run that is to be tailed in ``cursor``, move its watermark, and return the records that were seen."""
    horizon = cursor.watermark - OVERLAP - GRACE
    seen: dict[str, RunRecord] = {}
    for record in _in_progress(instance, cursor, page):
        seen[record.dagster_run.run_id] = record
        _mark(cursor, record, horizon, wanted)
    still_open = sum(1 for mark in cursor.runs.values() if not mark.done)
    for record in _updated(instance, cursor.watermark - OVERLAP, page):
        seen[record.dagster_run.run_id] = record
        still_open += _mark(cursor, record, horizon, wanted)
        cursor.watermark = max(cursor.watermark, update_time(record))
        if still_open >= waiting:
            break
    return seen


def sweep(cursor: Cursor) -> None:
    """Drop the marks of finished runs that discovery cannot find again."""
    horizon = cursor.watermark - OVERLAP - GRACE
    gone = [run_id for run_id, mark in cursor.runs.items() if mark.done and mark.updated < horizon]
    for run_id in gone:
        del cursor.runs[run_id]


def vanished(instance: DagsterInstance, cursor: Cursor, seen: dict[str, RunRecord]) -> list[str]:
    """Runs that are marked as open but were deleted from the instance."""
    unseen = [run_id for run_id, mark in cursor.runs.items() if not mark.done and run_id not in seen]
    if not unseen:
        return []
    found = instance.get_run_records(RunsFilter(run_ids=unseen))
    known = {record.dagster_run.run_id for record in found}
    seen.update({record.dagster_run.run_id: record for record in found})
    return [run_id for run_id in unseen if run_id not in known]


def update_time(record: RunRecord) -> float:
    """When the run was last updated, seconds since the epoch; Dagster stores UTC, in older versions without saying so."""
    return _epoch(record.update_timestamp)


def create_time(record: RunRecord) -> float:
    """When the run was created, seconds since the epoch."""
    return _epoch(record.create_timestamp)


def _epoch(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _mark(cursor: Cursor, record: RunRecord, horizon: float, wanted: Wanted) -> bool:
    """Mark the run if it is to be tailed; whether that is news."""
    run_id = record.dagster_run.run_id
    if (mark := cursor.runs.get(run_id)) is not None:
        mark.updated = max(mark.updated, update_time(record))
    elif _is_new(cursor, record, horizon) and wanted(record):
        cursor.runs[run_id] = RunMark(updated=update_time(record))
        return True
    return False


def _is_new(cursor: Cursor, record: RunRecord, horizon: float) -> bool:
    if record.dagster_run.status in NOT_YET or create_time(record) < cursor.start:
        return False
    # Editing the tags of an old run moves its update time: what ended on our watch and long ago was handled then.
    return record.end_time is None or not cursor.born <= record.end_time < horizon


def _in_progress(instance: DagsterInstance, cursor: Cursor, page: int) -> Iterator[RunRecord]:
    """Runs in progress, whatever their update time: a worker whose clock is behind hides no run."""
    created = datetime.fromtimestamp(cursor.start, UTC) if cursor.start else None
    yield from instance.get_run_records(RunsFilter(statuses=IN_PROGRESS, created_after=created), limit=page)


def _updated(instance: DagsterInstance, after: float, page: int) -> Iterator[RunRecord]:
    """Runs updated after a moment, oldest first, to the end.

    The storage pages by id, so this pages by moving the moment; its comparison is a strict ``>``, so each page begins
    a little before the last one's end, and a page full of one and the same time is asked for again, larger.
    """
    known: set[str] = set()
    while True:
        records = instance.get_run_records(
            RunsFilter(updated_after=datetime.fromtimestamp(max(after, 0.0), UTC)),
            limit=page,
            order_by="update_timestamp",
            ascending=True,
        )
        fresh = [record for record in records if record.dagster_run.run_id not in known]
        known.update(record.dagster_run.run_id for record in fresh)
        yield from fresh
        if len(records) < page:
            return
        step_back = update_time(records[-1]) - 1e-3
        if step_back <= after or not fresh:
            page *= 2
        after = max(after, step_back)
