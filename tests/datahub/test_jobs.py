"""A job's flow and task follow from its identity, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.events import Facets, JobKey
from openlineage_bridge.translation import JobIdentity
from openlineage_bridge_datahub import DataHubTranslator
from openlineage_bridge_datahub.encoding import encoded_length
from openlineage_bridge_datahub.jobs import CONVENTIONS, JobNaming, orchestrator_of, place_of


def kind(integration, job_type):
    return {"jobType": {"integration": integration, "jobType": job_type, "processingType": "BATCH"}}


# name, identity, flow, task
PLACES = [
    # The flow itself.
    ("etl", {**kind("PREFECT", "FLOW")}, "etl", None),
    ("loc.nightly", {**kind("DAGSTER", "JOB")}, "loc.nightly", None),
    ("a.dag", {**kind("AIRFLOW", "DAG"), "parent": "a"}, "a.dag", None),
    ("app", {**kind("SPARK", "APPLICATION"), "parent": "dag.task"}, "app", None),
    # A subflow is a flow of its own.
    ("child", {**kind("PREFECT", "FLOW"), "parent": "etl", "root": "etl"}, "child", None),
    # Named below the parent, below the root, beside the parent.
    ("my.flow.load", {**kind("PREFECT", "TASK"), "parent": "my.flow"}, "my.flow", "load"),
    ("etl.inner", {**kind("PREFECT", "TASK"), "parent": "etl.outer", "root": "etl"}, "etl", "inner"),
    ("my.flow.inner", {**kind("PREFECT", "TASK"), "parent": "my.flow.outer"}, "my.flow", "inner"),
    ("child.load", {**kind("PREFECT", "TASK"), "parent": "child", "root": "etl"}, "child", "load"),
    ("app.sql.table", {**kind("SPARK", "SQL_JOB"), "parent": "app"}, "app", "sql.table"),
    # Another name than the parent's.
    ("load", {"parent": "etl.step", "root": "etl"}, "etl", "load"),
    ("load", {"parent": "etl"}, "etl", "load"),
    (
        "model.shop.orders",
        {**kind("DBT", "MODEL"), "parent": "dbt-run-shop"},
        "dbt-run-shop",
        "model.shop.orders",
    ),
    (
        "model.shop.orders.sql.1",
        {**kind("DBT", "SQL"), "parent": "model.shop.orders", "root": "dbt-run-shop"},
        "dbt-run-shop",
        "model.shop.orders.sql.1",
    ),
    # dbt's statements name no root: their node says the project.
    (
        "model.shop.orders.sql.1",
        {**kind("DBT", "SQL"), "parent": "model.shop.orders"},
        "dbt-run-shop",
        "model.shop.orders.sql.1",
    ),
    (
        "test.shop.not_null.5c9bf.sql.2",
        {"engine": "dbt", "parent": "test.shop.not_null.5c9bf"},
        "dbt-run-shop",
        "test.shop.not_null.5c9bf.sql.2",
    ),
    (
        "shop.public.jaffle.orders",
        {"engine": "dbt", "parent": "dbt-run-jaffle"},
        "dbt-run-jaffle",
        "shop.public.jaffle.orders",
    ),
    ("model.shop.orders", {**kind("DBT", "MODEL"), "parent": "nightly"}, "nightly", "model.shop.orders"),
    # Without a type: what has no dot is the DAG, the application, the command, whoever started it.
    ("dag", {"engine": "airflow"}, "dag", None),
    ("app", {"engine": "spark", "parent": JobKey("airflow", "dag.task")}, "app", None),
    ("dbt-run-shop", {"engine": "dbt"}, "dbt-run-shop", None),
    ("app", {"engine": "spark", "parent": "dag.task", "root": "dag"}, "app", None),
    (
        "app.execute_insert.t",
        {"engine": "spark", "parent": "dag.task", "root": "dag"},
        "app",
        "execute_insert.t",
    ),
    ("dag.task", {"engine": "airflow"}, "dag", "task"),
    ("app.execute_insert.t", {"engine": "spark"}, "app", "execute_insert.t"),
    # Flink's jobs are called by their whole names, as DataHub's Flink connector calls them.
    ("insert-into_c.db.t", {**kind("FLINK", "JOB")}, "insert-into_c.db.t", "insert-into_c.db.t"),
    # Hive's operation, and Trino's query among all of its server.
    ("load.test.target", {"engine": "hive"}, "load", "test.target"),
    ("20260101_000000_00001_abcde", {"engine": "trino"}, "prefect", "20260101_000000_00001_abcde"),
    ("ada.report", {"engine": "trino"}, "ada", "report"),
    # A parent in another namespace is another orchestrator's.
    ("dag.task", {"parent": JobKey("elsewhere", "dag")}, "dag", "task"),
    # By name alone.
    ("dag.group.task", {}, "dag", "group.task"),
    ("alone", {}, "alone", "alone"),
    (".odd", {}, ".odd", ".odd"),
    ("odd.", {}, "odd.", "odd."),
]


@pytest.mark.parametrize(("name", "identity", "flow", "task"), PLACES)
def test_place(states, name, identity, flow, task):
    """Flow and task come from the job's type, its parent and root, or its name, in this order."""
    job = states.identity(name, **identity)

    actual = place_of(job, orchestrator_of(job))

    assert (flow, task) == (actual.flow, actual.task)


