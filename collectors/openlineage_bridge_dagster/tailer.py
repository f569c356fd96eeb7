"""The tail as a process of its own: turn after turn, half a second apart, patient while the backend is away."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from openlineage_bridge_capture.statefile import StateFileError
from openlineage_bridge_dagster.cursor import Cursor

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from openlineage_bridge_dagster.tail import Progress, Tail

log = logging.getLogger(__name__)

BUDGET = 2.0
"""Seconds that a turn works before it keeps how far it came."""

LONGEST_WAIT = 60.0
"""Seconds between two tries at most, however long the backend is away."""


@attrs.define
class Tally:
    """What came of it so far.

    Args:
        delivered: Events that were acknowledged.
        given_up: Runs that were given up, and events without a run that were left out.
    """

    delivered: int = 0
    given_up: int = 0


@attrs.define
class Tailer:
    """A tail, an instance, and where its cursor is kept.

    Args:
        tail: The core.
        instance: What is observed.
        cursor: How far it has come; moves as it goes on.
        keep: Keeps the cursor.
    """

    tail: Tail
    instance: DagsterInstance
    cursor: Cursor
    keep: Callable[[str], None]
    tally: Tally = attrs.field(factory=Tally)

    def turn(self) -> Progress:
        """One turn; the cursor is kept however it ends.

        Raises:
            StateFileError: It cannot be kept.
            Exception: Dagster's storage cannot be read.
        """
        try:
            progress = self.tail.advance(self.instance, self.cursor, budget=BUDGET)
        finally:
            self.keep(self.cursor.to_json())
        self.tally.delivered += progress.delivered
        self.tally.given_up += progress.given_up
        return progress


def catch_up(tailer: Tailer, stop: threading.Event) -> None:
    """Turns until all that is there now was delivered.

    Raises:
        DeliveryError: The backend did not acknowledge an event.
        StateFileError, Exception: As ``Tailer.turn``.
    """
    more = True
    while more and not stop.is_set():
        progress = tailer.turn()
        if progress.error is not None:
            raise progress.error
        more = progress.more


def follow(
    tailer: Tailer, every: float, stop: threading.Event, before_turn: Callable[[], None] = lambda: None
) -> None:
    """Turn after turn until ``stop`` is set; while something is away the waits grow, and nothing is lost.

    Args:
        tailer: What is turned.
        every: Seconds between two turns that found nothing more to do.
        stop: Ends it.
        before_turn: Called before each turn.
    """
    failures = 0
    while not stop.is_set():
        before_turn()
        problem, more = _turn(tailer)
        if problem is None:
            if failures:
                log.warning("It goes on again")
            failures = 0
            stop.wait(0 if more else every)
        else:
            failures += 1
            wait = backoff(failures, every)
            log.warning("%s; trying again in %.1f s", problem, wait)
            stop.wait(wait)


def _turn(tailer: Tailer) -> tuple[str | None, bool]:
    """What stands in the way, if anything, and whether there is more to do at once."""
    try:
        progress = tailer.turn()
    except StateFileError as error:
        return str(error), False
    except Exception as error:
        log.debug("A turn failed", exc_info=True)
        return f"Dagster's storage cannot be read: {type(error).__name__}: {_first_line(error)}", False
    if progress.error is not None:
        return f"The backend does not take events: {_first_line(progress.error)}", False
    return None, progress.more


def backoff(failures: int, every: float) -> float:
    """Seconds to wait after so many failures in a row: doubled each time up to ``LONGEST_WAIT``, and not all at once."""
    longest = min(every * 2.0 ** min(failures, 16), LONGEST_WAIT)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, guards nothing


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]
