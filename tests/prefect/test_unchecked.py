"""What is made past the client's constructors equals what they make, and what is shared between events is the same each time."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import UUID

import pytest
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.facet_v2 import tags_run

from openlineage_bridge_prefect import facets, snapshots
from openlineage_bridge_prefect.identity import RunReference
from openlineage_bridge_prefect.own_facets import FlowRunFacet, TaskRunFacet
from openlineage_bridge_prefect.unchecked import unchecked

ID = str(UUID(int=7))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Run, {"runId": ID, "facets": {"tags": tags_run.TagsRunFacet(producer="ours")}}),
        (TaskRunFacet, {"taskRunId": ID, "taskName": "load", "retries": 3, "_producer": "ours"}),
        (FlowRunFacet, {"flowRunId": ID, "_producer": "ours"}),
        (
            RunEvent,
            {
                "eventType": RunState.START,
                "eventTime": "2024-01-01T00:00:00+00:00",
                "run": Run(ID),
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


def test_the_page_of_a_run_follows_the_settings() -> None:
    """Prefect's own function is asked once for each kind and settings."""
    from prefect.settings import PREFECT_UI_URL, temporary_settings
    from prefect.utilities import urls

    run_id = UUID(int=9)
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
    plain = {"flowRunName": "name", "flowId": "flow_id"}
    assert snapshots.details(SimpleNamespace(name="x", flow_id=1), plain) == {"flowRunName": "x", "flowId": 1}
    assert snapshots.details(SimpleNamespace(name="x"), plain) == {"flowRunName": "x", "flowId": None}
