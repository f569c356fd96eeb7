"""What a run becomes."""

from __future__ import annotations

import pytest

from openlineage_bridge_datahub import DataHubTranslator

PROD_FLOW = "urn:li:dataFlow:(prefect,etl,PROD)"
LOAD = f"urn:li:dataJob:({PROD_FLOW},load)"
ORDERS = "urn:li:dataset:(urn:li:dataPlatform:snowflake,a.p.orders,PROD)"
STATS = "urn:li:dataset:(urn:li:dataPlatform:postgres,d.s.stats,PROD)"
RUN = "06d4248d-0000-4000-8000-000000000000"
PARENT_RUN = "06d4248d-0000-4000-8000-00000000000a"
TASK = {"jobType": {"integration": "PREFECT", "jobType": "TASK", "processingType": "BATCH"}}
FLOW = {"jobType": {"integration": "PREFECT", "jobType": "FLOW", "processingType": "BATCH"}}
START_US, START_MS = 1_790_000_000_000_123, 1_790_000_000_000


def run_events(aspects):
    return [each.value for each in aspects if each.name == "dataProcessInstanceRunEvent"]


def test_a_run_is_an_instance_of_its_job(states, accepted, load, orders, stats):
    """Relationships, datasets and properties of a completed run."""
    facets = {
        "parent": {"run": {"runId": PARENT_RUN.upper()}},
        "prefect_taskRun": {"url": "https://p.example.com/r"},
    }
    run = states.run(load, RUN, facets=facets, started=START_US, inputs=(orders,), outputs=(stats,))

    aspects = accepted(DataHubTranslator().run(run))
    actual = aspects.by_name()

    assert {each.urn for each in aspects} == {f"urn:li:dataProcessInstance:{RUN}"}
    assert actual["dataProcessInstanceRelationships"] == {
        "parentTemplate": LOAD,
        "parentInstance": f"urn:li:dataProcessInstance:{PARENT_RUN}",
        "upstreamInstances": [],
    }
    assert actual["dataProcessInstanceInput"] == {
        "inputs": [ORDERS],
        "inputEdges": [{"destinationUrn": ORDERS}],
    }
    assert actual["dataProcessInstanceOutput"] == {
        "outputs": [STATS],
        "outputEdges": [{"destinationUrn": STATS}],
    }
    assert actual["dataProcessInstanceProperties"]["created"]["time"] == START_MS
    assert actual["dataProcessInstanceProperties"]["externalUrl"] == "https://p.example.com/r"
    assert (
        actual["dataProcessInstanceProperties"]["customProperties"]["output.d.s.stats.outputStatistics"]
        == '{"rowCount":3}'
    )


@pytest.mark.parametrize("outcome", [("COMPLETE", "SUCCESS"), ("FAIL", "FAILURE"), ("ABORT", "SKIPPED")])
def test_run_events(states, translator, accepted, load, outcome):
    """A run starts once and ends once, in milliseconds, with its duration and attempt."""
    result, expected = outcome
    facets = {"prefect_taskRun": {"runCount": 2}}
    run = states.run(load, RUN, facets=facets, started=START_US, ended=START_US + 2_500_000, result=result)

    assert run_events(accepted(translator.run(run))) == [
        {"timestampMillis": START_MS, "status": "STARTED", "attempt": 2},
        {
            "timestampMillis": START_MS + 2500,
            "status": "COMPLETE",
            "result": {"type": expected, "nativeResultType": result},
            "attempt": 2,
            "durationMillis": 2500,
        },
    ]


def test_an_end_in_the_millisecond_of_the_start_is_kept_apart(states, translator, accepted, load):
    """DataHub keeps one run event per millisecond: the end moves by one."""
    run = states.run(load, RUN, started=START_US, ended=START_US + 100, result="COMPLETE")

    assert [each["timestampMillis"] for each in run_events(accepted(translator.run(run)))] == [
        START_MS,
        START_MS + 1,
    ]


@pytest.mark.parametrize(
    "case",
    [
        ({}, []),
        ({"started": 0}, []),
        ({"started": START_US}, ["STARTED"]),
        ({"ended": START_US, "result": "FAIL"}, ["COMPLETE"]),
        ({"started": START_US, "result": "FAIL"}, ["STARTED"]),
    ],
)
def test_events_without_a_time_are_left_out(states, translator, accepted, load, case):
    """A run event at an unknown time would be wrong; the run itself is still there."""
    fields, expected = case

    aspects = accepted(translator.run(states.run(load, RUN, **fields)))

    assert expected == [each["status"] for each in run_events(aspects)]
    assert "dataProcessInstanceProperties" in aspects.by_name()


