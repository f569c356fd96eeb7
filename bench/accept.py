"""What accepting costs: events a second over HTTP against a bare SQLite group-commit loop on the same disk.

The server is the product as it is, pipeline and all, in a process of its own; 64 clients keep their connections and send
the next event when the last one was acknowledged, that is: when it was committed with a full fsync.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from hashlib import blake2b
from pathlib import Path
from statistics import quantiles

import report
import workload

CLIENTS = 64
EVENTS = 6400
BODY_BYTES = 2400


def event(number: int) -> bytes:
    """An event of an ordinary size, each one different."""
    data = workload.run_event(f"accept{number % 50}", number, "RUNNING")
    for dataset in (*data["inputs"], *data["outputs"]):
        dataset["facets"] = {}
    data["run"]["facets"]["padding"] = workload.facet(text="x" * (BODY_BYTES - len(json.dumps(data)) - 200))
    return json.dumps(data, separators=(",", ":")).encode()


def bare_loop(bodies: list[bytes], folder: Path) -> float:
    """Events a second of the least that a durable, deduplicating inbox needs: digest, insert, commit for every 64."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("PRAGMA synchronous = full")
    connection.execute("CREATE TABLE inbox (seq INTEGER PRIMARY KEY, digest BLOB UNIQUE, body BLOB)")
    started = time.perf_counter()
    for start in range(0, len(bodies), CLIENTS):
        connection.execute("BEGIN IMMEDIATE")
        for body in bodies[start : start + CLIENTS]:
            digest = blake2b(body, digest_size=16).digest()
            connection.execute("INSERT OR IGNORE INTO inbox (digest, body) VALUES (?, ?)", (digest, body))
        connection.execute("COMMIT")
    seconds = time.perf_counter() - started
    connection.close()
    return len(bodies) / seconds


async def send_all(port: int, bodies: list[bytes]) -> list[float]:
    """Send with CLIENTS connections; the seconds that each acknowledgement took."""
    waiting = iter(bodies)
    taken: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in waiting:
            head = f"POST /api/v1/lineage HTTP/1.1\r\nHost: b\r\nContent-Length: {len(body)}\r\n\r\n"
            started = time.perf_counter()
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            taken.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return taken


def load(port: int, bodies: list[bytes], results: multiprocessing.Queue[tuple[float, list[float]]]) -> None:
    """In a process of its own: send everything, and tell how long it took."""
    started = time.perf_counter()
    taken = asyncio.run(send_all(port, bodies))
    results.put((time.perf_counter() - started, taken))


def over_http(bodies: list[bytes], folder: Path, name: str) -> tuple[float, list[float]]:
    """Events a second through the real server, and the seconds of every acknowledgement."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["-m", "openlineage_bridge", "serve", "--store", str(folder / name), "--port", str(port)]
    with subprocess.Popen([sys.executable, *arguments], stderr=subprocess.DEVNULL) as server:
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.05)
            results: multiprocessing.Queue[tuple[float, list[float]]] = multiprocessing.Queue()
            process = multiprocessing.Process(target=load, args=(port, bodies, results))
            process.start()
            seconds, taken = results.get(timeout=300)
            process.join()
        finally:
            server.terminate()
    return len(bodies) / seconds, taken


def main() -> None:
    """Bare loop and server in turns, the best of three each."""
    bodies = [event(number) for number in range(EVENTS)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare, served = 0.0, (0.0, [0.0, 0.0])
        for turn in range(3):
            (folder / str(turn)).mkdir()
            bare = max(bare, bare_loop(bodies, folder / str(turn)))
            served = max(served, over_http(bodies, folder, f"{turn}.db"))
    report.heading(
        f"Accepting over HTTP: {EVENTS:,} events of {len(bodies[0]):,} bytes, {CLIENTS} clients, fsync before the ack"
    )
    cuts = quantiles(served[1], n=100)
    report.figure("bare group-commit loop, 64 per commit", f"{bare:,.0f} /s")
    report.figure("the bridge, processing included", f"{served[0]:,.0f} /s")
    report.figure("acknowledgement: p50, p99", f"{cuts[49] * 1e3:.1f}, {cuts[98] * 1e3:.1f} ms")
    share = served[0] / bare
    report.ratio("of the bare loop's rate", share, "≥ 0.5", met=share >= 0.5)


if __name__ == "__main__":
    main()
