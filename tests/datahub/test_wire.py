"""DataHub's own programs and ours agree on what goes over the wire and into files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.emitter.rest_emitter import DataHubRestEmitter
from datahub.emitter.serialization_helper import post_json_transform
from datahub.metadata.schema_classes import (
    EdgeClass,
    FineGrainedLineageClass,
    OwnerClass,
    TagAssociationClass,
    UpstreamClass,
)
from datahub.specific.datajob import DataJobPatchBuilder
from datahub.specific.dataset import DatasetPatchBuilder

from openlineage_bridge.events import encode
from openlineage_bridge.translation import Proposal
from openlineage_bridge_datahub import DataHubTranslator
from openlineage_bridge_datahub.options import DatasetOptions
from openlineage_bridge_datahub.sinks.file import FileSink
from openlineage_bridge_datahub.sinks.rest import RestSink


@pytest.fixture
def aspects(states, accepted):
    """Every kind of aspect that the translator writes, with text outside of ASCII."""
    facets = {
        "schema": {
            "fields": [
                {"name": "é", "type": "int"},
                {"name": "a", "type": "struct", "fields": [{"name": "b"}]},
            ]
        },
        "documentation": {"description": "über"},
        "ownership": {"owners": [{"name": "team:x"}]},
        "tags": {"tags": [{"key": "k", "value": "v"}]},
        "datasetType": {"datasetType": "TABLE"},
        "hierarchy": {"hierarchy": [{"type": "DATABASE", "name": "dé"}, {"type": "SCHEMA", "name": "s (1)"}]},
    }
    checks = {"assertions": [{"assertion": "größer, als", "success": True, "column": "é"}]}
    column = {"inputFields": [{"namespace": "s3://b", "name": "é/in", "field": "é"}]}
    measured = {"rowCount": 3, "columnMetrics": {"é": {"nullCount": 1, "min": 0}}}
    source = states.use(
        "s3://b", "é/in (1), x", facets, dataQualityAssertions=checks, dataQualityMetrics=measured
    )
    target = states.use("kafka://b:9092", "out", columnLineage={"fields": {"x": column}})
    table = states.use(
        "postgres://h", "dé.s (1).t,ü", {name: facets[name] for name in ("schema", "hierarchy")}
    )
    local = states.use("duckdb:///data/w.duckdb", "w.main.t")
    job = states.identity(
        "flow é.task",
        jobType={"integration": "PREFECT", "jobType": "TASK"},
        sql={"query": "SELECT 'é\n\U0001f600'"},
        **{name: facets[name] for name in ("documentation", "ownership", "tags")},
    )
    run = states.run(
        job,
        "06d4248d-0000-4000-8000-000000000000",
        started=1_790_000_000_000_000,
        ended=1_790_000_001_000_000,
        result="COMPLETE",
        inputs=(source,),
        outputs=(target, local),
    )
    view = states.dataset("postgres://h", "d.s.v", columnLineage={"fields": {"x": column}})
    rules = [{"match": match, "platform_instance": "eu"} for match in ("s3", "prefect")]
    siblings = {"siblings": True}
    translator = DataHubTranslator.from_options({"namespaces": rules, "datasets": siblings})
    found = [
        *translator.job(states.job(job, [source], [target, local])),
        *translator.run(run),
        *translator.dataset(source.dataset),
        *translator.dataset(view),
        *translator.dataset(table.dataset),
        *translator.dataset(local.dataset),
    ]
    return accepted(found)


def test_every_kind_of_entity_is_among_them(aspects):
    """What is compared below is all that the translator may write about."""
    assert {
        "assertion",
        "container",
        "dataFlow",
        "dataJob",
        "dataPlatform",
        "dataProcessInstance",
        "dataset",
        "query",
    } == {each.entity_type for each in aspects}
    assert {"operation", "datasetProfile", "assertionRunEvent", "dataProcessInstanceRunEvent"} == {
        each.name for each in aspects if each.timestamp_ms is not None
    }


def proposal(aspect):
    return Proposal(aspect.entity_type, aspect.urn, aspect.name, encode(aspect.value), aspect.timestamp_ms)


def wrapper(oracle, aspect):
    typed = oracle.aspect_classes()[aspect.name].from_obj(post_json_transform(aspect.value))
    return MetadataChangeProposalWrapper(entityUrn=aspect.urn, aspect=typed)


def normalised(oracle, received):
    """Requests without what may differ: systemMetadata, and the defaults that typed aspects spell out."""
    aspect = oracle.aspect_classes()[received["aspectName"]]
    value = json.loads(received["aspect"].pop("value"))
    system = received.pop("systemMetadata")
    assert {"lastObserved", "runId"} <= set(system)
    return received, aspect.from_obj(post_json_transform(value)).to_obj()


def test_the_rest_sink_sends_what_datahubs_emitter_sends(gms, oracle, aspects):
    """Same path, same headers, same envelope, same proposals in the same order."""
    always = DatasetOptions(
        schema="always", properties="always", containers="always", tags_and_owners="always", lineage="always"
    )
    emitter, sink = DataHubRestEmitter(gms.url, token="t"), RestSink(gms.url, token="t", datasets=always)

    emitter.emit_mcps([wrapper(oracle, each) for each in aspects])
    theirs, gms.requests = gms.requests, []
    sink.send([proposal(each) for each in aspects])
    sink.close()
    ours = gms.requests

    [(their_path, their_headers, their_body)], [(our_path, our_headers, our_body)] = theirs, ours
    their_request, our_request = json.loads(their_body), json.loads(our_body)
    assert their_path == our_path
    for header in ("X-RestLi-Protocol-Version", "Content-Type", "Authorization"):
        assert their_headers[header] == our_headers[header]
    assert [normalised(oracle, each) for each in their_request.pop("proposals")] == [
        normalised(oracle, each) for each in our_request.pop("proposals")
    ]
    assert their_request == our_request


# Aspect → its lists, the class of their elements, and what acryl-datahub's patch builders call adding one.
ADDED = {
    "globalTags": [("tags", TagAssociationClass, "add_tag")],
    "ownership": [("owners", OwnerClass, "add_owner")],
    "upstreamLineage": [
        ("upstreams", UpstreamClass, "add_upstream_lineage"),
        ("fineGrainedLineages", FineGrainedLineageClass, "add_fine_grained_upstream_lineage"),
    ],
    "dataJobInputOutput": [
        ("inputDatasetEdges", EdgeClass, "add_input_dataset"),
        ("outputDatasetEdges", EdgeClass, "add_output_dataset"),
        ("fineGrainedLineages", FineGrainedLineageClass, "add_fine_grained_lineage"),
    ],
}


def patches_of_datahub(aspects):
    """What acryl-datahub's own patch builders make of the aspects that are added to what is there."""
    for each in aspects:
        builder = (DatasetPatchBuilder if each.entity_type == "dataset" else DataJobPatchBuilder)(each.urn)
        for listed, typed, add in ADDED[each.name]:
            for element in each.value[listed]:
                getattr(builder, add)(typed.from_obj(post_json_transform(element)))
        yield from builder.build()


