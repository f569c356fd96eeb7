"""POST /api/v1/lineage and /lineage/batch, over a socket, with the real client."""

from __future__ import annotations

import ast
import contextlib
import itertools
import json
import socket
import time
from pathlib import Path

import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpCompression, HttpConfig, HttpTransport

import openlineage_bridge.server
from openlineage_bridge.errors import RetryLater, StorageError

GOOD = b'{"job": {"namespace": "n", "name": "j"}}'
BAD = b'{"job": {"namespace": "n"}}'


def event(name="job"):
    return RunEvent(
        eventType=RunState.COMPLETE,
        eventTime="2024-05-01T10:00:00Z",
        run=Run("0190a6a2-1111-7000-8000-000000000001"),
        job=Job("namespace", name),
        producer="https://example.org/producer",
    )


# --- the real client ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, HttpCompression.GZIP])
@pytest.mark.parametrize("prefix", ["", "/openapi/openlineage/", "/some/proxy/"])
def test_the_python_client(bridge, compression, prefix):
    """The OpenLineage client delivers events, plain and compressed, whatever base path it was given."""
    transport = HttpTransport(HttpConfig(url=f"{bridge.url}{prefix}", compression=compression))
    client = OpenLineageClient(transport=transport)

    client.emit(event())
    client.close()

    assert [json.loads(body)["job"]["name"] for body in bridge.inbox.stored] == ["job"]


def test_the_python_client_with_a_token(start):
    """The client's api_key is a token of the bridge."""
    with start("s3cret") as bridge:
        auth = ApiKeyTokenProvider({"apiKey": "s3cret"})
        client = OpenLineageClient(transport=HttpTransport(HttpConfig(url=bridge.url, auth=auth)))

        client.emit(event())
        client.close()

        assert len(bridge.inbox.stored) == 1


# --- one event ------------------------------------------------------------------------------------------------------


def test_one_event(bridge):
    """An event is stored as it came, and the answer is 200 with an empty object."""
    reply = bridge.post(GOOD)

    assert (reply.status, reply.json) == (200, {})
    assert bridge.inbox.stored == [GOOD]


def test_warnings_are_told(bridge):
    """What was read leniently is told to the sender."""
    reply = bridge.post(json.dumps({"job": {"name": "j"}, "warn": ["no eventTime"]}).encode())

    assert (reply.status, reply.json) == (200, {"warnings": ["no eventTime"]})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (BAD, "no identity: job.name"),
        (b"{", "not JSON"),
        (b"not json", "not JSON"),
        (b"null", "no identity: job.name"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/lineage", "/x/api/v1/lineage/"])
def test_a_refused_event(bridge, body, reason, path):
    """A refused event is 400 with the reason, and its bytes are kept."""
    reply = bridge.post(body, path)

    assert (400, {"error": reason}) == (reply.status, reply.json)
    assert [body] == bridge.inbox.quarantined


@pytest.mark.parametrize("body", [b"", b"  \r\n", b"\xef\xbb\xbf"])
def test_nothing(bridge, body):
    """An empty body is refused; there is nothing to keep."""
    reply = bridge.post(body)

    assert reply.status == 400
    assert "empty" in reply.json["error"]
    assert bridge.inbox.calls == []


def test_leading_bytes(bridge):
    """A byte order mark and white space around an event do not matter."""
    assert bridge.post(b"\xef\xbb\xbf \n" + GOOD + b"\n").status == 200
    assert bridge.inbox.stored == [GOOD]


# --- several events -------------------------------------------------------------------------------------------------


def batch_body(count, failed, reason="no identity: job.name"):
    return {
        "status": "partial_success" if failed else "success",
        "summary": {
            "received": count,
            "successful": count - len(failed),
            "failed": len(failed),
            "retriable": 0,
            "non_retriable": len(failed),
        },
        "failed_events": [{"index": index, "reason": reason, "retriable": False} for index in failed],
    }


@pytest.mark.parametrize(
    "mix", [mix for count in range(5) for mix in itertools.product([True, False], repeat=count)]
)
def test_every_mix_of_a_batch(bridge, mix):
    """For every mix of good and bad events the answer counts them and says which failed and why (G11)."""
    events = [
        json.dumps({"job": {"name": f"j{index}"}} if good else {"job": {}, "n": index}).encode()
        for index, good in enumerate(mix)
    ]

    reply = bridge.post(b"[" + b",".join(events) + b"]", "/api/v1/lineage/batch")

    assert (200, batch_body(len(mix), [at for at, good in enumerate(mix) if not good])) == (
        reply.status,
        reply.json,
    )
    assert [each for each, good in zip(events, mix, strict=True) if good] == bridge.inbox.stored
    assert [each for each, good in zip(events, mix, strict=True) if not good] == bridge.inbox.quarantined


def test_duplicates_in_a_batch(bridge):
    """An event that is there already is a success."""
    reply = bridge.post(b"[" + GOOD + b"," + GOOD + b"]", "/api/v1/lineage/batch")

    assert batch_body(2, []) == reply.json
    assert bridge.inbox.stored == [GOOD]


@pytest.mark.parametrize(
    "path", ["/api/v1/lineage", "/api/v1/lineage/batch", "/openapi/openlineage/api/v1/lineage/batch"]
)
@pytest.mark.parametrize(
    "body",
    [
        b"[" + GOOD + b"," + BAD + b", 1, null]",
        GOOD + b"\n" + BAD + b"\r\n\n1\nnull\n",
    ],
)
def test_arrays_and_lines(bridge, path, body):
    """An array and NDJSON are accepted on both paths, and answered in the same way."""
    reply = bridge.post(body, path)

    assert (200, batch_body(4, [1, 2, 3])) == (reply.status, reply.json)


def test_one_event_as_a_batch(bridge):
    """A single event on the batch path is a batch of one."""
    assert batch_body(1, []) == bridge.post(GOOD, "/api/v1/lineage/batch").json
    assert batch_body(1, [0]) == bridge.post(BAD, "/api/v1/lineage/batch").json


@pytest.mark.parametrize("body", [b"[", b"[{]", b"[" + GOOD, b"[" + GOOD + b"] x", b"[NaN]", b"{", b"x"])
def test_a_batch_that_is_not_json(bridge, body):
    """No event can be read from it: 400, and the whole body is kept."""
    reply = bridge.post(body, "/api/v1/lineage/batch")

    assert reply.status == 400
    assert "JSON" in reply.json["error"]
    assert [body] == bridge.inbox.quarantined


def test_a_single_event_over_many_lines(bridge):
    """Indented JSON is one event, not lines."""
    body = json.dumps(json.loads(GOOD), indent=2).encode()

    assert (bridge.post(body).status, bridge.post(body).json) == (200, {})
    assert [body] == bridge.inbox.stored


def until(attempt, good, seconds=5.0):
    """What an attempt gave, the first time that it is good, or at the end of the time."""
    deadline = time.monotonic() + seconds
    while not good(result := attempt()) and time.monotonic() < deadline:
        pass
    return result


# --- later ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [RetryLater("the bridge is busy"), StorageError("the disk is full"), KeyError("defect")]
)
@pytest.mark.parametrize("body", [GOOD, b"[" + GOOD + b"]", b"[", b"[" * 200])
@pytest.mark.parametrize("path", ["/api/v1/lineage", "/api/v1/lineage/batch"])
def test_the_inbox_fails(bridge, failure, body, path):
    """Nothing was stored: 503, which clients try again, and never Retry-After, during which they sleep (G03)."""
    bridge.inbox.failure = failure

    reply = bridge.post(body, path)

    assert reply.status == 503
    assert "error" in reply.json
    assert "retry-after" not in reply.headers


