"""Senders that say nothing, or too slowly, over real sockets: they are let go, and nobody else notices them (G23)."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from bridge_tests.waiting import wait_until

from openlineage_bridge.server.deadlines import SECONDS, Phase
from openlineage_bridge.store.graph import Node

HEAD = b"POST /api/v1/lineage HTTP/1.1\r\nHost: x\r\n"
GOOD = b'{"job": {"namespace": "n", "name": "j"}}'
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SHORT = HEAD + b"Content-Length: 100\r\n\r\n"
PAGE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
DRIP = 0.05
MIB = 1024 * 1024

# What the sender says at once, and what it then repeats; both of the ways that a request can take.
SLOW = {
    "silent": (b"", b""),
    "half a line": (b"POST /api", b""),
    "head drip": (HEAD, b"X-Drip: 1\r\n"),
    "stalled body": (SHORT, b""),
    "body drip": (SHORT.replace(b"100", b"100000"), b" "),
    "stalled chunks": (CHUNKED, b""),
    "chunk drip": (CHUNKED, b"1\r\n \r\n"),
    "the second head": (PAGE + b"POST /api", b""),
}


@pytest.fixture
def short(monkeypatch):
    """Deadlines that a test can wait for."""
    for phase in Phase:
        monkeypatch.setitem(SECONDS, phase, 0.4)


@contextlib.contextmanager
def _sockets(port: int, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as open_:
        address = ("127.0.0.1", port)
        yield [open_.enter_context(socket.create_connection(address, timeout=10)) for _ in range(count)]


def _is_closed(each: socket.socket) -> bool:
    """Whether nothing comes any more; what was answered before is read away."""
    with contextlib.suppress(ConnectionError):
        while each.recv(65536):
            pass
    return True


@pytest.mark.parametrize("how", SLOW)
def test_a_slow_sender_is_let_go(bridge, short, how):
    """Whatever it dribbles, it does not keep the connection beyond the deadline of the part that it is at."""
    first, more = SLOW[how]
    with _sockets(bridge.port, 1) as (sender,):
        sender.sendall(first)
        ended = threading.Event()
        dripping = threading.Thread(target=_drip, args=(sender, more, ended))
        dripping.start()
        try:
            assert _is_closed(sender)
        finally:
            ended.set()
            dripping.join()
    in_flight = bridge.app.state.ingest.in_flight
    wait_until(lambda: (in_flight.requests, in_flight.bytes) == (0, 0))


def _drip(sender: socket.socket, more: bytes, ended: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while more and not ended.wait(DRIP):
            sender.sendall(more)


def test_a_sender_that_takes_its_time_between_requests(bridge, monkeypatch):
    """The deadline of a head begins with its first byte, not with the answer before."""
    monkeypatch.setitem(SECONDS, Phase.HEAD, 0.4)
    with _sockets(bridge.port, 1) as (sender,):
        for _ in range(2):
            sender.sendall(SHORT.replace(b"100", str(len(GOOD)).encode()) + GOOD)
            assert sender.recv(65536).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.6)  # longer than the deadline of a head: what is tested is that nothing happens


def test_a_reader_that_does_not_read(bridge, short):
    """An answer that nobody takes does not stay in memory for ever."""
    bridge.queries.nodes = {str(each): Node(str(each), "job", "n", "x" * MIB) for each in range(32)}
    connections = bridge.server.server_state.connections
    with _sockets(bridge.port, 1) as (sender,):
        sender.sendall(b"GET /api/v1/search?q= HTTP/1.1\r\nHost: x\r\n\r\n")
        begun = sender.recv(100)
        wait_until(lambda: not connections)  # nothing of the answer is read meanwhile

        assert begun.startswith(b"HTTP/1.1 200 ")
        assert _read_to_the_end(sender) < 32 * MIB


def _read_to_the_end(sender: socket.socket) -> int:
    """How many bytes came before the end, or the reset."""
    size = 0
    with contextlib.suppress(ConnectionError):
        while part := sender.recv(1 << 20):
            size += len(part)
    return size


def test_hundreds_of_slow_senders(bridge):
    """While 400 connections hold their heads and bodies back, an honest sender is answered, every time."""
    with _sockets(bridge.port, 400) as senders:
        for number, sender in enumerate(senders):
            sender.sendall(list(SLOW.values())[number % len(SLOW)][0])
        answers = [bridge.post(GOOD).status for _ in range(50)]

        assert [200] * 50 == answers
        with selectors.DefaultSelector() as waiting:
            for sender in senders:
                waiting.register(sender, selectors.EVENT_READ)
            assert len(senders) - 50 == len(senders) - len(waiting.select(1))
