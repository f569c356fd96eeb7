"""Nothing that people or other programs wrote is overwritten: the sink asks, or adds."""

from __future__ import annotations

import json

import pytest
from datahub.metadata.schema_classes import (
    FineGrainedLineageClass,
    GlossaryTermAssociationClass,
    OwnerClass,
    OwnershipTypeClass,
    TagAssociationClass,
    UpstreamClass,
)
from datahub.specific.dataset import DatasetPatchBuilder

from openlineage_bridge.events import encode
from openlineage_bridge.translation import Delivered, Proposal, Refused, Retry
from openlineage_bridge_datahub.options import DatasetOptions
from openlineage_bridge_datahub.proposals import additions
from openlineage_bridge_datahub.sinks.rest import PIPELINE, RestSink

TABLE = "urn:li:dataset:(urn:li:dataPlatform:postgres,d.s.é t,PROD)"
OTHER = "urn:li:dataset:(urn:li:dataPlatform:postgres,d.s.other,PROD)"
OURS = {"pipelineName": PIPELINE, "runId": PIPELINE}


def proposal(aspect, value=None, urn=TABLE):
    return Proposal("dataset", urn, aspect, encode(value or {"name": "t"}))


def envelope(**system):
    return {"value": {}, "version": 0, "systemMetadata": system} if system else {"value": {}}


@pytest.fixture
def send(gms):
    """Deliver to the stand-in with these options; the outcomes."""
    sinks = []

    def deliver(*proposals, **options):
        if not sinks:
            sinks.append(RestSink(gms.url, datasets=DatasetOptions(**options)))
        return sinks[0].send(proposals)

    yield deliver
    for sink in sinks:
        sink.close()


def written(gms):
    return [(each["entityUrn"], each["aspectName"]) for each in gms.received]


@pytest.mark.parametrize("held", [envelope(pipelineName="urn:li:dataHubIngestionSource:x"), envelope()])
def test_a_connectors_schema_is_left_alone(gms, send, held):
    """What somebody else wrote stays; the rest of the dataset is delivered."""
    gms.held[TABLE] = {"schemaMetadata": held}

    actual = send(proposal("schemaMetadata"), proposal("datasetProperties"), proposal("datasetKey"))

    assert [Delivered()] * 3 == actual
    assert [(TABLE, "datasetProperties"), (TABLE, "datasetKey")] == written(gms)


@pytest.mark.parametrize("held", [{}, {"datasetKey": envelope()}, {"schemaMetadata": envelope(**OURS)}])
def test_what_is_missing_or_ours_is_written(gms, send, held):
    """A gap is filled, and what came from here follows OpenLineage."""
    gms.held[TABLE] = held

    send(proposal("schemaMetadata"))

    assert [(TABLE, "schemaMetadata")] == written(gms)


def test_a_dataset_that_datahub_does_not_have_is_written(gms, send):
    """GMS answers 404 for what it has nothing of."""
    send(proposal("schemaMetadata"))

    assert [(TABLE, "schemaMetadata")] == written(gms)


def test_one_question_is_asked_for_each_dataset(gms, send):
    """All aspects of a dataset are asked for at once, and a yes is remembered."""
    gms.held[TABLE] = {"schemaMetadata": envelope(pipelineName="x"), "subTypes": envelope(pipelineName="x")}
    sent = [proposal("schemaMetadata"), proposal("subTypes"), proposal("schemaMetadata", urn=OTHER)]

    send(*sent)
    send(*sent[:2])

    assert 2 == len(gms.asked)
    assert gms.asked[0].endswith("?aspects=List(schemaMetadata,subTypes)")


@pytest.mark.parametrize(("policy", "asked"), [("always", 0), ("missing", 1)])
def test_always_asks_nothing(gms, send, policy, asked):
    """`always` writes whatever is there."""
    gms.held[TABLE] = {"schemaMetadata": envelope(pipelineName="x")}

    send(proposal("schemaMetadata"), schema=policy)

    assert asked == len(gms.asked)
    assert len(gms.received) == 1 - asked


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_what_cannot_be_asked_now_waits(gms, send, status):
    """The proposal in question and all behind it are tried again; those before it are delivered."""
    gms.status = status
    sent = [proposal("datasetKey"), proposal("schemaMetadata"), proposal("datasetKey", urn=OTHER)]

    first, second, third = send(*sent)

    assert first == Delivered()
    assert isinstance(second, Retry)
    assert second == third
    assert str(status) in second.reason
    assert [(TABLE, "datasetKey")] == written(gms)


def test_a_question_that_is_refused_costs_its_proposal_alone(gms, send):
    """It is set aside with the reason, and the rest goes on."""
    gms.status = 400

    first, second = send(proposal("schemaMetadata"), proposal("datasetKey"))

    assert isinstance(first, Refused)
    assert second == Delivered()


def test_a_server_that_is_away_is_tried_again():
    """Nothing listens: everything waits."""
    sink = RestSink("http://127.0.0.1:9")

    actual = sink.send([proposal("schemaMetadata")])
    sink.close()

    assert isinstance(actual[0], Retry)


