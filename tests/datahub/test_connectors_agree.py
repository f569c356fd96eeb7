"""The rules for names, held against the functions of acryl-datahub's connectors themselves, as far as these can be imported."""

from __future__ import annotations

from pathlib import Path

import datahub.ingestion.source
import pytest
from datahub.emitter.mce_builder import make_dataset_urn_with_platform_instance
from datahub.ingestion.source.aws.s3_util import make_s3_urn_for_lineage
from datahub.ingestion.source.azure.abs_utils import strip_abs_prefix, to_blob_https_uri
from datahub.ingestion.source.bigquery_v2.bigquery_audit import BigqueryTableIdentifier
from datahub.ingestion.source.fabric.common.urn_generator import make_table_name
from datahub.ingestion.source.gcs.gcs_utils import strip_gcs_prefix
from datahub.ingestion.source.informix.mapping import make_table_identifier
from datahub.ingestion.source.sql.hive.storage_lineage import StoragePathParser
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge_datahub.platforms import PLATFORMS
from openlineage_bridge_datahub.urns import DatasetNaming

SOURCES = Path(datahub.ingestion.source.__path__[0])

words = st.text("abzABZ09_-é", min_size=1, max_size=8)
paths = st.lists(words, min_size=1, max_size=4).map("/".join)
instances = st.none() | st.sampled_from(["prod", "Acct_1"])


def ours(namespace, name, **rule):
    return DatasetNaming([{"match": "*", **rule}] if rule else []).resolve(namespace, name).urn


def theirs(platform, name, instance=None):
    return make_dataset_urn_with_platform_instance(platform, name, instance, "PROD")


@pytest.mark.parametrize("platform", [name for name, each in PLATFORMS.items() if each.follows])
def test_every_row_names_a_file_of_acryl_datahub(platform):
    """Whose rule a platform follows can be looked up."""
    assert (SOURCES / PLATFORMS[platform].follows).is_file()


shards = st.sampled_from(
    ["20240101", "_20240131", "$20240101", "$__UNPARTITIONED__", "_2024*", "_*", "*", "20241399", ""]
)
snapshots = st.sampled_from(["", "@1624046611000", "@-3600000", "@1624046611000-1624046612000"])


@given(
    table=st.text("abzAB_09", max_size=10),
    shard=shards,
    snapshot=snapshots,
    suffix=st.sampled_from(["", "_yyyymmdd"]),
)
def test_bigquery(table, shard, snapshot, suffix):
    """Shards, wildcards, partitions and snapshots of a table become the name that the connector gives the table."""
    name = f"{table}{shard}{snapshot}" or "t"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BigqueryTableIdentifier, "_BQ_SHARDED_TABLE_SUFFIX", suffix)
        expected = BigqueryTableIdentifier("proj", "ds", name).get_table_name()

    assert theirs("bigquery", expected) == ours("bigquery", f"proj.ds.{name}", bigquery_shard_suffix=suffix)


@given(scheme=st.sampled_from(["s3", "s3a", "s3n"]), key=paths)
def test_s3(scheme, key):
    """Bucket and key, with their extension."""
    assert make_s3_urn_for_lineage(f"{scheme}://bucket/{key}/", "PROD") == ours(
        f"{scheme}://bucket", f"{key}/"
    )


@given(key=paths, instance=instances)
def test_gcs(key, instance):
    """Bucket and key."""
    expected = theirs("gcs", strip_gcs_prefix(f"gs://bucket/{key}"), instance)

    assert expected == ours("gs://bucket", key, platform_instance=instance)


@given(scheme=st.sampled_from(["abfs", "abfss"]), key=paths, instance=instances)
def test_abs(scheme, key, instance):
    """Container and path; the account is left out, however the address is spelt."""
    address = f"{scheme}://cont@acct.dfs.core.windows.net"
    expected = theirs("abs", strip_abs_prefix(to_blob_https_uri(f"{address}/{key}")), instance)

    assert expected == ours(address, f"/{key}", platform_instance=instance)
    assert expected == ours("az://cont", key, platform_instance=instance)
    assert expected == ours("https://acct.blob.core.windows.net", f"cont/{key}", platform_instance=instance)


@given(
    address=st.sampled_from(
        ["s3://b", "gs://b", "abfss://c@a.dfs.core.windows.net", "dbfs://", "file://host", "hdfs://nn:8020"]
    ),
    key=paths,
)
def test_storage_of_hive_tables(address, key):
    """Paths are called as the Hive connector calls the storage of its tables."""
    found = StoragePathParser.parse_storage_location(f"{address}/{key}")
    assert found is not None
    platform, path = StoragePathParser.get_platform_name(found[0]), found[1]

    assert theirs(platform, path) == ours(address, f"/{key}", platform=platform)


@given(schema=st.none() | words, table=words)
def test_onelake(schema, table):
    """Workspace, item, schema and table of Fabric."""
    workspace, item = (f"0d8a0c1e-0000-4000-8000-00000000000{digit}" for digit in (1, 2))
    expected = theirs("fabric-onelake", make_table_name(workspace, item, schema or "dbo", table))
    path = f"{item}/Tables/{f'{schema}/' if schema else ''}{table}"

    assert expected == ours(f"abfss://{workspace}@onelake.dfs.fabric.microsoft.com", path)


@given(parts=st.tuples(words, words, words), instance=instances)
def test_informix(parts, instance):
    """Database, owner and table."""
    expected = theirs("informix", make_table_identifier(*parts), instance)

    assert expected == ours("informix://h:9088", ".".join(parts), platform_instance=instance)
