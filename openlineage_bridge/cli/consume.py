"""``openlineage-bridge consume``: the Kafka receiver, the pipeline and delivery in one process."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from openlineage_bridge.cli.options import (
    config_option,
    load_config,
    service_of,
    store_option,
)

if TYPE_CHECKING:
    from openlineage_bridge.receivers.kafka import Tally

EVERY_SECONDS = 60.0
"""Between two lines about how far it is, while something comes."""


@click.command("consume")
@store_option
@click.option("--brokers", metavar="HOST:PORT,…", help="Where Kafka is; several with commas between.")
@click.option(
    "--topic",
    "topics",
    multiple=True,
    metavar="TOPIC",
    help="What to read; ^… is a pattern. May be repeated.",
)
@click.option(
    "--group", help="Consumer group, under which Kafka keeps how far this is.  [default: openlineage-bridge]"
)
@config_option
def command(
    *,
    store: Path | None,
    brokers: str | None,
    topics: tuple[str, ...],
    group: str | None,
    config_file: Path | None,
) -> None:
    """Receive events from Kafka, keep them, and keep the catalog equal to what they say.

    Reads what OpenLineage's Kafka transport writes. Offsets are committed after the events are in the store; what comes
    twice is recognised. A new group begins at the oldest message (`kafka.start: latest` for the newest). Users, passwords
    and certificates are librdkafka's settings, in the configuration file:

    \b
      kafka:
        brokers: kafka-1:9093,kafka-2:9093
        topics: [openlineage]
        properties: {security.protocol: SASL_SSL, sasl.mechanism: PLAIN, sasl.username: bridge, sasl.password: "${KAFKA_PASSWORD}"}

    \b
    Examples:
      openlineage-bridge consume --brokers localhost:9092 --topic openlineage --store bridge.db
      openlineage-bridge consume --config openlineage-bridge.yml
    """
    import attrs
    import structlog

    from openlineage_bridge.receivers.kafka import KafkaReceiver
    from openlineage_bridge.server.logs import configure

    config = load_config(
        config_file,
        store=store,
        kafka__brokers=brokers,
        kafka__topics=list(topics) or None,
        kafka__group=group,
    )
    start = service_of(config)
    configure()
    log = structlog.get_logger("openlineage_bridge.kafka")
    service = start()
    try:
        stop = threading.Event()
        say = _now_and_then(lambda tally: log.info("consumed", **attrs.asdict(tally)))
        receiver = KafkaReceiver(service, config.kafka, stop, say)
        received = _stop_on_signals(stop)
        log.info(
            "consuming", brokers=config.kafka.brokers, topics=config.kafka.topics, group=config.kafka.group
        )
        receiver.run()
    finally:
        service.close()
    log.info("stopped", **attrs.asdict(receiver.tally))
    click.get_current_context().exit(130 if received == [signal.SIGINT] else 0)


def _stop_on_signals(stop: threading.Event) -> list[int]:
    """The first SIGTERM or Ctrl-C sets the event, and stands in the list; the second has its usual effect."""
    received: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        stop.set()
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    return received


def _now_and_then(say: Callable[[Tally], None]) -> Callable[[Tally], None]:
    """Says what it is told at most once in ``EVERY_SECONDS``."""
    told = time.monotonic()

    def tell(tally: Tally) -> None:
        nonlocal told
        if time.monotonic() - told >= EVERY_SECONDS:
            told = time.monotonic()
            say(tally)

    return tell
