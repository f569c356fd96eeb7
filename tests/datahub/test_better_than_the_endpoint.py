"""The fifteen points in which DataHub's own OpenLineage endpoint falls short, each as what the bridge does instead.

Numbers and wording are those of the comparison (datahub-openlineage-endpoint, section 10): what its converter loses,
overwrites or says wrongly, as read in its source and its golden files.
"""

from __future__ import annotations

import json
from itertools import permutations

import pytest

from openlineage_bridge.redaction import redacted
from openlineage_bridge_datahub import DataHubTranslator
from openlineage_bridge_datahub.proposals import additions
from openlineage_bridge_datahub.urns import DatasetNaming

FLOW = "urn:li:dataFlow:(openlineage,flow,PROD)"
LOAD = f"urn:li:dataJob:({FLOW},load)"
RUN = "urn:li:dataProcessInstance:00000000-0000-4000-8000-000000000000"
ORDERS = "urn:li:dataset:(urn:li:dataPlatform:postgres,db.s.orders,PROD)"
STATS = "urn:li:dataset:(urn:li:dataPlatform:postgres,db.s.stats,PROD)"
HOST = "postgres://h:5432"


def table(name, facets=None, **parts):
    return {"namespace": HOST, "name": f"db.s.{name}", "facets": facets or {}, **parts}


@pytest.fixture
def load(world):
    """An event of the job ``flow.load``."""

    def event(second, event_type="COMPLETE", inputs=(), outputs=(), **parts):
        return world.run_event(
            "flow.load", parts.pop("run", 0), second, event_type, list(inputs), list(outputs), **parts
        )

    return event


def test_1_a_late_or_empty_event_erases_nothing(load, catalog_after):
    """Inputs, outputs, owners and properties of a run are those that any of its events told."""
    told = {"ownership": {"owners": [{"name": "ann", "type": "OWNER"}]}, "acme": {"cost": 3}}
    start = load(1, "START", [table("orders")], job_facets=told, run_facets={"acme": {"queue": "q1"}})
    held = catalog_after(start, load(2, "RUNNING"), load(3, outputs=[table("stats")]), load(4, "OTHER"))

    assert ({ORDERS}, {STATS}) == (held.inputs(LOAD), held.outputs(LOAD))
    assert [ORDERS] == held[RUN, "dataProcessInstanceInput"]["inputs"]
    assert "urn:li:corpuser:ann" == held[LOAD, "ownership"]["owners"][0]["owner"]
    assert "3" == held[LOAD, "dataJobInfo"]["customProperties"]["acme.cost"]
    assert "q1" == held[RUN, "dataProcessInstanceProperties"]["customProperties"]["acme.queue"]


def test_2_identity_is_that_of_the_run_not_of_the_event(load, catalog_after):
    """START names the engine and COMPLETE does not, in either order: one flow. A producer nobody knows has one, too."""
    engine = {"processing_engine": {"name": "Spark", "version": "3.5"}}
    history = [load(1, "START", [table("orders")], run_facets=engine), load(2)]
    for order in permutations(history):
        held = catalog_after(*order)
        assert {"urn:li:dataFlow:(spark,flow,PROD)"} == {
            urn for urn, _ in held if urn.startswith("urn:li:dataFlow:")
        }
    unknown = catalog_after(load(1, producer="https://example.com/home-made"))

    assert FLOW in {urn for urn, _ in unknown}


def test_3_parent_and_root_are_hierarchy_and_never_lineage(load, catalog_after):
    """The parent's run is the parent instance; no edge leads from the parent's job to its task's."""
    parent = {
        "run": {"runId": RUN.rpartition(":")[2].replace("0000", "abcd", 1)},
        "job": {"namespace": "ns", "name": "flow"},
    }
    held = catalog_after(load(1, inputs=[table("orders")], run_facets={"parent": {**parent, "root": parent}}))

    relationships = held[RUN, "dataProcessInstanceRelationships"]
    assert LOAD == relationships["parentTemplate"]
    assert relationships["parentInstance"].endswith(parent["run"]["runId"])
    assert [] == relationships["upstreamInstances"]
    assert "inputDatajobEdges" not in held[LOAD, "dataJobInputOutput"]


def test_4_rules_hold_for_file_systems_too():
    """Instance and environment of a namespace are those of its paths as of its tables."""
    rule = {"match": "s3://lake", "platform_instance": "eu", "env": "DEV"}

    assert (
        "urn:li:dataset:(urn:li:dataPlatform:s3,eu.lake/orders,DEV)"
        == DatasetNaming(rules=[rule]).resolve("s3://lake", "orders").urn
    )


