"""`migrate` hides what the plugins before us left in DataHub: only that, only when told to, and brings it back."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest
from bridge_tests.predecessors import SHOP, flow, job
from datahub.ingestion.graph.client import DataHubGraph
from datahub.ingestion.graph.config import DatahubClientConfig
from datahub.ingestion.graph.filters import RemovedStatusFilter
from datahub.utilities.graphql_query_adapter import minify_graphql_query

# --- the command ----------------------------------------------------------------------------------------------------


def told(
    name: str, *, namespace: str = "prefect", parent: str | None = None, run: int = 0, **facets: dict
) -> bytes:
    """The end of a run of a flow or of one of its tasks; ``facets`` are the run's."""
    kinds = {"prefect": ("FLOW", "TASK"), "dagster": ("JOB", "OP")}[namespace]
    above = {
        "run": {"runId": f"06d4248d-0000-4000-8000-{0:012}"},
        "job": {"namespace": namespace, "name": parent},
    }
    job_type = {
        "integration": namespace.upper(),
        "jobType": kinds[parent is not None],
        "processingType": "BATCH",
    }
    event = {
        "eventType": "COMPLETE",
        "eventTime": "2026-01-01T00:00:00Z",
        "run": {"runId": f"06d4248d-0000-4000-8000-{run:012}", "facets": ({"parent": above} if parent else {}) | facets},
        "job": {"namespace": namespace, "name": name, "facets": {"jobType": job_type}},
        "inputs": [{"namespace": "postgres://h", "name": "d.s.a"}],
    }  # fmt: skip
    return json.dumps(event).encode()


@pytest.fixture
def store(delivered):
    """One with the flow `shop` and its tasks `load` and `save`, in Prefect, and a job `etl.daily` with an op in Dagster."""
    return delivered(
        told("shop"),
        told("shop.load", parent="shop", run=1),
        told("shop.save", parent="shop", run=2),
        told("etl.daily", namespace="dagster", run=3),
        told("etl.daily.clean", namespace="dagster", parent="etl.daily", run=4),
    )


def write_job(gms, urn: str, name: str) -> None:
    gms.write(urn, "dataJobInfo", {"name": name, "type": {"string": "COMMAND"}, "customProperties": {}})
    gms.write(urn, "status", {"removed": False})


LOAD, SAVE, GONE = (job(SHOP, each) for each in ("load-1a2b3c4d", "save-11111111", "gone-22222222"))
FOREIGN = job(SHOP, "by-hand")
DAILY = flow("prod/daily")
CLEAN = job(DAILY, "prod/clean")
REPLACED = {LOAD, SAVE, CLEAN, DAILY}


@pytest.fixture
def before(gms, store):
    """What the plugins left, beside a job that somebody made by hand; then all that DataHub holds."""
    for urn in (LOAD, SAVE, GONE):
        write_job(gms, urn, urn[:-1].rpartition(",")[2])
    write_job(gms, FOREIGN, "by hand")
    write_job(gms, CLEAN, "clean")
    gms.write(DAILY, "dataFlowInfo", {"name": "daily", "customProperties": {}})
    return gms.state


def changed(gms, before: dict) -> dict:
    return {key: value for key, value in gms.state.items() if before.get(key) != value}


def test_nothing_is_sent_without_apply(run, gms, store, before):
    """What would be hidden is listed, each with what replaces it; what nothing replaces, too, apart."""
    sent = len(gms.log)
    code, out, said = run("migrate", "--store", store)

    assert (0, "4 would be hidden: --apply does it\n") == (code, said)
    assert {
        f"prefect-datahub: {LOAD} → {job(SHOP, 'load')}",
        f"prefect-datahub: {SAVE} → {job(SHOP, 'save')}",
        f"prefect-datahub: {GONE} has no counterpart, and is left alone",
        f"acryl-datahub-dagster-plugin: {DAILY} → {flow('etl.daily')}",
        f"acryl-datahub-dagster-plugin: {CLEAN} → {job(flow('etl.daily'), 'clean')}",
    } == {*out.splitlines()}
    assert 0 == run("migrate", "--store", store, "--orphans")[0]
    assert (sent, {}) == (len(gms.log), changed(gms, before))


