"""What the facets of real runs say, and that the custom ones are what their schemas promise."""

from __future__ import annotations

import json
from pathlib import Path

import attr
import pytest
from bridge_tests.dagster_jobs import one
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetSpec,
    CodeReferencesMetadataValue,
    DagsterEvent,
    DagsterEventType,
    DailyPartitionsDefinition,
    Definitions,
    DynamicOut,
    DynamicOutput,
    ExpectationResult,
    LocalFileCodeReference,
    Output,
    ReexecutionOptions,
    RetryRequested,
    UrlCodeReference,
    asset,
    asset_check,
    execute_job,
    in_process_executor,
    job,
    materialize,
    op,
    reconstructable,
)
from jsonschema import Draft202012Validator
from openlineage.client.serde import Serde
from referencing import Registry, Resource

import openlineage_bridge_dagster
from openlineage_bridge_dagster.assets import RunAssets, definitions_of
from openlineage_bridge_dagster.own_facets import CUSTOM

SCHEMAS = Path(openlineage_bridge_dagster.__file__).parent / "schemas"

# As much of the specification as the schemas refer to (OpenLineage 2-0-2).
FACET = {
    "type": "object",
    "properties": {"_producer": {"type": "string"}, "_schemaURL": {"type": "string"}},
    "required": ["_producer", "_schemaURL"],
}
SPECIFICATION = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://openlineage.io/spec/2-0-2/OpenLineage.json",
    "$defs": {"RunFacet": FACET, "JobFacet": FACET, "DatasetFacet": FACET},
}


@op(out=DynamicOut())
def several(number):  # waits for it
    yield DynamicOutput(1, mapping_key="a")
    yield DynamicOutput(2, mapping_key="b")


@op
def double(number):
    return number * 2


@op
def again(number):
    return number


@op
def total(numbers):
    return sum(numbers)


@job(tags={"tier": "gold", ".dagster/hidden": "x"}, description="Adds.")
def adding():
    total(several(one()).map(lambda each: again(double(each))).collect())


def step(events, name, event_type="COMPLETE"):
    """The one event of a step's job."""
    [found] = [
        event
        for event in events
        if event["job"]["name"].endswith(f".{name}") and event["eventType"] == event_type
    ]
    return found


def upstream(event):
    facet = event["run"]["facets"].get("jobDependencies", {"upstream": []})
    return [(each["job"]["name"], (each.get("run") or {}).get("runId")) for each in facet["upstream"]]


def test_a_step_says_for_which_steps_it_waited(instance, folded):
    """By job, and by run where it is one; a mapped step waits for the one that was mapped by the same key."""
    events = folded(adding.execute_in_process(instance=instance).run_id)
    runs = {
        (event["job"]["name"], event["run"]["facets"]["dagster_step"]["stepKey"]): event["run"]["runId"]
        for event in events
        if "dagster_step" in event["run"]["facets"]
    }
    told = {
        event["run"]["facets"]["dagster_step"]["stepKey"]: upstream(event)
        for event in events
        if event["eventType"] == "COMPLETE" and "dagster_step" in event["run"]["facets"]
    }

    assert {
        "one": [],
        "several": [("adding.one", runs["adding.one", "one"])],
        "double[a]": [("adding.several", runs["adding.several", "several"])],
        "double[b]": [("adding.several", runs["adding.several", "several"])],
        "again[a]": [("adding.double", runs["adding.double", "double[a]"])],
        "again[b]": [("adding.double", runs["adding.double", "double[b]"])],
        "total": [("adding.again", None)],
    } == told


def test_the_attempt_that_succeeded_is_what_a_step_waited_for(instance, folded):
    """Each attempt is a run of its own."""
    tries = []

    @op
    def flaky():
        tries.append(1)
        if len(tries) == 1:
            raise RetryRequested(max_retries=1, seconds_to_wait=0)
        return 1

    @job
    def retrying():
        double(flaky())

    events = folded(retrying.execute_in_process(instance=instance).run_id)

    assert [("retrying.flaky", step(events, "flaky")["run"]["runId"])] == upstream(step(events, "double"))
    assert 2 == step(events, "flaky")["run"]["facets"]["dagster_step"]["attempt"]


def test_checks_are_tests_of_the_run(instance, folded):
    """``test`` says the outcome and what a failure entails, also of a check inside the asset's own step."""

    @asset
    def checked():
        return 1

    @asset_check(asset=checked, blocking=True)
    def unique():
        return AssetCheckResult(
            passed=False,
            severity=AssetCheckSeverity.WARN,
            metadata={"dagster/column": "id"},
            description="Nobody twice.",
        )

    from dagster import AssetCheckSpec

    @asset(check_specs=[AssetCheckSpec("rows", asset="inline")])
    def inline():
        yield Output(1)
        yield AssetCheckResult(check_name="rows", passed=True)

    events = folded(materialize([checked, unique, inline], instance=instance).run_id)

    def tests(name):
        return [
            {key: value for key, value in each.items() if value is not None}
            for each in step(events, name)["run"]["facets"]["test"]["tests"]
        ]

    assert [
        {
            "name": "unique",
            "status": "fail",
            "severity": "warn",
            "description": "Nobody twice.",
            "params": {"asset": "checked", "column": "id", "blocking": True},
        }
    ] == tests("checked_unique")
    assert [
        {
            "name": "rows",
            "status": "pass",
            "severity": "error",
            "params": {"asset": "inline", "blocking": False},
        }
    ] == tests("inline")
    assert "test" not in step(events, "checked")["run"]["facets"]