ORCHESTRATORS = [
    ({"jobType": {"integration": "PREFECT"}}, "", "x", "prefect"),
    ({"jobType": {"integration": "DBT"}, "engine": "spark"}, "", "x", "dbt"),
    ({"engine": "spark"}, "https://example.com/our-own-agent", "x", "spark"),
    ({"engine": "polars"}, "https://example.com/our-own-agent", "x", "openlineage"),
    ({"engine": "trino"}, "https://github.com/trinodb/trino/plugin/trino-openlineage", "x", "trino"),
    ({"jobType": {"integration": "x" * 40}}, "", "x", "openlineage"),
    ({"jobType": {"integration": "RisingWave"}}, "", "x", "risingwave"),
    ({"jobType": {"integration": "no such thing!"}}, "", "x", "openlineage"),
    (
        {"jobType": None},
        "https://github.com/OpenLineage/OpenLineage/tree/1.2/integration/spark",
        "x",
        "spark",
    ),
    ({}, "https://github.com/apache/airflow/tree/providers-openlineage/2.0", "x", "airflow"),
    ({}, "https://github.com/OpenLineage/OpenLineage/tree/1/integration/dbt", "x", "dbt"),
    ({}, "https://example.com/sparkling", "x", "openlineage"),
    ({}, "", "dagster", "dagster"),
    ({}, "", "prefect://cloud/workspace", "prefect"),
    ({}, "", "food_delivery", "openlineage"),
]


@pytest.mark.parametrize(("facets", "producer", "namespace", "expected"), ORCHESTRATORS)
def test_orchestrator(states, facets, producer, namespace, expected):
    """The orchestrator is what the job says, else its producer, else its namespace, and always something."""
    job = states.identity("a.b", namespace=namespace, producer=producer, **facets)

    assert expected == orchestrator_of(job)


def job_urn(job, **options):
    return DataHubTranslator.from_options(options).job_urn(job)


def test_urns_equal_those_of_the_plugins(states):
    """Prefect and Dagster write the environment as cluster, Airflow in lower case."""
    prefect = states.identity("etl", **kind("PREFECT", "FLOW"))
    dagster = states.identity(
        "loc.job.step", namespace="dagster", parent="loc.job", **kind("DAGSTER", "STEP")
    )
    airflow = states.identity("dag.task", namespace="default", parent="dag", **kind("AIRFLOW", "TASK"))

    assert job_urn(prefect) == "urn:li:dataFlow:(prefect,etl,PROD)"
    assert job_urn(dagster) == "urn:li:dataJob:(urn:li:dataFlow:(dagster,loc.job,PROD),step)"
    assert job_urn(airflow) == "urn:li:dataJob:(urn:li:dataFlow:(airflow,dag,prod),task)"


def test_a_namespace_rule_gives_jobs_instance_environment_and_cluster(states):
    """The same rules that name datasets name the jobs of a namespace."""
    flow = states.identity("etl", namespace="prefect://eu", **kind("PREFECT", "FLOW"))
    rule = {"match": "prefect://eu", "platform_instance": "eu", "env": "DEV"}

    assert job_urn(flow, namespaces=[rule]) == "urn:li:dataFlow:(prefect,eu.etl,DEV)"
    assert job_urn(flow, namespaces=[{**rule, "cluster": "c1"}]) == "urn:li:dataFlow:(prefect,eu.etl,c1)"
    assert job_urn(flow, namespaces=[{**rule, "orchestrator": "mage"}]) == "urn:li:dataFlow:(mage,eu.etl,DEV)"


