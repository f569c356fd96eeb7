"""Names that DataHub's Dagster plugin gives to flows, tables and runs that are monitored: ours are the same."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from dagster import CodeLocationSelector, JobSelector, RepositorySelector
from datahub.emitter.mce_builder import make_dataset_urn
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge_dagster.datahub import DatahubDagsterSourceConfig, DatasetUrn, one_of, table_of
from openlineage_bridge_dagster.environment import reader
from openlineage_bridge_dagster.identity import PluginNames


def run_of(pointer=None, **origin):
    code = SimpleNamespace(repository_origin=SimpleNamespace(code_pointer=pointer)) if pointer else None
    return SimpleNamespace(job_code_origin=code, **origin)


@pytest.mark.parametrize(
    ("pointer", "environment", "instance_name", "flow"),
    [
        (None, {}, None, "prod/nightly"),
        (SimpleNamespace(python_file="/code/shop.py"), {}, None, "prod/nightly"),
        (SimpleNamespace(module="shop.defs"), {}, None, "shop.defs/nightly"),
        (SimpleNamespace(module="shop.defs"), {}, "eu", "eu.shop.defs/nightly"),
        (None, {"DAGSTER_CLOUD_DEPLOYMENT_NAME": "staging"}, None, "staging/nightly"),
        (
            SimpleNamespace(module="shop"),
            {"DAGSTER_CLOUD_DEPLOYMENT_NAME": "pr-7", "DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT": "1"},
            None,
            "pr-7/shop/nightly",
        ),
    ],
)
def test_flows_have_the_plugins_names(monkeypatch, pointer, environment, instance_name, flow):
    """By module, for files by deployment, in branch deployments by both, behind the platform instance."""
    for name in ("DAGSTER_CLOUD_DEPLOYMENT_NAME", "DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert flow == PluginNames.of(run_of(pointer), instance_name).flow("nightly")


def test_the_names_can_be_had_without_the_shim(monkeypatch):
    """So that the tailer and the back-fill say the same as the sensor."""
    assert not reader().plugin_names
    monkeypatch.setenv("OPENLINEAGE_BRIDGE_DAGSTER_JOB_NAMES", "datahub-plugin")
    assert reader().plugin_names
    monkeypatch.setenv("OPENLINEAGE_BRIDGE_DAGSTER_JOB_NAMES", "datahub")
    with pytest.raises(ValueError, match="'location' or 'datahub-plugin'"):
        reader()


@pytest.mark.parametrize(
    ("key", "settings", "expected"),
    [
        (["orders"], {}, None),
        (["prod", "snowflake", "shop", "t"], {}, None),  # the collector's own rule says the same
        (["dev", "snowflake", "shop", "t"], {}, ("snowflake", "shop.t", "DEV")),
        (["dev", "snowflake", "shop", "t"], {"env": "DEV"}, None),
        (["prod", "looker", "shop", "t"], {}, ("looker", "shop.t", "PROD")),
        (["raw", "events", "daily"], {}, None),  # no environment of DataHub: the plugin makes a ghost of it
        (
            ["orders"],
            {"asset_keys_to_dataset_urn_converter": lambda key: DatasetUrn("hive", f"lake.{key[0]}", "test")},
            ("hive", "lake.orders", "TEST"),
        ),
        (["dev", "snowflake", "a", "b"], {"asset_keys_to_dataset_urn_converter": lambda _: None}, None),
    ],
)
def test_tables_have_the_plugins_urns(key, settings, expected):
    """By the converter, else by the key convention in the environment that the key names."""
    found = table_of(DatahubDagsterSourceConfig(**settings))(tuple(key), {})

    if expected is None:
        assert found is None
    else:
        platform, name, env = expected
        urn = f"urn:li:dataset:(urn:li:dataPlatform:{platform},{name},{env})"
        assert ("datahub", urn) == found.identity


part = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@given(st.from_regex(r"[a-z][a-z0-9_-]*", fullmatch=True), part, st.sampled_from(["PROD", "DEV"]))
def test_urns_are_those_of_datahubs_own_package(platform, name, env):
    """Reserved characters are encoded alike, and reading is the inverse of writing."""
    theirs = make_dataset_urn(platform, name, env)
    ours = DatasetUrn(platform, name, env)

    assert theirs == ours.urn() == str(ours)
    assert theirs == str(DatasetUrn.from_string(theirs))


def test_what_is_no_urn_is_refused():
    with pytest.raises(ValueError, match="no dataset's URN"):
        DatasetUrn.from_string("urn:li:chart:(looker,x)")


def record(job_name="nightly", repository="__repository__", location="shop"):
    origin = SimpleNamespace(
        location_name=location, repository_origin=SimpleNamespace(repository_name=repository)
    )
    return SimpleNamespace(dagster_run=SimpleNamespace(job_name=job_name, remote_job_origin=origin))


@pytest.mark.parametrize(
    ("monitored", "matches"),
    [
        (SimpleNamespace(name="hourly"), False),
        (SimpleNamespace(name="nightly"), True),
        (JobSelector(location_name="shop", job_name="nightly"), True),
        (JobSelector(location_name="other", job_name="nightly"), False),
        (RepositorySelector(location_name="shop", repository_name="__repository__"), True),
        (RepositorySelector(location_name="shop", repository_name="theirs"), False),
        (CodeLocationSelector(location_name="shop"), True),
        (CodeLocationSelector(location_name="other"), False),
    ],
)
def test_which_runs_are_monitored(monitored, matches):
    assert matches == one_of([SimpleNamespace(name="weekly"), monitored])(record())
