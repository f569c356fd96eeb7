"""What a job, its flow and its lineage become."""

from __future__ import annotations

import pytest

from openlineage_bridge_datahub import DataHubTranslator

PROD_FLOW = "urn:li:dataFlow:(prefect,etl,PROD)"
LOAD = f"urn:li:dataJob:({PROD_FLOW},load)"
ORDERS = "urn:li:dataset:(urn:li:dataPlatform:snowflake,a.p.orders,PROD)"
STATS = "urn:li:dataset:(urn:li:dataPlatform:postgres,d.s.stats,PROD)"
TASK = {"jobType": {"integration": "PREFECT", "jobType": "TASK", "processingType": "BATCH"}}
FLOW = {"jobType": {"integration": "PREFECT", "jobType": "FLOW", "processingType": "BATCH"}}


def test_lineage_stands_on_the_job(states, accepted, load, orders, stats):
    """Inputs and outputs are edges, columns are fine-grained lineage in the platform's spelling."""
    translator = DataHubTranslator()

    aspects = accepted(translator.job(states.job(load, [orders], [stats])))
    actual = aspects.by_name()["dataJobInputOutput"]

    assert [each.urn for each in aspects if each.name == "dataJobInputOutput"] == [LOAD]
    assert actual == {
        "inputDatasets": [],
        "outputDatasets": [],
        "inputDatasetEdges": [{"destinationUrn": ORDERS}],
        "outputDatasetEdges": [{"destinationUrn": STATS}],
        "fineGrainedLineages": [
            {
                "upstreamType": "FIELD_SET",
                "upstreams": [f"urn:li:schemaField:({ORDERS},id)"],
                "downstreamType": "FIELD",
                "downstreams": [f"urn:li:schemaField:({STATS},n)"],
                "transformOperation": "DIRECT:AGGREGATION",
            },
            {
                "upstreamType": "FIELD_SET",
                "upstreams": [f"urn:li:schemaField:({ORDERS},day)"],
                "downstreamType": "FIELD",
                "downstreams": [f"urn:li:schemaField:({STATS},n)"],
                "transformOperation": "INDIRECT:FILTER",
                "confidenceScore": 0.5,
            },
        ],
    }


def test_indirect_columns_can_be_left_out(states, accepted, load, orders, stats):
    """Columns that only decide are column lineage unless the configuration says otherwise."""
    translator = DataHubTranslator.from_options({"indirect_columns": False})

    actual = accepted(translator.job(states.job(load, [orders], [stats]))).by_name()["dataJobInputOutput"]

    assert [each["transformOperation"] for each in actual["fineGrainedLineages"]] == ["DIRECT:AGGREGATION"]


def test_nested_columns_join_the_schema(states, translator, accepted, load):
    """Column lineage on a nested field points to the version 2 path that the schema has."""
    nested = {"fields": [{"name": "addr", "type": "struct", "fields": [{"name": "city", "type": "string"}]}]}
    source = states.use("hive://m", "s.people", {"schema": nested})
    field = {"namespace": "hive://m", "name": "s.people", "field": "addr.city"}
    target = states.use(
        "postgres://h", "d.s.stats", columnLineage={"fields": {"city": {"inputFields": [field]}}}
    )

    aspects = accepted(
        [*translator.job(states.job(load, [source], [target])), *translator.dataset(source.dataset)]
    )
    upstream = aspects.by_name()["dataJobInputOutput"]["fineGrainedLineages"][0]["upstreams"][0]
    paths = [field["fieldPath"] for field in aspects.by_name()["schemaMetadata"]["fields"]]

    assert upstream.removesuffix(")").rpartition(",")[2] in paths


def test_a_dataset_without_a_urn_is_left_out_of_the_edges(states, translator, accepted, load, orders):
    """A name that GMS refuses costs its own edge and nothing else."""
    long = states.use("s3://b", "x" * 600)

    actual = accepted(translator.job(states.job(load, [orders, long], [long]))).by_name()[
        "dataJobInputOutput"
    ]

    assert actual["inputDatasetEdges"] == [{"destinationUrn": ORDERS}]
    assert actual["outputDatasetEdges"] == []
    assert list(translator.dataset(long.dataset)) == []


def test_a_dataset_without_a_urn_is_named_on_the_job(states, translator, accepted, load, orders):
    """Nothing is dropped in silence; what lives in memory only is no loss."""
    long, memory = states.use("s3://b", "x" * 600), states.use("inmemory://", "tmp")

    told = accepted(translator.job(states.job(load, [orders, long, memory], [orders])))
    usual = accepted(translator.job(states.job(load, [orders, memory], [orders])))

    assert told.by_name("dataJob")["dataJobInfo"]["customProperties"]["openlineage.withoutUrn"].startswith(
        "s3://b xxx"
    )
    assert "openlineage.withoutUrn" not in usual.by_name("dataJob")["dataJobInfo"]["customProperties"]


