"""The parts of facets, without Prefect's server: deployments, artifacts, options, traces, owners."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from types import SimpleNamespace

import pytest

from openlineage_bridge_prefect import (
    artifact_clients,
    artifacts,
    deployments,
    events,
    execution,
    facets,
    snapshots,
)
from openlineage_bridge_prefect.artifacts import Artifact
from openlineage_bridge_prefect.runs import Run
from openlineage_bridge_prefect.snapshots import Snapshot

NOON = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)


def _snapshot(*types: str, **fields) -> Snapshot:
    run = Run(id=uuid.uuid4(), kind="FLOW", job_name="nightly", flow_name="nightly")
    state = ("RUNNING", "Running", None)
    return Snapshot(run=run, types=types, time=NOON, state=state, run_count=1, **{"details": {}, **fields})


# --- deployments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([("0 * * * *", True)], "2026-05-01T13:00:00+00:00"),
        ([("0 * * * *", True), ("0 9 * * *", False)], "2026-05-01T13:00:00+00:00"),
        ([("0 * * * *", True), ("0 9 * * *", True)], None),
        ([], None),
    ],
)
def test_the_nominal_end_is_the_next_run(entries, expected) -> None:
    """Of the one schedule that is followed; with several nobody knows which one made the run."""
    record = {
        "id": "d1",
        "schedules": [{"schedule": {"cron": cron}, "active": active} for cron, active in entries],
    }
    start, *_ = events.build(_snapshot("START", scheduled_for=NOON, deployment=record))

    assert start.run.facets["nominalTime"].nominalEndTime == expected


def test_a_deployment_is_asked_for_once(monkeypatch) -> None:
    """And again when what is known of it is old."""
    now, asked = [0.0], []

    def get(path):
        asked.append(path)
        return {"id": "d1", "work_pool_name": "a b/c"} if path == "/deployments/d1" else {"type": "process"}

    known = deployments.Deployments(lambda: now[0])
    first = known.of("d1", get)
    now[0] = deployments.FRESH_SECONDS - 1
    known.of("d1", get)

    assert "process" == first[deployments.POOL_TYPE]
    assert ["/deployments/d1", "/work_pools/a%20b%2Fc"] == asked
    now[0] = deployments.FRESH_SECONDS
    known.of("d1", get)
    assert 4 == len(asked)


def test_an_api_that_does_not_answer_costs_the_deployment_only(monkeypatch) -> None:
    """The run starts all the same, and the API is not asked again for every event."""
    asked = []

    def get(path):
        asked.append(path)
        raise ConnectionError

    monkeypatch.setattr(deployments, "_get", get)
    monkeypatch.setattr(deployments, "_deployments", deployments.Deployments())
    for _ in range(3):
        (start,) = events.build(
            _snapshot("START", details={"deploymentId": uuid.UUID(int=7)}, scheduled_for=NOON)
        )

    assert "prefect_deployment" not in start.run.facets
    assert start.run.facets["nominalTime"].nominalEndTime is None
    assert 1 == len(asked)


def test_the_watchers_word_needs_no_lookup(monkeypatch) -> None:
    """Who observes from outside has the record, or knows that there is none."""
    monkeypatch.setattr(deployments, "look_up", lambda _: pytest.fail("asked"))
    (start,) = events.build(_snapshot("START", details={"deploymentId": "d1"}, deployment={}))

    assert "prefect_deployment" not in start.run.facets


# --- artifacts ---------------------------------------------------------------------------------------------------------


def test_a_client_that_is_not_as_expected_is_left_alone() -> None:
    """Another signature: nothing is wrapped; the right one: wrapped once."""

    class PrefectClient:
        def create_artifact(self, something_else):
            return something_else

    class SyncPrefectClient:
        def create_artifact(self, artifact):
            return artifact

    before = PrefectClient.create_artifact
    module = SimpleNamespace(PrefectClient=PrefectClient, SyncPrefectClient=SyncPrefectClient)
    artifact_clients.instrument(module)
    wrapped = SyncPrefectClient.create_artifact
    artifact_clients.instrument(module)

    assert PrefectClient.create_artifact is before
    assert SyncPrefectClient.create_artifact is wrapped
    # What comes back is nothing that is known: it comes back.
    assert SyncPrefectClient().create_artifact("nonsense") == "nonsense"


def test_artifacts_wait_for_their_run_within_bounds(monkeypatch) -> None:
    """A run takes its own, once; runs that never end here do not fill the memory."""
    monkeypatch.setattr(artifacts, "MAX_RUNS", 2)
    monkeypatch.setattr(artifacts, "MAX_ARTIFACTS", 1)
    monkeypatch.setattr(artifacts, "_created", {})
    first, second, third = (uuid.uuid4() for _ in range(3))
    for run in (first, second, second, third):
        artifacts.keep(run, Artifact(id=str(run)))

    assert ((), (Artifact(id=str(second)),), ()) == (
        artifacts.take(first),
        artifacts.take(second),
        artifacts.take(second),
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            '[{"database_uri": "postgres://db/shop", "table": "public.orders"}]',
            [("postgres://db:5432", "shop.public.orders")],
        ),
        (
            '[{"database_uri": "postgres://ann:s3cret@db", "table": "users"}]',
            [("postgres://ann:***@db", "users")],
        ),
        ('[{"database_uri": "nothing", "table": "users"}, {"table": 7}, 3]', []),
        ('{"database_uri": "postgres://db"}', []),
        ("not JSON", []),
        (None, []),
    ],
)
def test_the_datasets_of_a_table(data, expected) -> None:
    """Rows that name a dataset give one; everything else gives none."""
    found = artifacts.datasets(
        (Artifact(id="a", description="ol-dataset_input", data=data),), artifacts.INPUT
    )

    assert expected == [(dataset.namespace, dataset.name) for dataset in found]


# --- options, traces, labels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", None),
        ("nonsense", None),
        (7, None),
        (None, None),
    ],
)
def test_the_trace_of_a_run(label, expected) -> None:
    """From Prefect's label, where OpenTelemetry is on."""
    assert expected == execution.trace_id(label)


