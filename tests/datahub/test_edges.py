"""What of a job's lineage stands where in DataHub."""

from __future__ import annotations

import pytest

from openlineage_bridge_datahub import DataHubTranslator

ORDERS = "urn:li:dataset:(urn:li:dataPlatform:snowflake,a.p.orders,PROD)"
STATS = "urn:li:dataset:(urn:li:dataPlatform:postgres,d.s.stats,PROD)"
LOAD = "urn:li:dataJob:(urn:li:dataFlow:(prefect,etl,PROD),load)"


def kafka(name):
    return f"urn:li:dataset:(urn:li:dataPlatform:kafka,{name},PROD)"


def step(kind, subtype=None, **more):
    return {"type": kind, **({"subtype": subtype} if subtype else {}), **more}


def field(dataset, name, *steps):
    return {"namespace": "kafka://b", "name": dataset, "field": name, "transformations": list(steps)}


@pytest.fixture
def told(states, load, accepted):
    """The aspects of a job that reads and writes these topics."""

    def translate(inputs, outputs, options=None, lineage=None, columns=None, sql=None):
        facets = {**({"lineage": lineage} if lineage else {}), **({"sql": {"query": sql}} if sql else {})}
        job = states.identity(
            "etl.load",
            parent="etl",
            jobType={"integration": "PREFECT", "jobType": "TASK", "processingType": "BATCH"},
            **facets,
        )
        state = states.job(
            job,
            [states.use("kafka://b", name) for name in inputs],
            [states.use("kafka://b", name, columnLineage=(columns or {}).get(name, {})) for name in outputs],
        )
        return accepted(DataHubTranslator.from_options(options or {}).job(state))

    return translate


def edges(aspects, end="input"):
    value = aspects.by_name()["dataJobInputOutput"]
    return {each["destinationUrn"]: each.get("properties") for each in value[f"{end}DatasetEdges"]}


def test_column_lineage_is_told_pair_by_pair(told):
    """Each input column of an output column is a record of its own, with what was done to it."""
    inputs = [
        field("a", "x", step("DIRECT", "TRANSFORMATION", masking=True, description="sha256")),
        field("a", "y", step("DIRECT", "IDENTITY")),
        field("a", "z"),
    ]

    value = told(["a"], ["o"], columns={"o": {"fields": {"n": {"inputFields": inputs}}}}).by_name()
    actual = value["dataJobInputOutput"]["fineGrainedLineages"]

    assert sorted(
        [
            ("x", "DIRECT:TRANSFORMATION (masking): sha256"),
            ("y", "DIRECT:IDENTITY"),
            ("z", None),
        ]
    ) == sorted(
        (each["upstreams"][0].rpartition(",")[2][:-1], each.get("transformOperation")) for each in actual
    )
    assert {1} == {len(each["upstreams"]) for each in actual}


def test_what_gave_values_is_apart_from_what_decided_them(told):
    """An input field that did both is told twice; what only decides is less sure, and can be left out."""
    inputs = [
        field("a", "x", step("DIRECT", "IDENTITY"), step("INDIRECT", "SORT")),
        field("a", "w", step("INDIRECT", "SORT")),
    ]
    columns = {"o": {"fields": {"n": {"inputFields": inputs}}}}

    def records(options):
        value = told(["a"], ["o"], options, columns=columns).by_name()["dataJobInputOutput"]
        return [
            (each["transformOperation"], len(each["upstreams"]), each.get("confidenceScore"))
            for each in value["fineGrainedLineages"]
        ]

    assert [("DIRECT:IDENTITY", 1, None), ("INDIRECT:SORT", 2, 0.5)] == records({})
    assert [("DIRECT:IDENTITY", 1, None)] == records({"indirect_columns": False})


def test_an_input_that_only_filters_is_marked(told):
    """Its edge says that it is indirect, and how it decides the whole output; a direct input's says nothing."""
    columns = {
        "o": {
            "fields": {"n": {"inputFields": [field("a", "x", step("DIRECT", "IDENTITY"))]}},
            "dataset": [
                field("f", "day", step("INDIRECT", "FILTER")),
                field("a", "id", step("INDIRECT", "JOIN")),
            ],
        }
    }

    actual = edges(told(["a", "f"], ["o"], columns=columns))

    assert {
        kafka("a"): {"openlineage.influences": "INDIRECT:JOIN (id)"},
        kafka("f"): {
            "openlineage.lineage": "INDIRECT",
            "openlineage.influences": "INDIRECT:FILTER (day)",
        },
    } == actual