def test_a_job_without_lineage_says_nothing_about_it(states, translator, accepted, load):
    """An empty dataJobInputOutput would erase edges."""
    assert "dataJobInputOutput" not in accepted(translator.job(states.job(load))).by_name()


def test_a_task_describes_its_flow_with_less_weight_than_the_flow(states, translator, accepted, load):
    """The flow's own description outranks what its tasks know of it."""
    flow = states.identity("etl", **FLOW, documentation={"description": "nightly"})

    from_task = [each for each in accepted(translator.job(states.job(load))) if each.name == "dataFlowInfo"]
    from_flow = [each for each in accepted(translator.job(states.job(flow))) if each.name == "dataFlowInfo"]

    assert [each.urn for each in (*from_task, *from_flow)] == [PROD_FLOW, PROD_FLOW]
    assert from_task[0].rank < from_flow[0].rank
    assert from_flow[0].value["description"] == "nightly"


def test_a_flow_with_lineage_of_its_own_gets_a_job_below_it(states, translator, accepted, orders):
    """DataHub keeps no lineage on flows: it stands on a job named after the flow."""
    flow = states.identity(
        "loc.nightly", namespace="dagster", jobType={"integration": "DAGSTER", "jobType": "JOB"}
    )
    flow_urn = "urn:li:dataFlow:(dagster,loc.nightly,PROD)"

    without = accepted(translator.job(states.job(flow)))
    with_lineage = accepted(translator.job(states.job(flow, [orders])))

    assert {each.urn for each in without} == {flow_urn}
    assert {each.urn for each in with_lineage} == {flow_urn, f"urn:li:dataJob:({flow_urn},nightly)"}
    assert translator.job_urn(flow) == flow_urn


def test_the_code_of_a_flow_stands_on_a_job_below_it(states, translator, accepted):
    """DataHub shows code on jobs only: a flow that is itself a statement loses none of it."""
    flow = states.identity("report", namespace="airflow", engine="airflow", sql={"query": "SELECT 1"})

    found = {
        each.urn: each.value
        for each in accepted(translator.job(states.job(flow)))
        if each.name == "dataTransformLogic"
    }

    statement = {"queryStatement": {"value": "SELECT 1", "language": "SQL"}}
    job = "urn:li:dataJob:(urn:li:dataFlow:(airflow,report,prod),report)"
    assert {job: {"transforms": [statement]}} == found


def test_what_the_job_facets_say(states, translator, accepted):
    """Type, text, code, owners, tags and address of a job."""
    job = states.identity(
        "etl.load",
        parent="etl",
        **TASK,
        documentation={"description": "loads"},
        sql={"query": "SELECT 1"},
        sourceCode={"language": "PYTHON", "sourceCode": "x"},
        sourceCodeLocation={"type": "git", "url": "https://git.example.com/x.py", "branch": "main"},
        ownership={
            "owners": [{"name": "user:al", "type": "MAINTAINER"}, {"name": "team:data"}, {"name": "***"}]
        },
        tags={"tags": [{"key": "tier", "value": "1"}, {"key": "pii", "value": "true"}]},
        acme={"x": 1},
    )

    actual = accepted(translator.job(states.job(job))).by_name("dataJob")

    assert actual["dataJobInfo"] == {
        "name": "load",
        "type": {"string": "COMMAND"},
        "description": "loads",
        "externalUrl": "https://git.example.com/x.py",
        "customProperties": {
            "openlineage.namespace": "prefect",
            "openlineage.name": "etl.load",
            "processingType": "BATCH",
            "integration": "PREFECT",
            "jobType": "TASK",
            "sourceCodeLocation.type": "git",
            "sourceCodeLocation.branch": "main",
            "acme.x": "1",
        },
    }
    assert actual["dataTransformLogic"] == {
        "transforms": [{"queryStatement": {"value": "SELECT 1", "language": "SQL"}}]
    }
    assert actual["ownership"]["owners"] == [
        {"owner": "urn:li:corpGroup:data", "type": "TECHNICAL_OWNER"},
        {"owner": "urn:li:corpuser:al", "type": "TECHNICAL_OWNER"},
    ]
    assert actual["globalTags"] == {"tags": [{"tag": "urn:li:tag:pii"}, {"tag": "urn:li:tag:tier:1"}]}
    assert actual["subTypes"] == {"typeNames": ["Task"]}
    assert actual["status"] == {"removed": False}


