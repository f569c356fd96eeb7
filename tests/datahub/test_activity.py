"""What runs and DatasetEvents say of a moment: operations, profiles, checks, drops and renames."""

from __future__ import annotations

import pytest

from openlineage_bridge.events import DatasetKey
from openlineage_bridge.translation import DatasetState
from openlineage_bridge_datahub import DataHubTranslator

RUN = "06d4248d-0000-4000-8000-000000000000"
ENDED = 1_790_000_000_000_123
MS = ENDED // 1000
TABLE = "urn:li:dataset:(urn:li:dataPlatform:postgres,d.s.t,PROD)"


@pytest.fixture
def happened(states, load, accepted):
    """The aspects of datasets and assertions after a run that used the table in this way."""

    def translate(role="outputs", result="COMPLETE", options=None, run_facets=None, ended=ENDED, **use):
        translator = DataHubTranslator.from_options({"datasets": options or {}})
        used = (states.use("postgres://h", "d.s.t", **use),)
        run = states.run(load, RUN, facets=run_facets, ended=ended, result=result, **{role: used})
        return accepted(each for each in translator.run(run) if each.entity_type in ("dataset", "assertion"))

    return translate


def test_a_completed_run_updates_its_outputs(happened):
    """Each output has an operation at the end of the run, which leads back to run and job."""
    [actual] = happened(outputStatistics={"rowCount": 7, "size": 90, "fileCount": "x"})

    assert (TABLE, "operation", MS) == (actual.urn, actual.name, actual.timestamp_ms)
    assert {
        "timestampMillis": MS,
        "lastUpdatedTimestamp": MS,
        "actor": "urn:li:corpuser:datahub",
        "operationType": "UPDATE",
        "sourceType": "DATA_PROCESS",
        "numAffectedRows": 7,
        "customProperties": {
            "runId": RUN,
            "run": f"urn:li:dataProcessInstance:{RUN}",
            "job": "urn:li:dataJob:(urn:li:dataFlow:(prefect,etl,PROD),load)",
            "sizeInBytes": "90",
        },
    } == actual.value


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("CREATE", "CREATE"),
        ("DROP", "DROP"),
        ("ALTER", "ALTER"),
        ("OVERWRITE", "UPDATE"),
        ("TRUNCATE", "DELETE"),
        ("RENAME", "ALTER"),
        ("nonsense", "UPDATE"),
    ],
)
def test_lifecycle_changes_are_operations(happened, state, kind):
    """The facet says what was done; DataHub's words say it there."""
    [actual] = happened(lifecycleStateChange={"lifecycleStateChange": state})

    assert kind == actual.value["operationType"]


@pytest.mark.parametrize(("stated", "kind"), [("append", "INSERT"), ("delete", "DELETE"), (None, "UPDATE")])
def test_an_iceberg_commit_says_what_it_did(happened, stated, kind):
    """The operation of the snapshot counts, and its id is kept."""
    [actual] = happened(icebergCommitReport={"operation": stated, "snapshotId": 12})

    assert kind == actual.value["operationType"]
    assert actual.value["customProperties"]["iceberg.snapshotId"] == "12"


def test_the_partition_that_was_written_is_named(happened):
    """One partition of a subset is the operation's; several are the whole table."""

    def subset(*dimensions):
        return {
            "outputCondition": {
                "type": "partition",
                "partitions": [{"dimensions": each} for each in dimensions],
            }
        }

    [one] = happened(subset=subset({"dt": "2026-01-01", "hour": 3}))
    [several] = happened(subset=subset({"dt": "1"}, {"dt": "2"}))

    assert one.value["partitionSpec"] == {"type": "PARTITION", "partition": "dt=2026-01-01/hour=3"}
    assert "partitionSpec" not in several.value


@pytest.mark.parametrize(("result", "ended"), [("FAIL", ENDED), ("ABORT", ENDED), (None, None)])
def test_what_did_not_complete_wrote_nothing(happened, result, ended):
    """A failed, aborted or running run has no operation."""
    assert happened(result=result, ended=ended, outputStatistics={"rowCount": 7}) == []