def test_apply_hides_and_restore_brings_back(run, gms, store, before):
    """`status.removed` and nothing else, in one request; the second time there is nothing left to do."""
    sent = len(gms.log)
    code, _, said = run("migrate", "--store", store, "--apply")
    assert (0, "4 hidden\n", 1) == (code, said, len(gms.log) - sent)
    assert {(urn, "status", None): {"removed": True} for urn in REPLACED} == changed(gms, before)

    assert (0, "0 hidden\n") == run("migrate", "--store", store, "--apply")[::2]
    assert {(urn, "status", None): {"removed": True} for urn in REPLACED} == changed(gms, before)

    assert (0, "4 would be brought back: --apply does it\n") == run("migrate", "--store", store, "--restore")[
        ::2
    ]
    assert REPLACED == {urn for urn, *_ in changed(gms, before)}
    assert (0, "4 brought back\n") == run("migrate", "--store", store, "--restore", "--apply")[::2]
    assert {(DAILY, "status", None): {"removed": False}} == changed(gms, before)
    assert (0, "", "nothing was hidden\n") == run("migrate", "--store", store, "--restore")


def test_orphans_only_when_said(run, gms, store, before):
    """Then what nothing replaces goes, too; what somebody else made never does."""
    code, out, _ = run("migrate", "--store", store, "--orphans", "--apply", "--format", "json")

    assert (0, {"done"}) == (code, {each["state"] for each in json.loads(out)})
    assert {*REPLACED, GONE} == {urn for urn, *_ in changed(gms, before)}


def test_restore_leaves_what_others_hid(run, gms, store, before):
    """Somebody deleted a job in DataHub: that is not ours to undo."""
    gms.write(LOAD, "status", {"removed": True})
    assert 0 == run("migrate", "--store", store, "--apply")[0]
    assert 0 == run("migrate", "--store", store, "--restore", "--apply")[0]

    assert {
        (LOAD, "status", None): {"removed": True},
        (DAILY, "status", None): {"removed": False},
    } == changed(gms, before)


def test_another_bridge_on_the_same_datahub(run, store, before, delivered):
    """Its jobs are not in our store, but it writes under the same name: they stay."""
    delivered(told("shop"), told("shop.x-1a2b3c4d", parent="shop", run=5), name="other.db")

    assert "x-1a2b3c4d" not in run("migrate", "--store", store, "--orphans")[1]


@pytest.mark.parametrize(
    ("namespace", "parent", "name", "facets", "theirs"),
    [
        ("prefect", "shop", "pretty", {"prefect_taskRun": {"taskKey": "put-99999999"}}, job(SHOP, "put-1a2b3c4d")),
        ("dagster", "etl.daily", "put_2", {"dagster_step": {"opName": "put"}}, job(DAILY, "prod/put")),
    ],
)  # fmt: skip
def test_what_our_runs_tell_of_their_code(run, gms, delivered, namespace, parent, name, facets, theirs):
    """A task with a name of its own, an op under an alias: nothing in the catalog says that they are the plugin's `put`."""
    event = told(f"{parent}.{name}", namespace=namespace, parent=parent, run=9, **facets)
    store = delivered(event)
    write_job(gms, theirs, theirs[:-1].rpartition(",")[2].rpartition("/")[2])
    [found] = json.loads(run("migrate", "--store", store, "--format", "json")[1])

    assert (theirs, [job(flow(parent, namespace), name)]) == (found["entityUrn"], found["replacedBy"])


def test_page_by_page(run, gms, store, before):
    """A GMS that gives two at a time is asked until there are no more."""
    whole = run("migrate", "--store", store)[1]
    gms.order(most_hits=2)
    asked = len(gms.searches)

    assert whole == run("migrate", "--store", store)[1]
    assert len(gms.searches) - asked > 3


def test_mistakes_are_told(run, gms, store, before, free_port, monkeypatch):
    """In words, with the exit code for it; what waited for a server that went away is hidden by the next call."""
    assert 2 == run("migrate", "--store", store, "--restore", "--orphans")[0]
    assert 2 == run("migrate", "--store", store, "--to", "nobody")[0]
    gms.order(faults=[{"status": 503}])
    assert 4 == run("migrate", "--store", store, "--apply")[0]
    assert {} == changed(gms, before)
    assert 0 == run("migrate", "--store", store, "--apply")[0]
    assert REPLACED == {urn for urn, *_ in changed(gms, before)}
    monkeypatch.setenv("DATAHUB_GMS_URL", f"http://127.0.0.1:{free_port}")
    assert 4 == run("migrate", "--store", store)[0]


