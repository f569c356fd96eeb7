"""Which jobs and flows of the plugins that we replace correspond to which of ours."""

from __future__ import annotations

import json

import pytest
from bridge_tests.predecessors import DAGSTER, PREFECT, SHOP, flow, job
from datahub.utilities.urns.urn import guess_entity_type

from openlineage_bridge.translation import Proposal
from openlineage_bridge_datahub.migration import Ours, candidates, theirs


def holding(*urns: str, runs: dict[str, dict[str, str]] | None = None) -> Ours:
    """What the bridge holds: flows and jobs, and of some jobs what their runs told."""
    held = [Proposal(guess_entity_type(urn), urn, "status", b"{}") for urn in urns]
    for number, (of, told) in enumerate((runs or {}).items()):
        run = f"urn:li:dataProcessInstance:{number}"
        for name, value in (
            ("Properties", {"customProperties": told}),
            ("Relationships", {"parentTemplate": of}),
        ):
            aspect = f"dataProcessInstance{name}"
            held.append(Proposal("dataProcessInstance", run, aspect, json.dumps(value).encode()))
    return Ours.of(held)


def found(ours: Ours, infos: dict[str, dict], *others: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {each.urn: (each.peer, each.replaced_by) for each in theirs(infos, [*infos, *others], ours)}


@pytest.mark.parametrize(
    ("job_id", "info", "successors"),
    [
        ("load-1a2b3c4d", {"name": "load-1a2b3c4d"}, ["load"]),
        ("load-unknown", {"name": "load-unknown"}, ["load"]),
        ("x-1a2b3c4d", {"name": "load all", "customProperties": {"task_key": "'x-1a2b3c4d'"}}, ["load all"]),
        ("put-1a2b3c4d", {"name": "put-1a2b3c4d"}, ["load all"]),
        ("gone-1a2b3c4d", {"name": "gone-1a2b3c4d"}, []),
        ("flows.load-1a2b3c4d", {"name": "load-1a2b3c4d"}, ["load"]),
    ],
)
def test_a_task_of_prefect_datahub(job_id, info, successors):
    """Is replaced by the task of the name it shows, else by those whose runs tell its function, else by its function's name."""
    runs = {job(SHOP, "load all"): {"prefect_taskRun.taskKey": "put-99999999"}}
    ours = holding(SHOP, job(SHOP, "load"), job(SHOP, "load all"), runs=runs)
    urn = job(SHOP, job_id)

    assert {urn: (PREFECT, tuple(job(SHOP, each) for each in successors))} == found(ours, {urn: info})


@pytest.mark.parametrize(
    ("job_id", "info"),
    [
        ("load", {"name": "load"}),
        ("load-1a2b3c4d", {"name": "Somebody's job"}),
        ("load-1a2b3c4d", {}),
        ("load-latest", {"name": "load-latest"}),
        ("load-1A2B3C4D", {"name": "load-1A2B3C4D"}),
    ],
)
def test_what_prefect_datahub_does_not_write(job_id, info):
    """Has no task key for an id, or another name and nothing that tells the key: it is somebody else's."""
    assert {} == found(holding(SHOP, job(SHOP, "load")), {job(SHOP, job_id): info})


def test_only_flows_of_ours_are_looked_at():
    """A flow that the bridge does not know may still be the plugin's; another environment is another flow."""
    ours = holding(SHOP, job(SHOP, "load"), job(SHOP, "save-1a2b3c4d"), flow("there.daily"))
    wanted = [job(SHOP, "load-1a2b3c4d"), job(flow("prod/daily"), "prod/a")]
    others = [
        job(flow("other", "prefect"), "load-1a2b3c4d"),
        job(flow("shop", "prefect", "DEV"), "load-1a2b3c4d"),
        job(flow("shop", "airflow"), "load-1a2b3c4d"),
        job(flow("prod/weekly"), "prod/a"),
        job(flow("prod/daily", env="DEV"), "prod/a"),
    ]
    own = [SHOP, job(SHOP, "load"), job(SHOP, "save-1a2b3c4d")]

    assert wanted == candidates([*own, *others, *wanted], ours)


def test_what_the_bridge_holds_is_never_theirs():
    """Whatever it is called: a task of ours may have a name like a task key."""
    own = job(SHOP, "load-1a2b3c4d")

    assert {} == found(holding(SHOP, own), {own: {"name": "load-1a2b3c4d"}})


@pytest.mark.parametrize(
    ("their_flow", "their_job", "our_flows", "our_jobs", "successors"),
    [
        ("prod/daily", "prod/load", ["etl.daily"], [(0, "load")], [(0, "load")]),
        ("prod/daily", "prod/load", ["a.daily", "b.daily"], [(0, "load"), (1, "load")], [(0, "load"), (1, "load")]),
        ("acme.etl/daily", "acme.etl/load", ["acme.etl.daily"], [(0, "graph.load")], [(0, "graph.load")]),
        ("eu.prod/daily", "prod/load", ["eu.etl.daily"], [(0, "load")], [(0, "load")]),
        ("prod/daily", "prod/load", ["prod/daily", "etl.daily"], [(0, "prod/x"), (1, "load")], []),
        ("prod/daily", "prod/gone", ["etl.daily"], [(0, "load")], []),
    ],
)  # fmt: skip
def test_an_op_of_dagsters_plugin(their_flow, their_job, our_flows, our_jobs, successors):
    """Is replaced by the ops of its name in the jobs of its job's name, of every location; a flow of the same URN comes first."""
    flows = [flow(each) for each in our_flows]
    ours = holding(*flows, *(job(flows[n], each) for n, each in our_jobs))
    urn = job(flow(their_flow), their_job)
    expected = tuple(job(flows[n], each) for n, each in successors)

    assert (DAGSTER, expected) == found(ours, {urn: {"name": their_job.rpartition("/")[2]}})[urn]


def test_an_op_under_an_alias():
    """Our ids have the node's name, theirs the op's; our runs tell both."""
    ours_flow, alias = flow("etl.daily"), job(flow("etl.daily"), "load_2")
    ours = holding(ours_flow, alias, runs={alias: {"dagster_step.opName": "load"}})
    urn = job(flow("prod/daily"), "prod/load")

    assert (DAGSTER, (alias,)) == found(ours, {urn: {"name": "load"}})[urn]


def test_an_instance_is_that_of_the_flow():
    """A platform instance in theirs and none in ours: they are two Dagsters."""
    ours = holding(flow("etl.daily"), job(flow("etl.daily"), "load"))

    assert [] == candidates([job(flow("eu.prod/daily"), "prod/load")], ours)


def test_a_flow_of_theirs_goes_with_its_last_job():
    """Before its jobs, and not while a job in it is somebody else's; without a counterpart where one of its jobs has none."""
    our_flow, our_job = flow("etl.daily"), job(flow("etl.daily"), "load")
    ours, their_flow = holding(our_flow, our_job), flow("prod/daily")
    load, gone = job(their_flow, "prod/load"), job(their_flow, "prod/gone")
    one, two = {load: {"name": "load"}}, {load: {"name": "load"}, gone: {"name": "gone"}}

    assert [(their_flow, (our_flow,)), (load, (our_job,))] == [
        (each.urn, each.replaced_by) for each in theirs(one, [their_flow, load], ours)
    ]
    assert {their_flow: (), load: (our_job,), gone: ()} == {
        each.urn: each.replaced_by for each in theirs(two, [their_flow, load, gone], ours)
    }
    assert {load} == {*found(ours, one, their_flow, job(their_flow, "somebodys"))}


@pytest.mark.parametrize(
    ("job_id", "name", "is_theirs"),
    [
        ("prod/orders__load", "load", True),
        ("prod/orders__load", "orders__load", True),
        ("prod/orders__load", "Loading", False),
        ("test/load", "load", False),
        ("load", "load", False),
    ],
)
def test_what_dagsters_plugin_writes(job_id, name, is_theirs):
    """Stands in the folder of its flow, and is shown as the op, or as the last part of the op's name."""
    ours = holding(flow("etl.daily"), job(flow("etl.daily"), "load"))
    urn = job(flow("prod/daily"), job_id)

    assert is_theirs is (urn in found(ours, {urn: {"name": name}}))
