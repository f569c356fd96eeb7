"""Delivery: CPU per proposal on the wire against DataHub's own emitter, and proposals per run against what others send.

``python delivery.py`` prints both tables. The server is the stand-in of the tests, in a process of its own, told to take
everything without looking, so that only the sender's CPU is measured.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "lib"))
os.environ["DATAHUB_TELEMETRY_ENABLED"] = "false"

from bridge_tests import loads
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.emitter.rest_emitter import DataHubRestEmitter
from datahub.emitter.serialization_helper import post_json_transform
from datahub.metadata.schema_classes import ASPECT_NAME_MAP

from openlineage_bridge.delivery import deliver
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.aspects import holdings
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.translation import Delivered, MemorySink, Proposal
from openlineage_bridge_datahub import DataHubTranslator
from openlineage_bridge_datahub.options import DatasetOptions
from openlineage_bridge_datahub.sinks.rest import RestSink

ROUNDS = 9
JOBS, TIMES = 40, 3

TAKE_EVERYTHING = """
import socketserver, sys
class Api(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    def handle(self):
        while self.rfile.readline():
            length = 0
            while (line := self.rfile.readline()).strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)
            self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
with Server(("127.0.0.1", 0), Api) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""


@contextmanager
def server() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-c", TAKE_EVERYTHING], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.kill()


# --- on the wire ----------------------------------------------------------------------------------------------------


def proposals() -> list[Proposal]:
    """What DataHub should hold after some runs of some jobs."""
    with Store(MEMORY) as store:
        hear(store, Pipeline(store, DataHubTranslator()), (body for _, body in loads.runs(JOBS, TIMES)))
        return list(holdings(store.connection))


def typed(proposal: Proposal) -> MetadataChangeProposalWrapper:
    value = post_json_transform(json.loads(proposal.body))
    return MetadataChangeProposalWrapper(
        entityUrn=proposal.urn, aspect=ASPECT_NAME_MAP[proposal.aspect_name].from_obj(value)
    )


def cpu(task: Callable[[], object]) -> float:
    gc.collect()
    started = time.process_time()
    task()
    return time.process_time() - started


def on_the_wire() -> None:
    """The same proposals from ready aspects: ours are JSON, theirs are typed, as each has them on its way to the wire."""
    sent = proposals()
    wrapped = [typed(each) for each in sent]
    always = dict.fromkeys(("schema", "properties", "containers", "tags_and_owners", "lineage"), "always")
    with server() as url:
        sinks = {pack: RestSink(url, datasets=DatasetOptions(**always), gzip=pack) for pack in (True, False)}
        emitter = DataHubRestEmitter(url)
        tasks: dict[str, Callable[[], object]] = {
            "DatahubRestEmitter.emit_mcps": lambda: emitter.emit_mcps(wrapped),
            "rest sink": lambda: check(sinks[True].send(sent)),
            "rest sink, gzip off": lambda: check(sinks[False].send(sent)),
        }
        figures: dict[str, list[float]] = {name: [] for name in tasks}
        for _ in range(ROUNDS):
            for name, task in tasks.items():
                figures[name].append(cpu(task) / len(sent) * 1e6)
    size = sum(len(each.body) for each in sent) / len(sent)
    print(f"\nCPU per proposal ({len(sent):,} proposals of {size:.0f} bytes, {ROUNDS} rounds, interleaved)")
    base = statistics.median(figures["DatahubRestEmitter.emit_mcps"])
    for name, values in figures.items():
        middle = statistics.median(values)
        print(f"  {name:32} median {middle:7.1f} µs  least {min(values):7.1f} µs  {base / middle:6.1f} ×")


def check(outcomes: Iterable[object]) -> None:
    assert all(isinstance(each, Delivered) for each in outcomes)


# --- per run --------------------------------------------------------------------------------------------------------


def hear(store: Store, pipeline: Pipeline, bodies: Iterable[bytes]) -> None:
    with store.transaction():
        store.inbox.put(map(inspect, bodies), receiver="bench", now=1)
    pipeline.drain()


def per_run() -> None:
    """One job, run after run: what ours delivers, beside a translation of each event on its own."""
    counts = []
    with Store(MEMORY) as store:
        pipeline, sink = Pipeline(store, DataHubTranslator()), MemorySink()
        for _, body in loads.runs(1, 100):
            hear(store, pipeline, [body])
            deliver(store, sink)
            counts.append(len(sink.sent))
    ours = [counts[2 * run + 1] - (counts[2 * run - 1] if run else 0) for run in range(100)]
    theirs = sum(per_event(body) for _, body in loads.runs(1, 1))
    print("\nProposals per run (a task with START and COMPLETE, 2 inputs, 1 output)")
    print(f"  ours, first run                  {ours[0]:4}")
    print(f"  ours, hundredth run              {ours[99]:4}")
    print(f"  each event translated on its own {theirs:4}  every time")
    kinds = Counter(f"{each.entity_type}.{each.aspect_name}" for each in sink.sent[-ours[99] :])
    print("  the hundredth run sends:", ", ".join(sorted(kinds)))


def per_event(body: bytes) -> int:
    """How many proposals one event alone gives."""
    with Store(MEMORY) as store:
        hear(store, Pipeline(store, DataHubTranslator()), [body])
        return sum(1 for _ in holdings(store.connection))


if __name__ == "__main__":
    on_the_wire()
    per_run()
