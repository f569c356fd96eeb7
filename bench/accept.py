"""What accepting costs: events a second over HTTP against a bare SQLite group-commit loop on the same disk; and memory.

The server is the product as it is, in a process of its own, with its pipeline, which gives way to acknowledgements: how
far it got is told too. 64 clients keep their connections and send the next request when the last one was acknowledged,
that is: when it was committed with a full fsync. They are a process of their own too, and the machine is shared: the
load generator's own ceiling is measured in the same run.
"""

from __future__ import annotations

import json
import multiprocessing
import select
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple, TypeAlias

import report
import workload

CLIENTS = 64
EVENTS = 6400
FEW, MANY = 1, 512
"""Other numbers of clients, for the latency."""
MIB = 1024 * 1024
BATCH, BATCH_CLIENTS = 100, 8
BODY_BYTES = 2400
PATH = "/api/v1/lineage"


class Accepted(NamedTuple):
    """What was measured of a server.

    Args:
        rate: Requests a second.
        taken: Seconds of every acknowledgement.
        processed: Events that were not only stored meanwhile, but processed.
    """

    rate: float
    taken: list[float]
    processed: int


Results: TypeAlias = "multiprocessing.Queue[tuple[float, list[float]]]"


def event(number: int) -> bytes:
    """An event of an ordinary size, each one different."""
    data = workload.run_event(f"accept{number % 50}", number, "RUNNING")
    for dataset in (*data["inputs"], *data["outputs"]):
        dataset["facets"] = {}
    data["run"]["facets"]["padding"] = workload.facet(
        text="x" * (BODY_BYTES - len(json.dumps(data)) - number % 200)
    )
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


class Client:
    """A connection that is kept: sends the next request when the last one was answered."""

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.taken: list[float] = []
        self._requests = requests
        self._request = b""
        self._answer = b""
        self._started = 0.0

    def send(self) -> bool:
        """Send the next request; False when there is none."""
        self._request = next(self._requests, b"")
        if not self._request:
            return False
        self._started = time.perf_counter()
        self.socket.sendall(self._request)
        return True

    def receive(self) -> bool:
        """Read what is there; whether the answer is complete, which must be a success with nothing refused.

        On 503 the request is sent again, as every client does; the time goes on.
        """
        self._answer += self.socket.recv(65536)
        head, _, body = self._answer.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not length or len(body) < int(length):
            return False
        if head.startswith(b"HTTP/1.1 503"):
            self._answer = b""
            self.socket.sendall(self._request)
            return False
        assert head.startswith(b"HTTP/1.1 200"), self._answer
        assert b'"failed":0' in body or body == b"{}", body
        self.taken.append(time.perf_counter() - self._started)
        self._answer = b""
        return True


def load(port: int, bodies: list[bytes], path: str, count: int, results: Results) -> None:
    """In a process of its own: send everything, and tell how long it took and how long each answer took.

    Requests are built before the clock starts; a loop over epoll costs a fraction of what asyncio would.
    """
    head = f"POST {path} HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    requests = iter([(head % len(body)).encode() + body for body in bodies])
    clients = {client.socket.fileno(): client for client in (Client(port, requests) for _ in range(count))}
    poll = select.epoll()
    for number in clients:
        poll.register(number, select.EPOLLIN)
    started = time.perf_counter()
    busy = sum(client.send() for client in clients.values())
    while busy:
        for number, _ in poll.poll():
            if clients[number].receive():
                busy -= not clients[number].send()
    seconds = time.perf_counter() - started
    results.put((seconds, [each for client in clients.values() for each in client.taken]))


def measure(
    port: int, bodies: list[bytes], path: str = PATH, count: int = CLIENTS
) -> tuple[float, list[float]]:
    """Requests a second, and the seconds of every answer."""
    results: Results = multiprocessing.Queue()
    process = multiprocessing.Process(target=load, args=(port, bodies, path, count, results))
    process.start()
    seconds, taken = results.get(timeout=120)
    process.join()
    return len(bodies) / seconds, taken


def respond(listener: socket.socket) -> None:
    """In a process of its own: answer whatever arrives at once. What the load generator reaches here is its ceiling."""
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                connection = listener.accept()[0]
                connections[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN)
            elif connections[number].recv(65536):
                connections[number].sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            else:
                connections.pop(number).close()