def test_expectations_are_tests_too(instance, folded):
    """The older way in which an op says what it expected of its data."""

    @op
    def expecting():
        yield ExpectationResult(success=False, label="positive", description="No debts.")
        yield Output(1)

    @job
    def older():
        expecting()

    events = folded(older.execute_in_process(instance=instance).run_id)
    [said] = step(events, "expecting")["run"]["facets"]["test"]["tests"]

    assert ("positive", "fail", "No debts.") == (said["name"], said["status"], said["description"])


PAGE = "https://github.com/acme/pipes/tree/main/shop/assets.py#L12"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        (
            ["/home/me/assets.py", PAGE],
            {
                "type": "git",
                "url": PAGE,
                "repoUrl": "https://github.com/acme/pipes",
                "path": "shop/assets.py",
                "branch": "main",
            },
        ),
        (
            [f"https://gitlab.com/acme/eu/pipes/-/tree/{COMMIT}/a.py#L1"],
            {
                "type": "git",
                "url": f"https://gitlab.com/acme/eu/pipes/-/tree/{COMMIT}/a.py#L1",
                "repoUrl": "https://gitlab.com/acme/eu/pipes",
                "path": "a.py",
                "version": COMMIT,
            },
        ),
        (["https://code.acme.io/x"], {"type": "git", "url": "https://code.acme.io/x"}),
        (["/home/me/assets.py"], None),
    ],
)
@pytest.mark.filterwarnings("ignore:.*in beta")
def test_code_references_are_where_the_code_is_kept(instance, folded, references, expected):
    """At START and at the end; a file on somebody's machine is no place for others."""
    made = [
        LocalFileCodeReference(file_path=each, line_number=3)
        if each.startswith("/")
        else UrlCodeReference(url=each)
        for each in references
    ]

    @asset(metadata={"dagster/code_references": CodeReferencesMetadataValue(code_references=made)})
    def kept(): ...

    definitions = definitions_of(Definitions(assets=[kept]).get_repository_def())
    events = folded(materialize([kept], instance=instance).run_id, RunAssets(definitions=definitions))

    for event_type in ("START", "COMPLETE"):
        facet = step(events, "kept", event_type)["job"]["facets"].get("sourceCodeLocation")
        said = {k: v for k, v in facet.items() if v is not None and k[0] != "_"} if facet else None
        assert expected == said


def test_a_job_and_its_ops_say_what_they_are(instance, folded):
    """Description and tags of the job, without hidden ones; the engine and its version."""

    @op(description="Says hello.")
    def hello(): ...

    @job(description="Greets.", tags={"tier": "gold", ".dagster/hidden": "x"})
    def greeting():
        hello()

    events = folded(greeting.execute_in_process(instance=instance).run_id)
    run = events[0]

    assert "Greets." == run["job"]["facets"]["documentation"]["description"]
    assert [("tier", "gold", "DAGSTER")] == [
        (tag["key"], tag["value"], tag["source"]) for tag in run["job"]["facets"]["tags"]["tags"]
    ]
    assert "Says hello." == step(events, "hello")["job"]["facets"]["documentation"]["description"]
    assert {"dagster"} == {event["run"]["facets"]["processing_engine"]["name"] for event in events}


def test_a_reexecution_is_a_run_of_its_own(instance, folded):
    """With the first run of the chain in its facet; its steps hang below it, and nowhere else."""
    first = execute_job(reconstructable(reexecuted), instance=instance, raise_on_error=False)
    second = execute_job(
        reconstructable(reexecuted),
        instance=instance,
        reexecution_options=ReexecutionOptions(parent_run_id=first.run_id),
    )

    events = folded(second.run_id)
    facet = events[0]["run"]["facets"]["dagster_run"]
    parent = step(events, "one")["run"]["facets"]["parent"]

    assert (first.run_id, first.run_id) == (facet["rootRunId"], facet["parentRunId"])
    assert "parent" not in events[0]["run"]["facets"]
    assert (second.run_id, second.run_id) == (parent["run"]["runId"], parent["root"]["run"]["runId"])
    assert ("reexecuted", "reexecuted") == (parent["job"]["name"], parent["root"]["job"]["name"])


@job(executor_def=in_process_executor)
def reexecuted():
    one()


LAUNCHES = [
    (
        {"dagster/schedule_name": "daily", ".dagster/scheduled_execution_time": "2026-11-03T04:00:00+00:00"},
        "2026-11-03T04:00:00Z",
    ),
    ({"dagster/sensor_name": "watcher", "dagster/run_key": "file-1"}, None),
    ({"dagster/backfill": "abcdefgh", "dagster/partition": "2026-11-03"}, "2026-11-03T00:00:00Z"),
    ({"dagster/partition": "2026-11-03|eu", "dagster/partition/date": "2026-11-03"}, "2026-11-03T00:00:00Z"),
]


