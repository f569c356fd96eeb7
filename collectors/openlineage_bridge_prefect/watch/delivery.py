"""One event to the backend, acknowledged: what went wrong decides what is done next."""

from __future__ import annotations

import logging
from collections.abc import Callable

from openlineage.client.event_v2 import RunEvent

from openlineage_bridge_capture.client import NotConfiguredError, send

logger = logging.getLogger("openlineage_bridge")

Send = Callable[[RunEvent], None]

REFUSALS = frozenset({400, 413, 415, 422})
"""Statuses with which a receiver refuses this very event; 401, 403, 404 and 429 are about all events."""


class DeliveryError(Exception):
    """The event was not acknowledged; it is to be sent again."""


def deliver(event: RunEvent, send: Send = send) -> bool:
    """Send one event and wait for the acknowledgement.

    Returns:
        Whether it was taken; False when the receiver refuses it and always will.

    Raises:
        NotConfiguredError: There is no backend to send to.
        DeliveryError: It was not acknowledged.
    """
    try:
        send(event)
    except NotConfiguredError:
        raise
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status not in REFUSALS:
            raise DeliveryError(f"{type(error).__name__}: {error}") from error
        logger.warning("The backend refuses an event of run %s: %s", event.run.runId, error)
        return False
    return True
