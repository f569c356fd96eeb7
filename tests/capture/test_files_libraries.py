"""What pandas, Polars, Arrow and fsspec read and write is recorded, once, under one name."""

from __future__ import annotations

import inspect
import io
import pickle
import tempfile
import warnings

import pytest

from openlineage_bridge_capture import files, recorder
from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.files.facets import SCHEMA_URLS

fsspec = pytest.importorskip("fsspec")
pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pq = pytest.importorskip("pyarrow.parquet")
ds = pytest.importorskip("pyarrow.dataset")
pc = pytest.importorskip("pyarrow.csv")
feather = pytest.importorskip("pyarrow.feather")
orc = pytest.importorskip("pyarrow.orc")

FRAME = {"a": [1, 2], "b": ["x", "y"]}


@pytest.fixture
def did(host, tmp_path, monkeypatch):
    """Runs something in a folder of its own, as a run; what it read and wrote, by name within the folder."""
    files.install()
    monkeypatch.chdir(tmp_path)

    def names(datasets):
        return {dataset.name.removeprefix(f"{tmp_path}/"): dataset.facets for dataset in datasets}

    def run(act):
        with host.running("r"):
            act()
        recording = recorder.take("r")
        return names(recording.reads), names(recording.writes)

    return run


def counts(facets):
    return next((facet for key, facet in facets.items() if key.endswith("Statistics")), {})


def columns(facets):
    return [field["name"] for field in facets.get("schema", {}).get("fields", ())]


