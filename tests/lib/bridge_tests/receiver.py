"""A real OpenLineage receiver on loopback, whose behaviour may change at any time."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bridge_tests.loopback import Handler, serving


class Receiver:
    """Keeps what it takes, and behaves as its mode says.

    Modes: ``ok`` knows batches; ``single`` does not; ``deaf`` answers everything with an empty 200; ``hang``; or a status.
    An event whose job's name begins with ``bad`` is refused by all of them.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.url = ""
        self.requests: list[tuple[str, list[str]]] = []
        """Path and names of the jobs of each request that was taken."""
        self.received: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        """Path, headers and event, for each event of them."""
        self.not_yet: str | None = None
        """Requests with a job whose name begins so are to come again (503)."""
        self.let_go = threading.Event()
        """Ends the requests that hang."""

    @property
    def jobs(self) -> list[str]:
        return [name for _, names in self.requests for name in names]

    def take(self, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        """The status and the answer of a request."""
        batch = path.endswith("/batch")
        if self.mode.isdigit():
            return int(self.mode), b""
        if batch and self.mode == "single":
            return 404, b""
        events = body if batch else [body]
        names = [each["job"]["name"] for each in events]
        if self.not_yet and any(name.startswith(self.not_yet) for name in names):
            return 503, b""
        if any(name.startswith("bad") for name in names):
            return 400, {"error": "bad name"}
        self.received += [(path, headers, each) for each in events]
        self.requests.append((path, names))
        if not batch or self.mode == "deaf":
            return 200, b""
        summary = {"received": len(names), "successful": len(names), "failed": 0}
        return 200, {"status": "success", "summary": summary}


class _Handler(Handler):
    def do_POST(self) -> None:
        receiver, body = self.server.receiver, self.body()
        if receiver.mode == "hang":
            receiver.let_go.wait(60)
            self.close_connection = True
            return
        status, answer = receiver.take(self.path, dict(self.headers), json.loads(body))
        self.reply(answer, status)


@contextmanager
def receiving(mode: str = "ok") -> Iterator[Receiver]:
    """A receiver, gone when the block is left; with ``refused`` a port at which nobody listens for as long."""
    receiver = Receiver(mode)
    if mode == "refused":
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            receiver.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
            yield receiver
        return
    with serving(_Handler, receiver=receiver) as server:
        receiver.url = server.url
        try:
            yield receiver
        finally:
            receiver.let_go.set()
