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
    }
    column = {"inputFields": [{"namespace": "s3://b", "name": "é/in", "field": "é"}]}
    source = states.use("s3://b", "é/in", facets)
    target = states.use("kafka://b:9092", "out", columnLineage={"fields": {"x": column}})
    job = states.identity(
        "flow é.task",
        jobType={"integration": "PREFECT", "jobType": "TASK"},
        sql={"query": "SELECT 'é'"},
        **{name: facets[name] for name in ("documentation", "ownership", "tags")},
    )
    run = states.run(
        job,
        "06d4248d-0000-4000-8000-000000000000",
        started=1_790_000_000_000_000,
        ended=1_790_000_001_000_000,
        result="COMPLETE",
        inputs=(source,),
        outputs=(target,),
    )
    view = states.dataset("postgres://h", "d.s.v", columnLineage={"fields": {"x": column}})
    rules = [{"match": match, "platform_instance": "eu"} for match in ("s3", "prefect")]
    translator = DataHubTranslator.from_options({"namespaces": rules})
    found = [
        *translator.job(states.job(job, [source], [target])),
        *translator.run(run),
        *translator.dataset(source.dataset),
        *translator.dataset(view),
    ]
    return accepted(found)


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
