"""What real runs say of themselves: every facet of this collector, against its schema, from inside and from outside."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import openlineage_bridge_prefect
from openlineage_bridge_prefect.watch.api import Api
from openlineage_bridge_prefect.watch.connection import connection
from openlineage_bridge_prefect.watch.cursor import Cursor
from openlineage_bridge_prefect.watch.directory import Directory
from openlineage_bridge_prefect.watch.reading import Reader
from openlineage_bridge_prefect.watch.watcher import Watcher

pytestmark = pytest.mark.system

SCHEMAS = Path(openlineage_bridge_prefect.__file__).parent / "schemas"
SECONDS = 60.0

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


@pytest.fixture(scope="module")
def outcome(run_script):
    """One process that runs the flow, its children told of their parents."""
    done = run_script(
        "facets.py", OPENLINEAGE_BRIDGE_EXPORT_PARENT="true", OPENLINEAGE_BRIDGE_SOURCE_CODE="true"
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def runs(outcome) -> dict[str, list[dict[str, Any]]]:
    """The events of each job, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for event in outcome.events:
        found.setdefault(event["job"]["name"], []).append(event)
    return found


@pytest.fixture(scope="module")
def deployed(prefect_server, run_script, environment_of, process, tmp_path_factory) -> dict[str, Any]:
    """The flow run of a deployment, executed as a worker's child is, and what the API says of both."""
    home = tmp_path_factory.mktemp("deployed")
    made = run_script("deployment.py", backend={})
    assert made.returncode == 0, made.stderr
    ids = json.loads(made.stdout)
    env = environment_of(home, home / "events.jsonl", PREFECT_API_URL=prefect_server.api)
    line = (sys.executable, "-m", "prefect", "flow-run", "execute", ids["flow_run"])
    with process(*line, log=home / "log", env=env) as running:
        assert running.wait(SECONDS) == 0, (home / "log").read_text()
    events = [json.loads(line) for line in (home / "events.jsonl").read_text().splitlines()]
    return {**ids, "events": [event for event in events if event["run"]["runId"] == ids["flow_run"]]}


@pytest.fixture(scope="module")
def seen(prefect_server, outcome, deployed, wait_until) -> list[dict[str, Any]]:
    """What the watcher says of the same runs."""
    said: list[Any] = []
    api = Api(connection(prefect_server.api, {}))
    start = datetime.fromisoformat(outcome.events[0]["eventTime"]) - timedelta(seconds=1)
    watcher = Watcher(
        api,
        Cursor(start, start),
        Reader(Directory(api), api.connection, None),
        lambda _: None,
        send=said.append,
        clock=lambda: datetime.now(UTC),
        settle=timedelta(0),
    )
    wanted = {deployed["flow_run"], *(event["run"]["runId"] for event in outcome.events)}

    def caught_up() -> bool:
        watcher.turn()
        ended = {event.run.runId for event in said if event.eventType.value in {"COMPLETE", "FAIL", "ABORT"}}
        return wanted <= ended

    wait_until(caught_up, SECONDS, "the watcher to catch up")
    return [event for event in map(_wire, said) if event["run"]["runId"] in wanted]


def _wire(event) -> dict[str, Any]:
    from openlineage.client.serde import Serde

    return json.loads(Serde.to_json(event))


def _facets(event, part="run") -> dict[str, Any]:
    return event[part]["facets"]


def _said(facet) -> dict[str, Any]:
    return {name: value for name, value in facet.items() if not name.startswith("_")}


def _own(events) -> list[tuple[str, dict[str, Any]]]:
    """Every custom facet of these events."""
    holders = [
        holder
        for event in events
        for holder in (event["run"], event["job"], *event["inputs"], *event["outputs"])
    ]
    return [
        (name, facet)
        for holder in holders
        for name, facet in (holder.get("facets") or {}).items()
        if name.startswith("prefect_")
    ]


