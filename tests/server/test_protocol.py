"""The short way for events: it gives the answers of the long way, and leaves to the long way whatever is unusual."""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import time

import h11
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from openlineage_bridge.server import protocol
from openlineage_bridge.server.deadlines import SECONDS, Phase
from openlineage_bridge.server.protocol import Head

GOOD = b'{"job": {"namespace": "n", "name": "j"}}'
BAD = b'{"job": {"namespace": "n"}}'


def request(body=GOOD, path="/api/v1/lineage", headers=(), length=None) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


class Sender:
    """A connection that stays open, and what came back on it."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.parser = h11.Connection(h11.CLIENT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *parts):
        for part in parts:
            self.socket.sendall(part)

    def answer(self):
        """Status, headers and body of the next answer; None at the end of the connection."""
        if self.parser.our_state is h11.IDLE:
            self.parser.send(
                h11.Request(method="POST", target="/", headers=[("Host", "x"), ("Content-Length", "0")])
            )
            self.parser.send(h11.EndOfMessage())
        status, headers, body = 0, {}, b""
        while True:
            event = self.parser.next_event()
            if event is h11.NEED_DATA:
                self.parser.receive_data(self.socket.recv(65536))
            elif isinstance(event, h11.Response):
                status, headers = event.status_code, dict(event.headers)
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                if self.parser.their_state is h11.DONE and self.parser.our_state is h11.DONE:
                    self.parser.start_next_cycle()
                return status, headers, body
            else:
                return None


@pytest.fixture
def ways(monkeypatch):
    """The heads that were asked about: True for those that took the short way."""
    seen = []
    read = Head.read

    def spy(data):
        head = read(data)
        seen.append(head is not None)
        return head

    monkeypatch.setattr(protocol.Head, "read", spy)
    return seen


# --- the grammar ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "batch"),
    [
        ("/api/v1/lineage", False),
        ("/api/v1/lineage/", False),
        ("/api/v1/lineage/batch", True),
        ("/some/proxy/api/v1/lineage/batch/", True),
        ("/api/v1/lineage/api/v1/lineage", False),
        ("/api/v1/lineages", None),
        ("/api/v1/lineage/batch/x", None),
        ("/api/v1/lineage?x=1", None),
        ("/api/v1/%6cineage", None),
        ("/api/v1/graph", None),
        ("api/v1/lineage", None),
    ],
)
def test_paths(path, batch):
    """The two endpoints are recognised under any prefix, and nothing else is."""
    head = Head.read(request(path=path))

    assert batch == (None if head is None else head.batch)


@pytest.mark.parametrize(
    "head",
    [
        request(headers=["Transfer-Encoding: chunked"]),
        request(headers=["Expect: 100-continue"]),
        request(headers=["Connection: close"]),
        request(headers=["Connection: keep-alive, upgrade", "Upgrade: websocket"]),
        request(headers=["Content-Length: 40"]),
        request(headers=["Host: y"]),
        request(headers=["X: a\r\n b"]),
        request(headers=["X : a"]),
        request(headers=["X: a\0b"]),
        request(headers=["X: a\nY: b"]),
        request(headers=["X: \xe9"]),
        request(headers=["X:"]),
        request(length="+40"),
        request(length="4_0"),
        request(length="-1"),
        request(length="9000000000"),
        request(length="\xb2"),
        request().replace(b"HTTP/1.1", b"HTTP/1.0"),
        request().replace(b"POST", b"GET"),
        request().replace(b"POST", b"post"),
        request().replace(b"Host: x\r\n", b""),
        request().replace(b"Content-Length: 40\r\n", b""),
        request().replace(b"\r\n", b"\n"),
        b"\r\n" + request(),
        request()[:20],
        request(headers=["X: " + "x" * 10_000]),
    ],
)
def test_unusual_heads(head):
    """Whatever could be understood in two ways, or is asked for seldom, is left to h11."""
    assert Head.read(head) is None


FIELDS = st.lists(
    st.sampled_from(
        [
            b"Host: x",
            b"host:y",
            b"Content-Length: 2",
            b"content-length: 02",
            b"X: y ",
            b"X:\tz",
            b"Y: ",
            b"Connection: Keep-Alive",
        ]
    )
    | st.binary(max_size=12),
    max_size=5,
)


@given(FIELDS, st.sampled_from([b"/", b"/x/", b"/\x80", b"/%2F/", b"//"]))
@example([b"Host: x", b"Content-Length: 2"], b"/")
@example([b"Host: x", b"Content-Length: 2", b""], b"/")
def test_what_is_recognised_is_what_h11_understands(fields, prefix):
    """For any head: when it is recognised, h11 accepts it and reads the same fields and the same body."""
    data = b"\r\n".join((b"POST " + prefix + b"api/v1/lineage HTTP/1.1", *fields, b"", b"")) + b"{}"
    # Not always the two brackets: an empty field ends the head.
    body = data.partition(b"\r\n\r\n")[2]
    head = Head.read(data)
    if head is None:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    understood = connection.next_event()

    assert isinstance(understood, h11.Request)
    assert dict(understood.headers) == head.headers
    assert data[head.end :] == body
    assert bytes(connection.next_event().data) == body[: head.size]


# --- on a connection ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "path", "headers"),
    [
        (GOOD, "/api/v1/lineage", []),
        (BAD, "/api/v1/lineage", []),
        (b"", "/api/v1/lineage", []),
        (b"[" + GOOD + b"," + BAD + b"]", "/api/v1/lineage", []),
        (GOOD, "/x/api/v1/lineage/batch", []),
        (gzip.compress(GOOD, mtime=0), "/api/v1/lineage", ["Content-Encoding: gzip"]),
        (GOOD, "/api/v1/lineage", ["Content-Encoding: br"]),
        (GOOD, "/api/v1/lineage", ["Sec-Fetch-Site: cross-site"]),
    ],
)
def test_both_ways_answer_alike(bridge, ways, body, path, headers):
    """Status, headers and body are the same whichever way a request takes."""
    with Sender(bridge.port) as sender:
        sender.send(request(body, path, headers))
        short = sender.answer()
        bridge.inbox.__init__()
        sender.send(request(body, path + "?long", headers))
        long = sender.answer()

    # A connection that a test before left behind may be asked about once more.
    assert [True, False] == ways[-2:]
    for _, answered, _ in (short, long):
        answered.pop(b"date")
    assert long == short


@pytest.mark.parametrize("cut", [1, 30, 72, 73, 74, 100])
def test_requests_in_pieces(bridge, cut):
    """It does not matter where a request is cut, nor whether the next one follows at once."""
    data = request()
    with Sender(bridge.port) as sender:
        for _ in range(3):
            sender.send(data[:cut])
            time.sleep(0.01)  # two segments, not one
            sender.send(data[cut:])
            assert (200, b"{}") == sender.answer()[::2]

    assert 3 == len(bridge.inbox.calls)


@pytest.mark.parametrize("order", list(itertools.product(["", "?long"], repeat=3)))
def test_pipelined_requests(bridge, order):
    """Requests that are sent without waiting are answered in their order, whichever way each takes."""
    bodies = [
        json.dumps({"job": {"name": f"j{number}"}, "warn": [str(number)]}).encode() for number in range(3)
    ]
    with Sender(bridge.port) as sender:
        sender.send(
            b"".join(request(body, "/api/v1/lineage" + way) for body, way in zip(bodies, order, strict=True))
        )
        answers = [json.loads(sender.answer()[2]) for _ in bodies]

    assert [{"warnings": [str(number)]} for number in range(3)] == answers
    assert bodies == bridge.inbox.stored


def test_a_wave_of_requests_is_handed_over_together(bridge):
    """Requests that arrive while the event loop is busy reach the inbox in one call, and each gets its own answer."""
    bodies = [
        json.dumps({"job": {"name": f"j{number}"}, "warn": [str(number)]}).encode() for number in range(20)
    ]
    senders = [Sender(bridge.port) for _ in bodies]
    for sender, body in zip(senders, bodies, strict=True):
        sender.send(request(body))
    answers = [json.loads(sender.answer()[2]) for sender in senders]
    for sender in senders:
        sender.socket.close()

    assert [{"warnings": [str(number)]} for number in range(20)] == answers
    assert sorted(bodies) == sorted(body for call in bridge.inbox.calls for body in call)


def test_a_sender_that_leaves_in_the_middle(bridge):
    """Its bytes are no event, and no longer count as being received."""
    in_flight = bridge.app.state.ingest.in_flight
    with Sender(bridge.port) as sender:
        sender.send(request(length=100))
        deadline = time.monotonic() + 5
        while not in_flight.bytes and time.monotonic() < deadline:
            pass
        assert (0, len(GOOD)) == (in_flight.requests, in_flight.bytes)
    while in_flight.bytes and time.monotonic() < deadline:
        pass

    assert (0, 0) == (in_flight.requests, in_flight.bytes)
    assert [] == bridge.inbox.calls


def test_a_body_that_does_not_come(bridge, monkeypatch):
    """A connection whose body is not complete in time is closed."""
    monkeypatch.setitem(SECONDS, Phase.BODY, 0.2)
    with Sender(bridge.port) as sender:
        sender.send(request(length=100))

        assert b"" == sender.socket.recv(1)
    assert 0 == bridge.app.state.ingest.in_flight.bytes


def test_an_idle_connection_is_closed(bridge, monkeypatch):
    """After an answer the connection stays open for as long as it was promised, and no longer."""
    monkeypatch.setattr(bridge.server.config, "timeout_keep_alive", 0.2)
    with Sender(bridge.port) as sender:
        sender.send(request())

        assert 200 == sender.answer()[0]
        assert b"" == sender.socket.recv(1)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80))
def test_any_bytes_after_a_request(bridge, rest):
    """Whatever follows a request, the request is answered."""
    with Sender(bridge.port) as sender:
        sender.send(request() + rest)

        assert 200 == sender.answer()[0]


def test_tokens_on_the_short_way(start, ways):
    """A token is asked for on the short way too, under every prefix, those of open pages included."""
    with start("one") as bridge, Sender(bridge.port) as sender:
        for path, token in itertools.product(["/api/v1/lineage", "/static/api/v1/lineage"], ["one", "two"]):
            sender.send(request(path=path, headers=[f"Authorization: Bearer {token}"]))
            assert {"one": 200, "two": 401}[token] == sender.answer()[0]
        sender.send(request(path="/static/api/v1/lineage?long"))

        assert 401 == sender.answer()[0]
    assert [True, True, True, True, False] == ways
