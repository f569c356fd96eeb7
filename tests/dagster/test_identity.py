"""Names, ids, links and tags of runs and steps."""

from __future__ import annotations

import importlib
from pathlib import Path
from uuid import UUID, uuid5

import attrs
import pytest
from dagster import Definitions, job, op
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.workspace.load import location_origins_from_yaml_paths

import openlineage_bridge_dagster
from openlineage_bridge_dagster.identity import RunIdentity, event_time, identify
from openlineage_bridge_dagster.location import defs, openlineage_definitions

RUN_ID = "06d4248d-1d51-4f6c-9d25-9f0ea1e2f5a1"
RUN = RunIdentity(run_id=RUN_ID, namespace="dagster", job_name="nightly", location="shop")


@pytest.mark.parametrize(
    ("location", "job_name", "expected"),
    [
        ("shop", "nightly", "shop.nightly"),
        (None, "nightly", "nightly"),
        ("etl/shop.py", "__ASSET_JOB", "etl.shop.py.__ASSET_JOB"),
    ],
)
def test_a_job_is_location_and_name_without_slashes(location, job_name, expected):
    """OPENLINEAGE_PARENT_ID splits on slashes."""
    assert expected == attrs.evolve(RUN, location=location, job_name=job_name).job


def test_a_step_run_id_is_a_function_of_run_step_and_attempt():
    """The full step key: mapped steps and attempts are runs of their own."""
    assert str(uuid5(UUID(RUN_ID), "inner.work[k0]#2")) == RUN.step_run_id("inner.work[k0]", 2)
    assert RUN.step_job("inner.work[k0]") == "shop.nightly.inner.work"


@pytest.mark.parametrize(
    ("ui", "run_url", "job_url"),
    [
        (None, None, None),
        ("http://ui/", f"http://ui/runs/{RUN_ID}", "http://ui/locations/a%2Fb/jobs/nightly"),
    ],
)
def test_links_need_the_address_of_the_ui(ui, run_url, job_url):
    run = attrs.evolve(RUN, ui=ui, location="a/b")

    assert (run_url, job_url) == (run.run_url, run.job_url)


def test_tags_that_change_afterwards_and_hidden_ones_stay_out():
    """Two observers at different times say the same."""
    tags = {
        "team": "data",
        "dagster/partition": "2026-11-03",
        "dagster/will_retry": "true",
        "dagster/auto_retry_run_id": "x",
        "dagster/failure_reason": "STEP_FAILURE",
        ".dagster/scheduled_execution_time": "2026-11-03T00:00:00+00:00",
        ".dagster/grpc_info": "{}",
    }

    run = identify(DagsterRun(job_name="j", run_id=RUN_ID, tags=tags), namespace="n")

    assert run.tags == {"dagster/partition": "2026-11-03", "team": "data"}
    assert {"dagster/partition", ".dagster/scheduled_execution_time"} == set(run.partition_tags)


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [(0.0, "1970-01-01T00:00:00.000000Z"), (1763690562.078601, "2025-11-21T02:02:42.078601Z")],
)
def test_event_times_are_utc_in_microseconds(timestamp, expected):
    assert expected == event_time(timestamp)


def test_the_stand_alone_location_holds_the_sensor_alone():
    """It can be loaded beside anyone's code, or merged into it."""

    @op
    def nothing():
        pass

    @job
    def mine():
        nothing()

    merged = Definitions.merge(
        Definitions(jobs=[mine]), openlineage_definitions(name="lineage", backfill="all")
    )

    assert [sensor.name for sensor in defs.sensors] == ["openlineage_sensor"]
    assert [sensor.name for sensor in merged.sensors] == ["lineage"]
    Definitions.validate_loadable(merged)


def test_the_example_of_a_workspace_has_the_stand_alone_location():
    """As Dagster itself reads the file: a code location with the sensor beside anyone's own."""
    example = Path(__file__).parents[2] / "examples" / "dagster" / "workspace.yaml"

    anyones, ours = location_origins_from_yaml_paths([str(example)])

    assert ("my_project.definitions", "openlineage") == (anyones.location_name, ours.location_name)
    location = importlib.import_module(ours.loadable_target_origin.module_name)
    assert ["openlineage_sensor"] == [each.name for each in location.defs.get_repository_def().sensor_defs]


def test_the_public_surface():
    assert openlineage_bridge_dagster.__all__ == ["OpenLineageComponent", "activate", "openlineage_sensor"]