def test_reading_is_no_operation(happened):
    """An input did not change."""
    assert happened(role="inputs", inputStatistics={"rowCount": 7}) == []


def test_measurements_are_profiles(happened):
    """Counts of the table and of its columns, whose extremes are texts in DataHub."""
    metrics = {
        "rowCount": 10,
        "bytes": 99,
        "columnMetrics": {
            "n": {
                "nullCount": 2,
                "distinctCount": 8,
                "sum": 40,
                "count": 10,
                "min": 1,
                "max": 9.5,
                "quantiles": {"0.25": 2, "0.5": 4},
            },
            "wrong": 3,
        },
    }

    [actual] = happened(role="inputs", dataQualityMetrics=metrics)

    assert (TABLE, "datasetProfile") == (actual.urn, actual.name)
    assert {
        "timestampMillis": MS,
        "rowCount": 10,
        "sizeInBytes": 99,
        "columnCount": 1,
        "fieldProfiles": [
            {
                "fieldPath": "n",
                "uniqueCount": 8,
                "uniqueProportion": 0.8,
                "nullCount": 2,
                "nullProportion": 0.2,
                "min": "1",
                "max": "9.5",
                "mean": "4.0",
                "median": "4",
                "quantiles": [{"quantile": "0.25", "value": "2"}, {"quantile": "0.5", "value": "4"}],
            }
        ],
    } == actual.value


def test_statistics_of_a_rewritten_table_are_its_size(happened):
    """What CREATE or OVERWRITE wrote is all there is; what an append wrote is not."""
    written = {"outputStatistics": {"rowCount": 7, "size": 90}}

    whole = happened(lifecycleStateChange={"lifecycleStateChange": "OVERWRITE"}, **written).by_name()
    part = happened(**written).by_name()

    failed = happened(
        result="FAIL", lifecycleStateChange={"lifecycleStateChange": "OVERWRITE"}, **written
    ).by_name()

    assert {"timestampMillis": MS, "rowCount": 7, "sizeInBytes": 90} == whole["datasetProfile"]
    assert "datasetProfile" not in part
    assert "datasetProfile" not in failed


@pytest.mark.parametrize("result", ["COMPLETE", "FAIL"])
def test_checks_are_assertions_with_results(happened, result):
    """A check of a column, whether its run failed or not: what it is, and how it ended."""
    check = {"assertion": "not_null", "column": "n", "success": False, "severity": "error", "actual": "3"}

    found = happened(role="inputs", result=result, dataQualityAssertions={"assertions": [check]})
    actual = found.by_name()

    assert {
        "type": "CUSTOM",
        "customAssertion": {
            "type": "not_null",
            "entity": TABLE,
            "field": f"urn:li:schemaField:({TABLE},n)",
        },
        "source": {"type": "EXTERNAL"},
        "description": "not_null (n)",
        "customProperties": {"severity": "error"},
    } == actual["assertionInfo"]
    assert {"type": "FAILURE", "nativeResults": {"actual": "3"}} == actual["assertionRunEvent"]["result"]
    assert (RUN, TABLE) == (
        actual["assertionRunEvent"]["runId"],
        actual["assertionRunEvent"]["asserteeUrn"],
    )
    assert {"platform": "urn:li:dataPlatform:prefect"} == actual["dataPlatformInstance"]


def test_a_check_is_the_same_from_run_to_run(happened):
    """Dataset, column and check are the assertion; its result is not."""

    def urns(**check):
        return {
            each.urn
            for each in happened(dataQualityAssertions={"assertions": [check]})
            if each.name == "assertionInfo"
        }

    first = urns(assertion="unique", column="n", success=True)

    assert first == urns(assertion="unique", column="n", success=False, actual="4")
    assert first != urns(assertion="unique", column="m", success=True)
    assert first != urns(assertion="not_null", column="n", success=True)