def test_every_custom_facet_is_what_its_schema_says(outcome, deployed, seen) -> None:
    """Each validates against the schema that it names, and has no field that the schema does not know."""
    registry = Registry().with_resource(SPECIFICATION["$id"], Resource.from_contents(SPECIFICATION))
    facets = _own([*outcome.events, *deployed["events"], *seen])
    for _, facet in facets:
        name = facet["_schemaURL"].rpartition("/")[2]
        schema = json.loads((SCHEMAS / f"{facet['_schemaURL'].rpartition('$defs/')[2]}.json").read_text())
        definition = schema["$defs"][name]
        Draft202012Validator({**schema, **definition}, registry=registry).validate(facet)
        assert set(_said(facet)) <= set(definition["allOf"][1]["properties"])

    assert {
        "prefect_flowRun",
        "prefect_taskRun",
        "prefect_execution",
        "prefect_deployment",
        "prefect_artifacts",
    } == {name for name, _ in facets}


def test_the_options_of_a_task(runs) -> None:
    """Its time, its retries, its cache; told when it starts, and a result from the cache as such."""
    start, complete, _, cached = runs["described flow.described"]

    assert {
        "timeoutSeconds": 30.0,
        "retries": 2,
        "retryDelaySeconds": [0.1, 0.2],
        "persistResult": True,
        "cachePolicy": "INPUTS + TASK_SOURCE",
    } == _said(_facets(start)["prefect_execution"])
    assert "prefect_execution" not in _facets(complete)
    assert [False, True] == [_facets(end)["prefect_taskRun"]["cacheHit"] for end in (complete, cached)]


def test_the_options_of_a_flow(runs) -> None:
    """Those of its own kind."""
    start = runs["described flow"][0]

    assert {
        "timeoutSeconds": 60.0,
        "retries": 0,
        "taskRunner": "ThreadPoolTaskRunner",
    } == _said(_facets(start)["prefect_execution"])
    assert "7" == _facets(start)["prefect_flowRun"]["flowVersion"]


def test_tags_and_owners(runs) -> None:
    """The task's own tags are the job's, those around the call the run's; owners come from both."""
    start = runs["described flow.described"][0]
    static = [tag["key"] for tag in _facets(start, "job")["tags"]["tags"]]
    owners = [owner["name"] for owner in _facets(start, "job")["ownership"]["owners"]]

    assert ["finance", "owner:team:data"] == static
    assert {"finance", "owner:team:data"} <= {tag["key"] for tag in _facets(start)["tags"]["tags"]}
    assert "team:data" in owners
    assert [{"name": "ann"}] == _facets(runs["described flow"][0], "job")["ownership"]["owners"]


def test_where_the_code_is(runs) -> None:
    """The file and the line of the function; told when the run starts, and the text only because it was asked for."""
    start, complete, *_ = runs["described flow.described"]
    location = _facets(start, "job")["sourceCodeLocation"]
    source = _facets(start, "job")["sourceCode"]

    assert location["path"].endswith("scripts/facets.py")
    assert "@task(" in source["sourceCode"]
    assert "PYTHON" == source["language"]
    assert not {"sourceCode", "sourceCodeLocation"} & set(_facets(complete, "job"))


def test_the_source_is_not_sent_unless_asked_for(deployed) -> None:
    """Code may hold what nobody else is to read."""
    assert not [event for event in deployed["events"] if "sourceCode" in event["job"]["facets"]]


def test_the_artifacts_of_a_run(runs) -> None:
    """Those that a run created are told at its end, without secrets, and those of its tasks are theirs."""
    end, cached = (event for event in runs["described flow.described"] if event["eventType"] == "COMPLETE")
    found = _facets(end)["prefect_artifacts"]["artifacts"]
    (link,) = _facets(runs["described flow"][-1])["prefect_artifacts"]["artifacts"]

    assert [("report", "markdown"), ("orders", "table"), ("customers", "table")] == [
        (each["key"], each["type"]) for each in found
    ]
    assert "See postgres://ann:***@db/shop" == found[0]["description"]
    assert "prefect_artifacts" not in _facets(cached)
    assert "link" == link["key"]


def test_the_datasets_that_artifacts_name(runs, seen) -> None:
    """Tables that an artifact names by the convention of OpenLineage 4510 are inputs and outputs; so says the watcher."""
    end = next(event for event in runs["described flow.described"] if event["eventType"] == "COMPLETE")
    outside = next(
        event
        for event in seen
        if event["run"]["runId"] == end["run"]["runId"] and "prefect_artifacts" in _facets(event)
    )
    for event in (end, outside):
        assert [("postgres://db.acme.io:5432", "shop.public.orders")] == [
            (each["namespace"], each["name"]) for each in event["inputs"]
        ]
        assert ["customers_db.main.customers"] == [each["name"] for each in event["outputs"]]
    assert _said(_facets(end)["prefect_artifacts"]) == _said(_facets(outside)["prefect_artifacts"])
    assert outside["eventTime"] < end["eventTime"]


