"""The loop: ask for events, say what they mean, wait.

At least once: an event counts as dealt with only when all that it asked for was acknowledged; what is said twice is the
same to the byte. Events arrive late (tasks send their own) and out of order, so each turn asks again for the last seconds,
and every minute for the last minutes, and leaves out what it has seen.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs

from openlineage_bridge_capture import log
from openlineage_bridge_capture.client import send as send_now
from openlineage_bridge_prefect.transitions import TERMINAL
from openlineage_bridge_prefect.watch import assets
from openlineage_bridge_prefect.watch.api import Api, ApiError, backoff
from openlineage_bridge_prefect.watch.assets import AssetUses
from openlineage_bridge_prefect.watch.cursor import Cursor, load, parsed, save
from openlineage_bridge_prefect.watch.delivery import DeliveryError, Send, deliver
from openlineage_bridge_prefect.watch.reading import Reader
from openlineage_bridge_prefect.watch.transitions import (
    Heartbeat,
    Transition,
    flow_run_of,
    known_states,
    of_event,
    of_states,
    time_of,
)
from openlineage_bridge_prefect.watch.vigil import Vigil

logger = logging.getLogger("openlineage_bridge")

PREFIXES = ["prefect.flow-run.", "prefect.task-run.", assets.PREFIX]

SETTLE = timedelta(seconds=2)
"""How old an event must be: what belongs to it (the assets of a task that ended) comes right after it."""

OVERLAP = timedelta(seconds=15)
"""How far back each turn asks again."""

DEEP_OVERLAP = timedelta(seconds=300)
"""How far back a turn asks again once in ``DEEP_EVERY`` seconds: tasks send their events themselves, and may be late."""

DEEP_EVERY = 60.0

CLOSED_FOR = timedelta(days=7)
"""How long it is remembered that a run was said to have ended."""

LOG_EVERY = 100
"""Runs that ended between two lines of the log."""


@attrs.define
class Tally:
    """What came of watching so far.

    Args:
        read: Events of Prefect that were dealt with.
        delivered: OpenLineage events that were acknowledged.
        refused: OpenLineage events that the backend refuses.
        ended: Runs that ended.
        closed: Runs that were said to have ended because their process is gone.
        unreadable: Events of Prefect that do not look like any.
    """

    read: int = 0
    delivered: int = 0
    refused: int = 0
    ended: int = 0
    closed: int = 0
    unreadable: int = 0


@attrs.frozen
class _Item:
    """An event of Prefect that was not dealt with before."""

    id: str
    time: datetime
    heard: datetime
    seen: Transition | Heartbeat | UUID | None


class Watcher:
    """Follows the event stream of a Prefect API.

    Args:
        api: The API.
        cursor: How far it has come; moves as it goes on.
        reader: Makes OpenLineage events.
        keep: Keeps the cursor.
        heartbeat: Seconds between the heartbeats of a flow run.
        send: Sends an event and returns when it was acknowledged.
        clock: Now.
        settle: How old an event must be.
        stop: Whether to end as soon as may be.
    """

    def __init__(
        self,
        api: Api,
        cursor: Cursor,
        reader: Reader,
        keep: Callable[[Cursor], None],
        *,
        heartbeat: float = 180.0,
        send: Send = send_now,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        settle: timedelta = SETTLE,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.tally = Tally()
        self._api, self._cursor, self._reader, self._keep = api, cursor, reader, keep
        self._vigil = Vigil(cursor, reader, api, heartbeat)
        self._send, self._clock, self._settle, self._stop = send, clock, settle, stop
        self._uses = AssetUses()
        self._deep_at = 0.0

    def turn(self) -> None:
        """Deal with everything that happened since the last turn.

        Raises:
            ApiError: Prefect's API did not answer; the next turn goes on from here.
            DeliveryError: The backend did not acknowledge an event; the next turn sends it again.
        """
        try:
            if self._follow():
                self._close()
        finally:
            self._cursor.forget(self._cursor.position - DEEP_OVERLAP, self._cursor.position - CLOSED_FOR)
            self._keep(self._cursor)

    def _follow(self) -> bool:
        """Deal with the event stream; whether all of it was."""
        now = self._clock()
        deep = time.monotonic() >= self._deep_at
        criteria = {
            "occurred": {
                "since": (self._cursor.position - (DEEP_OVERLAP if deep else OVERLAP)).isoformat(),
                "until": now.isoformat(),
            },
            "event": {"prefix": PREFIXES},
        }
        waiting: list[_Item] = []
        for page in self._api.events(criteria):
            waiting += [item for event in page if (item := self._item(event)) is not None]
            if page:
                waiting = self._handle(waiting, time_of(page[-1]["occurred"]) - self._settle)
            if self._stop():
                return False
        left = self._handle(waiting, now - self._settle)
        self._uses.keep_only({item.seen.run_id for item in left if isinstance(item.seen, Transition)})
        if deep:
            self._deep_at = time.monotonic() + DEEP_EVERY
        return True

    def _item(self, event: Mapping[str, Any]) -> _Item | None:
        """What is new about an event; None for one that was dealt with. Assets are noted in any case."""
        try:
            if event["event"].startswith(assets.PREFIX):
                seen: Transition | Heartbeat | UUID | None = self._uses.add(event)
            else:
                seen = of_event(event)
            heard = time_of(event.get("received") or event["occurred"])
            item = _Item(event["id"], time_of(event["occurred"]), heard, seen)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.tally.unreadable += 1
            log.once(logging.WARNING, "An event of Prefect cannot be read and is left out", exc_info=True)
            return None
        return None if item.id in self._cursor.seen else item

    def _handle(self, items: list[_Item], until: datetime) -> list[_Item]:
        """Deal with those that are old enough; the others."""
        ripe = [item for item in items if item.time <= until]
        self._reader.directory.read_ahead(_flow_runs(ripe))
        at_hand = {item.seen.run_id for item in items if isinstance(item.seen, Transition)}
        for item in ripe:
            self._handle_one(item, at_hand)
            self._cursor.handled(item.id, item.time)
            self.tally.read += 1
        return [item for item in items if item.time > until]

    def _handle_one(self, item: _Item, at_hand: set[UUID]) -> None:
        if isinstance(item.seen, Heartbeat):
            self._vigil.note(item.seen, item.heard)
        elif isinstance(item.seen, Transition):
            self._report(item.seen)
            self._vigil.note(item.seen, item.heard)
        elif item.seen is not None and item.seen not in at_hand:
            self._report_late_assets(item.seen)

    def _report(self, transition: Transition) -> None:
        ends = transition.type in TERMINAL
        use = self._uses.of(transition.run_id) if ends else None
        closed = self._cursor.closed.get(transition.run_id)
        for event in self._reader.events(transition, use, closed):
            self._deliver(event)
        if ends:
            self._cursor.closed.pop(transition.run_id, None)
            self.tally.ended += 1
            if self.tally.ended % LOG_EVERY == 0:
                logger.info("%s", summary(self.tally))

    def _report_late_assets(self, task_run_id: UUID) -> None:
        """Assets of a task run whose end was reported before: its end again, with them."""
        record = self._api.get(f"/task_runs/{task_run_id}")
        states = known_states(record) if record else None
        if not record or (record.get("state") or {}).get("type") not in TERMINAL:
            return
        transitions = of_states(
            "TASK",
            record,
            states or self._api.get(f"/task_run_states/?task_run_id={task_run_id}") or [],
            task_run=record,
            flow_run_id=flow_run_of(record),
        )
        for event in self._reader.events(transitions[-1], self._uses.of(task_run_id)):
            self._deliver(event)

    def _close(self) -> None:
        for closing in self._vigil.closings(self._clock()):
            for event in closing.events:
                self._deliver(event)
            self._cursor.closed[closing.run_id] = closing.time
            self.tally.closed += 1
            logger.info("Run %s is closed: its process is gone", closing.run_id)

    def _deliver(self, event: Any) -> None:
        if deliver(event, self._send):
            self.tally.delivered += 1
        else:
            self.tally.refused += 1


def _flow_runs(items: list[_Item]) -> set[UUID]:
    found: set[UUID] = set()
    for item in items:
        if isinstance(item.seen, Transition):
            run_id = item.seen.run_id if item.seen.kind == "FLOW" else item.seen.flow_run_id
            if run_id is not None:
                found.add(run_id)
    return found


def summary(tally: Tally) -> str:
    """The tally as a line."""
    text = f"{tally.read:,} events of Prefect, {tally.ended:,} runs ended, {tally.delivered:,} OpenLineage events sent"
    more = {"closed": tally.closed, "refused": tally.refused, "unreadable": tally.unreadable}
    return text + "".join(f", {number:,} {what}" for what, number in more.items() if number)


def cursor_at(path: Path, start: datetime) -> Cursor:
    """The saved cursor; without one, a new one that begins at ``start``.

    Raises:
        StateFileError: There is a file, but not a usable one.
    """
    data = load(path)
    return parsed(Cursor.from_json, data) if data is not None else Cursor(start, start)


def keep_in(path: Path) -> Callable[[Cursor], None]:
    """Keeps a cursor in a file; only when it has changed."""
    last: list[dict[str, Any]] = []

    def keep(cursor: Cursor) -> None:
        data = cursor.to_json()
        if last != [data]:
            save(path, data)
            last[:] = [data]

    return keep


def watch(watcher: Watcher, every: float, stop: threading.Event) -> None:
    """Turn after turn until ``stop`` is set; after an error the waits grow, and what the API asks for is honoured.

    Raises:
        ApiError: The API does not know us, or not what is asked.
    """
    failures = 0
    while not stop.is_set():
        wait = every
        try:
            watcher.turn()
            failures = 0
        except (ApiError, DeliveryError) as error:
            if isinstance(error, ApiError) and error.hopeless and watcher.tally.read == 0:
                raise
            failures += 1
            wait = backoff(failures, every, getattr(error, "retry_after", None))
            logger.warning("%s; trying again in %.0f s", error, wait)
        stop.wait(wait)
