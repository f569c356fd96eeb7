"""From Kafka topics to events in the inbox: an offset is committed after its event is durable, never before.

Values are what OpenLineage's Kafka transport writes: one event as JSON each; an array is taken apart. Keys only order. What
is delivered twice, after a kill or when partitions move to another consumer, is recognised by the inbox.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import attrs
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from openlineage_bridge import events
from openlineage_bridge.config import KafkaConfig
from openlineage_bridge.errors import ConfigError, RejectedEvent, RetryLater, StorageError
from openlineage_bridge.receivers import Inbox, Receipt, Rejected, Stored

log = logging.getLogger(__name__)

BATCH: Final = 500
"""Messages taken at once: their events share commits of the inbox, and one commit of offsets."""

POLL_SECONDS: Final = 0.5
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two tries to store a batch that could not be stored; doubling."""

CONNECT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 60.0

OURS: Final = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
}
"""Settings that the promise rests on; no configuration changes them."""


@attrs.define
class Tally:
    """What came of consuming so far.

    Args:
        messages: Messages whose offset was or will be committed.
        stored: Events that are in the inbox and were not before.
        duplicates: Events that were there already.
        rejected: Events that are in quarantine.
        empty: Messages without a value, which say nothing.
    """

    messages: int = 0
    stored: int = 0
    duplicates: int = 0
    rejected: int = 0
    empty: int = 0

    def count(self, receipts: Sequence[Receipt]) -> None:
        """Add what became of the events of some messages."""
        for receipt in receipts:
            match receipt:
                case Rejected():
                    self.rejected += 1
                case Stored(duplicate=True):
                    self.duplicates += 1
                case Stored():
                    self.stored += 1


class KafkaReceiver:
    """A member of a consumer group that hands what it reads to the inbox.

    Args:
        inbox: Where events go.
        config: Brokers, topics, group.
        stop: Set when it is to end; what is in hand is finished first.
        on_progress: Told after each batch.

    Raises:
        ConfigError: A property that librdkafka does not know, or a topic that the brokers do not have.
        RetryLater: No broker answers.
    """

    def __init__(
        self,
        inbox: Inbox,
        config: KafkaConfig,
        stop: threading.Event,
        on_progress: Callable[[Tally], None] = lambda _: None,
    ) -> None:
        self.tally = Tally()
        self._inbox, self._config, self._stop, self._on_progress = inbox, config, stop, on_progress
        self._consumer = _consumer(config)
        try:
            _check_topics(self._consumer, config)
            self._consumer.subscribe(list(config.topics))
        except BaseException:
            self._consumer.close()
            raise

    def run(self) -> None:
        """Consume until told to stop.

        Raises:
            RetryLater: Kafka refuses for good (authorisation, a fenced member).
        """
        try:
            while not self._stop.is_set():
                self._turn()
        finally:
            # Leaves the group, so that others take over at once.
            self._consumer.close()

    def _turn(self) -> None:
        with _plainly():
            taken = self._consumer.consume(BATCH, POLL_SECONDS)
        messages = [message for message in taken if _is_message(message)]
        if messages and self._store(messages):
            self._commit(messages)
            self.tally.messages += len(messages)
            self._on_progress(self.tally)

    def _store(self, messages: Sequence[Message]) -> bool:
        """Have all events of the messages durable, however long that takes; False when stopped before they were."""
        bodies = [(bodies_of(message.value()), _place(message)) for message in messages]
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            accepted = [self._inbox.accept(each, place) for each, place in bodies if each]
            try:
                self.tally.count([receipt for each in accepted for receipt in each.result()])
            except (RetryLater, StorageError) as error:
                log.warning("events from Kafka wait: %s", error)
                self._stop.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self.tally.empty += sum(not each for each, _ in bodies)
                return True
        return False

    def _commit(self, messages: Sequence[Message]) -> None:
        """Say how far we are. Where that fails the messages come again, and are recognised."""
        offsets = next_offsets(messages)
        try:
            self._consumer.commit(
                offsets=[
                    TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()
                ],
                asynchronous=False,
            )
        except KafkaException as error:
            log.warning("Kafka did not take the offsets, so these events will come again: %s", error)