def test_children_learn_of_their_parent(outcome, runs) -> None:
    """Processes started inside a task get its id and the root's, each its own task's; what the user set stays."""
    found = json.loads(outcome.stdout)
    root = runs["described flow"][0]["run"]["runId"]
    for child, task in (
        ("popen", "starts_children"),
        ("explicit", "starts_children"),
        ("asyncio", "starts_a_child_asynchronously"),
    ):
        name = f"described flow.{task}"
        run_id = runs[name][0]["run"]["runId"]
        context = json.loads(found[child]["OPENLINEAGE_CONTEXT"])

        assert f"prefect/{name}/{run_id}" == found[child]["OPENLINEAGE_PARENT_ID"]
        assert f"prefect/described flow/{root}" == found[child]["OPENLINEAGE_ROOT_PARENT_ID"]
        assert ({"runId": run_id}, {"namespace": "prefect", "name": name}) == (
            context["parent"]["run"],
            context["parent"]["job"],
        )
        assert root == context["parent"]["root"]["run"]["runId"]
    assert {"OPENLINEAGE_PARENT_ID": "mine/job/of-another"} == found["own"]


def test_a_run_of_a_deployment(deployed) -> None:
    """What the deployment is: its schedule, its pool, the names of its variables; and its tags are the flow's."""
    start = deployed["events"][0]
    facet = _said(_facets(start)["prefect_deployment"])
    owners = _facets(start, "job")["ownership"]["owners"]

    assert {
        "deploymentId": deployed["deployment"],
        "name": "nightly",
        "version": "3.1",
        "description": "Every night.",
        "entrypoint": "deployment.py:deployed_flow",
        "path": str(Path(__file__).parent / "scripts"),
        "paused": False,
        "schedules": [{"cron": "0 3 * * *", "day_or": True, "timezone": "Europe/Berlin", "active": False}],
        "workPoolName": "facets",
        "workPoolType": "process",
        "workQueueName": "default",
        "concurrencyLimit": 4,
        "jobVariables": ["env"],
        "tags": ["finance", "owner:bob"],
        "url": facet["url"],
    } == facet
    assert facet["url"].endswith(f"/deployments/deployment/{deployed['deployment']}")
    assert ["finance", "owner:bob"] == [tag["key"] for tag in _facets(start, "job")["tags"]["tags"]]
    assert [{"name": "bob"}] == owners
    assert "deployment.py" == _facets(start, "job")["sourceCodeLocation"]["path"]
    assert "prefect-flow-run" not in _facets(start, "job")["sourceCodeLocation"]["url"]
    assert "hunter2" not in json.dumps(deployed["events"])


def test_the_watcher_says_the_same_of_a_deployment(deployed, seen) -> None:
    """In an event a moment earlier, so that the collector, which looked when the run started, has the last word."""
    inside = deployed["events"][0]
    aside, start, *_ = (event for event in seen if event["run"]["runId"] == deployed["flow_run"])

    assert ("OTHER", "START") == (aside["eventType"], start["eventType"])
    assert aside["eventTime"] < start["eventTime"] == inside["eventTime"]
    assert _said(_facets(inside)["prefect_deployment"]) == _said(_facets(aside)["prefect_deployment"])
    for name in ("tags", "ownership"):
        assert _said(_facets(inside, "job")[name]) == _said(_facets(aside, "job")[name])
        assert name not in _facets(start, "job")
    assert "prefect_deployment" not in _facets(start)


def test_secrets_are_not_told(outcome) -> None:
    """Neither as parameters nor in descriptions, nor in the source that was asked for."""
    without_source = json.dumps(
        [
            {**event, "job": {**event["job"], "facets": {**event["job"]["facets"], "sourceCode": None}}}
            for event in outcome.events
        ]
    )

    assert "t0p-secret" not in without_source
    assert "ann:hunter2@" not in json.dumps(outcome.events)
