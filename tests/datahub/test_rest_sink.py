"""Every proposal gets its own outcome, whatever the server does."""

from __future__ import annotations

import json

import pytest

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.outgoing import Connection
from openlineage_bridge.translation import Delivered, Refused, Retry
from openlineage_bridge_datahub.proposals import batches
from openlineage_bridge_datahub.sinks.answers import outcome_of
from openlineage_bridge_datahub.sinks.rest import RestSink


@pytest.fixture
def sink(gms):
    sink = RestSink(gms.url, token="secret", connection=Connection(timeout=5))
    yield sink
    sink.close()


def refusing(*bad, status=400, message="bad aspect"):
    """A server that refuses any request with one of these proposals in it."""

    def answer(request):
        urns = {each["entityUrn"] for each in request["proposals"]}
        if urns & set(bad):
            return status, json.dumps({"message": message, "stackTrace": "at com.linkedin..."}).encode()
        return 200, b"{}"

    return answer


def test_proposals_arrive_in_order(sink, gms, proposals):
    """All delivered, in one request, with the token and the protocol's version."""
    sent = proposals(5)

    assert sink.send(sent) == [Delivered()] * 5
    assert [each.urn for each in sent] == [each["entityUrn"] for each in gms.received]
    [(path, headers, _)] = gms.requests
    assert path == "/aspects?action=ingestProposalBatch"
    assert headers["Authorization"] == "Bearer secret"
    assert headers["X-RestLi-Protocol-Version"] == "2.0.0"


def test_batches_are_bounded_by_count(sink, gms, proposals):
    """No request holds more than 200 proposals."""
    sink.send(proposals(450))

    assert [len(json.loads(body)["proposals"]) for _, _, body in gms.requests] == [200, 200, 50]


def test_batches_are_bounded_by_bytes():
    """A batch ends before it is too big; what is too big alone goes alone."""
    sizes = [4, 4, 4, 20, 1, 1]

    assert list(batches([b"x" * size for size in sizes], size=10)) == [
        range(2),
        range(2, 3),
        range(3, 4),
        range(4, 6),
    ]
    assert list(batches([])) == []


def test_only_the_culprits_are_refused(sink, gms, proposals):
    """A permanent error is narrowed down by halves; the rest is delivered."""
    sent = proposals(16)
    gms.answer = refusing(sent[3].urn, sent[11].urn)

    actual = sink.send(sent)

    assert [position for position, each in enumerate(actual) if each != Delivered()] == [3, 11]
    assert actual[3] == actual[11] == Refused("HTTP 400: bad aspect")
    assert len(gms.requests) < 16


def test_a_validation_error_that_comes_as_500_is_refused(sink, gms, proposals):
    """Some versions of GMS answer an invalid aspect with 500: their words tell."""
    sent = proposals(2)
    gms.answer = refusing(sent[0].urn, status=500, message="ValidationException: field is required")

    assert sink.send(sent) == [Refused("HTTP 500: ValidationException: field is required"), Delivered()]


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 502, 503, 302])
def test_what_may_pass_keeps_the_batch(sink, gms, proposals, status):
    """Nothing is refused for the server's or the operator's trouble, and nothing after it is tried.

    But for 500, which is also what a server may answer that does not unpack: there the same is tried plain, once.
    """
    gms.answer = lambda _: (status, b"busy")

    actual = sink.send(proposals(450))

    assert {type(each) for each in actual} == {Retry}
    assert str(status) in actual[0].reason
    assert (len(actual), len(gms.requests)) == (450, 2 if status == 500 else 1)


def test_a_failure_in_the_middle_keeps_what_follows(sink, gms, proposals):
    """What was delivered stays delivered; the rest is tried again, in order."""
    gms.answer = lambda _: (200, b"{}") if len(gms.requests) < 2 else (503, b"")

    actual = sink.send(proposals(450))

    assert [type(each) for each in actual] == [Delivered] * 200 + [Retry] * 250


def test_trouble_while_narrowing_down_refuses_nobody_wrongly(sink, gms, proposals):
    """When the server goes away between the halves, the untried half is tried again."""
    sent = proposals(4)

    def answer(request):
        return (400, b"no") if len(request["proposals"]) > 1 else (503, b"")

    gms.answer = answer

    assert {type(each) for each in sink.send(sent)} == {Retry}


def test_an_absent_server_keeps_everything(proposals, free_port):
    """Connection refused: again later."""
    sink = RestSink(f"http://127.0.0.1:{free_port}", connection=Connection(timeout=1))

    actual = sink.send(proposals(3))
    sink.close()

    assert {type(each) for each in actual} == {Retry}
    assert str(free_port) in actual[0].reason


def test_nothing_to_send(sink, gms):
    """No proposals, no request."""
    assert sink.send([]) == []
    assert gms.requests == []


def test_who_wrote_it_is_said(gms, proposals):
    """SystemMetadata lets `datahub ingest rollback` find what was written."""
    sink = RestSink(gms.url, pipeline_name="mine")
    sink.send(proposals(1))
    sink.close()

    [received] = gms.received

    assert (received["systemMetadata"]["runId"], received["systemMetadata"]["pipelineName"]) == (
        "mine",
        "mine",
    )
    assert received["systemMetadata"]["lastObserved"] > 1_700_000_000_000


def test_the_reason_is_the_servers_words_in_short():
    """A reason quotes the message, not the stack trace, and any other answer up to a bound."""
    assert outcome_of(422, '{"message": "a\\n b", "stackTrace": "x"}') == Refused("HTTP 422: a b")
    assert len(outcome_of(400, "x" * 5000).reason) < 600
    assert outcome_of(201, "") == Delivered()


def test_options(monkeypatch):
    """Address and token come from the section, else from DataHub's own variables."""
    monkeypatch.setenv("DATAHUB_GMS_URL", "http://gms:8080/")
    monkeypatch.setenv("DATAHUB_GMS_TOKEN", "t1")
    from_environment = RestSink.from_options({"sink": "rest", "env": "PROD"})
    from_section = RestSink.from_options({"server": "https://x/api/gms", "token": "t2", "batch_size": 10})

    assert from_environment.destination == "http://gms:8080"
    assert (from_environment.server, from_environment.token) == ("http://gms:8080", "t1")
    assert (from_section.server, from_section.token, from_section.batch_size) == (
        "https://x/api/gms",
        "t2",
        10,
    )
    assert "t2" not in repr(from_section)


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"server": "gms:8080"},
        {"server": "http://x", "timeout": -1},
        {"server": "http://x", "batch_size": "a"},
    ],
)
def test_wrong_options_are_refused(monkeypatch, section):
    """Without a usable address nothing starts."""
    monkeypatch.delenv("DATAHUB_GMS_URL", raising=False)

    with pytest.raises(ConfigError, match="datahub"):
        RestSink.from_options(section)
