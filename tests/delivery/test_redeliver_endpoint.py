"""`POST /api/v1/delivery/redeliver`: what an operator asks of a running bridge, and nobody else."""

from __future__ import annotations

import asyncio
import json

import httpx2
import pytest

from openlineage_bridge.config import Config, Secret, ServerConfig
from openlineage_bridge.server.app import create_app
from openlineage_bridge.service import Service
from openlineage_bridge.store.status import Queries
from openlineage_bridge.translation import MemorySink

PATH = "/api/v1/delivery/redeliver"


@pytest.fixture
def sink():
    return MemorySink()


@pytest.fixture
def ask(tmp_path, plain, world, sink):
    """Posts to a bridge that heard of one run."""
    path = tmp_path / "bridge.db"
    tokens = {
        "tokens": (Secret("admin"),),
        "write_tokens": (Secret("write"),),
        "read_tokens": (Secret("read"),),
    }
    config = Config(store=path, server=ServerConfig(**tokens))
    service = Service(path, plain.PlainTranslator(), also={"catalog": sink})
    service.accept([json.dumps(world.run_event(outputs=["t"])).encode()], "test").result(20)
    app = create_app(service, Queries(path), config, service)

    async def post(body, token):
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app), base_url="http://bridge"
        ) as client:
            headers = {"Authorization": f"Bearer {token}"}
            return await client.post(PATH, content=body, headers=headers)

    yield lambda body, token="admin": asyncio.run(
        post(body if isinstance(body, bytes) else json.dumps(body).encode(), token)
    )
    service.close()


@pytest.fixture
def delivered(sink):
    """How much was delivered so far, once there is as much as that."""
    from bridge_tests.waiting import wait_until

    def delivered(count: int) -> int:
        wait_until(lambda: len(sink.sent) >= count)
        return len(sink.sent)

    return delivered


def test_everything_goes_out_again_at_once(ask, sink, delivered):
    """Without anybody waiting for the next event."""
    everything = delivered(3)
    answer = ask({"urns": None})

    assert (200, ["catalog"]) == (answer.status_code, list(answer.json()))
    assert 2 * everything == delivered(2 * everything)


def test_one_entity_of_one_destination(ask, sink, delivered):
    """And nothing else."""
    everything = delivered(3)
    answer = ask({"urns": [sink.sent[0].urn], "to": "catalog"})

    assert {"catalog": 1} == answer.json()
    assert everything + 1 == delivered(everything + 1)


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"nonsense", 400, "say what"),
        ({}, 400, "say what"),
        ({"urns": "all"}, 400, "say what"),
        ({"urns": ["urn:nothing"]}, 400, "nothing is held about urn:nothing"),
        ({"urns": None, "to": "nobody"}, 400, "known: catalog"),
    ],
)
def test_what_is_wrong_is_said(ask, delivered, body, status, word):
    """And nothing is sent."""
    everything = delivered(3)
    answer = ask(body)

    assert status == answer.status_code
    assert word in answer.json()["error"]
    assert everything == delivered(everything)


@pytest.mark.parametrize(("token", "status"), [("write", 403), ("read", 403), ("none", 401)])
def test_only_operators_may(ask, token, status):
    """Not who only sends events, or only reads."""
    assert status == ask({"urns": None}, token).status_code
