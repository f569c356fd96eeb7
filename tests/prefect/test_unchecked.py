"""What is made past the client's constructors equals what they make, and what is shared between events is the same each time."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from openlineage.client.event_v2 import Job, RunEvent, RunState
from openlineage.client.event_v2 import Run as OpenLineageRun
from openlineage.client.facet_v2 import tags_run

from openlineage_bridge_prefect import events, facets, snapshots
from openlineage_bridge_prefect.identity import RunReference
from openlineage_bridge_prefect.own_facets import FlowRunFacet, TaskRunFacet
from openlineage_bridge_prefect.runs import Run
from openlineage_bridge_prefect.unchecked import unchecked

ID = str(UUID(int=7))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (OpenLineageRun, {"runId": ID, "facets": {"tags": tags_run.TagsRunFacet(producer="ours")}}),
        (TaskRunFacet, {"taskRunId": ID, "taskName": "load", "retries": 3, "_producer": "ours"}),
        (FlowRunFacet, {"flowRunId": ID, "_producer": "ours"}),
        (
            RunEvent,
            {
                "eventType": RunState.START,
                "eventTime": "2024-01-01T00:00:00+00:00",
                "run": OpenLineageRun(ID),
                "job": Job("prefect", "load"),
                "inputs": [],
                "outputs": [],
                "producer": "ours",
            },
        ),
    ],
)
def test_an_unchecked_object_equals_the_one_that_the_constructor_makes(kind, fields) -> None:
    """Defaults and the address of the schema included, for the second as for the first."""
    arguments = {name.lstrip("_"): value for name, value in fields.items()}

    assert [kind(**arguments)] * 2 == [unchecked(kind, **fields), unchecked(kind, **fields)]


def test_tasks_of_a_flow_share_the_facet_that_names_it() -> None:
    """It is the same object, so that its text is made once; another flow run has another."""
    one, two = RunReference(ID, "prefect", "one"), RunReference(str(UUID(int=8)), "prefect", "two")

    assert facets.parent(one, one) is facets.parent(RunReference(ID, "prefect", "one"), one)
    assert (ID, "two") == (facets.parent(one, two).run.runId, facets.parent(one, two).root.job.name)


def test_tasks_of_a_run_share_what_they_say_of_it() -> None:
    """The same flow run anew, as another attempt, is another parent; so is the task that calls a task."""
    first, again = (Run(id=UUID(ID), kind="FLOW", job_name="nightly", attempt=number) for number in (0, 1))
    task, other, later = (
        Run(id=uuid4(), kind="TASK", job_name="nightly.load", parent=parent)
        for parent in (first, first, again)
    )
    nested = Run(id=uuid4(), kind="TASK", job_name="nightly.load", parent=task)
    told = {run: events.parent(run) for run in (task, later, nested)}

    assert events.parent(other) is told[task]
    assert events.parent(first) is None
    assert {run.parent.run_id: "nightly" for run in told} == {
        facet.run.runId: facet.root.job.name for facet in told.values()
    }
    assert 3 == len({facet.run.runId for facet in told.values()})


def test_the_page_of_a_run_follows_the_settings() -> None:
    """Prefect's own function is asked once for each kind and settings."""
    from prefect.settings import PREFECT_UI_URL, temporary_settings
    from prefect.utilities import urls

    run_id = str(UUID(int=9))
    pages = []
    for base in ("http://one:4200", "http://two:4200/prefect", "http://one:4200"):
        with temporary_settings({PREFECT_UI_URL: base}):
            pages.append([facets._url(kind, run_id) for kind in ("flow-run", "task-run")])
            assert [urls.url_for(kind, obj_id=run_id) for kind in ("flow-run", "task-run")] == pages[-1]

    assert pages[0] == pages[2] != pages[1]


def test_details_are_read_from_models_that_lack_some_of_them() -> None:
    """An older Prefect has fewer fields; nobody may have created the run."""
    fields = {"flowRunName": "name", "createdBy": "created_by.display_value", "flowId": "flow_id"}
    creator = SimpleNamespace(display_value="ada")

    assert snapshots.details(SimpleNamespace(name="x", created_by=creator, flow_id=1), fields) == {
        "flowRunName": "x",
        "createdBy": "ada",
        "flowId": 1,
    }
    assert snapshots.details(SimpleNamespace(name="x", created_by=None), fields) == {
        "flowRunName": "x",
        "createdBy": None,
        "flowId": None,
    }


def test_details_of_a_task_run_are_the_same_read_at_once_or_one_by_one() -> None:
    """An older Prefect has fewer fields; then those that are there are read."""
    whole = SimpleNamespace(**{name: f"its {name}" for name in snapshots.TASK_RUN_FIELDS.values()})
    older = SimpleNamespace(name="x", task_key="load")
    nothing = dict.fromkeys(snapshots.TASK_RUN_FIELDS)
    task, of_task = SimpleNamespace(name="load", retries=3), {"taskName": "load", "retries": 3}

    for task_run in (whole, older):
        expected = snapshots.details(task_run, snapshots.TASK_RUN_FIELDS) | of_task

        assert expected == snapshots._task_run_details(task, task_run)
    expected = {**nothing, "taskRunName": "x", "taskKey": "load", **of_task}
    assert expected == snapshots._task_run_details(task, older)
