"""An OpenLineage backend on loopback that keeps what it is sent, and can be made unreliable."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bridge_tests.loopback import Handler, serving

ACKNOWLEDGE, REFUSE, LOSE_ACKNOWLEDGEMENT = "acknowledge", "refuse", "lose acknowledgement"


class Backend:
    """Keeps events in the order of their arrival, and counts how often each came, as canonical JSON.

    Args:
        mishap: What happens to the next event: it is kept and acknowledged, answered with 503 and not kept, or kept and
            the connection closed before the answer.
    """

    def __init__(self, mishap: Callable[[], str] = lambda: ACKNOWLEDGE) -> None:
        self.mishap = mishap
        self.status = 200
        """What is answered, mishaps aside; anything else than 200 refuses the event."""
        self.url = ""
        """Where OPENLINEAGE_URL points."""
        self.events: list[dict[str, Any]] = []
        self.times: Counter[str] = Counter()
        self.arrived = threading.Condition()

    @property
    def lines(self) -> list[str]:
        """The events as canonical JSON."""
        return [json.dumps(event, sort_keys=True) for event in self.events]

    def keep(self, event: dict[str, Any]) -> None:
        """Take note of an event."""
        with self.arrived:
            self.events.append(event)
            self.times[json.dumps(event, sort_keys=True)] += 1
            self.arrived.notify_all()

    def wait_for(self, enough: Callable[[], object], seconds: float) -> bool:
        """Whether ``enough()`` held within that time; it is asked again with every event."""
        with self.arrived:
            return self.arrived.wait_for(lambda: bool(enough()), seconds)


class _Handler(Handler):
    def do_POST(self) -> None:
        backend, event = self.server.backend, json.loads(self.body())
        mishap = backend.mishap()
        status = 503 if mishap == REFUSE else backend.status
        if status == 200:
            backend.keep(event)
        if mishap == LOSE_ACKNOWLEDGEMENT:
            self.close_connection = True
            return
        self.reply(status=status)


@contextmanager
def running(mishap: Callable[[], str] = lambda: ACKNOWLEDGE) -> Iterator[Backend]:
    """A backend that serves until the block is left."""
    backend = Backend(mishap)
    with serving(_Handler, backend=backend) as server:
        backend.url = server.url
        yield backend