def test_what_is_refused_is_told(run, gms, store, before):
    """By name, with the server's words; the rest is hidden."""
    gms.order(faults=[{"status": 400}] * 3)  # all, the first half, the first of it
    code, out, said = run("migrate", "--store", store, "--apply", "--format", "json")
    states = [each["state"] for each in json.loads(out)]

    assert (1, 1, 3) == (code, states.count("refused"), states.count("done"))
    assert "" == said
    assert 3 == len(changed(gms, before))


# --- beside acryl-datahub's own client -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "restore"),
    [(RemovedStatusFilter.NOT_SOFT_DELETED, []), (RemovedStatusFilter.ONLY_SOFT_DELETED, ["--restore"])],
)
def test_the_search_is_that_of_acryls_client(run, gms, store, before, status, restore):
    """Document and variables are equal, and so is what is found."""
    gms.order(most_hits=2)
    graph = DataHubGraph(DatahubClientConfig(server=gms.url))
    listed = list(
        graph.get_urns_by_filter(
            entity_types=["dataJob", "dataFlow"],
            platform=["dagster", "prefect"],
            status=status,
            skip_cache=True,
        )
    )
    acryls = gms.searches
    run("migrate", "--store", store, *restore)
    ours = gms.searches[len(acryls) :]

    assert [(each["query"], each["variables"]) for each in acryls] == [
        (minify_graphql_query(each["query"]), each["variables"]) for each in ours
    ]
    assert ({*listed} >= {*REPLACED, GONE, FOREIGN}) is not bool(restore)


def test_what_hides_is_what_acryls_client_sends(run, gms, store, before):
    """The end is that of `DataHubGraph.soft_delete_entity` for the same entities; both find the other's work done."""
    run("migrate", "--store", store, "--apply")
    after = gms.state
    graph = DataHubGraph(DatahubClientConfig(server=gms.url))
    for urn in REPLACED:
        graph.set_soft_delete_status(urn, delete=False)
        graph.soft_delete_entity(urn)

    assert {key: value["removed"] for key, value in after.items() if key[1] == "status"} == {
        key: value["removed"] for key, value in gms.state.items() if key[1] == "status"
    }


# --- with the real plugin -------------------------------------------------------------------------------------------

PEER = """
import os
from prefect import flow, task
from prefect_datahub.datahub_emitter import DatahubEmitter
from prefect_datahub.entities import Dataset

emitter = DatahubEmitter(datahub_rest_url=os.environ["STUB"])

@task(name="Load it all")
def load(table):
    emitter.add_task(inputs=[Dataset("duckdb", f"raw.{table}")])

@task
def save():
    pass

@flow(name="shop")
def run():
    load("orders")
    save()
    emitter.emit_flow()

run()
"""


@pytest.mark.system
@pytest.mark.skipif(
    importlib.util.find_spec("prefect_datahub") is None,
    reason="prefect-datahub is not installed: `make test-datahub-plugins` installs it",
)
def test_what_prefect_datahub_really_writes(run, gms, delivered, tmp_path):
    """Before and after an edit, which gives its tasks new ids: the four jobs are found, and our two replace them."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENLINEAGE", "PREFECT", "DATAHUB"))}
    environment = kept | {
        "STUB": gms.url,
        "HOME": str(tmp_path),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "DATAHUB_TELEMETRY_ENABLED": "false",
    }
    scripts = [tmp_path / "before.py", tmp_path / "after.py"]
    for edit, script in zip(("", "\n"), scripts, strict=True):
        script.write_text(edit + PEER)
    both = "import runpy, sys; [runpy.run_path(each) for each in sys.argv[1:]]"
    subprocess.run([sys.executable, "-c", both, *map(str, scripts)], env=environment, check=True, timeout=200)
    ours = [
        told("shop"),
        told("shop.Load it all", parent="shop", run=1),
        told("shop.save", parent="shop", run=2),
    ]
    store = delivered(*ours)
    own = {job(SHOP, each) for each in ("shop", "Load it all", "save")}
    peers = {urn for urn, *_ in gms.state if urn.startswith("urn:li:dataJob:")} - own
    code, out, _ = run("migrate", "--store", store, "--apply", "--format", "json")
    said = json.loads(out)

    assert (0, 4) == (code, len(peers))
    assert peers == {each["entityUrn"] for each in said}
    assert [job(SHOP, "Load it all")] * 2 + [job(SHOP, "save")] * 2 == sorted(
        successor for each in said for successor in each["replacedBy"]
    )
    assert peers == {
        urn for (urn, name, _), value in gms.state.items() if name == "status" and value["removed"]
    }
