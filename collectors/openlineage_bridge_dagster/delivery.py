"""Sending one event and waiting for the acknowledgement: what went wrong decides what the tail does next."""

from __future__ import annotations

from collections.abc import Callable

from openlineage.client.event_v2 import DatasetEvent, JobEvent, RunEvent

Event = RunEvent | JobEvent | DatasetEvent
Send = Callable[[Event], None]

# The receiver understood and refuses this very event; 401, 403, 404 and 429 are about all events.
REFUSALS = frozenset({400, 413, 415, 422})


class DeliveryError(Exception):
    """The event was not acknowledged: stop here, keep the cursor, try again at the next tick."""


class RefusedError(DeliveryError):
    """The receiver refuses this event and will go on refusing it: go on without this run."""


def deliver(send: Send, event: Event) -> None:
    """Send one event.

    Raises:
        RefusedError: The event itself is what the receiver, or the serialisation, cannot take.
        DeliveryError: Anything else; it may get through later.
    """
    try:
        send(event)
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in REFUSALS or isinstance(error, (TypeError, AttributeError)):
            raise RefusedError(f"{type(error).__name__}: {error}") from error
        raise DeliveryError(f"{type(error).__name__}: {error}") from error
