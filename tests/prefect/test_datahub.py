"""Flows written for ``prefect-datahub`` go on working with the import changed, and name the same datasets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge_capture.urns import NAMESPACE
from openlineage_bridge_prefect.datahub import DatahubEmitter, Dataset, Urn


@pytest.fixture(scope="module")
def outcome(run_script):
    """The peer's own example, which fails in its last task."""
    return run_script("moved_over.py")


def _end(outcome, job: str) -> dict[str, Any]:
    (found,) = (
        event
        for event in outcome.events
        if event["job"]["name"] == job and event["eventType"] in {"COMPLETE", "FAIL"}
    )
    return found


def _names(datasets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(dataset["namespace"], dataset["name"]) for dataset in datasets]


def test_what_add_task_says_is_the_lineage_of_the_task(outcome) -> None:
    """With environment and platform instance of the saved block, and a URN as it was given."""
    end = _end(outcome, "ETL.Transform")
    snowflake = "urn:li:dataset:(urn:li:dataPlatform:snowflake,eu.mydb.schema.table{},DEV)"

    assert ([(NAMESPACE, snowflake.format("A"))], [(NAMESPACE, snowflake.format("B"))]) == (
        _names(end["inputs"]),
        _names(end["outputs"]),
    )


def test_a_flow_that_never_reaches_emit_flow_is_reported_all_the_same(outcome) -> None:
    """The peer reports nothing of a failing flow."""
    failed = _end(outcome, "ETL.fails")

    assert ("FAIL", "FAIL") == (failed["eventType"], _end(outcome, "ETL")["eventType"])
    assert [(NAMESPACE, "urn:li:dataset:(urn:li:dataPlatform:kafka,orders,PROD)")] == _names(failed["inputs"])


def test_the_collector_says_nothing_when_all_is_well(outcome) -> None:
    """No warning of ours; that the user's task failed is Prefect's to say."""
    assert "openlineage" not in outcome.stderr.lower()


names = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=30)


@given(
    platform=st.sampled_from(["snowflake", "urn:li:dataPlatform:kafka"]),
    name=names,
    env=st.sampled_from(["PROD", "DEV"]),
    instance=st.none() | names,
)
def test_a_dataset_has_the_urn_that_datahubs_own_builder_makes(platform, name, env, instance) -> None:
    """Reserved characters, platform URNs and instances included."""
    builder = pytest.importorskip("datahub.emitter.mce_builder")
    expected = builder.make_dataset_urn_with_platform_instance(platform, name, instance, env)

    assert expected == Dataset(platform, name, env, instance).urn


@pytest.mark.parametrize("urn", ["urn:li:dataJob:(a,b)", "snowflake", ""])
def test_only_urns_of_datasets_are_taken(urn) -> None:
    """As by the peer, at once."""
    with pytest.raises(ValueError, match="a dataset's URN starts with"):
        Urn(urn)


def test_without_a_backend_it_says_what_to_set(caplog, monkeypatch) -> None:
    """Once, and the task goes on."""
    from openlineage_bridge_capture import log, recorder

    monkeypatch.setattr(recorder, "_hosts", [])
    log.forget()
    for _ in range(2):
        DatahubEmitter().add_task(inputs=[Dataset("kafka", "t")])

    assert ["set OPENLINEAGE_URL" in record.message for record in caplog.records] == [True]
