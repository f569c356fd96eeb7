"""Any bytes to any endpoint: an answer that was promised, in time, from a process that lives on (G24, G16)."""

from __future__ import annotations

import copy
import gzip
import http.client
import json
import os
import random
import socket
import time
from collections import Counter
from contextlib import closing

import pytest
from bridge_tests.process import JSON, LINEAGE

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(1000)]

SECONDS = float(os.environ.get("OPENLINEAGE_BRIDGE_FUZZ_SECONDS", "20"))
"""Half for documents and half for raw bytes."""

PROMISED = {100, 200, 400, 401, 403, 404, 405, 408, 411, 413, 415, 417, 431, 501, 503, 505}
"""Statuses that may come; 100 invites the body; 501 and 505 are h11's, for what is no HTTP/1.1."""


class _Raw(str):
    """JSON that no encoder would make."""

    __slots__ = ()


NASTY = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1e308,
        _Raw("1" * 5000),
        "",
        " ",
        "\x00",
        "\ud800",
        "\u202e",
        "x" * 70_000,
        [],
        {},
        [[]],
        [None],
    ),
    *(
        {"": {}},
        {"_deleted": True},
        "NaN",
        "2026-13-45T99:99:99Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999+14:00",
    ),
    *(
        "not-a-uuid",
        "urn:li:dataset:(",
        "s3://",
        "://",
        "%00",
        "../../etc/passwd",
        "'; DROP TABLE inbox; --",
        "<script>",
    ),
)


def table(name: str) -> dict:
    fields = [{"name": "a", "type": "int", "fields": [{"name": "b", "type": "string"}]}]
    inputs = [
        {"namespace": "postgres://h", "name": "d.s.t", "field": "a", "transformations": [{"type": "DIRECT"}]}
    ]
    facets = {
        "schema": {"fields": fields},
        "columnLineage": {"fields": {"a": {"inputFields": inputs}}, "dataset": inputs},
        "ownership": {"owners": [{"name": "team:x", "type": "OWNER"}]},
        "symlinks": {"identifiers": [{"namespace": "hive://h", "name": "d.t", "type": "TABLE"}]},
        "tags": {"tags": [{"key": "k", "value": "v", "source": "s"}]},
        "documentation": {"description": "text"},
        "lifecycleStateChange": {
            "lifecycleStateChange": "RENAME",
            "previousIdentifier": {"name": "o", "namespace": "n"},
        },
        "dataQualityAssertions": {"assertions": [{"assertion": "not_null", "success": True, "column": "a"}]},
        "lineage": {"inputs": inputs},
    }
    return {"namespace": "postgres://h", "name": name, "facets": facets}


BASES = (
    {
        "eventType": "COMPLETE",
        "eventTime": "2026-01-01T00:00:00Z",
        "producer": "https://example.com/fuzz",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {
            "runId": "0192f6c2-1f2e-7a31-9c4d-1a2b3c4d5e6f",
            "facets": {
                "parent": {
                    "run": {"runId": "0192f6c2-1f2e-7a31-9c4d-1a2b3c4d5e60"},
                    "job": {"namespace": "n", "name": "p"},
                },
                "nominalTime": {"nominalStartTime": "2026-01-01T00:00:00Z"},
                "errorMessage": {"message": "m", "programmingLanguage": "python", "stackTrace": "s"},
                "jobDependencies": {"upstream": [{"job": {"namespace": "n", "name": "u"}}]},
            },
        },
        "job": {
            "namespace": "n",
            "name": "j",
            "facets": {"sql": {"query": "select 1"}, "jobType": {"integration": "SPARK"}},
        },
        "inputs": [table("d.s.in")],
        "outputs": [table("d.s.out")],
    },
    {
        "eventTime": "2026-01-01T00:00:00Z",
        "producer": "p",
        "job": {"namespace": "n", "name": "j"},
        "inputs": [table("d.s.t")],
    },
    {"eventTime": "2026-01-01T00:00:00Z", "producer": "p", "dataset": table("d.s.t")},
)


@pytest.fixture
def chance():
    """Every failure names its seed."""
    seed = int(os.environ.get("OPENLINEAGE_BRIDGE_FUZZ_SEED", time.time_ns() % 1_000_000))
    print(f"OPENLINEAGE_BRIDGE_FUZZ_SEED={seed}")  # noqa: T201  - pytest shows it with a failure
    return random.Random(seed)


def mutated(value: object, chance: random.Random) -> object:
    """The document with something else in one to four places."""
    document = {"": copy.deepcopy(value)}
    for _ in range(chance.randint(1, 4)):
        places = list(_places(document))
        holder, key = chance.choice(places)
        match chance.random():
            case few if few < 0.15 and isinstance(holder, dict) and holder is not document:
                del holder[key]
            case few if few < 0.25:
                holder[key] = _deep(chance.choice((20, 98, 101, 3000)))
            case few if few < 0.35:
                holder[key] = _copied(chance.choice([inner[name] for inner, name in places]))
            case _:
                holder[key] = _copied(chance.choice(NASTY))
    return document[""]


def _copied(value: object) -> object:
    return value if isinstance(value, _Raw) else copy.deepcopy(value)


def _places(value: object):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)


def _deep(levels: int) -> object:
    return _Raw("[" * levels + "]" * levels)


