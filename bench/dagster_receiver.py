"""A receiver for what Dagster sensors send: it stands for DataHub's metadata service and for any OpenLineage backend.

It answers at once, and keeps every body in a file, for whoever asks afterwards what arrived, and when.
"""

from __future__ import annotations

import gzip
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import attrs

Proposal = dict[str, Any]
"""``entityUrn``, ``aspectName``, ``changeType`` and ``aspect``, a plain object."""

CONFIG = {"models": {}, "noCode": "true", "versions": {"acryldata/datahub": {"version": "v1.4.0"}}}


@attrs.frozen
class Gms:
    """A receiver.

    Args:
        url: Where it listens.
        kept: Where it keeps what came, a line for each request: when, and the body.
    """

    url: str
    kept: Path

    def bodies(self) -> Iterator[tuple[float, Any]]:
        """When each request came, in seconds since the epoch, and what was in it."""
        with self.kept.open() as lines:
            for line in lines:
                moment, _, body = line.partition(" ")
                yield float(moment), json.loads(body)

    def proposals(self) -> Iterator[Proposal]:
        """What was proposed to DataHub."""
        for _, body in self.bodies():
            yield from proposals(body)


@contextmanager
def listening(folder: Path) -> Iterator[Gms]:
    """A server in a process of its own, on a free port, that keeps what comes in a file of the folder."""
    kept = folder / "received"
    kept.touch()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    process = get_context("fork").Process(target=_serve, args=(server, kept), daemon=True)
    process.start()
    try:
        yield Gms(f"http://127.0.0.1:{server.server_port}", kept)
    finally:
        process.terminate()
        process.join()
        server.server_close()


def _serve(server: ThreadingHTTPServer, kept: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is ended by who started it
    # Dagster, imported before the fork, would make an exception of it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with kept.open("ab", buffering=0) as Handler.file:
        server.serve_forever()


class Handler(BaseHTTPRequestHandler):
    """Takes everything."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    file: Any = None

    def do_GET(self) -> None:  # http.server's name
        """Its configuration; of entities it knows none."""
        self._answer(200 if self.path == "/config" else 404, CONFIG)

    def do_POST(self) -> None:  # http.server's name
        """Take what is sent; asked what it knows of some datasets, it says nothing."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/batchGet"):
            self._answer(200, [])
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.file.write(b"%.6f %b\n" % (time.time(), body.replace(b"\n", b" ")))
        self._answer(200, {"value": "urn"})

    def _answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def proposals(body: Any) -> Iterator[Proposal]:
    """What a request proposes, whichever of its ways the emitter took (acryl-datahub 1.7, ``rest_emitter.py``)."""
    if isinstance(body, dict):
        for each in [body["proposal"]] if "proposal" in body else body.get("proposals", []):
            yield {**each, "aspect": json.loads(each["aspect"]["value"])}
        return
    for entity in body:
        for name, aspect in entity.items():
            if name != "urn" and "value" in aspect:
                yield {
                    "entityUrn": entity["urn"],
                    "aspectName": name,
                    "changeType": "UPSERT",
                    "aspect": aspect["value"],
                }