def _is_message(message: Message) -> bool:
    """Whether it is one: troubles of brokers come the same way."""
    error = message.error()
    if error is None:
        return True
    if error.fatal() or error.code() in HOPELESS:
        raise RetryLater(f"Kafka refuses: {error.str()}")
    log.warning("Kafka: %s", error.str())
    return False


HOPELESS: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
    }
)
"""Errors that somebody has to mend; all others librdkafka gets over by itself."""


def bodies_of(value: bytes | None) -> list[bytes]:
    """The events of a message's value: one, those of an array, or none where there is no value (a tombstone)."""
    if not value or not value.strip():
        return []
    if value.lstrip().startswith(b"["):
        try:
            return list(events.split(value))
        except RejectedEvent:
            return [value]  # the inbox refuses it, with the reason, and keeps it
    return [value]


def _place(message: Message) -> str:
    """Where a message stood, for the operator."""
    return f"kafka:{message.topic()}[{message.partition()}]@{message.offset()}"


def next_offsets(messages: Sequence[Message]) -> dict[tuple[str, int], int]:
    """By topic and partition the offset after the newest of these messages."""
    found: dict[tuple[str, int], int] = {}
    for message in messages:
        place = (message.topic() or "", message.partition() or 0)
        found[place] = max(found.get(place, 0), (message.offset() or 0) + 1)
    return found


def settings(config: KafkaConfig) -> dict[str, Any]:
    """What librdkafka is told: defaults, then the user's properties, then what the promise rests on."""
    given = {key: _plain(value) for key, value in config.properties.items()}
    return {
        "bootstrap.servers": config.brokers,
        "group.id": config.group,
        "client.id": "openlineage-bridge",
        "auto.offset.reset": config.start,
        **given,
        **OURS,
        # A line for each attempt to connect, hundreds of them while no broker is there; what counts comes by `error_cb`.
        "log_level": 2,
        "logger": log,
        "error_cb": Complaints(),
    }


@attrs.define
class Complaints:
    """Says what is wrong with the brokers; the same kind of trouble once in ``SILENCE_SECONDS``."""

    clock: Callable[[], float] = time.monotonic
    _said: dict[int, float] = attrs.field(factory=dict, init=False)

    def __call__(self, error: KafkaError) -> None:
        """What librdkafka tells its ``error_cb``; it goes on trying by itself."""
        now = self.clock()
        if now - self._said.get(error.code(), -SILENCE_SECONDS) >= SILENCE_SECONDS:
            self._said[error.code()] = now
            log.warning("Kafka: %s", error.str())


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _consumer(config: KafkaConfig) -> Consumer:
    if not config.brokers or not config.topics:
        raise ConfigError(
            "kafka: say which brokers and topics (kafka.brokers and kafka.topics, or --brokers and --topic)"
        )
    if taken := sorted(OURS.keys() & config.properties.keys()):
        raise ConfigError(
            f"kafka.properties: {', '.join(taken)} cannot be changed: no event could be promised any more"
        )
    try:
        return Consumer(settings(config))
    except KafkaException as error:
        raise ConfigError(f"kafka.properties: {error.args[0].str()}") from None


def _check_topics(consumer: Consumer, config: KafkaConfig) -> None:
    """A topic that is misspelt would be waited for in silence."""
    with _plainly(f"no broker answers at {config.brokers}"):
        known: Mapping[str, Any] = consumer.list_topics(timeout=CONNECT_SECONDS).topics
    # A topic with ^ is a pattern, which may match later.
    missing = [topic for topic in config.topics if not topic.startswith("^") and topic not in known]
    if missing:
        there_are = ", ".join(sorted(name for name in known if not name.startswith("__"))) or "none"
        raise ConfigError(
            f"kafka.topics: the brokers have no topic {', '.join(missing)} (there are: {there_are})"
        )


@contextmanager
def _plainly(what: str = "Kafka") -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise RetryLater(f"{what}: {error.args[0].str()}") from None
