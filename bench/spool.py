"""What ``emit`` of the spool transport costs the calling thread, against a bare append of the same event to a file.

The bare append writes the line with one system call to a file that is kept open: once with the spool's own encoder (the
floor: what is left is locking, accounting and waking the sender), once with the client's. No receiver listens, so the
sender waits in its back-off; a further figure is the wall time while a receiver takes everything.
"""

from __future__ import annotations

import gzip
import json
import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import UUID

import report
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import column_lineage_dataset as lineage
from openlineage.client.facet_v2 import schema_dataset as schema
from openlineage.client.serde import Serde
from openlineage.client.transport.file import FileConfig, FileTransport

from openlineage_bridge_capture.spool import SpoolConfig, SpoolTransport
from openlineage_bridge_capture.spool.encoding import to_line

EVENTS = 500
COLUMNS = 10


def typical(number: int) -> RunEvent:
    """Two inputs and an output of ten columns each, with column lineage: some 5 kB."""
    columns = [f"column_{each}" for each in range(COLUMNS)]
    facet = schema.SchemaDatasetFacet([schema.SchemaDatasetFacetFields(each, "VARCHAR") for each in columns])
    fed = lineage.ColumnLineageDatasetFacet(
        {
            each: lineage.Fields(
                [lineage.InputField("postgres://db:5432", f"shop.in{n}", each) for n in (1, 2)]
            )
            for each in columns
        }
    )
    return RunEvent(
        eventTime="2024-01-01T00:00:00Z",
        eventType=RunState.COMPLETE,
        run=Run(str(UUID(int=number))),
        job=Job("bench", f"job-{number}"),
        inputs=[InputDataset("postgres://db:5432", f"shop.in{n}", {"schema": facet}) for n in (1, 2)],
        outputs=[OutputDataset("postgres://db:5432", "shop.out", {"schema": facet, "columnLineage": fed})],
    )


def per_event(emit: Callable[[RunEvent], object], events: list[RunEvent], rounds: int = 7) -> float:
    """CPU microseconds of this thread for each event, in the fastest round."""
    fastest = float("inf")
    for _ in range(rounds):
        started = time.thread_time()
        for event in events:
            emit(event)
        fastest = min(fastest, time.thread_time() - started)
    return fastest / len(events) * 1e6


def with_receiver(folder: Path, events: list[RunEvent]) -> tuple[float, float]:
    """Wall microseconds of ``emit`` while a receiver takes everything, and events a second until all was taken."""
    listener = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    process = multiprocessing.Process(target=listener.serve_forever, daemon=True)
    process.start()
    transport = spool(f"http://127.0.0.1:{listener.server_port}", folder)
    try:
        started = time.perf_counter()
        for event in events:
            transport.emit(event)
        emitted = time.perf_counter() - started
        assert transport.close(60)
        return emitted / len(events) * 1e6, len(events) / (time.perf_counter() - started)
    finally:
        process.terminate()
        process.join()
        listener.server_close()


class Taker(BaseHTTPRequestHandler):
    """Answers batches as the OpenLineage HTTP API says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # http.server's name
        """Take it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        decoded = json.loads(body)
        count = len(decoded) if isinstance(decoded, list) else 1
        content = json.dumps({"summary": {"received": count, "successful": count, "failed": 0}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def spool(url: str, folder: Path) -> SpoolTransport:
    return SpoolTransport(SpoolConfig.from_dict({"url": url, "folder": str(folder), "flush_timeout": 0}))


def main() -> None:
    """All ways, one after the other, on the same events."""
    logging.disable(logging.WARNING)
    events = [typical(number) for number in range(EVENTS)]
    size = len(to_line(events[0]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = os.open(folder / "bare.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        floor = per_event(lambda event: os.write(bare, to_line(event)), events)
        append = per_event(lambda event: os.write(bare, f"{Serde.to_json(event)}\n".encode()), events)
        os.close(bare)
        file = FileTransport(FileConfig(str(folder / "file.jsonl"), append=True))
        client = per_event(file.emit, events)
        transport = spool("http://127.0.0.1:9", folder / "spool")
        ours = per_event(transport.emit, events)
        transport.close(0)
        wall, rate = with_receiver(folder / "live", events)
    report.heading(f"Spooling an event of {size:,} bytes: CPU of the calling thread")
    report.figure("bare JSONL append, the spool's encoder", f"{floor:.0f} µs")
    report.figure("bare JSONL append, the client's encoder", f"{append:.0f} µs")
    report.figure("the client's file transport, append", f"{client:.0f} µs")
    report.figure("the spool transport", f"{ours:.0f} µs")
    report.ratio("  of the bare append, the spool's encoder", ours / floor, "≤ 2", met=ours / floor <= 2)
    report.ratio("  of the bare append, the client's encoder", ours / append, "≤ 2", met=ours / append <= 2)
    report.figure("while a receiver takes everything: wall time of emit", f"{wall:.0f} µs")
    report.figure("  until everything was taken, in batches", f"{rate:,.0f} /s")


if __name__ == "__main__":
    main()
