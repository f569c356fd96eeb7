"""A producer that is none of ours, ``dagster-openlineage``: what the bridge acknowledged to it is there (G01).

Its sensor sends an event six times within nine seconds and then goes on without it. What is lost so, it lost; what counts
is noted on the way, by a relay that sees what the bridge answered.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bridge_tests.disks import LITTLE_ROOM, fill
from bridge_tests.process import running
from bridge_tests.relay import NOTHING, Relay, relaying
from bridge_tests.waiting import wait_until

from openlineage_bridge.store.inbox import inspect

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(300)]

PROJECT = Path(__file__).parents[2]
PEERS = PROJECT / ".versions" / "dagster-peers"
PRODUCER = Path(__file__).with_name("dagster_producer.py")

KILLS = 8
ATTEMPTS = 6
"""Of the sensor to send an event."""


@pytest.fixture
def python() -> Path:
    """An interpreter that has ``dagster-openlineage``, which wants another environment than the other tests."""
    if not (PEERS / ".prepared").exists():
        pytest.skip("dagster-openlineage is not installed: `make test-datahub-plugins` installs it")
    return PEERS / "bin" / "python"


@contextmanager
def sensing(python: Path, home: Path, postgres: int, relay: Relay) -> Iterator[None]:
    """Dagster and the sensor, in a process of its own, which has begun to emit."""
    environment = os.environ | {"OPENLINEAGE_URL": relay.url, "PYTHONPATH": str(PROJECT / "bench")}
    command = [python, PRODUCER, home, str(postgres)]
    with (
        (home.parent / "dagster.log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as producer,
    ):
        try:
            wait_until(lambda: relay.acknowledged or producer.poll() is not None, 120)
            assert producer.poll() is None, Path(log.name).read_text()
            yield
        finally:
            producer.kill()


def hear(relay: Relay, more: int) -> None:
    """Wait until so many more events were acknowledged."""
    enough = len(relay.acknowledged) + more
    wait_until(lambda: len(relay.acknowledged) >= enough, 60)


def test_what_was_acknowledged_is_there(python, disk, postgres_server, tmp_path, ledger):
    """Through ``kill -9``, an outage and a full disk, each while events come."""
    chance = random.Random(7)
    with running(disk, environment=LITTLE_ROOM) as bridge, relaying(bridge.port) as relay:
        with sensing(python, tmp_path / "dagster", postgres_server, relay):
            bridge.warm_up()
            for _ in range(KILLS):
                hear(relay, chance.randint(1, 60))
                bridge.kill()
                bridge.start()
            bridge.stop()
            in_vain = relay.answers[NOTHING] + 2 * ATTEMPTS
            wait_until(lambda: relay.answers[NOTHING] >= in_vain, 60)
            bridge.start()
            hear(relay, 1)
            filler = fill(disk)
            wait_until(lambda: relay.answers[503])
            filler.unlink()
            hear(relay, 50)
        lost = {inspect(body).digest for body in relay.acknowledged} - bridge.digests

    assert (set(), {200, 503, NOTHING}) == (lost, set(relay.answers))
    ledger.note(
        "G01",
        kills=KILLS,
        outages=1,
        full_disks=1,
        acknowledged_to_dagster_openlineage=len(relay.acknowledged),
        lost=0,
        given_up_by_it=len(relay.came.difference(relay.acknowledged)),
    )