# What DataHub's endpoint makes of the same jobs (datahub-openlineage-endpoint.md 4, goldens and converter).
AT_THE_ENDPOINT = [
    (
        "BQ.copy",
        {"namespace": "airflow", "engine": "airflow", "parent": "BQ"},
        {},
        "(airflow,BQ,airflow)",
        "BQ.copy",
    ),
    (
        "BQ",
        {"namespace": "airflow", "engine": "airflow", **kind("AIRFLOW", "DAG")},
        {},
        "(airflow,BQ,airflow)",
        "BQ",
    ),
    (
        "app.cmd.t",
        {"namespace": "default", "engine": "spark", "parent": "app"},
        {},
        "(spark,app,default)",
        "app.cmd.t",
    ),
    (
        "insert.into.t",
        {"namespace": "jobs", **kind("FLINK", "JOB")},
        {},
        "(flink,insert,jobs)",
        "insert.into.t",
    ),
    (
        "etl",
        {"namespace": "n", **kind("PREFECT", "FLOW")},
        {"platform_instance": "prod"},
        "(prefect,etl,prod)",
        "etl",
    ),
    ("etl.t", {"namespace": "n"}, {"orchestrator": "mage", "cluster": "c1"}, "(mage,etl,c1)", "etl.t"),
    (".odd", {"namespace": "n"}, {}, "(openlineage,.odd,n)", ".odd"),
]


@pytest.mark.parametrize(("name", "identity", "rule", "flow", "task"), AT_THE_ENDPOINT)
def test_one_switch_makes_the_urns_those_of_datahubs_endpoint(states, name, identity, rule, flow, task):
    """Cluster is the instance or the job's namespace, the flow stands before the first dot, and every job is a DataJob."""
    job = states.identity(name, **identity)
    rules = [{"match": identity["namespace"], **rule}] if rule else []

    actual = job_urn(job, job_urns="endpoint", namespaces=rules)

    assert f"urn:li:dataJob:(urn:li:dataFlow:{flow},{task})" == actual


def test_the_switch_knows_its_words():
    """Anything else stops the start."""
    with pytest.raises(ConfigError, match="job_urns: use one of plugins, endpoint"):
        DataHubTranslator.from_options({"job_urns": "java"})


def test_reserved_characters_are_encoded(states):
    """Names with parentheses and commas give URNs that parse."""
    job = states.identity("f(1), é.t (2)")

    expected = "urn:li:dataJob:(urn:li:dataFlow:(prefect,f%281%29%2C é,PROD),t %282%29)"

    assert expected == job_urn(job)


def test_long_names_are_shortened_and_stay_apart(states):
    """A job that GMS would refuse for its length keeps a readable head and a digest; tasks share their flow."""
    flow = "流" * 60
    urns = [
        job_urn(states.identity(f"{flow}.{task}", parent=flow))
        for task in ("x" * 400 + "1", "x" * 400 + "2", "t")
    ]

    assert len(set(urns)) == len(urns)
    assert all(encoded_length(urn) <= 512 for urn in urns)
    assert len({urn.partition(",PROD)")[0] for urn in urns}) == 1
    assert urns[0].startswith("urn:li:dataJob:(urn:li:dataFlow:(prefect,流流流")


@given(
    convention=st.sampled_from(CONVENTIONS),
    namespace=st.text(min_size=1, max_size=400),
    name=st.text(min_size=1, max_size=400),
    parent=st.none() | st.text(min_size=1, max_size=40),
    root=st.none() | st.text(min_size=1, max_size=40),
)
def test_every_job_has_a_urn_that_gms_accepts(convention, namespace, name, parent, root):
    """Naming is total and never too long, and the same every time."""
    key = JobKey(namespace, name)
    parents = [JobKey(namespace, each) if each else None for each in (parent, root)]
    job = JobIdentity(key, Facets(), "", *parents)

    named = JobNaming(convention=convention).named(job)

    assert encoded_length(named.lineage_urn) <= 512
    assert named == JobNaming(convention=convention).named(job)