def encoded(document: object) -> bytes:
    """As JSON, with what is raw in it as it is."""
    raw: list[str] = []

    def mark(value: object) -> object:
        if isinstance(value, _Raw):
            raw.append(value)
            return f"@raw{len(raw) - 1}@"
        if isinstance(value, dict):
            return {key: mark(item) for key, item in value.items()}
        return [mark(item) for item in value] if isinstance(value, list) else value

    text = json.dumps(mark(document))
    for number, each in enumerate(raw):
        text = text.replace(f'"@raw{number}@"', each)
    return text.encode()


def scrambled(data: bytes, chance: random.Random) -> bytes:
    """The bytes with a few of them changed, left out, doubled or replaced."""
    changed = bytearray(data)
    for _ in range(chance.randint(0, 5)):
        at = chance.randrange(len(changed) + 1)
        size = chance.randint(0, 20)
        changed[at : at + size] = chance.choice(
            (
                b"",
                chance.randbytes(size),
                bytes(changed[at : at + size]) * 2,
                b"\x00",
                b"\xff\xfe",
                b"NaN",
                b"1e999",
                b'{"a":1,"a":2}',
            )
        )
    return bytes(changed)


def test_documents(bridge, chance, ledger):
    """Mutations of every kind of event, in every framing: accepted or refused, never 500, never a hang (G24)."""
    until, answers = time.monotonic() + SECONDS / 2, Counter()
    connection = bridge.connect()
    while time.monotonic() < until:
        body = encoded(mutated(chance.choice(BASES), chance))
        body = scrambled(body, chance) if chance.random() < 0.3 else body
        headers, path = dict(JSON), chance.choice((LINEAGE, f"{LINEAGE}/batch", f"/any/prefix{LINEAGE}"))
        if chance.random() < 0.3:
            body = chance.choice((b"[%b]", b"[%b,{}]", b"%b\n%b")).replace(b"%b", body)
        if chance.random() < 0.2:
            body, headers["Content-Encoding"] = scrambled(gzip.compress(body), chance), "gzip"
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            assert answer.status in {200, 400, 413}, (answer.status, answer.read(), body[:2000])
            answer.read()
            answers[answer.status] += 1
        except http.client.RemoteDisconnected:
            connection.close()
            connection = bridge.connect()
    connection.close()
    _still_well(bridge)
    ledger.note("G24", documents=sum(answers.values()), of_them_accepted=answers[200], answers_500=0, hangs=0)


ENDPOINTS = (
    *(
        "/",
        "/livez",
        "/readyz",
        "/metrics",
        "/healthcheck",
        "/static/page.css",
        "/static/../../etc/passwd",
        "/%00",
        "/é",
    ),
    *(
        "/api/v1/graph?node=x&depth=9",
        "/api/v1/search?q=%ff%00",
        LINEAGE,
        f"{LINEAGE}/batch",
        f"{LINEAGE}/",
        "*",
    ),
    *(
        "/api/v1/quarantine/retry",
        "/api/v1/quarantine/drop",
        "/?node=a&depth=99999999999999999999",
        "http://other/",
    ),
)
METHODS = (
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "PATCH",
    "TRACE",
    "CONNECT",
    "",
    "get",
    "P\x00ST",
)
HEADERS = (
    *(
        "Content-Length: 5",
        "Content-Length: -1",
        "Content-Length: 5, 6",
        "Content-Length: 99999999999999999999",
    ),
    *(
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Expect: 100-continue",
        "Connection: close",
    ),
    *(
        "Authorization: Basic %%%",
        "Authorization: Bearer \xff",
        "Content-Encoding: br",
        "Sec-Fetch-Site: cross-site",
    ),
    *(
        "Upgrade: h2c",
        "X: " + "y" * 70_000,
        "broken",
        ": empty",
        "Host: a",
        "Host: b",
        "Content-Type: text/plain",
    ),
)


def test_raw_bytes(bridge, chance, ledger):
    """Requests that are none, on every endpoint: an answer of those that were promised, or the end of the connection (G24)."""
    until, answers = time.monotonic() + SECONDS / 2, Counter()
    while time.monotonic() < until:
        lines = [
            f"{chance.choice(METHODS)} {chance.choice(ENDPOINTS)} HTTP/{chance.choice(('1.1', '1.1', '1.0', '2.0', ''))}"
        ]
        lines += chance.sample(HEADERS, chance.randint(0, 4))
        request = "\r\n".join([*lines, "", chance.choice(("", "hello", "5\r\nhello\r\n0\r\n\r\n"))]).encode(
            "utf-8", "replace"
        )
        request = scrambled(request, chance) if chance.random() < 0.4 else request
        answers[status := answered(bridge, request)] += 1
        assert status in PROMISED | {0}, (status, request[:2000])
    _still_well(bridge)
    ledger.note(
        "G24", raw_requests=sum(answers.values()), of_them_answered=sum(answers.values()) - answers[0]
    )
    ledger.note("G16", answers_429=answers[429])


def answered(bridge, request: bytes) -> int:
    """The status that comes back; 0 when the connection ends without one."""
    with closing(socket.create_connection(("127.0.0.1", bridge.port), 10)) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while b"\r\n" not in answer and (data := connection.recv(65536)):
                answer += data
        except ConnectionError:
            return 0
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def _still_well(bridge) -> None:
    """Ready, with nothing in the log that a defect put there, and one record on every line."""
    assert 200 == bridge.status("/readyz")
    assert not [
        each for each in bridge.records if each["level"] == "error" and each["event"] == "request_failed"
    ]
    assert len(bridge.records) == len(bridge.log.splitlines())
