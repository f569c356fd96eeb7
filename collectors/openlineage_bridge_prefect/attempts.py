"""Which attempt of a Prefect flow run is this: one that had ended and runs again is another run for OpenLineage. Pure.

A run of OpenLineage starts once and ends once, for good ("Run cycle"). Prefect runs a flow run that had ended again under
the same id: "Retry" in its UI, or a run that is scheduled anew. Such an attempt gets an id of its own, which everybody who
knows the states of the flow run can compute: the processes of the attempts, and a watcher. A retry within the flow run
(``retries``) and a resumption go on with the run that there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID, uuid5

import attrs

from openlineage_bridge_prefect.transitions import TERMINAL

ATTEMPTS = UUID("6f9b8c52-3a0e-5f6d-9d41-7c1f5f0a2b37")
"""The namespace (RFC 9562, version 5) of the ids of further attempts; never to be changed."""

State = tuple[datetime, str]
"""When a state began, and its type."""


@attrs.frozen
class Attempt:
    """Where in the life of a flow run a moment lies.

    Args:
        number: How often the flow run had ended and gone on before.
        begun: Whether this attempt had started before the moment.
        ended: Whether it had ended before the moment, and nothing had gone on since.
    """

    number: int = 0
    begun: bool = False
    ended: bool = False


def run_id(prefect_id: UUID, number: int) -> UUID:
    """The ``runId`` of an attempt: Prefect's own id for the first, ``uuid5(ATTEMPTS, "{id}:{number}")`` for those after it."""
    return uuid5(ATTEMPTS, f"{prefect_id}:{number}") if number else prefect_id


def attempt_at(states: Iterable[State], moment: datetime, entered: str | None) -> Attempt:
    """The attempt that a state belongs to, or something below the flow run.

    Args:
        states: States of the flow run, in any order; those at ``moment`` and later do not count.
        moment: When the state began.
        entered: Its type. A terminal one right after another corrects the end of the attempt that ended. None for something
            below the flow run, which may begin when the attempt has ended that asked for it: a task in the background.
    """
    number, begun, ended = 0, False, False
    for _, state_type in sorted(each for each in states if each[0] < moment):
        if state_type in TERMINAL:
            begun = ended = True
            continue
        if ended:
            number, begun, ended = number + 1, False, False
        begun = begun or state_type == "RUNNING"
    if ended and entered is not None and entered not in TERMINAL:
        return Attempt(number + 1)
    return Attempt(number, begun, ended)