# --- adding ---------------------------------------------------------------------------------------------------------

CURATED = {
    "globalTags": {"tags": [{"tag": "urn:li:tag:a/b~c"}, {"tag": "urn:li:tag:d"}]},
    "glossaryTerms": {
        "terms": [{"urn": "urn:li:glossaryTerm:X"}],
        "auditStamp": {"time": 0, "actor": "urn:li:corpuser:datahub"},
    },
    "ownership": {"owners": [{"owner": "urn:li:corpuser:al", "type": "DATAOWNER"}]},
    "upstreamLineage": {
        "upstreams": [{"dataset": OTHER, "type": "TRANSFORMED"}],
        "fineGrainedLineages": [
            {
                "upstreamType": "FIELD_SET",
                "upstreams": [f"urn:li:schemaField:({OTHER},a/b)", f"urn:li:schemaField:({OTHER},c)"],
                "downstreamType": "FIELD",
                "downstreams": [f"urn:li:schemaField:({TABLE},n)"],
                "transformOperation": "INDIRECT:FILTER",
                "confidenceScore": 0.5,
            }
        ],
    },
}


def built(aspect):
    builder = DatasetPatchBuilder(TABLE)
    match aspect:
        case "globalTags":
            for tag in CURATED[aspect]["tags"]:
                builder.add_tag(TagAssociationClass(**tag))
        case "glossaryTerms":
            builder.add_term(GlossaryTermAssociationClass(**CURATED[aspect]["terms"][0]))
        case "ownership":
            builder.add_owner(OwnerClass("urn:li:corpuser:al", OwnershipTypeClass.DATAOWNER))
        case "upstreamLineage":
            for upstream in CURATED[aspect]["upstreams"]:
                builder.add_upstream_lineage(UpstreamClass(**upstream))
            for columns in CURATED[aspect]["fineGrainedLineages"]:
                builder.add_fine_grained_lineage(FineGrainedLineageClass(**columns))
    [change] = builder.build()
    written = json.loads(change.aspect.value)
    for each in written if isinstance(written, list) else ():
        each["value"].pop("auditStamp", None)  # a default that typed classes spell out
    return written


@pytest.mark.parametrize("aspect", CURATED)
def test_additions_are_what_datahubs_builders_write(aspect):
    """The patch is that of acryl-datahub's own builder."""
    assert built(aspect) == additions(proposal(aspect, CURATED[aspect]))


@pytest.mark.parametrize("aspect", CURATED)
def test_tags_terms_owners_and_lineage_are_added(gms, send, aspect):
    """They go out as a patch, beside what people entered there."""
    send(proposal(aspect, CURATED[aspect]))

    [received] = gms.received
    assert ("PATCH", "application/json-patch+json") == (
        received["changeType"],
        received["aspect"]["contentType"],
    )
    assert built(aspect) == json.loads(received["aspect"]["value"])


def test_always_takes_the_place_of_what_is_there(gms, send):
    """Who wants OpenLineage to be the only source of tags gets an UPSERT."""
    send(proposal("globalTags", CURATED["globalTags"]), tags_and_owners="always")

    assert ["UPSERT"] == [each["changeType"] for each in gms.received]


@pytest.mark.parametrize(
    ("policy", "change"), [("add", "PATCH"), ("missing", "PATCH"), ("never", "PATCH"), ("always", "UPSERT")]
)
def test_tags_of_jobs_are_told_in_any_case(gms, send, policy, change):
    """What is left to connectors is said of datasets; nobody else tells of the job."""
    job = "urn:li:dataJob:(urn:li:dataFlow:(prefect,f,PROD),t)"

    send(Proposal("dataJob", job, "globalTags", encode(CURATED["globalTags"])), tags_and_owners=policy)

    assert [change] == [each["changeType"] for each in gms.received]


@pytest.mark.parametrize("kind", ["dataJob", "dataFlow"])
@pytest.mark.parametrize(("there", "sent"), [({}, 1), ({"domains": envelope(pipelineName="x")}, 0)])
def test_a_job_stays_in_the_domain_that_people_gave_it(gms, send, kind, there, sent):
    """Whatever is said of datasets, tags and owners: a rule's domain fills a gap."""
    urn = f"urn:li:{kind}:x"
    gms.held[urn] = there

    actual = send(
        Proposal(kind, urn, "domains", encode({"domains": ["urn:li:domain:finance"]})), schema="always"
    )

    assert [Delivered()] == actual
    assert [(urn, "domains")] * sent == written(gms)


def test_another_policy_is_another_destination():
    """After a change of policy everything is looked at again, for what was left alone may be wanted now."""
    usual = RestSink.from_options({"server": "http://h:1"})
    changed = RestSink.from_options({"server": "http://h:1", "datasets": {"schema": "always"}})

    assert "http://h:1" == usual.destination
    assert "http://h:1 (schema=always)" == changed.destination