def test_an_input_says_which_outputs_it_feeds_where_those_are_not_all(told):
    """DataHub joins all inputs with all outputs of a job: what the lineage facet knows better stands on the edge."""

    def entry(target, source):
        inputs = [{"type": "DATASET", "namespace": "kafka://b", "name": source}]
        return {"type": "DATASET", "namespace": "kafka://b", "name": target, "inputs": inputs}

    parted = told(["a", "b"], ["x", "y"], lineage={"entries": [entry("x", "a"), entry("y", "b")]})
    whole = told(["a"], ["x"], lineage={"entries": [entry("x", "a")]})

    assert {kafka("a"): {"openlineage.outputs": "x"}, kafka("b"): {"openlineage.outputs": "y"}} == edges(
        parted
    )
    assert {kafka("a"): None} == edges(whole)


# --- the product ----------------------------------------------------------------------------------------------------

MANY = [f"i{number}" for number in range(4)]


def test_a_product_above_the_limit_is_skipped_and_said_so(told):
    """Where nobody said which input fed which of many outputs, no edge is made up, and the job says why."""
    actual = told(MANY, ["o1", "o2"], {"most_pairs": 7})

    assert {} == edges(actual) == edges(actual, "output")
    properties = actual.by_name("dataJob")["dataJobInfo"]["customProperties"]
    assert properties["openlineage.lineage"].startswith("4 inputs and 2 outputs")


def test_column_lineage_stands_above_the_limit_too(told):
    """What is stated is told, whatever the size of the rest."""
    columns = {"o1": {"fields": {"n": {"inputFields": [field("i2", "x")]}}}}

    actual = told(MANY, ["o1", "o2"], {"most_pairs": 7}, columns=columns)

    assert {kafka("i2")} == set(edges(actual))
    assert {kafka("o1")} == set(edges(actual, "output"))


@pytest.mark.parametrize(
    ("inputs", "outputs", "most"), [(MANY, ["o1", "o2"], 8), (MANY, ["o1", "o2"], 0), (MANY, ["o1"], 1)]
)
def test_a_product_within_the_limit_is_told(told, inputs, outputs, most):
    """Up to the limit, without one, and where there is one output, every input feeds every output."""
    actual = told(inputs, outputs, {"most_pairs": most})

    assert {kafka(name) for name in inputs} == set(edges(actual))
    assert "openlineage.lineage" not in actual.by_name("dataJob")["dataJobInfo"]["customProperties"]


def test_the_lineage_facet_is_no_product(told):
    """A facet that says which input feeds which output has no limit."""
    inputs = [{"type": "DATASET", "namespace": "kafka://b", "name": name} for name in MANY]
    entry = {"type": "DATASET", "namespace": "kafka://b", "name": "o1", "inputs": inputs}

    actual = told(MANY, ["o1", "o2"], {"most_pairs": 2}, lineage={"entries": [entry]})

    assert {kafka(name) for name in MANY} == set(edges(actual))


# --- queries --------------------------------------------------------------------------------------------------------


def test_the_sql_of_a_job_is_a_query_of_its_datasets(told):
    """Its datasets show it among their queries, and column lineage links to it."""
    columns = {"o": {"fields": {"n": {"inputFields": [field("a", "x")]}}}}

    actual = told(["a"], ["o"], columns=columns, sql="INSERT INTO o SELECT x FROM a")

    [urn] = {each.urn for each in actual if each.entity_type == "query"}
    query = actual.by_name("query")
    assert {"value": "INSERT INTO o SELECT x FROM a", "language": "SQL"} == query["queryProperties"][
        "statement"
    ]
    assert LOAD == query["queryProperties"]["origin"]
    assert [{"entity": kafka("a")}, {"entity": kafka("o")}] == query["querySubjects"]["subjects"]
    assert {"platform": "urn:li:dataPlatform:kafka"} == query["dataPlatformInstance"]
    assert [urn] == [
        each["query"] for each in actual.by_name("dataJob")["dataJobInputOutput"]["fineGrainedLineages"]
    ]


def test_a_changed_statement_is_the_same_query(told):
    """A job has one query: yesterday's statement does not stay beside today's."""
    first = {each.urn for each in told(["a"], ["o"], sql="SELECT 1") if each.entity_type == "query"}

    assert first == {each.urn for each in told(["a"], ["o"], sql="SELECT 2") if each.entity_type == "query"}


def test_there_is_no_query_without_datasets_or_unwanted(told):
    """SQL that touches nothing known is the job's logic only; `queries: false` leaves them all out."""
    assert {} == told([], [], sql="SELECT 1").by_name("query")
    assert {} == told(["a"], ["o"], {"queries": False}, sql="SELECT 1").by_name("query")
    assert "dataTransformLogic" in told([], [], sql="SELECT 1").by_name("dataJob")
