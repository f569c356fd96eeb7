"""The source `openlineage`, run by the real `datahub ingest`: into a file, and into a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from datahub.ingestion.run.pipeline import Pipeline as Ingestion
from datahub.ingestion.source.source_registry import source_registry

from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.aspects import holdings
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge_datahub import DataHubTranslator
from openlineage_bridge_datahub.source import OpenLineageConfig, OpenLineageSource

loads = import_module("bridge_tests.loads")
RECIPES = Path(__file__).parents[2] / "examples" / "recipes"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("DATAHUB_TELEMETRY_ENABLED", "false")
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def events(tmp_path):
    """A file of events, one line of which is none."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join([*(body for _, body in loads.runs(3, 2)), b'{"no": "event"}']))
    return path


@pytest.fixture
def store(tmp_path):
    """The store of a bridge that heard the same."""
    path = tmp_path / "bridge.db"
    with Store(path) as opened:
        heard(opened)
    return path


def heard(store: Store) -> list[tuple]:
    """Have it hear the events; everything that DataHub should hold then."""
    with store.transaction():
        store.inbox.put([inspect(body) for _, body in loads.runs(3, 2)], receiver="test", now=1)
    Pipeline(store, DataHubTranslator()).drain()
    return [(each.urn, each.aspect_name, json.loads(each.body)) for each in holdings(store.connection)]


@pytest.fixture(scope="module")
def wanted():
    with Store(MEMORY) as store:
        return heard(store)


def ingested(source: dict, sink: dict, **more) -> Ingestion:
    """The pipeline, after it ran."""
    pipeline = Ingestion.create(
        {"source": {"type": "openlineage", "config": source}, "sink": sink, **more}, report_to=None
    )
    pipeline.run()
    pipeline.raise_from_status()
    return pipeline


def plain(oracle, urn: str, name: str, value: dict) -> tuple:
    """With the defaults that typed aspects spell out, so that both compare."""
    from datahub.emitter.serialization_helper import post_json_transform

    return urn, name, json.dumps(oracle.aspect_classes()[name].from_obj(post_json_transform(value)).to_obj())


def written(oracle, path: Path) -> list[tuple]:
    return sorted(
        plain(oracle, each["entityUrn"], each["aspectName"], each["aspect"]["json"])
        for each in json.loads(path.read_bytes())
    )


@pytest.mark.system
@pytest.mark.parametrize("source", ["path", "store"])
def test_the_command_line_with_our_recipes(events, store, tmp_path, oracle, wanted, source):
    """`datahub ingest -c`: event files, or a store, into a file; everything that DataHub should hold, and nothing else.

    The example with the store adds an owner to every job on the way, by one of DataHub's own transformers.
    """
    target = tmp_path / "out.json"
    environ = {"OPENLINEAGE_BRIDGE_STORE": str(store), "PROPOSALS": str(target)}
    recipe = RECIPES / "openlineage-store.yml"
    if source == "path":
        recipe = tmp_path / "recipe.yml"
        text = (RECIPES / "openlineage-files.yml").read_text(encoding="utf-8")
        head = text.partition("\nsink:")[0].replace("${EVENTS:-./events}", str(events))
        recipe.write_text(
            f"{head}\nsink: {{type: file, config: {{filename: '{target}'}}}}\n", encoding="utf-8"
        )
    command = [sys.executable, "-m", "datahub", "ingest", "-c", str(recipe), "--no-progress"]
    done = subprocess.run(
        command, env=os.environ | environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

    found = written(oracle, target)
    if source == "store":
        found = [each for each in found if each[1] != "ownership"]
        assert "urn:li:corpuser:data-platform" in target.read_text()
    else:
        assert "This is no OpenLineage event" in done.stdout
    expected = sorted(plain(oracle, *each) for each in wanted)
    assert [each for each in expected if source == "path" or each[1] != "ownership"] == found


def test_into_a_server(events, wanted):
    """By DataHub's own REST sink; tags are added, and what others wrote is left alone, as the bridge itself does it."""
    with import_module("bridge_tests.gms").running() as gms:
        theirs = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.public.s1,PROD)"
        schema = {
            "schemaName": "theirs",
            "platform": "urn:li:dataPlatform:postgres",
            "version": 0,
            "hash": "",
        }
        schema |= {"platformSchema": {"com.linkedin.schema.OtherSchema": {"rawSchema": ""}}, "fields": []}
        gms.write(theirs, "schemaMetadata", schema, run_id="a-connector")
        sink = {"type": "datahub-rest", "config": {"server": gms.url}}
        ingested({"path": str(events)}, sink, pipeline_name="ours")
        state = gms.state

    assert {(urn, name) for urn, name, _ in wanted} <= {key[:2] for key in state}
    assert "theirs" == state[theirs, "schemaMetadata", None]["schemaName"]
    assert not {name for _, name, _ in state} & {"browsePathsV2", "browsePaths"}
    assert not [urn for urn, name, _ in state if name == "status" and urn.startswith("urn:li:dataset")]


