"""Proposals to DataHub over Kafka: what ``DatahubKafkaEmitter`` would produce, with an outcome for every one."""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import httpx2
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.outgoing import Connection, base_url, secret
from openlineage_bridge.translation import Delivered, Outcome, Proposal, Refused, Retry
from openlineage_bridge_datahub.options import DatasetOptions, options
from openlineage_bridge_datahub.proposals import change, system_metadata
from openlineage_bridge_datahub.sinks.address import address_of
from openlineage_bridge_datahub.sinks.held import FAMILIES, Held
from openlineage_bridge_datahub.sinks.rest import PIPELINE

Encoder = Callable[[Mapping[str, Any]], bytes]

TOPIC = "MetadataChangeProposal_v1"
REGISTRY_HEADERS = {"Content-Type": "application/vnd.schemaregistry.v1+json"}

_NEVER = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError._INVALID_ARG})  # noqa: SLF001  - librdkafka's own codes are named so

_DEFAULTS = {"enable.idempotence": True, "acks": "all", "linger.ms": 5}
"""In order for every entity, and kept by every replica before it counts as delivered."""


@attrs.define
class KafkaSink:
    """Produces proposals to the topic that GMS's consumer reads, keyed by entity, so that their order stays.

    GMS judges them later: what it will not have goes to its topic of failed proposals, and we are not told.

    Args:
        bootstrap: Brokers, ``host:port`` with commas between.
        registry: Base URL of the schema registry.
        registry_auth: ``user:password`` for it.
        topic: Of proposals.
        producer_config: Further settings of librdkafka.
        pipeline_name: Name under which DataHub lists what was written.
        held: Asks GMS what others wrote; None where nothing is to be left alone.
        connection: To the schema registry; its time limit holds for brokers, too.
    """

    bootstrap: str
    registry: str
    registry_auth: str | None = attrs.field(default=None, repr=False)
    topic: str = TOPIC
    producer_config: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    pipeline_name: str = PIPELINE
    held: Held | None = None
    connection: Connection = attrs.field(factory=Connection)
    _producer: Producer | None = attrs.field(default=None, init=False, repr=False)
    _encode: tuple[bytes, Encoder] | None = attrs.field(default=None, init=False, repr=False)

    @classmethod
    def from_options(cls, section: Mapping[str, Any]) -> KafkaSink:
        """The sink that a section describes; GMS itself (``server``) is asked which datasets it has already.

        Raises:
            ConfigError: An address is missing, or a value is impossible.
        """
        for key in ("bootstrap", "schema_registry_url"):
            if not section.get(key):
                raise ConfigError(f"datahub.{key}: the kafka sink needs it")
        said = options(section).datasets
        try:
            connection = Connection.from_options(section)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"datahub: {error}") from error
        optional = {
            key: section[key] for key in ("topic", "producer_config", "pipeline_name") if section.get(key)
        }
        return cls(
            str(section["bootstrap"]),
            base_url("datahub.schema_registry_url", section["schema_registry_url"]),
            registry_auth=secret(section.get("schema_registry_auth")),
            held=_held(section, said, connection),
            connection=connection,
            **optional,
        )

    @property
    def destination(self) -> str:
        """Brokers and topic."""
        return f"kafka://{self.bootstrap}/{self.topic}"

    def send(self, proposals: Sequence[Proposal]) -> list[Outcome]:
        """Produce in order and wait for the brokers' word on each.

        What they did not confirm in time is taken back, so that it cannot overtake what is sent instead.
        """
        outcomes, wanted = self.held.left_alone(proposals) if self.held else ({}, list(range(len(proposals))))
        try:
            head, encode = self._encoder()
            producer = self._connected()
        except (httpx2.HTTPError, LookupError, ValueError, KafkaException) as error:
            return [outcomes.get(n, Retry(f"{self.registry}: {error}")) for n in range(len(proposals))]
        system = system_metadata(self.pipeline_name, time.time_ns() // 1_000_000)
        for n in wanted:
            value = head + encode(self._value(proposals[n], system))
            self._produce(producer, proposals[n].urn, value, partial(_confirm, outcomes, n))
        if producer.flush(self.connection.timeout):
            producer.purge()
            producer.flush(1)
            self._producer = None  # one that lost messages would refuse to go on in order
        failed = (each for each in outcomes.values() if isinstance(each, Retry))
        waiting = next(failed, Retry(f"{self.bootstrap}: no broker answers"))
        return [outcomes.get(n, waiting) for n in range(len(proposals))]

    def close(self) -> None:
        """Give back the connections; nothing is on its way."""
        self._producer = None

    def _value(self, proposal: Proposal, system: Mapping[str, Any]) -> dict[str, Any]:
        changed = change(proposal, add=self.held is not None and self.held.policy(proposal) == "add")
        return {
            "entityType": proposal.entity_type,
            "entityUrn": proposal.urn,
            "changeType": changed.kind,
            "aspectName": proposal.aspect_name,
            "aspect": {"value": changed.value, "contentType": changed.content_type},
            "systemMetadata": system,
        }

    def _produce(self, producer: Producer, key: str, value: bytes, confirm: Any) -> None:
        try:
            producer.produce(self.topic, value, key, on_delivery=confirm)
        except BufferError:  # the queue is full: what is in it goes first
            producer.flush(self.connection.timeout)
            confirm(KafkaError(KafkaError._QUEUE_FULL), None)  # noqa: SLF001  - librdkafka's own codes are named so
        except KafkaException as error:
            confirm(error.args[0], None)

    def _connected(self) -> Producer:
        if self._producer is None:
            limit = {"message.timeout.ms": int(self.connection.timeout * 1000)}
            self._producer = Producer(
                {"bootstrap.servers": self.bootstrap, **_DEFAULTS, **limit, **self.producer_config}
            )
        return self._producer

    def _encoder(self) -> tuple[bytes, Encoder]:
        """What stands before every value (a zero and the number of the schema), and how a value is written."""
        if self._encode is None:
            from datahub.metadata.schemas import getMetadataChangeProposalSchema

            schema = getMetadataChangeProposalSchema()
            number = self._registered(schema)
            self._encode = b"\0" + number.to_bytes(4, "big"), _encoder_of(schema)
        return self._encode

    def _registered(self, schema: str) -> int:
        """The schema's number in the registry; registering what is there already gives the same one."""
        headers = dict(REGISTRY_HEADERS)
        if self.registry_auth:
            headers["Authorization"] = f"Basic {base64.b64encode(self.registry_auth.encode()).decode()}"
        with self.connection.client(None, headers) as client:
            answer = client.post(
                f"{self.registry}/subjects/{self.topic}-value/versions", json={"schema": schema}
            )
            answer.raise_for_status()
            return int(answer.json()["id"])


def _encoder_of(schema: str) -> Encoder:
    """Avro's binary encoding, by the library that acryl-datahub brings."""
    import avro.io
    import avro.schema

    writer = avro.io.DatumWriter(avro.schema.parse(schema))

    def encoded(value: Mapping[str, Any]) -> bytes:
        buffer = io.BytesIO()
        writer.write(value, avro.io.BinaryEncoder(buffer))
        return buffer.getvalue()

    return encoded


def _held(section: Mapping[str, Any], said: DatasetOptions, connection: Connection) -> Held | None:
    """Who asks GMS, if there is a reason to ask.

    Raises:
        ConfigError: There is a reason, and no address.
    """
    if not any(getattr(said, family) in ("missing", "add") for family in FAMILIES.values()):
        return None
    try:
        server, token = address_of(section, os.environ)
    except ConfigError as error:
        raise ConfigError(
            f"{error}: the kafka sink asks there what others wrote, so as not to overwrite it; "
            f"or set {', '.join(sorted({*FAMILIES.values()}))} of datahub.datasets to always or never"
        ) from error
    name = str(section.get("pipeline_name") or PIPELINE)
    return Held(connection.client(token, {"X-RestLi-Protocol-Version": "2.0.0"}), server, name, said)


def _confirm(
    outcomes: dict[int, Outcome], position: int, error: KafkaError | None, _: Message | None
) -> None:
    """A broker's word on one proposal."""
    if error is None:
        outcomes[position] = Delivered()
    elif error.code() in _NEVER:
        outcomes[position] = Refused(f"Kafka: {error.str()}")
    else:
        outcomes[position] = Retry(f"Kafka: {error.str()}")
