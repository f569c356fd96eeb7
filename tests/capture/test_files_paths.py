"""Paths and URLs are named by the OpenLineage specification, whoever reads them."""

from __future__ import annotations

import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge_capture.files import locations, paths

NAMES = [
    ("x.csv", ("file", "/here/x.csv")),
    ("file:///x.csv", ("file", "/x.csv")),
    ("s3a://bucket/a/b.parquet", ("s3://bucket", "a/b.parquet")),
    ("s3://key:secret@bucket/a", ("s3://bucket", "a")),
    ("s3://bucket/a?versionId=3", ("s3://bucket", "a")),
    ("gcs://bucket/a/", ("gs://bucket", "a")),
    ("abfs://c@acme.dfs.core.windows.net/a", ("abfss://c@acme.dfs.core.windows.net", "a")),
    ("https://acme.dfs.core.windows.net/c/a?sig=x", ("abfss://c@acme.dfs.core.windows.net", "a")),
    ("https://me:secret@Data.Acme.io/a/b.csv?token=x#y", ("https://data.acme.io", "a/b.csv")),
    ("hdfs://me@nn:8020/a", ("hdfs://nn:8020", "a")),
    ("data/day=2024-01-01/part-0.parquet", ("file", "/here/data")),
    ("data/day=*/*.parquet", ("file", "/here/data")),
    ("data/a=b.csv", ("file", "/here/data/a=b.csv")),
    ("data/orders_*.csv", ("file", "/here/data/orders_*.csv")),
    ("data/**/*.parquet", ("file", "/here/data")),
]


@pytest.mark.parametrize(("path", "expected"), NAMES)
def test_a_path_has_one_name(path, expected):
    assert expected == paths.identity(path, "/here")


@given(st.text())
def test_naming_is_total_and_never_empty(path):
    assert all(paths.identity(path, "/here"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data", True),
        ("data/*.parquet", True),
        ("data/**/*.parquet", True),
        ("data/*/*.parquet", False),
        ("data/orders_*.csv", False),
        ("data/day=1", False),
        ("data/day=1/0.parquet", False),
    ],
)
def test_a_partition_and_a_selection_are_not_all_of_a_dataset(path, expected):
    assert expected == paths.is_whole(path)


def test_what_only_this_process_sees_is_no_dataset():
    assert not paths.visible("memory://a.csv")
    assert not paths.visible(f"{tempfile.gettempdir()}/tmpab12_xyz/a.csv")
    assert paths.visible(f"{tempfile.gettempdir()}/report.csv")
    assert paths.visible("s3://bucket/tmpab12_xyz")


def test_many_files_of_one_folder_in_one_call_are_the_folder():
    names = [f"/d/{index}.csv" for index in range(paths.MANY + 1)]
    assert ["/d"] == paths.folded(names)
    assert names[:2] == paths.folded(names[:2])


def test_object_stores_are_named_by_their_own_classes(monkeypatch):
    """The real file systems of S3, GCS and Azure; none of them is asked anything over the network."""
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    s3fs, gcsfs, adlfs = (pytest.importorskip(name) for name in ("s3fs", "gcsfs", "adlfs"))
    s3 = s3fs.S3FileSystem(anon=True, skip_instance_cache=True)
    gcs = gcsfs.GCSFileSystem(token="anon", skip_instance_cache=True)
    azure = adlfs.AzureBlobFileSystem(account_name="acme", anon=True, skip_instance_cache=True)
    assert "s3://b/k.csv" == locations.of_fsspec(s3, "s3://b/k.csv")
    assert "gs://b/k.csv" == locations.of_fsspec(gcs, "gs://b/k.csv")
    assert "abfss://c@acme.dfs.core.windows.net/k.csv" == locations.of_fsspec(azure, "abfs://c/k.csv")


def test_arrow_s_file_systems_have_the_same_names(tmp_path):
    fs = pytest.importorskip("pyarrow.fs")
    below = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    s3 = fs.S3FileSystem(anonymous=True, region="us-east-1")
    azure = fs.AzureFileSystem("acme", account_key="a2V5")
    assert f"{tmp_path}/x.csv" == locations.of_arrow(below, "x.csv").replace("//", "/")
    assert "s3://b/k" == locations.of_arrow(s3, "b/k")
    assert "abfss://c@acme.dfs.core.windows.net/k" == locations.of_arrow(azure, "c/k")


def test_the_account_of_a_container_may_stand_in_the_options():
    (place,) = locations.places("abfs://c/k.csv", {"account_name": "acme"})
    assert ("abfss://c@acme.dfs.core.windows.net", "k.csv") == (place.namespace, place.name)
