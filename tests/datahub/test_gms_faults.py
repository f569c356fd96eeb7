"""Whatever DataHub's server does meanwhile, it ends up holding what it would hold had nothing happened."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
from importlib import import_module

import pytest

from openlineage_bridge import delivery
from openlineage_bridge.delivery import Here, couriers, deliver
from openlineage_bridge.outgoing import Connection
from openlineage_bridge.pacing import Pace
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.redelivery import redeliver
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.store.quarantine import quarantined
from openlineage_bridge.translation import Aspect
from openlineage_bridge_datahub import DataHubTranslator
from openlineage_bridge_datahub.sinks.rest import RestSink

loads = import_module("bridge_tests.loads")


@pytest.fixture(scope="module")
def server():
    with import_module("bridge_tests.gms").running() as gms:
        yield gms


@pytest.fixture
def gms(server):
    server.reset()
    return server


def told(store: Store, jobs: int, times: int) -> Store:
    """A store that heard of so many jobs, each run so many times."""
    with store.transaction():
        store.inbox.put([inspect(body) for _, body in loads.runs(jobs, times)], receiver="test", now=1)
    Pipeline(store, DataHubTranslator()).drain()
    return store


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """Such a store as a file."""
    path = tmp_path_factory.mktemp("heard") / "bridge.db"
    told(Store(path), 6, 2).close()
    return path


@pytest.fixture
def store(heard, tmp_path):
    """A store of its own for each test."""
    with Store(shutil.copy(heard, tmp_path / "bridge.db")) as opened:
        yield opened


def drained(store: Store, sink: RestSink) -> None:
    """Deliver until nothing is left, without the waits."""
    [courier] = couriers(Here(store), {"it": sink})
    for _ in range(2000):
        if courier.turn() is None:
            if not courier.passes_over:
                break
            courier.try_again()
    assert not courier.passes_over
    sink.close()


def rest(gms, **options) -> RestSink:
    return RestSink(gms.url, connection=Connection(timeout=options.pop("timeout", 20)), **options)


@pytest.fixture(scope="module")
def wanted(server):
    """What DataHub holds when nothing goes wrong."""
    server.reset()
    with told(Store(MEMORY), 6, 2) as store:
        assert not deliver(store, rest(server)).refused
    state = server.state
    assert {urn.split(":")[2] for urn, _, _ in state} >= {
        "dataFlow",
        "dataJob",
        "dataProcessInstance",
        "dataset",
    }
    return state


AWAY = {"status": 503}
FAULTS = {
    "away": [AWAY] * 12,
    "away now and then": [AWAY, {}, AWAY, {}, {}, AWAY, AWAY, {}],
    "slow start": [{"status": 503, "headers": {"Retry-After": "1"}}] * 3,
    "too many requests": [{"status": 429}] * 3,
    "hang": [{"hang": 1.0}, {}, {"hang": 1.0}],
    "reset before it took it": [{"reset": "before"}] * 3,
    "reset after it took it": [{}, {"reset": "after"}, {"reset": "after"}],
    "took a part": [{"partial": 3}, {}, {"partial": 1}, {"partial": 0}],
    "everything": [
        AWAY,
        {"reset": "after"},
        {"partial": 2},
        {"status": 502},
        {},
        {"hang": 1.0},
        {"reset": "before"},
    ],
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_the_end_is_the_same_as_without_faults(gms, store, wanted, faults):
    """Nothing is lost and nothing is set aside."""
    gms.order(faults=faults)
    drained(store, rest(gms, timeout=0.5, batch_size=20))

    assert [] == quarantined(store.connection)
    assert 0 == store.aspects.waiting()
    assert len(faults) < len(gms.log)
    assert wanted == gms.state


def test_a_server_that_takes_small_requests_only(gms, store, wanted):
    """413 is answered with smaller requests, and remembered: later ones are small enough from the start."""
    gms.order(most_bytes=10_000)
    drained(store, rest(gms, gzip=False))
    refused = [entry["bytes"] for entry in gms.log if entry["status"] == 413]

    assert [] == quarantined(store.connection)
    assert wanted == gms.state
    assert len(refused) < 8


def test_a_server_that_does_not_unpack(gms, store, wanted):
    """Costs one request; from then on everything goes plain."""
    gms.order(unpacks=False)
    drained(store, rest(gms, batch_size=50))

    assert [] == quarantined(store.connection)
    assert wanted == gms.state
    assert [True] + [False] * (len(gms.log) - 1) == [entry["packed"] for entry in gms.log]


def test_a_server_that_unpacks_gets_a_fraction(gms, store, wanted):
    """Of the bytes."""
    sizes = []
    for packs in (True, False):
        gms.reset()
        drained(store, rest(gms, gzip=packs))
        sizes.append(sum(entry["bytes"] for entry in gms.log))
        assert wanted == gms.state
        redeliver(store, None)

    assert sizes[0] < sizes[1] / 5


def test_one_bad_proposal_in_a_hundred(gms):
    """Is set aside with the server's words; the others are there, and hardly more requests were needed than to find it."""
    urns = [f"urn:li:dataset:(urn:li:dataPlatform:s3,b/é {n},PROD)" for n in range(100)]
    with Store(MEMORY) as store:
        for n, urn in enumerate(urns):
            value = {"removed": False} if n != 41 else {"removed": False, "unheard": 1}
            store.aspects.claim(urn.encode(), [Aspect(urn, "dataset", "status", value)])
        report = deliver(store, rest(gms))
        [entry] = quarantined(store.connection)

    assert (99, 1) == (report.delivered, report.refused)
    assert {urn for n, urn in enumerate(urns) if n != 41} == {urn for urn, _, _ in gms.state}
    assert urns[41] == json.loads(entry.body)["entityUrn"]
    assert "unheard" in entry.failure.reason
    assert len(gms.log) <= 1 + 2 * 7 + 2  # and two to find out that it does not object to packed bodies