@pytest.mark.parametrize(
    "facets", [{}, {"ownership": {"owners": []}, "tags": {"tags": []}}, {"ownership": {"owners": [1]}}]
)
def test_nothing_curated_is_wiped(states, translator, accepted, orders, facets):
    """Empty owners and tags would erase those that people entered: they are never sent."""
    job = states.job(states.identity("etl.load", **facets))
    dataset = states.dataset("postgres://h", "d.s.t", **facets)

    names = {each.name for each in accepted([*translator.job(job), *translator.dataset(dataset)])}

    assert names.isdisjoint({"ownership", "globalTags", "glossaryTerms", "domains", "institutionalMemory"})


def test_dependencies_are_edges_between_jobs(states, translator, accepted, load):
    """Job dependencies and the lineage facet's jobs are inputs of the job; the job itself is none."""
    upstream = [
        {"job": {"namespace": "prefect", "name": "etl.extract"}, "dependency_type": "DIRECT_INVOCATION"},
        {"job": {"namespace": "prefect", "name": "etl.load"}},
        {"job": None},
    ]

    state = states.job(load, jobDependencies={"upstream": upstream})
    actual = accepted(translator.job(state)).by_name()["dataJobInputOutput"]

    assert actual["inputDatajobEdges"] == [
        {
            "destinationUrn": f"urn:li:dataJob:({PROD_FLOW},extract)",
            "properties": {"dependencyType": "DIRECT_INVOCATION"},
        }
    ]


def test_a_platform_instance_stands_on_flow_and_job(states, accepted, load):
    """The facet filter and the URN agree."""
    translator = DataHubTranslator.from_options(
        {"namespaces": [{"match": "prefect", "platform_instance": "eu"}]}
    )
    expected = {
        "platform": "urn:li:dataPlatform:prefect",
        "instance": "urn:li:dataPlatformInstance:(urn:li:dataPlatform:prefect,eu)",
    }

    aspects = accepted(translator.job(states.job(load)))

    assert [expected] * 2 == [each.value for each in aspects if each.name == "dataPlatformInstance"]


def test_the_domain_of_a_namespace_is_that_of_its_flows_and_jobs(states, accepted, load):
    """By its id or its URN; where no rule says one, nothing is said of domains."""
    for domain in ("finance", "urn:li:domain:finance"):
        translator = DataHubTranslator.from_options({"namespaces": [{"match": "prefect", "domain": domain}]})

        found = [each for each in accepted(translator.job(states.job(load))) if each.name == "domains"]

        assert [PROD_FLOW, LOAD] == [each.urn for each in found]
        assert [{"domains": ["urn:li:domain:finance"]}] * 2 == [each.value for each in found]
    assert "domains" not in accepted(DataHubTranslator().job(states.job(load))).by_name()


ENGINE = {"processing_engine": {"name": "spark", "version": "3.5.1"}}


@pytest.mark.parametrize(
    ("facets", "run", "flow", "job"),
    [
        ({}, ENGINE, ("3.5.1", "processing_engine"), ("3.5.1", "processing_engine")),
        ({"version": "8c1f"}, ENGINE, ("3.5.1", "processing_engine"), ("8c1f", "git")),
        ({"tag": "v2", "type": "svn"}, {}, None, ("v2", "svn")),
        ({}, {"processing_engine": {"version": 3}}, None, None),
    ],
)
def test_versions(states, translator, accepted, facets, run, flow, job):
    """A job has the version of its code, else that of what runs it, which is the flow's."""
    identity = states.identity("etl.load", parent="etl", **TASK, sourceCodeLocation={"type": "git", **facets})

    aspects = accepted(translator.job(states.job(identity, **run)))
    found = {
        each.entity_type: (each.value["version"], each.value["versionType"])
        for each in aspects
        if each.name == "versionInfo"
    }

    assert {"dataFlow": flow, "dataJob": job} == {name: found.get(name) for name in ("dataFlow", "dataJob")}


def test_a_flows_own_version_outranks_what_its_tasks_know(states, translator, accepted, load):
    """Tasks know which engine runs the flow; the flow knows its code."""
    flow = states.identity("etl", **FLOW, sourceCodeLocation={"type": "git", "version": "8c1f"})

    def told(job):
        aspects = accepted(translator.job(states.job(job, **ENGINE)))
        return next((each.rank, each.value["version"]) for each in aspects if each.name == "versionInfo")

    assert ((0, "3.5.1"), (1, "8c1f")) == (told(load), told(flow))
