"""The recorder attributes exactly, stays within its bounds and never disturbs the code it watches."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openlineage.client.facet_v2 import documentation_dataset

from openlineage_bridge_capture import Dataset, inputs, outputs, recorder
from openlineage_bridge_capture.recording import Catalog, Recording, Statement

A = Dataset("postgres://h:5432", "shop.public.a")
B = Dataset("postgres://h:5432", "shop.public.b")


def select(text: str) -> Statement:
    return Statement(text, "postgres", "postgres://h:5432", "shop", "public")


def test_what_a_run_did_comes_back_in_order_of_first_occurrence_without_repetition(host):
    with host.running("r"):
        inputs(A, B)
        inputs(A)
        outputs(B)
        for text in ("select 2", "select 1", "select 2"):
            recorder.statement(select(text))
    assert Recording((A, B), (B,), (select("select 2"), select("select 1"))) == recorder.take("r")


def test_peek_leaves_the_recording_and_take_ends_it(host):
    with host.running("r"):
        inputs(A)
    assert recorder.peek("r") == recorder.peek("r") == recorder.take("r")
    assert not recorder.take("r")


def test_two_mentions_of_a_dataset_are_one_with_the_facets_of_both(host):
    with host.running("r"):
        inputs(Dataset("file", "/x", {"a": {"v": 1}, "b": {"v": 1}}), Dataset("file", "/x", {"b": {"v": 2}}))
    (only,) = recorder.take("r").inputs
    assert only.facets == {"a": {"v": 1}, "b": {"v": 2}}


def test_outside_every_run_nothing_is_recorded_and_it_is_counted_and_said_once(host, caplog):
    with caplog.at_level(logging.INFO, logger="openlineage_bridge"):
        inputs(A)
        for _ in range(3):
            recorder.statement(select("select 1"))
    assert recorder.unattributed() == 4
    assert ["outside every run" in record.message for record in caplog.records] == [True]


def test_without_a_host_nothing_is_recorded_or_counted(host, monkeypatch):
    monkeypatch.setattr(recorder, "_hosts", [])
    inputs(A)
    recorder.statement(select("select 1"))
    assert (recorder.unattributed(), recorder.active()) == (0, False)


@pytest.mark.parametrize("wrong", ["no dataset", ["a", "b"], None, 7, ("ns", "name"), Dataset])
def test_wrong_arguments_are_named_in_the_log_and_never_raised(host, caplog, wrong):
    with host.running("r"), caplog.at_level(logging.WARNING, logger="openlineage_bridge"):
        inputs(wrong, A)
        outputs(wrong)
    assert Recording(inputs=(A,)) == recorder.take("r")
    assert "inputs() takes datasets, URIs and paths" in caplog.records[0].message


def test_statements_beyond_the_bound_are_counted(host, monkeypatch):
    monkeypatch.setattr(recorder, "MAX_STATEMENTS", 3)
    with host.running("r"):
        for number in range(5):
            recorder.statement(select(f"select {number}"))
        recorder.statement(select("select 1"))
    recording = recorder.take("r")
    assert (len(recording.statements), recording.left_out) == (3, 2)


def test_a_statement_full_of_data_is_counted_instead_of_kept(host):
    with host.running("r"):
        recorder.statement(select("insert into t values ('" + "x" * recorder.MAX_SQL_LENGTH + "')"))
    assert Recording(left_out=1) == recorder.take("r")


def test_datasets_beyond_the_bound_are_counted(host, monkeypatch):
    monkeypatch.setattr(recorder, "MAX_DATASETS", 1)
    with host.running("r"):
        inputs(A, B, A)
    assert Recording(inputs=(A,), left_out=1) == recorder.take("r")


def test_runs_that_nobody_takes_are_forgotten_oldest_first(host, monkeypatch):
    monkeypatch.setattr(recorder, "MAX_RUNS", 2)
    for run in ("one", "two", "three"):
        with host.running(run):
            inputs(A)
    assert [bool(recorder.take(run)) for run in ("one", "two", "three")] == [False, True, True]


def test_the_first_host_that_knows_names_the_run_and_a_broken_one_is_passed_over(host, monkeypatch):
    def broken():
        raise RuntimeError("no context")

    monkeypatch.setattr(recorder, "_hosts", [broken, lambda: None, lambda: "third", lambda: "fourth"])
    assert recorder.current_run() == "third"


def test_registering_a_host_twice_is_one_registration(host):
    recorder.attribute_with(host.current)
    assert [host.current] == recorder._hosts


def test_statements_of_interleaved_tasks_all_go_to_their_own_run(host):
    """1,000 statements of 50 asyncio tasks that give way after each: none in a wrong run."""

    async def task(run: str) -> None:
        with host.running(run):
            for number in range(20):
                recorder.statement(select(f"select {number} /* {run} */"))
                await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(task(f"run-{number}") for number in range(50)))

    asyncio.run(main())
    for number in range(50):
        expected = [f"select {each} /* run-{number} */" for each in range(20)]
        assert expected == [statement.sql for statement in recorder.take(f"run-{number}").statements]


def test_statements_of_threads_all_go_to_their_own_run(host):
    barrier = threading.Barrier(8)

    def work(run: str) -> None:
        with host.running(run):
            barrier.wait(timeout=10)
            for number in range(125):
                recorder.statement(select(f"select {number} /* {run} */"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [f"run-{number}" for number in range(8)]))
    for number in range(8):
        expected = [f"select {each} /* run-{number} */" for each in range(125)]
        assert expected == [statement.sql for statement in recorder.take(f"run-{number}").statements]


texts = st.text(min_size=1, max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
datasets = st.builds(Dataset, texts, texts, st.dictionaries(texts, json_values, max_size=3))
statements = st.builds(
    Statement,
    sql=texts,
    dialect=texts,
    namespace=texts,
    catalog=st.none() | texts,
    schema=st.none() | texts,
    catalogs=st.lists(st.builds(Catalog, texts, texts, texts), max_size=2).map(tuple),
    ephemeral=st.lists(texts, max_size=2).map(tuple),
    directory=st.none() | texts,
)
recordings = st.builds(
    Recording,
    inputs=st.lists(datasets, max_size=3).map(tuple),
    outputs=st.lists(datasets, max_size=3).map(tuple),
    statements=st.lists(statements, max_size=3).map(tuple),
    left_out=st.integers(0, 5),
)


@given(recordings)
def test_a_recording_survives_the_way_through_json(recording):
    assert recording == Recording.from_json(recording.to_json())


def test_from_json_ignores_what_a_newer_writer_added():
    data = Recording(statements=(select("select 1"),)).to_json()
    data["mood"] = data["statements"][0]["mood"] = "good"
    assert Recording(statements=(select("select 1"),)) == Recording.from_json(data)


def test_facet_objects_become_what_they_are_on_the_wire():
    facet = documentation_dataset.DocumentationDatasetFacet(description="orders")
    (dataset,) = Recording(inputs=(Dataset("file", "/x", {"documentation": facet}),)).to_json()["inputs"]
    assert dataset["facets"]["documentation"]["description"] == "orders"


def test_a_file_that_the_run_wrote_and_removed_leaves_no_trace(host, tmp_path):
    """One that stays does, and what somebody says is believed."""
    kept, gone = tmp_path / "kept", tmp_path / "gone"
    kept.touch()
    with host.running("r"):
        recorder.wrote(Dataset("file", str(kept)), Dataset("file", str(gone)), Dataset("s3://b", "k"))
        outputs(Dataset("file", str(gone)))
    recording = recorder.take("r")

    assert (Dataset("file", str(kept)), Dataset("s3://b", "k")) == recording.writes
    assert (Dataset("file", str(gone)),) == recording.outputs


def test_what_the_run_put_there_itself_is_no_input(host):
    """What it read before it wrote is."""
    with host.running("r"):
        recorder.read(A)
        recorder.wrote(A, B)
        recorder.read(A, B)

    assert ((A,), (A, B)) == ((taken := recorder.take("r")).reads, taken.writes)
