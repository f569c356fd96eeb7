"""A bridge that is killed between the destination's answer and writing it down: told twice is told once (G06)."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing, contextmanager, suppress
from uuid import UUID

import pytest
from bridge_tests.loopback import Handler, serving
from bridge_tests.process import JSON, LINEAGE, Bridge, running
from bridge_tests.waiting import wait_until

from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.aspects import holdings
from openlineage_bridge.store.database import MEMORY, open_readonly
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.translation import load_translator

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(600)]

KILLS, EVENTS_PER_KILL = 20, 5


class Gms:
    """Holds what it was given; what stands in ``mishaps`` happens once each, after that and before it answers."""

    def __init__(self) -> None:
        self.held: dict[tuple, object] = {}
        self.given = 0
        self.mishaps: deque[Callable[[], object]] = deque()

    def take(self, proposal: dict) -> None:
        value = json.loads(proposal["aspect"]["value"])
        self.held[proposal["entityUrn"], proposal["aspectName"], value.get("timestampMillis")] = value
        self.given += 1


class Api(Handler):
    def do_POST(self) -> None:
        gms = self.server.gms
        for proposal in json.loads(self.body())["proposals"]:
            gms.take(proposal)
        with suppress(IndexError):
            gms.mishaps.popleft()()
        self.reply(b"{}")

    def do_GET(self) -> None:
        self.reply({"noCode": "true", "patchCapable": True}, 200 if self.path == "/config" else 404)


@contextmanager
def delivering(tmp_path):
    """A bridge that delivers to a GMS, and this."""
    gms = Gms()
    with serving(Api, gms=gms) as server:
        environment = {
            "OPENLINEAGE_BRIDGE__DATAHUB__SINK": "rest",
            "OPENLINEAGE_BRIDGE__DATAHUB__SERVER": server.url,
        }
        with running(tmp_path, environment=environment) as bridge:
            yield bridge, gms


def event(number: int) -> bytes:
    return json.dumps(
        {
            "eventTime": f"2026-01-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z",
            "eventType": "COMPLETE",
            "producer": "https://example.com/chaos",
            "run": {"runId": str(UUID(int=number))},
            "job": {"namespace": "chaos", "name": f"job{number % 7}"},
            "inputs": [{"namespace": "postgres://h:5432", "name": f"d.s.t{number % 5}"}],
            "outputs": [{"namespace": "postgres://h:5432", "name": f"d.s.t{number % 11}"}],
        }
    ).encode()


def told_once(bodies: list[bytes]) -> dict[tuple, object]:
    """What a catalog holds after one delivery of everything."""
    with Store(MEMORY) as store:
        with store.transaction():
            store.inbox.put(map(inspect, bodies), receiver="test", now=1)
        Pipeline(store, load_translator("datahub", {})).drain()
        return {
            (each.urn, each.aspect_name, each.timestamp_ms): json.loads(each.body)
            for each in holdings(store.connection)
        }


def acknowledged(bridge: Bridge, bodies: list[bytes]) -> bool:
    """Send events, once; False when the bridge was killed before it could answer."""
    with closing(bridge.connect()) as connection, suppress(OSError, http.client.HTTPException):
        connection.request("POST", LINEAGE, b"[" + b",".join(bodies) + b"]", JSON)
        assert 200 == connection.getresponse().status
        return True
    return False


def test_killed_after_the_answer(tmp_path, ledger):
    """Killed while the destination answers, or just after, it holds the same as after one delivery (G06).

    Where the sender's answer was lost with it, the sender sends again, as clients do.
    """
    random_, bodies, sent_again = random.Random(3), [], 0
    with delivering(tmp_path) as (bridge, gms):
        bridge.warm_up()
        for round_ in range(KILLS):
            some = [event(round_ * EVENTS_PER_KILL + number) for number in range(EVENTS_PER_KILL)]
            bodies += some
            told, deadly = threading.Event(), random_.random() < 0.5
            gms.mishaps.append(bridge.kill if deadly else told.set)
            answered = acknowledged(bridge, some)
            wait_until(lambda: bridge.process is None if deadly else told.is_set())  # noqa: B023  - called here
            if not deadly:
                bridge.kill()
            bridge.start()
            if not answered:
                assert acknowledged(bridge, some)
                sent_again += EVENTS_PER_KILL
        wait_until(lambda: bridge.settled, 60)

        expected = told_once(bodies)
        assert expected == {key: value for key, value in gms.held.items() if key in expected}
        assert not [key for key in gms.held.keys() - expected.keys() if key[2] is not None]
    with closing(open_readonly(bridge.store)) as reader:
        assert len(bodies) == reader.execute("SELECT count(*) FROM inbox").fetchone()[0]
    ledger.note(
        "G06",
        kills=KILLS,
        acknowledged=len(bodies),
        of_them_sent_again=sent_again,
        proposals_sent=gms.given,
        proposals_held=len(gms.held),
        differences=0,
    )