def test_5_another_events_symlink_changes_no_name(load, catalog_after):
    """A table behind a path is named by what is said of that path, the same on replay and in any order."""
    symlinks = {"identifiers": [{"namespace": "arn:aws:glue:eu:1", "name": "table/s/t", "type": "TABLE"}]}
    path = {"namespace": "s3://lake", "name": "s/t"}
    history = [
        load(1, inputs=[{**path, "facets": {"symlinks": symlinks}}]),
        load(2, inputs=[path], run=1),
        load(3, inputs=[{**path, "name": "s/t2"}], outputs=[path], run=2),
    ]
    expected = catalog_after(*history)

    assert {"urn:li:dataset:(urn:li:dataPlatform:s3,lake/s/t2,PROD)"} == expected.inputs(LOAD)
    assert {"urn:li:dataset:(urn:li:dataPlatform:glue,s.t,PROD)"} == expected.outputs(LOAD)
    assert all(expected == catalog_after(*order) for order in permutations(history))


def test_6_nothing_is_dropped_in_silence(load, catalog_after):
    """Names that are no legal URIs are datasets, facets that nobody knows are kept, and what cannot be named is told."""
    odd = {"namespace": "s3://lake", "name": "a b|{c}"}
    too_long = {"namespace": "s3://lake", "name": "x" * 600}
    held = catalog_after(load(1, inputs=[odd, too_long], run_facets={"acme_x": {"deep": {"er": [1]}}}))

    assert {"urn:li:dataset:(urn:li:dataPlatform:s3,lake/a b|{c},PROD)"} == held.inputs(LOAD)
    assert '{"er":[1]}' == held[RUN, "dataProcessInstanceProperties"]["customProperties"]["acme_x.deep"]
    assert "s3://lake xxx" in held[LOAD, "dataJobInfo"]["customProperties"]["openlineage.withoutUrn"]


def test_7_column_lineage_is_told_pair_by_pair(load, catalog_after):
    """With masking and description; what only decides apart; in the very paths that the schema has."""
    schema = {"fields": [{"name": "who", "type": "struct", "fields": [{"name": "mail", "type": "text"}]}]}
    steps = [{"type": "DIRECT", "subtype": "TRANSFORMATION", "masking": True, "description": "sha256"}]
    source = {"namespace": HOST, "name": "db.s.orders"}
    fields = [
        {**source, "field": "who.mail", "transformations": steps},
        {**source, "field": "day", "transformations": [{"type": "INDIRECT", "subtype": "FILTER"}]},
    ]
    lineage = {"fields": {"digest": {"inputFields": fields}}, "dataset": [{**source, "field": "region"}]}
    held = catalog_after(
        load(
            1,
            inputs=[table("orders", {"schema": schema})],
            outputs=[table("stats", {"columnLineage": lineage})],
        )
    )

    [direct, indirect] = held[LOAD, "dataJobInputOutput"]["fineGrainedLineages"]
    paths = {field["fieldPath"] for field in held[ORDERS, "schemaMetadata"]["fields"]}
    assert "DIRECT:TRANSFORMATION (masking): sha256" == direct["transformOperation"]
    assert direct["upstreams"][0].removesuffix(")").partition("PROD),")[2] in paths
    assert ("INDIRECT:FILTER", 0.5) == (indirect["transformOperation"], indirect["confidenceScore"])


def test_8_what_others_curate_is_added_to_and_never_emptied(load, catalog_after):
    """No tags are no aspect; some go out as additions; edges that a job no longer has are gone with the next run."""
    none = catalog_after(load(1, job_facets={"tags": {"tags": []}, "ownership": {"owners": []}}))
    history = [load(1, inputs=[table("orders"), table("old")]), load(2, inputs=[table("orders")], run=1)]

    assert not {"globalTags", "ownership", "glossaryTerms", "domains"} & {aspect for _, aspect in none}
    assert {ORDERS} == catalog_after(*history).inputs(LOAD)


def test_8_additions_remove_nothing(proposals):
    """A patch has no other operation than to add."""
    [tags] = proposals(1)
    body = json.dumps({"tags": [{"tag": "urn:li:tag:pii"}]}).encode()
    patch = additions(type(tags)(tags.entity_type, tags.urn, "globalTags", body))

    assert isinstance(patch, dict)
    assert {"add"} == {step["op"] for step in patch["patch"]}


def test_9_a_replay_says_the_same(load, catalog_after):
    """Times are the events' own: the same history, heard twice or tomorrow, is the same catalog, byte for byte."""
    history = [load(1, "START", [table("orders")]), load(2, outputs=[table("stats")])]

    assert catalog_after(*history) == catalog_after(*history, *history)


