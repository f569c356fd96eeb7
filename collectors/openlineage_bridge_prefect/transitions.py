"""From the type of a Prefect state to OpenLineage event types. Pure.

The state's *type* decides, never its name: ``Cached``, ``TimedOut`` and ``Retrying`` are names, and users invent more.

A task run whose transaction is rolled back enters COMPLETED once more, as ``RolledBack``: that comes after its end, and is
not told.
"""

from __future__ import annotations

from typing import Literal

EventType = Literal["START", "RUNNING", "COMPLETE", "FAIL", "ABORT", "OTHER"]

TERMINAL: dict[str, EventType] = {
    "COMPLETED": "COMPLETE",
    "FAILED": "FAIL",
    "CRASHED": "FAIL",
    "CANCELLED": "ABORT",
}
"""State types that end a run (OpenLineage, "Run cycle": exactly one terminal event)."""

BETWEEN: dict[str, EventType] = {
    "SCHEDULED": "OTHER",
    "PAUSED": "OTHER",
}
"""State types in which a started run waits: for its next attempt, or for somebody to resume it."""

SILENT = frozenset({"PENDING", "CANCELLING"})
"""State types that say nothing about the run cycle: not started yet, or not ended yet."""


def event_types(state_type: str, *, started: bool, finished: bool) -> tuple[EventType, ...]:
    """The events that a transition into ``state_type`` asks for, in order.

    A run whose first transition is terminal (parameters that do not validate, for one) gets its START as well: the run
    cycle has exactly one of each. After the end nothing more is said. An unknown type says nothing.

    Args:
        state_type: The value of Prefect's ``StateType``.
        started: Whether START was emitted already.
        finished: Whether a terminal event was emitted already.
    """
    if finished:
        return ()
    if state_type == "RUNNING":
        return ("RUNNING",) if started else ("START",)
    if state_type in TERMINAL:
        return (TERMINAL[state_type],) if started else ("START", TERMINAL[state_type])
    if state_type in BETWEEN and started:
        return (BETWEEN[state_type],)
    return ()


def says_nothing_new(before: str | None, state_type: str) -> bool:
    """Whether a state of a flow run repeats the one before it: some runners mark a run twice that was cancelled.

    Any other end after an end corrects it.
    """
    return before == state_type == "CANCELLED"


def resumed(types: tuple[EventType, ...]) -> tuple[EventType, ...]:
    """What is left of the first events of an engine when another one, in an earlier process, had said START."""
    return ("RUNNING",) if types == ("START",) else tuple(each for each in types if each != "START")
