"""The spool is the way to an HTTP backend without being asked for: a flow's events outlive an outage of the backend."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

EVENTS = [
    ("START", "small"),
    *[("START", "small.double"), ("COMPLETE", "small.double")] * 3,
    ("COMPLETE", "small"),
]


class Receiver(BaseHTTPRequestHandler):
    """Takes batches as the OpenLineage HTTP API says; ``server.events`` has what came, in order."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        decoded = json.loads(
            gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        )
        events = decoded if isinstance(decoded, list) else [decoded]
        self.server.events += events  # type: ignore[attr-defined]  # set by the fixture
        answer = json.dumps({"summary": {"received": len(events)}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def receiver(free_port) -> Iterator[ThreadingHTTPServer]:
    """A receiver that is away until its thread is started."""
    server = ThreadingHTTPServer(("127.0.0.1", free_port), Receiver, bind_and_activate=False)
    server.daemon_threads = True
    server.events = []  # type: ignore[attr-defined]  # what it took
    yield server
    server.server_close()


@pytest.mark.system
def test_events_of_an_outage_are_sent_by_the_next_run(run_script, receiver, tmp_path) -> None:
    """All of them, in their order; and nothing is left on the disk."""
    folder = tmp_path / "spool"
    settings = {
        "backend": {"OPENLINEAGE_URL": f"http://127.0.0.1:{receiver.server_address[1]}"},
        "OPENLINEAGE_BRIDGE_SPOOL_FOLDER": str(folder),
    }
    assert run_script("small.py", **settings).returncode == 0
    waiting = [line for path in folder.rglob("0*.jsonl") for line in path.read_text().splitlines()]
    assert len(EVENTS) == len(waiting)

    receiver.server_bind()
    receiver.server_activate()
    thread = threading.Thread(target=receiver.serve_forever, args=(0.05,))
    thread.start()
    try:
        assert run_script("small.py", **settings).returncode == 0
    finally:
        receiver.shutdown()
        thread.join(10)

    assert EVENTS * 2 == [(event["eventType"], event["job"]["name"]) for event in receiver.events]
    assert not list(folder.rglob("0*.jsonl"))