def test_10_the_schema_is_the_tables(load, catalog_after):
    """Of the platform in its URN, with descriptions, parameters of types, and nested fields; in the producer's order."""
    fields = [
        {"name": "z", "type": "varchar(255)", "description": "last comes first"},
        {"name": "a", "type": "struct", "fields": [{"name": "b", "type": "BIGINT"}]},
    ]
    symlinks = {"identifiers": [{"namespace": "hive://m:9083", "name": "s.t", "type": "TABLE"}]}
    path = {
        "namespace": "hdfs://nn",
        "name": "/w/t",
        "facets": {"schema": {"fields": fields}, "symlinks": symlinks},
    }
    held = catalog_after(load(1, outputs=[path]))

    schema = held["urn:li:dataset:(urn:li:dataPlatform:hive,s.t,PROD)", "schemaMetadata"]
    assert "urn:li:dataPlatform:hive" == schema["platform"]
    assert ["z", "[version=2.0].[type=struct].[type=struct].a"] == [
        f["fieldPath"] for f in schema["fields"][:2]
    ]
    assert ("last comes first", "varchar(255)") == (
        schema["fields"][0]["description"],
        schema["fields"][0]["nativeDataType"],
    )
    assert {"com.linkedin.schema.NumberType": {}} == schema["fields"][2]["type"]["type"]


@pytest.mark.parametrize(
    ("end", "result"), [("COMPLETE", "SUCCESS"), ("FAIL", "FAILURE"), ("ABORT", "SKIPPED")]
)
def test_11_a_run_starts_once_and_ends_once(load, catalog_after, end, result):
    """With duration, attempt and page; an error facet explains the end, and does not decide it."""
    facets = {
        "airflow": {"taskInstance": {"try_number": 2, "log_url": "https://air/log"}},
        "errorMessage": {"message": "boom", "programmingLanguage": "PYTHON", "stackTrace": "at line 1"},
    }
    held = catalog_after(
        load(1, "START", run_facets=facets), load(2, "RUNNING"), load(3, "RUNNING"), load(4, end)
    )

    start, finish = held[RUN, "dataProcessInstanceRunEvent"]
    assert ("STARTED", 2) == (start["status"], start["attempt"])
    assert (result, 3000) == (finish["result"]["type"], finish["durationMillis"])
    properties = held[RUN, "dataProcessInstanceProperties"]
    assert "https://air/log" == properties["externalUrl"]
    assert "at line 1" == properties["customProperties"]["errorMessage.stackTrace"]


def test_12_what_happened_to_a_dataset_is_told_once_at_the_end(load, catalog_after):
    """RUNNING events with partial counts are no operations; the end's rows, bytes and files are."""

    def written(rows):
        return [
            table("stats", outputFacets={"outputStatistics": {"rowCount": rows, "size": 10, "fileCount": 1}})
        ]

    held = catalog_after(load(1, "START", outputs=written(0)), load(2, "RUNNING", outputs=written(5)))
    done = catalog_after(
        load(1, "START", outputs=written(0)),
        load(2, "RUNNING", outputs=written(5)),
        load(3, outputs=written(9)),
    )

    assert (STATS, "operation") not in held
    [operation] = done[STATS, "operation"]
    assert 9 == operation["numAffectedRows"]
    assert {"10", "1"} == {operation["customProperties"][key] for key in ("sizeInBytes", "fileCount")}


def test_13_job_and_dataset_events_are_heard(world, catalog_after):
    """A declared job has edges and no run; a dataset that says what it is made from has upstream lineage."""
    lineage = {"fields": {"n": {"inputFields": [{"namespace": HOST, "name": "db.s.orders", "field": "id"}]}}}
    held = catalog_after(
        world.job_event("flow.load", 1, [table("orders")], [table("stats")]),
        world.dataset_event(table("stats", {"columnLineage": lineage}), 2),
    )

    assert ({ORDERS}, {STATS}) == (held.inputs(LOAD), held.outputs(LOAD))
    assert [{"dataset": ORDERS, "type": "TRANSFORMED"}] == held[STATS, "upstreamLineage"]["upstreams"]
    assert not [urn for urn, _ in held if "dataProcessInstance" in urn]


def test_14_secrets_and_nobodies_stay_out(load, catalog_after):
    """Environment variables and connection strings are redacted before they are kept; ``***`` owns nothing."""
    variables = [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "REGION", "value": "eu"}]
    event = load(
        1,
        run_facets={"environmentVariables": {"environmentVariables": variables}},
        job_facets={
            "sql": {"query": "COPY t FROM 's3://k' CREDENTIALS 'aws_secret_access_key=hunter2'"},
            "ownership": {"owners": [{"name": "***"}, {"name": "team:data"}]},
        },
        inputs=[table("orders")],
    )
    held = catalog_after(json.loads(redacted(json.dumps(event).encode())))

    assert "hunter2" not in json.dumps([*held.values()])
    assert "eu" == held[RUN, "dataProcessInstanceProperties"]["customProperties"]["env.REGION"]
    assert ["urn:li:corpGroup:data"] == [each["owner"] for each in held[LOAD, "ownership"]["owners"]]


def test_15_every_name_is_explained(states):
    """Which rule of which connector, step by step; and where there is no name, why."""
    named = DataHubTranslator().resolve(states.dataset("snowflake://o-a", "A.P.T"))
    unnamed = DataHubTranslator().resolve(states.dataset("pubsub", "subscription:p:s"))

    assert "snowflake/snowflake_utils.py" in " ".join(named.steps)
    assert unnamed.urn is None
    assert "subscription" in unnamed.steps[-1]