def ceiling(bodies: list[bytes]) -> float:
    """Requests a second of the load generator against a responder that does nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=CLIENTS) as listener:
        responder = multiprocessing.Process(target=respond, args=(listener,), daemon=True)
        responder.start()
        rate, _ = measure(listener.getsockname()[1], bodies)
        responder.terminate()
        responder.join()
    return rate


@contextmanager
def bridge(store: Path) -> Iterator[tuple[int, int]]:
    """The real server: its port and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["-m", "openlineage_bridge", "serve", "--store", str(store), "--port", str(port)]
    with subprocess.Popen([sys.executable, *arguments], stderr=subprocess.DEVNULL) as server:
        try:
            while not listens(port):
                time.sleep(0.05)
            yield port, server.pid
        finally:
            server.terminate()


def over_http(bodies: list[bytes], store: Path, path: str = PATH, count: int = CLIENTS) -> Accepted:
    """Through the real server."""
    with bridge(store) as (port, _):
        rate, taken = measure(port, bodies, path, count)
        return Accepted(rate, taken, processed(store))


def processed(store: Path) -> int:
    """Events of the store that are processed already."""
    with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as reader:
        return int(reader.execute("SELECT count(*) FROM inbox WHERE done").fetchone()[0])


def memory(process: int) -> int:
    """The most bytes that a process ever had in memory."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(each for each in lines if each.startswith("VmHWM")).split()[1]) * 1024


def slow_senders(store: Path) -> tuple[int, int]:
    """Bytes in memory before, and at most, while many senders announce 8 MiB each and send one of them."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: b\r\nContent-Length: {8 * MIB}\r\n\r\n".encode()
    with bridge(store) as (port, process), ExitStack() as senders:
        before = memory(process)
        for _ in range(MANY):
            sender = senders.enter_context(socket.create_connection(("127.0.0.1", port)))
            with suppress(ConnectionError):  # refused with 503
                sender.sendall(head + b"x" * MIB)
        time.sleep(1)
        return before, memory(process)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def batches(bodies: list[bytes]) -> list[bytes]:
    return [b"[" + b",".join(bodies[start : start + BATCH]) + b"]" for start in range(0, len(bodies), BATCH)]


def latency(taken: list[float]) -> str:
    """Half of the acknowledgements, and all but one in a hundred, came within these."""
    cuts = quantiles(taken, n=100)
    return f"{cuts[49] * 1e3:.1f}, {cuts[98] * 1e3:.1f} ms"


def show(what: str, accepted: Accepted, events: int, bare: float) -> None:
    """Rows of the report, for requests of so many events."""
    rate = accepted.rate * events
    report.figure(what, f"{rate:,.0f} /s")
    report.figure("  processed meanwhile", f"{accepted.processed / EVENTS:.0%}")
    report.figure("  acknowledgement: p50, p99", latency(accepted.taken))
    share = rate / bare
    report.ratio("  of the bare loop's rate", share, "≥ 0.5", met=share >= 0.5)


def main() -> None:
    """Bare loop, load generator and server in turns, the best of three each."""
    bodies = [event(number) for number in range(EVENTS)]
    several = batches(bodies)
    bare, fastest = 0.0, 0.0
    single = batch = Accepted(0.0, [0.0, 0.0], 0)
    with tempfile.TemporaryDirectory() as name:
        for turn in range(3):
            folder = Path(name, str(turn))
            folder.mkdir()
            bare = max(bare, bare_loop(bodies, folder))
            fastest = max(fastest, ceiling(bodies))
            single = max(single, over_http(bodies, folder / "single.db"))
            batch = max(batch, over_http(several, folder / "batch.db", f"{PATH}/batch", BATCH_CLIENTS))
        few = over_http(bodies[: EVENTS // 10], Path(name, "few.db"), count=FEW)
        many = over_http(bodies, Path(name, "many.db"), count=MANY)
        before, most = slow_senders(Path(name, "slow.db"))
    report.heading(
        f"Accepting over HTTP: {EVENTS:,} events of about {BODY_BYTES:,} bytes, {CLIENTS} clients, fsync before the ack"
    )
    report.figure("bare group-commit loop, 64 per commit", f"{bare:,.0f} /s")
    report.figure("load generator against a responder that does nothing", f"{fastest:,.0f} /s")
    show("the bridge, one event per request", single, 1, bare)
    for count, each in ((FEW, few), (MANY, many)):
        report.figure(f"  with {count} clients: {each.rate:,.0f} /s; p50, p99", latency(each.taken))
    show(f"the bridge, {BATCH} events per request, {BATCH_CLIENTS} clients", batch, BATCH, bare)
    report.figure(
        f"memory under {MANY} slow senders of 1 MiB each: before, at most",
        f"{before // MIB}, {most // MIB} MiB",
    )


if __name__ == "__main__":
    main()