def test_what_is_added_is_added_as_datahubs_patch_builders_do(gms, aspects):
    """Same proposals, same operations, for tags, owners, the lineage of datasets, and where asked for the edges of jobs."""
    added = [each for each in aspects if each.name in ADDED and each.entity_type in ("dataset", "dataJob")]
    assert {"ownership", "globalTags", "upstreamLineage", "dataJobInputOutput"} == {
        each.name for each in added
    }
    asked_for = DatasetOptions(job_edges="add")
    emitter, sink = DataHubRestEmitter(gms.url), RestSink(gms.url, datasets=asked_for)
    emitter.emit_mcps(list(patches_of_datahub(added)))
    theirs, gms.requests = gms.received, []
    sink.send([proposal(each) for each in added])
    sink.close()

    assert [_operations(each) for each in theirs] == [_operations(each) for each in gms.received]


NEVER = {"time": 0, "actor": "urn:li:corpuser:unknown"}
"""The audit stamp that a typed value has by default."""


def _operations(received):
    received.pop("systemMetadata")
    patch = json.loads(received["aspect"].pop("value"))
    body = patch if isinstance(patch, dict) else {"patch": patch}
    keys = body.get("arrayPrimaryKeys") or {}
    return received, keys, [_without_defaults(each) for each in body["patch"]]


def _without_defaults(value):
    """Defaults are spelled out by typed values only."""
    if isinstance(value, dict):
        said = {key: each for key, each in value.items() if each not in (None, NEVER)}
        return {key: _without_defaults(each) for key, each in said.items()}
    return [_without_defaults(each) for each in value] if isinstance(value, list) else value


def test_datahub_ingest_reads_the_file(tmp_path, oracle, aspects):
    """`datahub ingest` with source `file` reads every proposal of the file sink and writes the same."""
    written, copied = tmp_path / "written.json", tmp_path / "copied.json"
    sink = FileSink(written)
    sink.send([proposal(each) for each in aspects[:5]])
    sink.send([proposal(each) for each in aspects[5:]])
    sink.close()
    recipe = tmp_path / "recipe.json"
    recipe.write_text(
        json.dumps(
            {
                "source": {"type": "file", "config": {"path": str(written)}},
                "sink": {"type": "file", "config": {"filename": str(copied)}},
            }
        )
    )
    datahub = shutil.which("datahub", path=str(Path(sys.executable).parent))
    assert datahub
    environment = {**os.environ, "DATAHUB_TELEMETRY_ENABLED": "false", "HOME": str(tmp_path)}
    command = [datahub, "ingest", "run", "-c", recipe, "--no-default-report", "--no-progress"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=environment)

    assert done.returncode == 0, done.stdout + done.stderr

    def content(each):
        cls = oracle.aspect_classes()[each["aspectName"]]
        value = cls.from_obj(post_json_transform(each["aspect"]["json"])).to_obj()
        return each["entityType"], each["entityUrn"], each["changeType"], each["aspectName"], value

    assert [content(each) for each in json.loads(copied.read_bytes())] == [
        content(json.loads(proposal(each).to_mcp())) for each in aspects
    ]
