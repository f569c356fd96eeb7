"""Events from Kafka are in the inbox before their offsets are committed, whatever happens in between."""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from bridge_tests.brokers import broker, produce
from bridge_tests.waiting import wait_until

from openlineage_bridge.config import KafkaConfig
from openlineage_bridge.errors import ConfigError, RetryLater, StorageError
from openlineage_bridge.receivers import Stored, kafka
from openlineage_bridge.receivers.kafka import KafkaReceiver
from openlineage_bridge.store.inbox import inspect

TOPIC = "lineage"


def event(number: int) -> bytes:
    """One START of a run of its own."""
    return json.dumps(
        {
            "eventType": "START",
            "eventTime": "2026-01-01T00:00:00Z",
            "producer": "https://example.com/tests",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": {"runId": f"00000000-0000-0000-0000-{number:012d}"},
            "job": {"namespace": "kafka", "name": "load"},
        }
    ).encode()


class Inbox:
    """Takes events as the store does; the first ``failures`` batches fail."""

    def __init__(self, failures: int = 0) -> None:
        self.taken: list[bytes] = []
        self.places: list[str] = []
        self.failures = failures

    def accept(self, bodies, receiver) -> Future:
        future: Future = Future()
        if self.failures:
            self.failures -= 1
            future.set_exception(StorageError("no room"))
            return future
        receipts = [inspect(body).receipt for body in bodies]
        seen = [body in self.taken for body in bodies]
        future.set_result(
            [Stored(duplicate=True) if old else new for old, new in zip(seen, receipts, strict=True)]
        )
        self.taken += bodies
        self.places.append(receiver)
        return future


def consume(inbox: Inbox, settings: KafkaConfig, messages: int) -> kafka.Tally:
    """Until so many messages were dealt with; the tally."""
    stop = threading.Event()
    receiver = KafkaReceiver(
        inbox, settings, stop, lambda tally: stop.set() if tally.messages >= messages else None
    )
    receiver.run()
    return receiver.tally


@pytest.fixture(scope="module")
def brokers():
    """One broker for the file; each test has topics and groups of its own."""
    with broker() as address:
        yield address


def config(brokers: str, topic: str, group: str = "g", **more) -> KafkaConfig:
    return KafkaConfig(
        brokers=brokers,
        topics=(topic,),
        group=f"{group}-{topic}",
        properties={"session.timeout.ms": 6000, **more},
    )


@pytest.mark.system
def test_what_was_consumed_is_not_consumed_again(brokers) -> None:
    """A second member of the group begins where the first ended; a batch, a tombstone and nonsense are dealt with too."""
    values = [event(1), b"[" + event(2) + b"," + event(3) + b"]", None, b"not JSON"]
    produce(brokers, "once", values)
    first, second = Inbox(), Inbox()
    tally = consume(first, config(brokers, "once"), 4)
    produce(brokers, "once", [event(4), event(1)])
    consume(second, config(brokers, "once"), 2)

    assert Counter([event(1), event(2), event(3), b"not JSON"]) == Counter(first.taken)
    assert kafka.Tally(messages=4, stored=3, rejected=1, empty=1) == tally
    assert Counter([event(4), event(1)]) == Counter(second.taken)
    assert all(place.startswith("kafka:once[") and "]@" in place for place in first.places)


@pytest.mark.system
def test_no_offset_is_committed_before_its_event_is_durable(brokers, monkeypatch) -> None:
    """An inbox that fails is offered the same events until it takes them; a receiver stopped before leaves them to the next."""
    monkeypatch.setattr(kafka, "FIRST_PAUSE", 0.01)
    produce(brokers, "durable", [event(number) for number in range(20)])
    full, stop = Inbox(failures=10**9), threading.Event()
    receiver = KafkaReceiver(full, config(brokers, "durable"), stop)
    thread = threading.Thread(target=receiver.run)
    thread.start()
    wait_until(lambda: full.failures < 10**9)
    stop.set()
    thread.join(30)
    mended = Inbox(failures=7)
    consume(mended, config(brokers, "durable"), 20)

    assert ([], kafka.Tally()) == (full.taken, receiver.tally)
    assert {event(number) for number in range(20)} == set(mended.taken)


