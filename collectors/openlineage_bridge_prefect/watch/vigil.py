"""Runs whose process died, and the tasks that they left behind: nobody else will report their end.

A flow run whose heartbeats stopped for three intervals, while Prefect still says that it runs, is said to be ABORTed at
its last sign of life: whatever Prefect says later is later than that, and stands. A task run that Prefect still says to be
running well after its flow run ended is said to be ABORTed at that end.

Runs without heartbeats (switched off, or Prefect before 3.6.22) are never taken for dead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
from openlineage.client.event_v2 import RunEvent

from openlineage_bridge_prefect.runs import Run
from openlineage_bridge_prefect.watch.api import Api
from openlineage_bridge_prefect.watch.cursor import Cursor, Left, Sign
from openlineage_bridge_prefect.watch.reading import Reader
from openlineage_bridge_prefect.watch.transitions import Heartbeat, Transition, flow_run_of, time_of

TOGETHER = 100
"""Flow runs whose tasks are asked for in one request."""

MISSED = 3
"""Heartbeats that must be missing."""

ALIVE = frozenset({"RUNNING", "CANCELLING"})
"""State types in which a process works for a run."""

PATIENCE = {
    "CRASHED": timedelta(minutes=1),
    "CANCELLED": timedelta(minutes=1),
    "COMPLETED": timedelta(hours=1),
    "FAILED": timedelta(hours=1),
}
"""How a flow run ended → how long its tasks may still go on. Prefect waits for tasks before it says COMPLETED or FAILED,
so what is left then was delayed (``.delay()``) and may well be alive, or its end got lost."""


@attrs.frozen
class Closing:
    """A run that is to be said to have ended.

    Args:
        run_id: The run.
        time: When it ended.
        events: The events that say so.
    """

    run_id: UUID
    time: datetime
    events: list[RunEvent]


class Vigil:
    """Watches over running flow runs.

    Args:
        cursor: Keeps what is known of them.
        reader: Makes events.
        api: Tells what Prefect says of a run now.
        interval: Seconds between two heartbeats (``PREFECT_FLOWS_HEARTBEAT_FREQUENCY``); a run that is seen to take longer
            has its own.
    """

    def __init__(self, cursor: Cursor, reader: Reader, api: Api, interval: float) -> None:
        self._cursor = cursor
        self._reader = reader
        self._api = api
        self._interval = interval

    def note(self, seen: Transition | Heartbeat, heard: datetime) -> None:
        """A run gave a sign of life, or ended."""
        if isinstance(seen, Heartbeat):
            self._beat(seen, heard)
        elif seen.kind == "TASK":
            if seen.flow_run_id in self._cursor.signs:
                self._live(seen.flow_run_id, seen.time, heard)
        elif seen.type in ALIVE:
            self._cursor.left.pop(seen.run_id, None)
            self._live(seen.run_id, seen.time, heard)
        else:
            self._cursor.signs.pop(seen.run_id, None)
            if seen.type in PATIENCE:
                self._cursor.left[seen.run_id] = Left(seen.time, heard + PATIENCE[seen.type], seen.type)

    def _live(self, run_id: UUID, time: datetime, heard: datetime) -> None:
        sign = self._cursor.signs.setdefault(run_id, Sign(time, heard))
        sign.time, sign.heard = max(sign.time, time), max(sign.heard, heard)

    def _beat(self, beat: Heartbeat, heard: datetime) -> None:
        before = self._cursor.signs.get(beat.run_id)
        # A heartbeat on the way while the run ended is no sign that it goes on.
        left = self._cursor.left.get(beat.run_id)
        if left is not None and beat.time <= left.ended:
            return
        if before is not None and before.beats:
            before.gap = max(before.gap, (beat.time - before.time).total_seconds())
        self._live(beat.run_id, beat.time, heard)
        self._cursor.signs[beat.run_id].beats = True

    def closings(self, now: datetime) -> Iterator[Closing]:
        """What is to be said to have ended now; each is settled once the next one is asked for.

        Raises:
            ApiError: Prefect could not be asked.
        """
        for run_id, sign in list(self._cursor.signs.items()):
            if self._lapsed(sign, now):
                yield from self._dead(run_id, sign)
                self._cursor.signs.pop(run_id, None)
        due = {run_id: left for run_id, left in self._cursor.left.items() if left.due <= now}
        for start in range(0, len(due), TOGETHER):
            yield from self._left_behind(dict(list(due.items())[start : start + TOGETHER]))

    def _left_behind(self, due: Mapping[UUID, Left]) -> Iterator[Closing]:
        for run, record in self._running(due):
            left = due[UUID(record["flow_run_id"])]
            if run.id not in self._cursor.closed:
                yield self._orphan(run, record, left.ended, f"its flow run ended ({left.state}) before it")
        for run_id in due:
            self._cursor.left.pop(run_id, None)

    def _lapsed(self, sign: Sign, now: datetime) -> bool:
        patience = timedelta(seconds=MISSED * max(self._interval, sign.gap))
        return sign.beats and now - sign.heard > patience

    def _dead(self, run_id: UUID, sign: Sign) -> Iterator[Closing]:
        record = self._api.get(f"/flow_runs/{run_id}")
        if not record or record.get("state_type") not in ALIVE:
            return
        run = self._reader.directory.run_of(_as_it_is(record))
        if run is None:
            return
        reason = (
            f"No heartbeat since {sign.time.isoformat(timespec='seconds')}: its process is gone. "
            f"Prefect still says {record.get('state_name')}."
        )
        for task_run, task_record in self._running([run_id]):
            yield self._orphan(task_run, task_record, sign.time, "the process of its flow run is gone")
        yield Closing(run.id, sign.time, self._reader.closing(run, record, sign.time, reason))

    def _running(self, flow_run_ids: Iterable[UUID]) -> Iterator[tuple[Run, Mapping[str, Any]]]:
        """The task runs of flow runs that still run; not those by which Prefect tracks subflows, which are no runs of ours."""
        criteria = {
            "task_runs": {
                "flow_run_id": {"any_": [str(each) for each in flow_run_ids]},
                "state": {"type": {"any_": ["RUNNING"]}},
                "subflow_runs": {"exists_": False},
            }
        }
        for page in self._api.objects("/task_runs/filter", criteria):
            for record in page:
                run = self._reader.directory.task_run(UUID(record["id"]))
                if run is not None and flow_run_of(record) is not None:
                    yield run, record

    def _orphan(self, run: Run, record: Mapping[str, Any], ended: datetime, why: str) -> Closing:
        time = max(ended, time_of(record["state"]["timestamp"]))
        reason = f"It never said that it ended, and {why}. Prefect still says {record.get('state_name')}."
        return Closing(run.id, time, self._reader.closing(run, record, time, reason))


def _as_it_is(record: Mapping[str, Any]) -> Transition:
    state = record["state"]
    return Transition(
        run_id=UUID(record["id"]),
        kind="FLOW",
        time=time_of(state["timestamp"]),
        before=None,
        type=state["type"],
        name=state.get("name"),
        message=None,
        run_count=record.get("run_count") or 0,
    )