def test_what_is_told_again_is_not_sent_again(gms, store):
    """Another run of a known job sends its own aspects and nothing else."""
    drained(store, rest(gms))
    before = sum(entry["proposals"] for entry in gms.log)
    told(store, 6, 3)
    drained(store, rest(gms))
    sent = [urn for entry in gms.log for urn in entry["entities"]][before:]

    assert {"dataProcessInstance", "dataset"} == {urn.split(":")[2] for urn in sent}
    assert 6 * 12 >= len(sent)


def test_an_older_server_that_cannot_patch_is_not_patched(gms):
    """Owners and tags of jobs fill gaps there, and what others wrote stays."""
    gms.order(config={"noCode": "true", "patchCapable": False})
    with told(Store(MEMORY), 2, 1) as store:
        drained(store, rest(gms))
        assert [] == quarantined(store.connection)
        assert 0 == store.aspects.waiting()

    assert any(name == "globalTags" for _, name, _ in gms.state)


# --- killed ---------------------------------------------------------------------------------------------------------

KILLS = 50


def _deliver_until_killed(path, url: str, offers: int) -> None:
    """A process that dies right after the server's 200, before it could write that down."""
    sink = RestSink(url, batch_size=10)
    send = sink.send

    class Mortal(RestSink):
        left = offers

        def send(self, proposals):
            outcomes = send(proposals)
            if not Mortal.left:
                os.kill(os.getpid(), signal.SIGKILL)
            Mortal.left -= 1
            return outcomes

    with Store(path) as store:
        [courier] = couriers(Here(store), {"it": Mortal(url)})
        while courier.turn() == 0:
            pass


@pytest.mark.reliability
def test_killed_between_the_servers_200_and_our_mark(gms, tmp_path, monkeypatch):
    """50 times: DataHub ends up holding the same, and is sent no more again than what it had not been marked for."""
    monkeypatch.setattr(delivery, "Pace", lambda: Pace(limit=10))
    monkeypatch.setattr(import_module("openlineage_bridge.pacing"), "BATCH", 10)
    path, rng, fork = tmp_path / "bridge.db", random.Random(8), multiprocessing.get_context("fork")
    with told(Store(path), 30, 3) as store:
        total = store.aspects.waiting()
    kills = 0
    while kills < KILLS:
        child = fork.Process(target=_deliver_until_killed, args=(path, gms.url, rng.randrange(2)))
        child.start()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
        kills += 1
    with Store(path) as store:
        assert 0 < store.aspects.waiting() < total
        drained(store, rest(gms))
        assert [] == quarantined(store.connection)
    sent, after = sum(entry["proposals"] for entry in gms.log), gms.state

    gms.reset()
    with told(Store(MEMORY), 30, 3) as store:
        drained(store, rest(gms))
    assert gms.state == after
    assert total < sent <= total + 10 * KILLS