def test_a_misspelt_topic_is_told_with_those_that_there_are(brokers) -> None:
    """Instead of waiting for it in silence; a pattern may match later."""
    produce(brokers, "there", [event(1)])
    with pytest.raises(ConfigError, match=r"no topic their \(there are: .*there"):
        KafkaReceiver(Inbox(), config(brokers, "their"), threading.Event())

    stopped = threading.Event()
    stopped.set()
    KafkaReceiver(Inbox(), config(brokers, "^late.*"), stopped).run()


def test_an_absent_broker_is_told_at_once(free_port, monkeypatch) -> None:
    """It is nobody's mistake in the configuration: the exit code is that of a place that is away."""
    monkeypatch.setattr(kafka, "CONNECT_SECONDS", 0.5)
    with pytest.raises(RetryLater, match=f"no broker answers at 127.0.0.1:{free_port}"):
        KafkaReceiver(Inbox(), config(f"127.0.0.1:{free_port}", "x"), threading.Event())


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"enable.auto.commit": True}, "enable.auto.commit cannot be changed"),
        ({"no.such.setting": "1"}, "no.such.setting"),
    ],
)
def test_a_property_that_cannot_be_is_refused(given, complaint) -> None:
    """What would break the promise, and what librdkafka does not know."""
    with pytest.raises(ConfigError, match=complaint):
        KafkaReceiver(Inbox(), config("127.0.0.1:9", "x", **given), threading.Event())


def test_without_brokers_or_topics_it_says_which_keys_to_set() -> None:
    """Both ways to say them are named."""
    with pytest.raises(ConfigError, match=r"kafka\.brokers and kafka\.topics, or --brokers and --topic"):
        KafkaReceiver(Inbox(), KafkaConfig(brokers="127.0.0.1:9"), threading.Event())


@pytest.mark.parametrize(
    ("value", "bodies"),
    [
        (None, []),
        (b"  ", []),
        (b'{"a": 1}', [b'{"a": 1}']),
        (b'[{"a": 1}, {"b": 2}]', [b'{"a": 1}', b'{"b": 2}']),
        (b"[ broken", [b"[ broken"]),
    ],
)
def test_a_value_is_taken_apart(value, bodies) -> None:
    """One event, an array of them, nothing, or something for the quarantine."""
    assert bodies == kafka.bodies_of(value)


def test_the_offset_to_commit_follows_the_newest_message_of_each_partition() -> None:
    """Whatever the order in which messages of several partitions came."""
    messages = [
        SimpleNamespace(topic=lambda: "t", partition=lambda p=partition: p, offset=lambda o=offset: o)
        for partition, offset in [(0, 7), (1, 3), (0, 6), (1, 4)]
    ]

    assert {("t", 0): 8, ("t", 1): 5} == kafka.next_offsets(messages)


def test_the_same_trouble_is_told_once_a_minute(caplog) -> None:
    """Librdkafka tells it at every attempt to connect, with other milliseconds in its words."""
    moments = iter([0.0, 1.0, 2.0, 70.0])
    complain = kafka.Complaints(lambda: next(moments))
    for code, words in [
        (1, "refused after 0 ms"),
        (1, "refused after 3 ms"),
        (2, "all down"),
        (1, "refused again"),
    ]:
        complain(SimpleNamespace(code=lambda code=code: code, str=lambda words=words: words))

    assert ["Kafka: refused after 0 ms", "Kafka: all down", "Kafka: refused again"] == caplog.messages


def test_secrets_of_the_properties_are_in_no_text() -> None:
    """The names are."""
    shown = repr(config("b:1", "t", **{"sasl.password": "hunter2"}))

    assert ("sasl.password" in shown, "hunter2" in shown) == (True, False)
