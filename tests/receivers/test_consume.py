"""``openlineage-bridge consume`` as people run it: OpenLineage's own producer, a broker, and a process that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from bridge_tests.brokers import QUIET, broker
from bridge_tests.waiting import wait_until
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.transport.kafka import KafkaConfig, KafkaTransport

from openlineage_bridge.errors import StorageError
from openlineage_bridge.store.status import Queries

TOPIC = "openlineage"
KILLS = 3
EVENTS_A_ROUND = 40


@pytest.fixture
def brokers():
    with broker() as address:
        yield address


@pytest.fixture
def client(brokers):
    """OpenLineage's client with its Kafka transport."""
    config = KafkaConfig(config={"bootstrap.servers": brokers, **QUIET}, topic=TOPIC, flush=True)
    client = OpenLineageClient(transport=KafkaTransport(config))
    yield client
    client.close()


@pytest.fixture
def configuration(tmp_path, brokers):
    """The file that a user would write."""
    file = tmp_path / "openlineage-bridge.yml"
    file.write_text(
        f"store: {tmp_path}/bridge.db\n"
        f"kafka: {{brokers: '{brokers}', topics: [{TOPIC}], properties: {{session.timeout.ms: 6000}}}}\n"
    )
    return file


@contextmanager
def consuming(configuration):
    """The command; killed at the end, if it is still there."""
    command = [sys.executable, "-m", "openlineage_bridge", "consume", "--config", str(configuration)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def emit(client: OpenLineageClient, count: int) -> set[str]:
    """So many runs that complete; their ids."""
    runs = {str(uuid.uuid4()) for _ in range(count)}
    for run in runs:
        client.emit(
            RunEvent(
                eventType=RunState.COMPLETE,
                eventTime=datetime.now(UTC).isoformat(),
                producer="https://example.com/tests",
                run=Run(run),
                job=Job("kafka", "load"),
                outputs=[OutputDataset("postgres://db:5432", "shop.public.orders")],
            )
        )
    return runs


def stored(path) -> int:
    """Events that are in the store; none while it is being made."""
    try:
        return int(Queries(path).status()["events"])
    except StorageError:
        return 0


@pytest.mark.system
def test_what_openlineages_kafka_transport_writes_becomes_lineage(client, configuration, tmp_path) -> None:
    """SIGTERM ends it cleanly, with what it did in its last line."""
    path = tmp_path / "bridge.db"
    emit(client, 3)
    with consuming(configuration) as running:
        wait_until(lambda: stored(path) == 3 and not Queries(path).status()["inbox_events"], 60)
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=20)

    assert (0, 1) == (running.returncode, len(Queries(path).find("postgres://db:5432/shop.public.orders")))
    assert '"stored": 3' in said.splitlines()[-1]


@pytest.mark.reliability
def test_no_event_is_lost_when_the_consumer_is_killed(client, configuration, tmp_path) -> None:
    """Killed while it stores, again and again: in the end every event is there once (G19)."""
    path, sent = tmp_path / "bridge.db", set()
    for _ in range(KILLS):
        before = stored(path)
        sent |= emit(client, EVENTS_A_ROUND)
        with consuming(configuration) as running:
            wait_until(lambda before=before: stored(path) > before, 60)
            running.kill()
    with consuming(configuration):
        wait_until(lambda: stored(path) == len(sent) and not Queries(path).status()["inbox_events"], 60)

    assert sorted(sent) == sorted(run.run_id for run in Queries(path).runs(1000))
