"""HTTP services of our own on loopback: what every one of them needs, and its life."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Reads and answers requests on connections that stay open, and keeps quiet."""

    protocol_version = "HTTP/1.1"
    # Headers and content are two writes: without this each answer waits for the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def body(self) -> bytes:
        """What was sent, unpacked."""
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(sent) if self.headers.get("Content-Encoding") == "gzip" else sent

    def reply(self, answer: Any = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Bytes as they are, anything else as JSON."""
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        kind = {} if isinstance(answer, bytes) else {"Content-Type": "application/json"}
        self.send_response(status)
        for name, value in {**kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """One that a client may leave in the middle of an answer, as clients do that are killed."""

    daemon_threads = True
    # Many processes may come at once.
    request_queue_size = 128

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], **state: Any) -> Iterator[Any]:
    """A server whose handlers find ``state`` at ``self.server``; gone when the block is left."""
    with Server(("127.0.0.1", 0), handler) as server:
        for name, value in state.items():
            setattr(server, name, value)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)
