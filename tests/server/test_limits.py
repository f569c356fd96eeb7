"""What a request may ask of the server, over a socket: sizes, depth, encodings, and bytes that are nothing at all."""

from __future__ import annotations

import gzip
import socket
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GOOD = b'{"job": {"namespace": "n", "name": "j"}}'


def test_as_many_events_as_allowed(bridge):
    """A thousand events at once are accepted, one more is 413 and says so."""
    fits = b"[" + b",".join([GOOD] * 1000) + b"]"
    over = b"[" + b",".join([GOOD] * 1001) + b"]"
    lines = b"\n".join([GOOD] * 1001)

    assert [bridge.post(body).status for body in (fits, over, lines)] == [200, 413, 413]
    assert "1000 events" in bridge.post(over).json["error"]


@pytest.mark.parametrize("depth", [101, 1000, 100_000])
@pytest.mark.parametrize(("before", "after"), [(b"[", b"]"), (b'{"a":', b"}"), (b"[", b"")])
def test_deep_nesting(bridge, depth, before, after):
    """JSON that is nested too deeply is 400, never a crash, and is kept (G22)."""
    body = before * depth + b"1" * bool(after) + after * depth

    reply = bridge.post(body)

    assert (reply.status, reply.json) == (400, {"error": "the JSON is nested more than 100 levels deep"})
    assert [(body,)] == bridge.inbox.calls


def test_a_gzip_bomb(bridge):
    """A body that inflates to more than the cap is 413; nothing of it is stored (G22)."""
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(b" " * 1024 * 1024) for _ in range(64)) + packer.flush()

    reply = bridge.post(bomb, Content_Encoding="gzip")

    assert reply.status == 413
    assert bridge.inbox.calls == []


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "identity, gzip", "zstd", "x" * 100])
def test_other_encodings(bridge, encoding):
    """Only gzip, once, is undone; anything else is 415 (G22)."""
    reply = bridge.post(GOOD, Content_Encoding=encoding)

    assert reply.status == 415
    assert bridge.inbox.calls == []


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " x-gzip ", "identity", ""])
def test_known_encodings(bridge, encoding):
    """Gzip is recognised however it is written."""
    body = gzip.compress(GOOD) if "zip" in encoding.lower() else GOOD

    assert bridge.post(body, Content_Encoding=encoding).status == 200
    assert bridge.inbox.stored == [GOOD]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        gzip.compress(GOOD, mtime=0)[:-9],
        b"\x1f\x8b",
        gzip.compress(GOOD, mtime=0) + b"garbage",
        gzip.compress(b"", mtime=0) * 65,
    ],
)
def test_broken_gzip(bridge, body):
    """What is not gzip, ends too early or goes on with something else is 400, and is kept as it came."""
    reply = bridge.post(body, Content_Encoding="gzip")

    assert reply.status == 400
    assert [body] == bridge.inbox.quarantined


def test_gzip_that_was_undone_on_the_way(bridge):
    """An event that is not gzip, although a proxy left the header, is accepted."""
    assert ((reply := bridge.post(GOOD, Content_Encoding="gzip")).status, reply.json) == (200, {})
    assert bridge.inbox.stored == [GOOD]


def test_several_gzip_members(bridge):
    """Gzip allows several members; together they are one body."""
    half = len(GOOD) // 2

    bridge.post(gzip.compress(GOOD[:half]) + gzip.compress(GOOD[half:]) + b"\0\0", Content_Encoding="gzip")

    assert bridge.inbox.stored == [GOOD]


def talk(port, request: bytes, *, until: bytes = b"\r\n\r\n") -> bytes:
    """Send bytes that no client would, and read the beginning of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while until not in answer and (part := connection.recv(65536)):
            answer += part
        return answer


def test_an_announced_body_that_is_too_large(bridge):
    """413 comes from the announcement alone, before anything of the body (G22)."""
    answer = talk(
        bridge.port, b"POST /api/v1/lineage HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000\r\n\r\n"
    )

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_flood_of_headers(bridge):
    """20 MB of headers are cut off long before, and the connection ends (G22)."""
    with socket.create_connection(("127.0.0.1", bridge.port), 10) as connection:
        sent = 0
        try:
            connection.sendall(b"POST /api/v1/lineage HTTP/1.1\r\nHost: b\r\n")
            for _ in range(20 * 1024):
                connection.sendall(b"X: " + b"y" * 1019 + b"\r\n")
                sent += 1
            answer = connection.recv(100)
        except ConnectionError:
            answer = b""

    assert not answer or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    assert answer or sent < 20 * 1024
    assert 200 == bridge.get("/livez").status


def test_a_chunked_flood(bridge):
    """A body that never announces its length is cut at the cap (G22)."""
    chunk = b"%x\r\n%s\r\n" % (1024 * 1024, b" " * 1024 * 1024)
    request = (
        b"POST /api/v1/lineage HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk * 9
        + b"0\r\n\r\n"
    )

    assert talk(bridge.port, request).startswith(b"HTTP/1.1 413 ")
    assert bridge.inbox.calls == []


def test_a_body_that_is_longer_than_announced(bridge):
    """Only the announced bytes are the body; the rest is no request."""
    request = b"POST /api/v1/lineage HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s{trailing}\r\n\r\n"

    answer = talk(bridge.port, request % (len(GOOD), GOOD), until=b"Invalid HTTP request")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 400 " in answer
    assert bridge.inbox.stored == [GOOD]


def test_a_body_that_is_shorter_than_announced(bridge):
    """A sender that goes away before its body is complete stores nothing and breaks nothing."""
    with socket.create_connection(("127.0.0.1", bridge.port), timeout=10) as connection:
        connection.sendall(b"POST /api/v1/lineage HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + GOOD)

    assert bridge.post(b'{"job": {"name": "next"}}').status == 200
    assert bridge.inbox.calls == [(b'{"job": {"name": "next"}}',)]


@given(
    body=st.binary(max_size=200) | st.text(alphabet='[]{}",:1aé\\ \n').map(str.encode),
    path=st.sampled_from(["/api/v1/lineage", "/api/v1/lineage/batch"]),
    encoding=st.sampled_from(["", "gzip", "identity", "br"]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes(bridge, body, path, encoding):
    """Whatever is sent, the answer is one of those that were promised (G24)."""
    reply = bridge.post(body, path, Content_Encoding=encoding)

    assert reply.status in {200, 400, 413, 415}
    assert isinstance(reply.json, dict)
