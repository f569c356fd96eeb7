"""What waits, one by one: events that are not processed yet, and what a destination still lacks."""

from __future__ import annotations

import sqlite3

import attrs

from openlineage_bridge import events
from openlineage_bridge.errors import RejectedEvent
from openlineage_bridge.events import DatasetEvent, RunEvent

_EVENTS = "SELECT seq, received, receiver, body FROM inbox WHERE NOT done ORDER BY seq LIMIT ?"
_ASPECTS = """
SELECT seq, since, urn, o.name, nullif(at, -1), attempts, o.reason, coalesce(d.label, '')
FROM outbox o LEFT JOIN destinations d ON d.id = o.destination ORDER BY seq LIMIT ?
"""


@attrs.frozen
class WaitingEvent:
    """An event that was acknowledged and is not processed yet.

    Args:
        number: Its place in the inbox.
        received: Milliseconds since the epoch.
        receiver: Where it came from.
        size: Bytes.
        type: Its ``eventType``, or what kind of event it is.
        about: Namespace and name of its job, or of its dataset.
    """

    number: int
    received: int
    receiver: str
    size: int
    type: str
    about: str


@attrs.frozen
class WaitingAspect:
    """An aspect that a destination still lacks.

    Args:
        number: Its place in the outbox.
        since: Seconds since the epoch: when it began to be lacking.
        urn: Of the entity.
        name: Of the aspect.
        at: Of a timeseries aspect, milliseconds since the epoch; else None.
        attempts: How often it was offered.
        reason: What the destination last said to it.
        destination: What the configuration calls the destination; empty where there is none.
    """

    number: int
    since: int
    urn: str
    name: str
    at: int | None
    attempts: int
    reason: str
    destination: str


def waiting_events(connection: sqlite3.Connection, limit: int) -> list[WaitingEvent]:
    """Oldest first."""
    return [
        WaitingEvent(number, received, receiver, len(body), *_said(body))
        for number, received, receiver, body in connection.execute(_EVENTS, (limit,))
    ]


def waiting_aspects(connection: sqlite3.Connection, limit: int) -> list[WaitingAspect]:
    """Oldest first."""
    return [WaitingAspect(*row) for row in connection.execute(_ASPECTS, (limit,))]


def _said(body: bytes) -> tuple[str, str]:
    """The type of an event, and what it is about."""
    try:
        event = events.parse(body)
    except RejectedEvent:
        return "?", ""
    key = event.dataset.key if isinstance(event, DatasetEvent) else event.job
    type_ = event.event_type if isinstance(event, RunEvent) else type(event).__name__
    return type_, f"{key.namespace} {key.name}"