def test_the_schedule_and_the_error_of_a_run(states, translator, accepted, load):
    """A scheduled run is created at its nominal time; an error keeps the end of a long trace."""
    facets = {
        "nominalTime": {"nominalStartTime": "2026-09-21T13:46:40+00:00"},
        "errorMessage": {
            "message": "no",
            "programmingLanguage": "PYTHON",
            "stackTrace": "x" * 50_000 + "ValueError",
        },
    }

    actual = accepted(translator.run(states.run(load, RUN, facets=facets))).by_name()[
        "dataProcessInstanceProperties"
    ]

    assert (actual["type"], actual["created"]["time"]) == ("BATCH_SCHEDULED", 1_789_998_400_000)
    assert actual["customProperties"]["errorMessage.message"] == "no"
    assert actual["customProperties"]["errorMessage.stackTrace"].endswith("xValueError")
    assert len(actual["customProperties"]["errorMessage.stackTrace"]) == 8000


def test_a_run_of_a_flow_belongs_to_the_flow(states, translator, accepted):
    """The template of a flow run is the DataFlow."""
    run = states.run(states.identity("etl", **FLOW), RUN, started=START_US)

    actual = accepted(translator.run(run)).by_name()

    assert actual["dataProcessInstanceRelationships"]["parentTemplate"] == PROD_FLOW
    assert "dataProcessInstanceInput" not in actual


def test_the_hundredth_run_changes_nothing_about_the_job(states, translator, load, orders, stats):
    """The job's aspects do not depend on the run that its lineage was taken from."""
    first = states.job(load, [orders], [stats], nominalTime={"nominalStartTime": "2026-01-01T00:00:00Z"})
    second = states.job(load, [orders], [stats], nominalTime={"nominalStartTime": "2026-01-02T00:00:00Z"})

    assert list(translator.job(first)) == list(translator.job(second))


PAGES = [
    (
        {"dagster_run": {"runUrl": "https://d/r"}, "dagster_step": {"stepUrl": "https://d/r?s"}},
        "https://d/r?s",
    ),
    ({"airflow": {"taskInstance": {"log_url": "https://a/log", "try_number": 3}}}, "https://a/log"),
    ({"spark_applicationDetails": {"uiWebUrl": "http://d:4040", "historyUrl": "https://h/1"}}, "https://h/1"),
    ({"spark_applicationDetails": {"uiWebUrl": "http://d:4040", "historyUrl": None}}, "http://d:4040"),
    ({"acme": {"runUrl": "https://acme/r"}}, "https://acme/r"),
    ({"acme": {"runUrl": "ftp://acme/r"}, "airflow": {"taskInstance": "x"}}, None),
]


@pytest.mark.parametrize(("facets", "page"), PAGES)
def test_a_run_links_to_its_page(states, translator, accepted, load, facets, page):
    """Of all pages that the facets name the one nearest to the run."""
    aspects = accepted(translator.run(states.run(load, RUN, facets=facets)))

    assert page == aspects.by_name()["dataProcessInstanceProperties"].get("externalUrl")


STATES = [
    ({"prefect_taskRun": {"stateName": "Crashed"}, "prefect_flowRun": {"stateName": "Failed"}}, "Crashed"),
    ({"airflow": {"taskInstance": {"state": "upstream_failed"}}}, "upstream_failed"),
    ({"airflowState": {"dagRunState": "failed"}}, "failed"),
    ({"prefect_taskRun": {"stateName": ""}}, "FAIL"),
    ({}, "FAIL"),
]


@pytest.mark.parametrize(("facets", "native"), STATES)
def test_how_a_run_ended_is_told_in_its_orchestrators_words(
    states, translator, accepted, load, facets, native
):
    """A crash and a failure are both FAILURE, and still two things."""
    run = states.run(load, RUN, facets=facets, ended=START_US, result="FAIL")

    [event] = run_events(accepted(translator.run(run)))

    assert {"type": "FAILURE", "nativeResultType": native} == event["result"]


@pytest.mark.parametrize(("end", "result"), [("FAIL", "UP_FOR_RETRY"), ("COMPLETE", "SUCCESS")])
def test_a_failure_that_is_tried_again_is_said_to_be(states, translator, accepted, load, end, result):
    """Where the orchestrator says so; its word makes no failure of a success."""
    facets = {"airflow": {"taskInstance": {"state": "up_for_retry", "try_number": 1}}}
    run = states.run(load, RUN, facets=facets, ended=START_US, result=end)

    [event] = run_events(accepted(translator.run(run)))

    assert {"type": result, "nativeResultType": "up_for_retry"} == event["result"]


def test_the_root_of_a_run_is_told(states, translator, accepted, load):
    """The run directly above is its parent instance; the one at the top stands in its properties."""
    root = {"run": {"runId": PARENT_RUN}, "job": {"namespace": "airflow", "name": "dag"}}
    facets = {"parent": {"run": {"runId": RUN.replace("0d", "0e")}, "job": root["job"], "root": root}}

    actual = accepted(translator.run(states.run(load, RUN, facets=facets))).by_name()

    properties = actual["dataProcessInstanceProperties"]["customProperties"]
    told = {key: value for key, value in properties.items() if key.startswith("root.")}
    assert {"root.runId": PARENT_RUN, "root.namespace": "airflow", "root.name": "dag"} == told