def test_tests_of_a_run_belong_to_its_only_dataset(happened):
    """The `test` run facet names no dataset: it is clear which was tested where there is one; skipped is no result."""
    listed = [
        {"name": "fresh", "status": "pass", "severity": "warn", "params": {"hours": 4}},
        {
            "name": "unique_id",
            "status": "fail",
            "expected": "0",
            "actual": "2",
            "description": "ids are unique",
        },
        {"name": "later", "status": "skip"},
    ]

    actual = happened(role="inputs", run_facets={"test": {"tests": listed}})

    assert ["fresh", "ids are unique"] == [
        each.value["description"] for each in actual if each.name == "assertionInfo"
    ]
    assert {"SUCCESS", "FAILURE"} == {
        each.value["result"]["type"] for each in actual if each.name == "assertionRunEvent"
    }


@pytest.mark.parametrize("broken", [None, 1, [], [1], {"assertions": [{"assertion": 1}]}, {"tests": 3}])
def test_malformed_measurements_are_survived(happened, broken):
    """Whatever stands in the facets, there are aspects that DataHub accepts, or none."""
    facet = broken if isinstance(broken, dict) else {"assertions": broken, "columnMetrics": broken}

    happened(
        dataQualityAssertions=facet,
        dataQualityMetrics=facet,
        lifecycleStateChange=facet,
        subset=facet,
        run_facets={"test": facet},
    )


def test_each_kind_can_be_left_out(happened):
    """Operations, profiles and assertions are told or not."""
    options = {"operations": False, "profiles": False, "assertions": False}

    assert [] == happened(
        options=options,
        dataQualityMetrics={"rowCount": 1},
        dataQualityAssertions={"assertions": [{"assertion": "x", "success": True}]},
    )


def test_a_drop_is_kept_unless_it_shall_remove(happened):
    """By default a dropped dataset stays in DataHub; `dropped: remove` marks it, and CREATE brings it back."""
    drop, create = ({"lifecycleStateChange": {"lifecycleStateChange": state}} for state in ("DROP", "CREATE"))

    assert "status" not in happened(**drop).by_name()
    assert {"removed": True} == happened(options={"dropped": "remove"}, **drop).by_name()["status"]
    assert {"removed": False} == happened(options={"dropped": "remove"}, **create).by_name()["status"]
    assert "status" not in happened(options={"dropped": "remove"}).by_name()


def test_the_latest_of_drop_and_create_holds(happened):
    """Their rank is their time: whichever arrives last, the later one is what DataHub holds."""
    use = {"lifecycleStateChange": {"lifecycleStateChange": "DROP"}}

    [dropped] = [each for each in happened(options={"dropped": "remove"}, **use) if each.name == "status"]

    assert ENDED == dropped.rank


def test_a_rename_is_told_of_both_names(happened):
    """The new name says what it was, the old one what it became, and is removed where that is wanted."""
    rename = {
        "lifecycleStateChange": "RENAME",
        "previousIdentifier": {"namespace": "postgres://h", "name": "d.s.old"},
    }
    old = TABLE.replace("d.s.t", "d.s.old")

    actual = {
        (each.urn, each.name): each.value
        for each in happened(options={"dropped": "remove"}, lifecycleStateChange=rename)
    }

    assert "postgres://h/d.s.old" == actual[TABLE, "operation"]["customProperties"]["previousIdentifier"]
    assert TABLE == actual[old, "operation"]["customProperties"]["renamedTo"]
    assert {"removed": True} == actual[old, "status"]
    assert {"removed": False} == actual[TABLE, "status"]


def test_what_a_dataset_event_measured_has_the_events_time(states, translator, accepted):
    """No run, but a moment: profile, assertion and operation are told of it."""
    facets = states.facets(
        dataQualityMetrics={"rowCount": 3},
        dataQualityAssertions={"assertions": [{"assertion": "fresh", "success": True}]},
        lifecycleStateChange={"lifecycleStateChange": "TRUNCATE"},
    )
    times = {"dataQualityMetrics": ENDED, "lifecycleStateChange": ENDED + 1_000_000}
    state = DatasetState(DatasetKey("postgres://h", "d.s.t"), facets, times)

    actual = {each.name: each for each in accepted(translator.dataset(state))}

    assert {"timestampMillis": MS, "rowCount": 3} == actual["datasetProfile"].value
    assert (MS + 1000, "DELETE") == (
        actual["operation"].timestamp_ms,
        actual["operation"].value["operationType"],
    )
    assert "assertionRunEvent" not in actual
