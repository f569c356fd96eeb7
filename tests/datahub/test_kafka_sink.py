"""Proposals over Kafka: what DataHub's consumer reads is what DataHub's emitter would have written; nothing is lost."""

from __future__ import annotations

import base64
import io
import json
import multiprocessing
import os
import signal
from importlib import import_module

import attrs
import avro.io
import avro.schema
import pytest
from confluent_kafka import Consumer, TopicPartition
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.metadata.schema_classes import MetadataChangeProposalClass, StatusClass
from datahub.metadata.schemas import getMetadataChangeProposalSchema

from openlineage_bridge.delivery import Here, couriers
from openlineage_bridge.errors import ConfigError
from openlineage_bridge.outgoing import Connection
from openlineage_bridge.store import Store
from openlineage_bridge.translation import Aspect, Delivered, Proposal, Refused, Retry
from openlineage_bridge_datahub.options import DatasetOptions
from openlineage_bridge_datahub.sinks.held import Held
from openlineage_bridge_datahub.sinks.kafka import TOPIC, KafkaSink

brokers, loopback = import_module("bridge_tests.brokers"), import_module("bridge_tests.loopback")

QUIET = {"logger": brokers.QUIET["logger"], "log_level": 0}
SCHEMA = avro.schema.parse(getMetadataChangeProposalSchema())


# --- what stands on the other side --------------------------------------------------------------------------------------


@pytest.fixture
def broker():
    with brokers.broker() as address:
        yield address


@pytest.fixture
def registry():
    """A schema registry that knows one schema, under number 41."""

    class Api(loopback.Handler):
        def do_POST(self):
            body = json.loads(self.body())
            self.server.asked.append((self.path, self.headers.get("Authorization"), body["schema"]))
            self.reply({"id": 41}, self.server.status)

    with loopback.serving(Api, asked=[], status=200) as server:
        yield server


@pytest.fixture
def sink(broker, registry):
    return KafkaSink(broker, registry.url, producer_config=QUIET, connection=Connection(timeout=10))


def read(broker: str, topic: str = TOPIC) -> list[tuple[str, dict]]:
    """Key and value of everything in the topic, in order, by Avro's own reader."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "t", **QUIET})
    found = []
    for partition in consumer.list_topics(topic, 10).topics[topic].partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), 10)
        consumer.assign([TopicPartition(topic, partition, low)])
        messages = consumer.consume(high - low, 20)
        assert high - low == len(messages)
        found += [(message.key().decode(), decoded(message.value())) for message in messages]
    consumer.close()
    return found


def decoded(value: bytes) -> dict:
    """A value in the registry's frame: a zero, the number of the schema, and Avro."""
    assert b"\0\0\0\0\x29" == value[:5]
    reader = avro.io.DatumReader(SCHEMA)
    return reader.read(avro.io.BinaryDecoder(io.BytesIO(value[5:])))


# --- delivery -------------------------------------------------------------------------------------------------------


def test_datahubs_consumer_reads_what_its_emitter_would_have_written(broker, sink, proposals):
    """Keyed by entity, non-ASCII text as it is, and a proposal by DataHub's own class."""
    sent = proposals(3)
    assert [Delivered()] * 3 == sink.send(sent)
    found = dict(read(broker))

    for each in sent:
        value = found[each.urn]
        system = value.pop("systemMetadata")
        theirs = MetadataChangeProposalWrapper(
            entityUrn=each.urn, aspect=StatusClass(removed=False)
        ).make_mcp()
        ours = MetadataChangeProposalClass.from_obj(value, tuples=True)
        assert json.loads(theirs.aspect.value) == json.loads(ours.aspect.value)
        theirs.aspect.value = ours.aspect.value
        assert theirs.to_obj(tuples=True) == ours.to_obj(tuples=True)
        assert "openlineage-bridge" == system["runId"] == system["pipelineName"]


def test_the_schema_is_registered_once(registry, sink, proposals):
    """Under the subject that DataHub's programs use."""
    sink.send(proposals(1))
    sink.send(proposals(1))

    [(path, authorization, schema)] = registry.asked
    assert ("/subjects/MetadataChangeProposal_v1-value/versions", None) == (path, authorization)
    assert getMetadataChangeProposalSchema() == schema


def test_order_of_an_entity(broker, sink):
    """Of many proposals of few entities; each entity's in order."""
    urns = [f"urn:li:dataset:(urn:li:dataPlatform:s3,b/{n % 7},PROD)" for n in range(700)]
    sent = [Proposal("dataset", urn, "status", b'{"removed":%d}' % n) for n, urn in enumerate(urns)]
    assert [Delivered()] * 700 == sink.send(sent)

    by_urn: dict[str, list[bytes]] = {}
    for key, value in read(broker):
        by_urn.setdefault(key, []).append(value["aspect"]["value"])
    assert {urn: [each.body for each in sent if each.urn == urn] for urn in set(urns)} == by_urn


def test_no_broker(registry, free_port, proposals):
    """Everything is tried again, and nothing of it is delivered late behind our back."""
    sink = KafkaSink(
        f"127.0.0.1:{free_port}", registry.url, producer_config=QUIET, connection=Connection(timeout=0.5)
    )
    outcomes = sink.send(proposals(3))

    assert {Retry} == {type(each) for each in outcomes}
    assert sink._producer is None


def test_no_registry(broker, registry, sink, proposals):
    """Neither; it is asked again the next time."""
    registry.status = 503
    assert {Retry} == {type(each) for each in sink.send(proposals(2))}

    registry.status = 200
    assert [Delivered()] * 2 == sink.send(proposals(2))
    assert 2 == len(read(broker))