@pytest.mark.parametrize(("tags", "nominal"), LAUNCHES)
def test_what_launched_a_run_stands_in_its_tags(instance, folded, tags, nominal):
    """Schedule, sensor and backfill by name; the time that the run is for; hidden tags stay hidden."""
    events = folded(reexecuted.execute_in_process(instance=instance, tags=tags).run_id)
    said = {tag["key"]: tag["value"] for tag in events[0]["run"]["facets"]["tags"]["tags"]}

    assert {key: value for key, value in tags.items() if not key.startswith(".")} == said
    for event in events:
        assert nominal == event["run"]["facets"].get("nominalTime", {}).get("nominalStartTime")
        assert "parent" not in event["run"]["facets"] or event["run"]["facets"]["parent"]["root"]


def test_a_partition_is_the_time_that_its_run_is_for(instance, folded):
    """As Dagster itself tags a run of a partition."""

    @asset(partitions_def=DailyPartitionsDefinition("2026-11-01"))
    def daily(): ...

    run_id = materialize([daily], partition_key="2026-11-03", instance=instance).run_id

    assert {"2026-11-03T00:00:00Z"} == {
        event["run"]["facets"]["nominalTime"]["nominalStartTime"] for event in folded(run_id)
    }


@pytest.mark.parametrize("event_type", ["RUN_SUSPENDED", "RUN_RESUMED"])
def test_a_run_that_rests_has_not_ended(instance, folded, records, event_type):
    """Suspended and resumed (since Dagster 1.13), it goes on to its end."""
    if event_type not in DagsterEventType.__members__:
        pytest.skip("this Dagster does not suspend runs")
    run_id = reexecuted.execute_in_process(instance=instance).run_id
    log = records(run_id)
    [start] = [each for each in log if each.dagster_event.event_type is DagsterEventType.RUN_START]
    rests = start._replace(dagster_event=DagsterEvent(event_type_value=event_type, job_name="reexecuted"))
    log.insert(log.index(start) + 1, rests)

    states = [event["eventType"] for event in folded(run_id, log=log) if event["run"]["runId"] == run_id]

    assert ["START", {"RUN_SUSPENDED": "OTHER", "RUN_RESUMED": "RUNNING"}[event_type], "COMPLETE"] == states


# --- custom facets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "facet"), CUSTOM.items(), ids=list(CUSTOM))
def test_custom_facets_have_a_schema(key, facet):
    """The schema that a custom facet points to exists and lists the facet's fields, with the required ones."""
    name = facet.__name__
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    definition = schema["$defs"][name]["allOf"][1]
    fields = [field for field in attr.fields(facet) if not field.name.startswith("_")]

    Draft202012Validator.check_schema(schema)
    assert [key] == list(schema["properties"])
    assert facet._get_schema().endswith(f"/schemas/{name}.json#/$defs/{name}")
    assert [field.name for field in fields] == list(definition["properties"])
    assert [field.name for field in fields if field.default is attr.NOTHING] == definition.get("required", [])


def test_every_schema_is_of_a_facet():
    """None is left over."""
    assert {f"{facet.__name__}.json" for facet in CUSTOM.values()} == {
        file.name for file in SCHEMAS.iterdir()
    }


def test_what_runs_and_code_say_fits_the_schemas(instance, tick, backend):
    """Every custom facet of a declared graph and of its runs, as it is on the wire, with a UI that links lead to."""

    @asset(group_name="shop", kinds={"duckdb"}, code_version="7")
    def orders(): ...

    code = Definitions(assets=[orders, AssetSpec(["a b", "c"])], jobs=[reexecuted])
    tick.restart(dagster_url="https://dagster.acme.io/")
    tick(code)
    assert code.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance).success
    tick(code)

    found = [each for event in backend.events for each in _custom(Serde.to_dict(event))]
    assert set(CUSTOM) == {key for key, _ in found}
    for key, facet in found:
        errors = [error.message for error in _validator(CUSTOM[key].__name__).iter_errors(facet)]
        assert [] == errors, key
    links = {value for _, facet in found for name, value in facet.items() if name.endswith("Url")}
    assert "https://dagster.acme.io/assets/a%20b/c" in links
    assert all(link.startswith("https://dagster.acme.io/") for link in links)


def _custom(event):
    holders = [event.get("run"), event.get("job"), event.get("dataset")]
    holders += [*event.get("inputs", []), *event.get("outputs", [])]
    for holder in filter(None, holders):
        for key, facet in (holder.get("facets") or {}).items():
            if key in CUSTOM or "openlineage_bridge_dagster/schemas" in facet["_schemaURL"]:
                yield key, facet


def _validator(name):
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    registry = Registry().with_resources(
        [
            (SPECIFICATION["$id"], Resource.from_contents(SPECIFICATION)),
            (schema["$id"], Resource.from_contents(schema)),
        ]
    )
    return Draft202012Validator({"$ref": f"{schema['$id']}#/$defs/{name}"}, registry=registry)