def test_the_labels_of_a_run() -> None:
    """Worker and user's own; not the ids that are said elsewhere, and no secrets."""
    labels = {
        "__OTEL_TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "prefect.flow.id": "x",
        "prefect.worker.name": "w1",
        "prefect.worker.type": "kubernetes",
        "api_token": "t0p",
    }
    facet = execution.facet(_snapshot("START", labels=labels))

    assert ("w1", "kubernetes", "0af7651916cd43dd8448eb211c80319c") == (
        facet.workerName,
        facet.workerType,
        facet.traceId,
    )
    assert {
        "api_token": "***",
        "prefect.worker.name": "w1",
        "prefect.worker.type": "kubernetes",
    } == facet.labels
    assert execution.facet(_snapshot("START", labels={"prefect.flow.id": "x"})) is None


def test_the_names_of_cache_policies() -> None:
    """As flows write them."""
    from prefect.cache_policies import DEFAULT, INPUTS, NO_CACHE, CacheKeyFnPolicy

    named = [
        DEFAULT,
        INPUTS,
        INPUTS - "x",
        NO_CACHE,
        CacheKeyFnPolicy(cache_key_fn=lambda *_: "k"),
        None,
        dict,
    ]

    assert [
        "INPUTS + RUN_ID + TASK_SOURCE",
        "INPUTS",
        "INPUTS",
        "NO_CACHE",
        "CacheKeyFnPolicy",
        None,
        None,
    ] == [execution.policy_name(policy) for policy in named]


def test_details_are_read_from_models_and_from_json_alike() -> None:
    """So the collector and the watcher say the same."""
    record = {"name": "n", "created_by": {"display_value": "ann"}}
    model = SimpleNamespace(name="n", created_by=SimpleNamespace(display_value="ann"))
    fields = {"flowRunName": "name", "createdBy": "created_by.display_value", "missing": "gone.too"}

    assert (
        {"flowRunName": "n", "createdBy": "ann", "missing": None}
        == snapshots.details(record, fields)
        == snapshots.details(model, fields)
    )


@pytest.mark.parametrize(
    ("tags", "creator", "expected"),
    [
        (("owner:team:data", "x"), None, [("team:data", None)]),
        (("owner:ann", "owner:ann"), "bob", [("ann", None), ("bob", "CREATOR")]),
        (("owner:", "ownership"), None, None),
    ],
)
def test_who_owns_a_job(tags, creator, expected) -> None:
    """Whom tags name, and who made the deployment; nobody is no facet, because an empty one would remove owners."""
    facet = facets.ownership(tags, creator)

    assert expected == (facet and [(owner.name, owner.type) for owner in facet.owners])


@pytest.mark.parametrize("said", ["false", "0", "OFF"])
def test_parameters_can_be_kept_back(said, monkeypatch) -> None:
    """By one variable, all of them."""
    from openlineage_bridge_prefect import parameters

    monkeypatch.setenv(parameters.PARAMETERS_KEY, said)
    assert parameters.copies({"number": 1}) == ()


@pytest.mark.parametrize(
    ("value", "default", "expected"),
    [
        (7, 7, "as the deployment has it"),
        (dt.date(2026, 5, 1), "2026-05-01", "as the deployment has it"),
        (8, 7, "given for this run"),
        ({"a": 1}, {"a": 1}, None),
    ],
)
def test_where_a_parameter_is_from(value, default, expected) -> None:
    """From the deployment or from who asked for the run; unknown of what is not told itself."""
    from openlineage_bridge_prefect import parameters

    (copy,) = parameters.copies({"number": value})
    record = {"id": "d1", "parameters": {"number": default}}
    (start,) = events.build(_snapshot("START", parameters=(copy,), deployment=record))
    (said,) = start.run.facets["executionParameters"].parameters

    assert expected == said.description
    assert parameters.origin(copy, {}) is None


# --- speed -------------------------------------------------------------------------------------------------------------


def test_a_snapshot_costs_next_to_nothing() -> None:
    """On the user's thread: a tenth of a millisecond of its own time for an event is the bound, and this is a part of it."""
    from prefect.client.schemas.objects import FlowRun
    from prefect.states import Running

    flow_run = FlowRun(flow_id=uuid.uuid4(), name="n", tags=["a"], labels={"prefect.worker.name": "w"})
    run, state = Run(id=flow_run.id, kind="FLOW", job_name="n", flow_name="n"), Running()
    engine = SimpleNamespace(
        flow_run=flow_run, flow=SimpleNamespace(description="d"), parameters={"number": 1}
    )
    best = 1.0
    for _ in range(5):
        began = time.thread_time()
        for _ in range(200):
            snapshots.of_flow_engine(engine, run, state, ("START",))
        best = min(best, (time.thread_time() - began) / 200)

    assert best < 0.0001
