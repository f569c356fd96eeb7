"""An OpenLineage backend on loopback that keeps what it is sent, and can be made unreliable."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ACKNOWLEDGE, REFUSE, LOSE_ACKNOWLEDGEMENT = "acknowledge", "refuse", "lose acknowledgement"


class Backend(ThreadingHTTPServer):
    """Keeps events in the order of their arrival, and counts how often each came, as canonical JSON.

    Args:
        mishap: What happens to the next event: it is kept and acknowledged, answered with 503 and not kept, or kept and
            the connection closed before the answer.
    """

    daemon_threads = True

    def __init__(self, mishap: Callable[[], str] = lambda: ACKNOWLEDGE) -> None:
        self.mishap = mishap
        self.events: list[dict] = []
        self.times: Counter[str] = Counter()
        self.arrived = threading.Condition()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """Where OPENLINEAGE_URL points."""
        return f"http://127.0.0.1:{self.server_port}"

    def keep(self, event: dict) -> None:
        """Take note of an event."""
        with self.arrived:
            self.events.append(event)
            self.times[json.dumps(event, sort_keys=True)] += 1
            self.arrived.notify_all()

    def wait_for(self, enough: Callable[[], object], seconds: float) -> bool:
        """Whether ``enough()`` held within that time; it is asked again with every event."""
        with self.arrived:
            return self.arrived.wait_for(lambda: bool(enough()), seconds)

    def handle_error(self, request: object, client_address: object) -> None:
        """A sender that was killed in the middle of its request is nothing to complain of."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        mishap = self.server.mishap()
        if mishap != REFUSE:
            self.server.keep(event)
        if mishap == LOSE_ACKNOWLEDGEMENT:
            self.close_connection = True
            return
        self.send_response(503 if mishap == REFUSE else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def running(mishap: Callable[[], str] = lambda: ACKNOWLEDGE) -> Iterator[Backend]:
    """A backend that serves until the block is left."""
    with Backend(mishap) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
