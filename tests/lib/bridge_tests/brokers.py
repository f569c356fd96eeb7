"""Kafka's brokers, as librdkafka plays them in this process: real sockets and the real protocol, no Java."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from confluent_kafka import Producer

QUIET = {"logger": logging.getLogger("bridge_tests.brokers"), "log_level": 0}


@contextmanager
def broker() -> Iterator[str]:
    """A broker that takes whatever topic is written to: its address."""
    cluster = Producer({"test.mock.num.brokers": 1, **QUIET})
    [one] = cluster.list_topics(timeout=10).brokers.values()
    yield f"{one.host}:{one.port}"
    # The broker lives as long as the client that plays it.
    cluster.flush(0)


def produce(brokers: str, topic: str, values: Iterable[bytes | None]) -> None:
    """Write messages to a topic and return when the broker has them."""
    producer = Producer({"bootstrap.servers": brokers, **QUIET})
    for number, value in enumerate(values):
        producer.produce(topic, value=value, key=str(number).encode())
    left = producer.flush(30)
    assert not left, f"the broker did not take {left} messages"