def test_a_second_time(tmp_path):
    """What an earlier run wrote is not taken for somebody else's, though the recipe gave it no name."""
    source, table = tmp_path / "events.json", {"namespace": "postgres://h", "name": "d.s.t"}
    urn = "urn:li:dataset:(urn:li:dataPlatform:postgres,d.s.t,PROD)"
    with import_module("bridge_tests.gms").running() as gms:
        for columns in (["a"], ["a", "b"]):
            fields = [{"name": column, "type": "int"} for column in columns]
            dataset = table | {"facets": {"schema": {"fields": fields}}}
            event = {
                "eventTime": f"2026-01-0{len(columns)}T00:00:00Z",
                "producer": "https://x",
                "dataset": dataset,
            }
            source.write_text(json.dumps(event), encoding="utf-8")
            ingested({"path": str(source)}, {"type": "datahub-rest", "config": {"server": gms.url}})
            told = gms.state[urn, "schemaMetadata", None]["fields"]
            assert columns == [field["fieldPath"] for field in told]


def test_it_is_registered():
    """`datahub check plugins` shows it, and it loads."""
    assert source_registry.get("openlineage") is OpenLineageSource
    assert "OpenLineage" == OpenLineageSource.get_platform_name()


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({}, "either path"),
        ({"path": "a", "store": "b"}, "either path"),
        ({"path": "a", "env": "NOWHERE"}, "NOWHERE"),
        ({"path": "a", "namespacs": []}, "namespacs"),
        ({"path": "a", "lineage_window": 0}, "lineage_window"),
    ],
)
def test_wrong_configuration(config, word):
    """Is refused in words before anything is read."""
    with pytest.raises(ValueError, match=word):
        OpenLineageConfig.model_validate(config)


def test_the_translators_options(events, tmp_path):
    """Stand beside the source's own; several paths are read in order."""
    target = tmp_path / "out.json"
    rules = [{"match": "postgres*", "platform_instance": "eu"}]
    ingested(
        {"path": [str(events), str(events)], "env": "DEV", "namespaces": rules},
        {"type": "file", "config": {"filename": str(target)}},
    )
    text = target.read_text(encoding="utf-8")

    assert "urn:li:dataset:(urn:li:dataPlatform:postgres,eu.shop.public.s1,DEV)" in text
    assert "shop.public.s1,PROD)" not in text


def test_incremental_lineage(tmp_path, world):
    """DataHub's own processor turns the lineage of datasets into patches; that of jobs is not its business."""
    source, target = tmp_path / "events.json", tmp_path / "out.json"
    column = {"inputFields": [{"namespace": "postgres://h", "name": "d.s.t", "field": "x"}]}
    facets = {"columnLineage": {"fields": {"x": column}}}
    view = {"namespace": "postgres://h", "name": "d.s.view", "facets": facets}
    event = {"eventTime": "2026-01-01T00:00:00Z", "producer": "https://example.com", "dataset": view}
    source.write_text(json.dumps(event), encoding="utf-8")
    sink = {"type": "file", "config": {"filename": str(target)}}

    for incremental, kind in ((False, "UPSERT"), (True, "PATCH")):
        ingested({"path": str(source), "incremental_lineage": incremental}, sink)
        [lineage] = [
            each for each in json.loads(target.read_bytes()) if each["aspectName"] == "upstreamLineage"
        ]
        assert kind == lineage["changeType"]
