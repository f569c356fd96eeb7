"""History from runs and their states: events of Prefect are kept for a week, states for as long as their run.

Windows of time one after the other, each as wide as it has about as many flow runs as a page: paging by offset through
years would cost the square of their number. A run's record alone tells its one beginning and its end; only where there
was more than one attempt are its states asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import attrs

from openlineage_bridge_capture import log
from openlineage_bridge_capture.client import send as send_now
from openlineage_bridge_prefect.runs import Kind
from openlineage_bridge_prefect.transitions import TERMINAL
from openlineage_bridge_prefect.watch import assets
from openlineage_bridge_prefect.watch.api import OBJECTS_PER_PAGE, Api, ApiError
from openlineage_bridge_prefect.watch.assets import AssetUses
from openlineage_bridge_prefect.watch.cursor import BackfillMark, parsed
from openlineage_bridge_prefect.watch.delivery import Send, deliver
from openlineage_bridge_prefect.watch.reading import Reader
from openlineage_bridge_prefect.watch.transitions import (
    Transition,
    flow_run_of,
    known_states,
    of_states,
    time_of,
)
from openlineage_bridge_prefect.watch.vigil import PATIENCE

TOGETHER = 20
"""Flow runs whose task runs and assets are asked for in one request."""

FIRST_WINDOW = timedelta(days=1)
NARROWEST = timedelta(minutes=1)
WIDEST = timedelta(days=30)

STATES: dict[Kind, str] = {
    "FLOW": "/flow_run_states/?flow_run_id=",
    "TASK": "/task_run_states/?task_run_id=",
}


@attrs.define
class Tally:
    """What came of it so far.

    Args:
        flow_runs: Flow runs that were read.
        task_runs: Task runs that were read.
        delivered: OpenLineage events that were acknowledged.
        refused: OpenLineage events that the backend refuses.
        unreadable: Runs that do not look like any.
    """

    flow_runs: int = 0
    task_runs: int = 0
    delivered: int = 0
    refused: int = 0
    unreadable: int = 0


class Backfill:
    """Says what happened in the past.

    Args:
        api: The API.
        reader: Makes OpenLineage events.
        mark: From when to when, and how far it has come; moves as it goes on.
        keep: Keeps the mark.
        now: The time of asking: what ended long before will get no more news.
        send: Sends an event and returns when it was acknowledged.
    """

    def __init__(
        self,
        api: Api,
        reader: Reader,
        mark: BackfillMark,
        keep: Callable[[BackfillMark], None],
        *,
        now: datetime,
        send: Send = send_now,
    ) -> None:
        self.tally = Tally()
        self._api, self._reader, self._mark, self._keep = api, reader, mark, keep
        self._now, self._send = now, send

    def count(self) -> int:
        """How many flow runs are still to be read.

        Raises:
            ApiError: Prefect's API did not answer.
        """
        return int(self._api.post("/flow_runs/count", _due(self._mark.done, self._mark.until)))

    def run(self) -> Iterator[int]:
        """Go through all windows; yields how many flow runs were dealt with, now and then.

        Raises:
            ApiError: Prefect's API did not answer; a new start goes on with the window.
            DeliveryError: The backend did not acknowledge an event; the same.
        """
        width = FIRST_WINDOW
        while self._mark.done < self._mark.until:
            end = min(self._mark.done + width, self._mark.until)
            found = 0
            for number in self._window(self._mark.done, end):
                found += number
                yield number
            self._mark.done = end
            self._keep(self._mark)
            width = next_width(width, found)

    def _window(self, begin: datetime, end: datetime) -> Iterator[int]:
        criteria = {**_due(begin, end), "sort": "EXPECTED_START_TIME_ASC"}
        for page in self._api.objects("/flow_runs/filter", criteria):
            self._reader.directory.remember(page)
            for group in batched_lists(page, TOGETHER):
                self._flow_runs(group)
                yield len(group)
        self._lone_tasks(begin, end)

    def _flow_runs(self, flow_runs: list[dict[str, Any]]) -> None:
        ids = [flow_run["id"] for flow_run in flow_runs]
        by_id = {flow_run["id"]: flow_run for flow_run in flow_runs}
        uses = self._assets("flow-run", ids, min(time_of(each["expected_start_time"]) for each in flow_runs))
        for flow_run in flow_runs:
            self._run("FLOW", flow_run, uses)
            self.tally.flow_runs += 1
        criteria = {"task_runs": {"flow_run_id": {"any_": ids}, "subflow_runs": {"exists_": False}}}
        for page in self._api.objects("/task_runs/filter", {**criteria, "sort": "EXPECTED_START_TIME_ASC"}):
            for task_run in page:
                self._task_run(
                    task_run, uses, by_id[task_run["flow_run_id"]] if flow_run_of(task_run) else None
                )

    def _lone_tasks(self, begin: datetime, end: datetime) -> None:
        """The task runs of the window that belong to no flow run."""
        criteria = {
            "task_runs": {
                "flow_run_id": {"is_null_": True},
                "start_time": {"after_": begin.isoformat(), "before_": end.isoformat()},
            },
            "sort": "EXPECTED_START_TIME_ASC",
        }
        try:
            for page in self._api.objects("/task_runs/filter", criteria):
                uses = self._assets("task-run", [task_run["id"] for task_run in page], begin)
                for task_run in page:
                    self._task_run(task_run, uses, None)
        except ApiError as error:
            if error.status != 422:
                raise
            log.once(
                logging.WARNING,
                "This version of Prefect does not tell which task runs have no flow run; they are left out",
            )

    def _task_run(
        self, task_run: dict[str, Any], uses: AssetUses, flow_run: Mapping[str, Any] | None
    ) -> None:
        self._run("TASK", task_run, uses)
        self.tally.task_runs += 1
        if flow_run is None or (task_run.get("state") or {}).get("type") != "RUNNING":
            return
        state = flow_run.get("state") or {}
        patience = PATIENCE.get(state.get("type", ""))
        if patience is not None and time_of(state["timestamp"]) + patience < self._now:
            self._left_behind(task_run, state)

    def _left_behind(self, task_run: Mapping[str, Any], flow_run_state: Mapping[str, Any]) -> None:
        run = self._reader.directory.task_run(UUID(task_run["id"]))
        if run is not None:
            time = max(time_of(flow_run_state["timestamp"]), time_of(task_run["state"]["timestamp"]))
            reason = (
                f"It never said that it ended, and its flow run ended ({flow_run_state['type']}) before it. "
                f"Prefect still says {task_run.get('state_name')}."
            )
            self._deliver(self._reader.closing(run, task_run, time, reason))

    def _run(self, kind: Kind, run: dict[str, Any], uses: AssetUses) -> None:
        try:
            transitions = self._transitions(kind, run)
        except (KeyError, TypeError, ValueError):
            self.tally.unreadable += 1
            log.once(logging.WARNING, "A run cannot be read and is left out", exc_info=True)
            return
        for transition in transitions:
            use = uses.of(transition.run_id) if transition.type in TERMINAL else None
            self._deliver(self._reader.events(transition, use))

    def _transitions(self, kind: Kind, run: dict[str, Any]) -> list[Transition]:
        states = known_states(run)
        if states is None:
            states = self._api.get(f"{STATES[kind]}{run['id']}") or []
        if kind == "FLOW":
            return of_states(kind, run, states)
        return of_states(kind, run, states, task_run=run, flow_run_id=flow_run_of(run))

    def _assets(self, kind: str, ids: Iterable[str], since: datetime) -> AssetUses:
        """What these runs did with assets: from the event stream, so as far back as it is kept."""
        uses = AssetUses()
        criteria = {
            "occurred": {"since": since.isoformat(), "until": self._now.isoformat()},
            "event": {"prefix": [assets.PREFIX]},
            "related": {"id": [f"prefect.{kind}.{each}" for each in ids]},
        }
        for page in self._api.events(criteria):
            for event in page:
                uses.add(event)
        return uses

    def _deliver(self, events: Iterable[Any]) -> None:
        for event in events:
            if deliver(event, self._send):
                self.tally.delivered += 1
            else:
                self.tally.refused += 1


def _due(begin: datetime, end: datetime) -> dict[str, Any]:
    """The flow runs that were to start in a window."""
    return {"flow_runs": {"expected_start_time": {"after_": begin.isoformat(), "before_": end.isoformat()}}}


def next_width(width: timedelta, found: int) -> timedelta:
    """How wide the next window is: narrower after one with more flow runs than a page, wider after a nearly empty one."""
    if found > OBJECTS_PER_PAGE:
        return max(width / 2, NARROWEST)
    return min(width * 2, WIDEST) if found < OBJECTS_PER_PAGE // 4 else width


def batched_lists(items: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """The items in lists of at most ``size``."""
    return (items[start : start + size] for start in range(0, len(items), size))


def mark_for(
    saved: Mapping[str, Any] | None, since: datetime, until: datetime | None, now: datetime
) -> BackfillMark:
    """Where to begin: where an unfinished back-fill of the same time stopped, else at ``since``."""
    if saved is not None:
        mark = parsed(BackfillMark.from_json, saved)
        if mark.since == since and until in (None, mark.until) and mark.done < mark.until:
            return mark
    return BackfillMark(since, until or now, since)