def test_a_slow_disk(bridge):
    """Without a commit the answer is 503 after 4 s; a commit that fails later disturbs nothing (G04)."""
    bridge.inbox.answers = False

    start = time.monotonic()
    reply = bridge.post(GOOD)
    seconds = time.monotonic() - start
    bridge.inbox.waiting[0].set_exception(StorageError("too late"))
    bridge.inbox.answers = True

    assert (reply.status, reply.json["error"]) == (
        503,
        "the events were not on disk within 4 seconds: send them again",
    )
    assert 3.9 < seconds < 4.9
    assert bridge.post(GOOD).status == 200


@pytest.mark.parametrize(
    "framing", ["Content-Length: 100000", "Content-Length: 1000000", "Transfer-Encoding: chunked"]
)
def test_too_much_at_once(bridge, monkeypatch, framing):
    """Above the limit on the bytes that are in flight the answer is 503; what was only announced does not count."""
    in_flight = bridge.app.state.ingest.in_flight
    monkeypatch.setattr(in_flight, "max_bytes", 50_000)
    begun = f"POST /api/v1/lineage HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode()
    half = b" " * 30_000
    address = ("127.0.0.1", bridge.port)
    with contextlib.ExitStack() as senders:
        first, second = (senders.enter_context(socket.create_connection(address, timeout=10)) for _ in "12")
        for sender in (first, second):
            sender.sendall(begun)
        announced = bridge.post(GOOD)
        first.sendall(b"7530\r\n" * ("chunked" in framing) + half)
        assert until(lambda: in_flight.bytes, lambda held: held == 30_000) == 30_000
        second.sendall(b"7530\r\n" * ("chunked" in framing) + half)
        full = b""
        while b"again" not in full and (part := second.recv(65536)):
            full += part
    empty = until(lambda: in_flight.bytes, lambda held: held == 0)

    assert 200 == announced.status
    assert full.startswith(b"HTTP/1.1 503 ")
    assert b"too many events are being received right now: send them again" in full
    assert 0 == empty


# --- other methods and paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/lineage", 405),
        ("PUT", "/api/v1/lineage", 405),
        ("POST", "/api/v1/lineages", 404),
        ("POST", "/xapi/v1/lineage", 404),
        ("POST", "/", 405),
        ("GET", "/nothing", 404),
    ],
)
def test_wrong_requests(bridge, method, path, status):
    """A wrong method or path is answered in JSON."""
    reply = bridge.request(method, path, b"{}")

    assert status == reply.status
    assert "error" in reply.json


def test_no_code_knows_429():
    """No status but 503 tells a sender to come again, and no header tells it when: clients drop or sleep on those (G16)."""
    package = Path(openlineage_bridge.server.__file__).parents[1]
    files = [
        *package.glob("server/*.py"),
        package / "receivers" / "http.py",
        package / "receivers" / "gathering.py",
    ]
    constants = {
        node.value
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant)
    }

    assert 503 in constants
    assert 429 not in constants
    assert not [each for each in constants if isinstance(each, str) and each.lower() == "retry-after"]