WRITERS = {
    "csv": (lambda: pd.DataFrame(FRAME).to_csv("x", index=False), "csv"),
    "parquet": (lambda: pd.DataFrame(FRAME).to_parquet("x"), "parquet"),
    "json": (lambda: pd.DataFrame(FRAME).to_json("x"), "json"),
    "feather": (lambda: pd.DataFrame(FRAME).to_feather("x"), "feather"),
    "polars csv": (lambda: pl.DataFrame(FRAME).write_csv("x"), "csv"),
    "polars parquet": (lambda: pl.DataFrame(FRAME).write_parquet("x"), "parquet"),
    "polars json": (lambda: pl.DataFrame(FRAME).write_ndjson("x"), "json"),
    "arrow parquet": (lambda: pq.write_table(pl.DataFrame(FRAME).to_arrow(), "x"), "parquet"),
    "arrow csv": (lambda: pc.write_csv(pl.DataFrame(FRAME).to_arrow(), "x"), "csv"),
    "arrow feather": (lambda: feather.write_feather(pd.DataFrame(FRAME), "x"), "feather"),
    "arrow orc": (lambda: orc.write_table(pa.table(FRAME), "x"), "orc"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_written_is_one_output_with_its_schema_and_counts(did, tmp_path, kind):
    write, file_format = WRITERS[kind]
    read, written = did(write)
    assert ({}, ["x"]) == (read, list(written))
    assert ["a", "b"] == columns(written["x"])
    assert {"rowCount": 2, "size": (tmp_path / "x").stat().st_size, "fileCount": 1} == {
        key: value for key, value in counts(written["x"]).items() if key != "_schemaURL"
    }
    assert file_format == written["x"]["storage"]["fileFormat"]


READERS = {
    "pandas csv": lambda: pd.read_csv("x.csv"),
    "pandas parquet": lambda: pd.read_parquet("x.parquet"),
    "polars csv": lambda: pl.read_csv("x.csv"),
    "polars parquet": lambda: pl.read_parquet("x.parquet"),
    "arrow parquet": lambda: pq.read_table("x.parquet"),
    "arrow file": lambda: pq.ParquetFile("x.parquet").read(),
    "arrow csv": lambda: pc.read_csv("x.csv"),
}


@pytest.mark.parametrize("kind", READERS)
def test_what_is_read_is_one_input_with_its_schema_and_rows(did, kind):
    pl.DataFrame(FRAME).write_csv("x.csv")
    pl.DataFrame(FRAME).write_parquet("x.parquet")
    read, written = did(READERS[kind])
    ((name, facets),) = read.items()
    assert ({}, True) == (written, name.startswith("x."))
    assert ["a", "b"] == columns(facets)
    assert 2 == counts(facets)["rowCount"]


@pytest.mark.parametrize(
    "part",
    [
        lambda: pd.read_csv("x.csv", usecols=["a"]),
        lambda: pd.read_csv("x.csv", header=None),
        lambda: list(pd.read_csv("x.csv", chunksize=1)),
        lambda: pl.read_csv("x.csv", columns=["a"]),
        lambda: pl.scan_csv("x.csv").collect(),
    ],
)
def test_a_read_that_does_not_see_all_columns_says_nothing_of_the_schema(did, part):
    pl.DataFrame(FRAME).write_csv("x.csv")
    read, _ = did(part)
    assert ["x.csv"] == list(read)
    assert "schema" not in read["x.csv"]


@pytest.mark.parametrize(
    "write",
    [
        lambda: pd.DataFrame(FRAME).to_parquet("d", partition_cols=["b"]),
        lambda: pl.DataFrame(FRAME).write_parquet("d/", partition_by="b", mkdir=True),
        lambda: pq.write_to_dataset(pl.DataFrame(FRAME).to_arrow(), "d", partition_cols=["b"]),
        lambda: ds.write_dataset(pl.DataFrame(FRAME).to_arrow(), "d", format="parquet"),
        lambda: pl.DataFrame(FRAME).write_parquet("d/b=x/0.parquet", mkdir=True),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_partitioned_dataset_is_one_dataset(did, write):
    _, written = did(write)
    assert ["d"] == list(written)


def test_reading_a_folder_its_pattern_or_its_parts_through_fsspec_is_reading_the_folder(did):
    pd.DataFrame(FRAME).to_parquet("d", partition_cols=["b"])
    local = fsspec.filesystem("file")

    def read_all():
        pd.read_parquet("d")
        pl.scan_parquet("d/*/*.parquet").collect()
        ds.dataset(f"{local.info('d')['name']}", partitioning="hive", filesystem=local).to_table()

    read, _ = did(read_all)
    assert ["d"] == list(read)


def test_a_write_counts_when_the_file_is_closed_without_an_error(did):
    local = fsspec.filesystem("file")

    def write():
        with local.open("good.txt", "w") as file:
            file.write("hello")
        with pytest.raises(KeyError), local.open("bad.txt", "wb"):
            raise KeyError

    _, written = did(write)
    assert 5 == counts(written["good.txt"])["size"]
    assert "bad.txt" not in written


def test_a_frame_written_into_a_file_of_fsspec_is_one_output_with_its_schema(did):
    def write():
        with fsspec.open("x.csv", "w") as file:
            pd.DataFrame(FRAME).to_csv(file, index=False)

    _, written = did(write)
    assert ["a", "b"] == columns(written["x.csv"])
    assert 2 == counts(written["x.csv"])["rowCount"]


def test_the_rows_of_several_writes_to_one_file_are_summed_by_its_writer_only(did):
    table = pl.DataFrame(FRAME).to_arrow()

    def write():
        with pq.ParquetWriter("x.parquet", table.schema) as writer:
            writer.write_table(table)
            writer.write_table(table)
        pd.DataFrame(FRAME).to_csv("x.csv", index=False)
        pd.DataFrame(FRAME).to_csv("x.csv", index=False, header=False, mode="a")

    _, written = did(write)
    assert 4 == counts(written["x.parquet"])["rowCount"]
    assert "rowCount" not in counts(written["x.csv"])


def test_whole_files_are_read_on_one_side_and_written_on_the_other(did):
    local = fsspec.filesystem("file")
    local.pipe("a.txt", b"hello")
    local.makedirs("to")
    read, written = did(lambda: (local.put("a.txt", "to/"), local.copy("a.txt", "b.txt"), local.cat("b.txt")))
    # What the run wrote itself is no input, though it was read.
    assert ["a.txt"] == list(read)
    assert ["to/a.txt", "b.txt"] == list(written)


def test_streams_memory_and_temporary_files_are_nobody_s_lineage(did):
    def act():
        pd.DataFrame(FRAME).to_csv(io.StringIO())
        pd.DataFrame(FRAME).to_csv("memory://x.csv")
        pd.read_csv("memory://x.csv")
        pl.read_csv(b"a\n1\n")
        with tempfile.NamedTemporaryFile(suffix=".csv") as file:
            pd.DataFrame(FRAME).to_csv(file.name)

    assert ({}, {}) == did(act)


def test_what_failed_is_not_recorded(did):
    def act():
        for read in (pd.read_csv, pl.read_csv, pq.read_table, fsspec.filesystem("file").cat_file):
            with pytest.raises(FileNotFoundError):
                read("nope")
        with pytest.raises(OSError, match="nope"):
            pd.DataFrame(FRAME).to_csv("nope/x.csv")

    assert ({}, {}) == did(act)


def test_the_orchestrator_s_own_files_are_left_out(did):
    """Code of a host's package opens a file, as an IO manager or a result store does."""
    scope = {"__name__": "prefect.filesystems", "fsspec": fsspec}
    exec("def store():\n with fsspec.open('result', 'wb') as file:\n  file.write(b'x')", scope)
    assert ({}, {}) == did(scope["store"])


def test_wrapped_functions_keep_name_signature_and_pickling(did):
    assert "filepath_or_buffer" == next(iter(inspect.signature(pd.read_csv).parameters))
    assert "read_csv" == pd.read_csv.__name__
    assert pickle.loads(pickle.dumps(pd.read_csv)) is pd.read_csv
    assert pickle.loads(pickle.dumps(pl.read_csv)) is pl.read_csv


def test_a_library_s_warning_still_points_at_the_user_s_line(did):
    pl.DataFrame(FRAME).write_csv("x.csv")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        did(lambda: pd.read_csv("x.csv", parse_dates=["b"]))
    assert {__file__} == {warning.filename for warning in seen}


def test_the_facets_name_the_specification_of_the_client():
    from openlineage.client.facet_v2 import (
        datasource_dataset,
        input_statistics_input_dataset,
        output_statistics_output_dataset,
        schema_dataset,
        storage_dataset,
    )

    classes = {
        "dataSource": datasource_dataset.DatasourceDatasetFacet,
        "inputStatistics": input_statistics_input_dataset.InputStatisticsInputDatasetFacet,
        "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
        "schema": schema_dataset.SchemaDatasetFacet,
        "storage": storage_dataset.StorageDatasetFacet,
    }
    expected = {
        key: kind._get_schema().split("/facets/")[1].split(".json")[0] for key, kind in classes.items()
    }
    assert expected == SCHEMA_URLS


def test_a_run_from_csv_to_parquet_is_described_with_schema_and_statistics(host, tmp_path):
    files.install()
    pl.DataFrame(FRAME).write_csv(tmp_path / "in.csv")
    with host.running("r"):
        frame = pd.read_csv(tmp_path / "in.csv")
        pl.DataFrame({name: frame[name].tolist() for name in frame}).write_parquet(tmp_path / "out.parquet")
    told = describe(recorder.take("r"))
    (read,), (written,) = told.inputs, told.outputs
    assert [("file", f"{tmp_path}/in.csv"), ("file", f"{tmp_path}/out.parquet")] == [
        (each.namespace, each.name) for each in (read, written)
    ]
    assert 2 == read.inputFacets["inputStatistics"]["rowCount"]
    assert 2 == written.outputFacets["outputStatistics"]["rowCount"]
    assert ["Int64", "String"] == [field["type"] for field in written.facets["schema"]["fields"]]
    assert "columnLineage" not in written.facets