def test_what_is_too_large_is_refused_alone(broker, sink, proposals):
    """With Kafka's words; its neighbours are delivered."""
    small, large = proposals(2), proposals(1, size=2_000_000)
    outcomes = sink.send([small[0], large[0], small[1]])

    assert [Delivered, Refused, Delivered] == [type(each) for each in outcomes]
    assert "large" in outcomes[1].reason.lower()
    assert 2 == len(read(broker))


def test_what_others_wrote_is_left_alone_and_lists_are_added_to(broker, registry, gms):
    """GMS is asked, as the REST sink asks it."""
    urn = "urn:li:dataset:(urn:li:dataPlatform:s3,b/x,PROD)"
    gms.held[urn] = {"schemaMetadata": {"value": {}, "systemMetadata": {"runId": "a-connector"}}}
    import httpx2

    held = Held(httpx2.Client(), gms.url, "openlineage-bridge", DatasetOptions())
    sink = KafkaSink(broker, registry.url, held=held, producer_config=QUIET)
    tags = b'{"tags":[{"tag":"urn:li:tag:pii"}]}'
    outcomes = sink.send(
        [Proposal("dataset", urn, "schemaMetadata", b"{}"), Proposal("dataset", urn, "globalTags", tags)]
    )
    [(_, value)] = read(broker)

    assert [Delivered()] * 2 == outcomes
    assert ("globalTags", "PATCH", "application/json-patch+json") == (
        value["aspectName"],
        value["changeType"],
        value["aspect"]["contentType"],
    )
    assert "/tags//urn:li:tag:pii" == json.loads(value["aspect"]["value"])["patch"][0]["path"]


# --- options --------------------------------------------------------------------------------------------------------

SECTION = {"sink": "kafka", "bootstrap": "b:9092", "schema_registry_url": "http://r:8081"}


def test_options(monkeypatch):
    """Brokers, registry and its password, topic, librdkafka's settings."""
    monkeypatch.setenv("DATAHUB_GMS_URL", "http://gms:8080")
    sink = KafkaSink.from_options(
        SECTION | {"schema_registry_auth": "u:secret", "topic": "MCP", "producer_config": {"acks": 1}}
    )

    assert "kafka://b:9092/MCP" == sink.destination
    assert ("http://r:8081", {"acks": 1}) == (sink.registry, sink.producer_config)
    assert "http://gms:8080" == sink.held.server
    assert "secret" not in repr(sink)


def test_the_registrys_password_is_sent_to_it(broker, registry, proposals):
    """As basic authentication."""
    sink = KafkaSink(broker, registry.url, registry_auth="u:p", producer_config=QUIET)
    sink.send(proposals(1))

    assert f"Basic {base64.b64encode(b'u:p').decode()}" == registry.asked[0][1]


ALWAYS = dict.fromkeys(("schema", "properties", "containers", "tags_and_owners", "lineage"), "always")


def test_without_gms_to_ask_nothing_may_be_overwritten_by_accident(monkeypatch, tmp_path):
    """The user says where GMS is, or that overwriting is wanted."""
    monkeypatch.delenv("DATAHUB_GMS_URL", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    with pytest.raises(ConfigError, match=r"datahub\.server.*overwrite"):
        KafkaSink.from_options(SECTION)
    assert KafkaSink.from_options(SECTION | {"datasets": ALWAYS}).held is None


@pytest.mark.parametrize("missing", ["bootstrap", "schema_registry_url"])
def test_what_it_needs(missing):
    """Is named when it is missing."""
    with pytest.raises(ConfigError, match=missing):
        KafkaSink.from_options(SECTION | {missing: None})


# --- killed ---------------------------------------------------------------------------------------------------------

URNS = [f"urn:li:dataset:(urn:li:dataPlatform:s3,b/{n:03},PROD)" for n in range(100)]


@attrs.define
class Mortal:
    """Dies right after the brokers' word, before it could be written down."""

    sink: KafkaSink
    destination: str = "kafka"

    def send(self, proposals):
        self.sink.send(proposals[:30])
        os.kill(os.getpid(), signal.SIGKILL)

    def close(self):
        """Never called."""


def _deliver_and_die(path, broker, registry):
    with Store(path) as store:
        [courier] = couriers(Here(store), {"k": Mortal(KafkaSink(broker, registry, producer_config=QUIET))})
        courier.turn()


@pytest.mark.reliability
def test_delivered_again_after_a_kill(tmp_path, broker, registry):
    """Everything is in the topic, some of it twice."""
    path = tmp_path / "bridge.db"
    with Store(path) as store, store.transaction():
        for urn in URNS:
            store.aspects.claim(urn.encode(), [Aspect(urn, "dataset", "status", {"removed": False})])
    child = multiprocessing.get_context("spawn").Process(
        target=_deliver_and_die, args=(path, broker, registry.url)
    )
    child.start()
    child.join(60)
    assert -signal.SIGKILL == child.exitcode
    assert URNS[:30] == sorted(key for key, _ in read(broker))

    sink = KafkaSink(broker, registry.url, producer_config=QUIET)
    with Store(path) as store:
        [courier] = couriers(Here(store), {"k": sink})
        assert 0 == courier.turn()
        assert 0 == store.aspects.waiting()
    assert sorted(URNS[:30] + URNS) == sorted(key for key, _ in read(broker))
