"""An hour without DataHub while 5,000 runs go on, on a virtual clock: nothing is lost, and nobody is run over afterwards."""

from __future__ import annotations

import json
import random
from importlib import import_module

import attrs
import httpx2
import pytest

from openlineage_bridge.delivery import Here, couriers
from openlineage_bridge.pacing import LONGEST_WAIT
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.store.quarantine import quarantined
from openlineage_bridge_datahub import DataHubTranslator
from openlineage_bridge_datahub.sinks.rest import RestSink

loads = import_module("bridge_tests.loads")

HOUR = 3600.0
OUTAGE = (300.0, 300.0 + HOUR)
SERVICE = 0.2
"""Seconds that DataHub takes for a request, however much it brings."""


@attrs.define
class Server:
    """DataHub as seen over HTTP, on a clock that only moves when somebody waits."""

    now: float = 0.0
    requests: list[tuple[float, int, int]] = attrs.field(factory=list)
    state: dict = attrs.field(factory=dict)

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.now += SERVICE
        away = OUTAGE[0] <= self.now < OUTAGE[1]
        if request.method == "GET":
            return httpx2.Response(503 if away else 404 if "entitiesV2" in request.url.path else 200, json={})
        proposals = json.loads(request.content)["proposals"]
        self.requests.append((self.now, len(proposals), 503 if away else 200))
        if away:
            return httpx2.Response(503)
        for each in proposals:
            value = json.loads(each["aspect"]["value"])
            at = value.get("timestampMillis") if isinstance(value, dict) else None
            self.state[each["entityUrn"], each["aspectName"], at] = value
        return httpx2.Response(200)


def sink_of(server: Server, url: str = "http://gms") -> RestSink:
    sink = RestSink(url, gzip=False)
    sink.close()
    client = httpx2.Client(transport=httpx2.MockTransport(server.handle))
    sink._client = sink._poster.client = sink._held.client = client
    return sink


def heard(store: Store, pipeline: Pipeline, bodies: list[bytes]) -> None:
    with store.transaction():
        store.inbox.put(map(inspect, bodies), receiver="test", now=1)
    pipeline.drain()


@pytest.mark.system
def test_an_hours_outage_with_5000_runs():
    """One probe at a time meanwhile; then everything arrives within minutes, in requests that grow step by step."""
    server, rng = Server(), random.Random(3)
    events = list(loads.runs(100, 50, every=80.0))
    with Store(MEMORY) as store:
        pipeline = Pipeline(store, DataHubTranslator())
        [courier] = couriers(Here(store), {"datahub": sink_of(server)})
        courier._jitter = rng.random
        next_event, backlog, retry = 0, 0, 0.0
        while next_event < len(events) or store.aspects.waiting():
            due = next_event
            while due < len(events) and events[due][0] <= server.now:
                due += 1
            heard(store, pipeline, [body for _, body in events[next_event:due]])
            next_event = due
            wait = courier.turn()
            backlog = max(backlog, store.aspects.waiting())
            server.now += 1.0 if wait is None else wait
            if wait is None and courier.passes_over and server.now > retry:
                courier.try_again()
                retry = server.now + LONGEST_WAIT
        assert [] == quarantined(store.connection)

        undisturbed = Server(now=OUTAGE[1])
        [courier] = couriers(Here(store), {"another": sink_of(undisturbed, "http://another")})
        while courier.turn() is not None:
            pass
    assert undisturbed.state == server.state

    probes = [(at, count) for at, count, status in server.requests if status == 503]
    assert {1} == {count for _, count in probes[1:]}
    assert len(probes) < HOUR / (LONGEST_WAIT / 2) + 10
    after = [(at, count) for at, count, _ in server.requests if at >= OUTAGE[1]]
    assert after[0][0] < OUTAGE[1] + LONGEST_WAIT + 1
    assert [1, 4, 16, 64] == [count for _, count in after[:4]]
    assert backlog > 20_000
    drained = next(at for at, count in after if count < 64 and at > after[4][0])
    assert drained - after[0][0] < 300
