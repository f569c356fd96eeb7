"""What the tail finds and reads: every run, runless events, late records, and nothing twice by mistake."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from bridge_tests.dagster_jobs import EVENTS_OF_ADDING, adding, one, plus
from dagster import (
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    DagsterInstance,
    Definitions,
    asset,
    build_sensor_context,
    graph,
    materialize,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from openlineage.client.event_v2 import DatasetEvent
from openlineage.client.serde import Serde

from openlineage_bridge_dagster import discovery, openlineage_sensor, sensor, tail
from openlineage_bridge_dagster.cursor import Cursor
from openlineage_bridge_dagster.delivery import DeliveryError


def _log_run_start(instance, run):
    from dagster import DagsterEvent, DagsterEventType

    event = DagsterEvent(event_type_value=DagsterEventType.RUN_START.value, job_name=run.job_name)
    instance.report_dagster_event(event, run_id=run.run_id)


def test_discovery_pages_to_the_end(instance, backend, tick, monkeypatch):
    """More runs than a page, some of them with one and the same update time: every one is found."""
    monkeypatch.setattr(discovery, "PAGE", 2)
    monkeypatch.setattr(discovery.discover, "__kwdefaults__", {"page": 2, "waiting": 1000})
    tick()
    runs = {adding.execute_in_process(instance=instance).run_id for _ in range(5)}
    [runs_db] = Path(instance.root_directory).rglob("runs.db")
    with sqlite3.connect(runs_db) as connection:
        connection.execute("UPDATE runs SET update_timestamp = (SELECT max(update_timestamp) FROM runs)")
    connection.close()

    tick()

    assert runs == {event.run.runId for event in backend.events if event.job.name == "adding"}


def test_a_long_history_waits_outside_of_the_cursor(instance, backend, tick, monkeypatch):
    """However many runs there are, so many at most are marked as open; the others are found when these are told."""
    monkeypatch.setattr(discovery.discover, "__kwdefaults__", {"page": 500, "waiting": 2})
    monkeypatch.setattr(sensor, "BUDGET", 0.0)
    runs = {adding.execute_in_process(instance=instance).run_id for _ in range(3)}
    tick.restart(backfill="all")

    most = 0
    for _ in range(50):
        said = tick()
        marks = Cursor.from_json(tick.cursor).runs.values()
        most = max(most, sum(1 for mark in marks if not mark.done))
        if said == "0 events delivered, 0 runs open.":
            break

    assert runs == {event.run.runId for event in backend.events if event.job.name == "adding"}
    assert 2 == most


def test_marks_of_finished_runs_are_dropped_when_discovery_cannot_find_them_again(
    instance, backend, tick, monkeypatch
):
    """The cursor stays small, and no run is told twice because its mark went too early."""
    for module in (discovery, tail):
        monkeypatch.setattr(module, "GRACE", 0.0)
    monkeypatch.setattr(discovery, "OVERLAP", 0.0)
    tick()
    for _ in range(4):
        adding.execute_in_process(instance=instance)
        tick()

    assert 4 * EVENTS_OF_ADDING == len(set(backend.lines())) == len(backend.lines())
    assert len(Cursor.from_json(tick.cursor).runs) <= 1


def test_a_deleted_run_is_forgotten(instance, backend, tick):
    """Its mark would otherwise stay open for ever."""
    tick()
    run = instance.create_run_for_job(adding)
    _log_run_start(instance, run)
    tick()
    instance.delete_run(run.run_id)

    assert tick() == "0 events delivered, 0 runs open."


def test_tags_edited_later_tell_nothing_again(instance, backend, tick):
    """Editing an old run's tags makes discovery find it; it was handled."""
    tick()
    run_id = adding.execute_in_process(instance=instance).run_id
    tick()
    instance.add_run_tags(run_id, {"note": "kept"})

    assert tick() == "0 events delivered, 0 runs open."


def test_runless_events_become_dataset_events(instance, backend, tick):
    """Reported in the UI or through the API: no run, hence an event of the dataset, told once."""
    instance.report_runless_asset_event(AssetMaterialization("before"))
    tick()
    instance.report_runless_asset_event(AssetMaterialization("made", metadata={"dagster/row_count": 2}))
    instance.report_runless_asset_event(AssetObservation("seen", tags={"dagster/data_version": "7"}))

    tick()
    tick()

    assert [DatasetEvent, DatasetEvent] == [type(event) for event in backend.events]
    assert [event.dataset.name for event in backend.events] == ["made", "seen"]
    assert backend.events[1].dataset.facets["version"].datasetVersion == "7"


def test_definitions_of_the_code_location_enrich_events(instance, backend, tick):
    """A sensor in the user's location knows owners and descriptions, and the parents already at the start."""

    @asset(owners=["team:data"], kinds={"duckdb"})
    def upstream():
        return 1

    @asset(description="What came of it.")
    def downstream(upstream):
        return upstream

    definitions = Definitions(assets=[upstream, downstream])
    tick(definitions)
    declared = len(backend.events)
    materialize([upstream, downstream], instance=instance)

    tick(definitions)

    events = backend.events[declared:]
    written = {
        output.name: output.facets
        for event in events
        if event.eventType.value == "COMPLETE"
        for output in event.outputs
    }
    assert written["upstream"]["ownership"].owners[0].name == "team:data"
    assert written["upstream"]["tags"].tags[0].value == "duckdb"
    assert written["downstream"]["documentation"].description == "What came of it."
    [start] = [
        event
        for event in events
        if event.eventType.value == "START" and event.job.name.endswith(".downstream")
    ]
    assert [read.name for read in start.inputs] == ["upstream"]


def test_the_first_materialization_of_an_asset_has_one_name(instance, backend, tick):
    """Where only the materialization says the address, START does not guess another one, and readers use it too."""

    @asset
    def stored():
        from dagster import MaterializeResult

        return MaterializeResult(
            metadata={"dagster/table_name": "db.s.t", "dagster/storage_kind": "snowflake"}
        )

    @asset(deps=[stored])
    def reader():
        return 1

    tick()
    materialize([stored], instance=instance)
    tick()
    materialize([stored], instance=instance)
    materialize([reader], instance=instance)
    tick()

    names = {(output.namespace, output.name) for event in backend.events for output in event.outputs}
    reads = {(read.namespace, read.name) for event in backend.events for read in event.inputs}
    assert {("snowflake", "DB.S.T"), ("dagster", "reader")} == names
    assert {("snowflake", "DB.S.T")} == reads


def test_a_record_shown_late_is_not_overtaken(instance, backend, tick, monkeypatch):
    """Storages with several writers are read up to the settle time only."""
    monkeypatch.setattr(tail.Tail, "_settle", lambda _self: 3600.0)
    tick()
    adding.execute_in_process(instance=instance)

    assert tick() == "0 events delivered, 1 runs open."
    monkeypatch.setattr(tail.Tail, "_settle", lambda _self: 0.0)
    tick()
    assert len(backend.events) == EVENTS_OF_ADDING


def test_a_record_that_slipped_in_is_found_by_the_count_after_the_grace_time(
    instance, backend, tick, monkeypatch
):
    """The run is folded again: what was missed comes, what was told comes again, the same."""
    monkeypatch.setattr(tail.Tail, "_settle", lambda _self: 1e-9)
    monkeypatch.setattr(tail, "GRACE", 0.0)
    tick()
    run_id = adding.execute_in_process(instance=instance).run_id
    [shard] = Path(instance.root_directory).rglob(f"{run_id}.db")
    rename = "UPDATE event_logs SET dagster_event_type = ? WHERE dagster_event_type = ?"
    with sqlite3.connect(shard) as connection:
        connection.execute(rename, ("HIDDEN", "PIPELINE_START"))
    tick()
    told = backend.lines()
    with sqlite3.connect(shard) as connection:
        connection.execute(rename, ("PIPELINE_START", "HIDDEN"))
    connection.close()

    tick()

    assert tick() == "0 events delivered, 0 runs open."
    assert len(told) == EVENTS_OF_ADDING - 1
    [missed] = set(backend.lines()) - set(told)
    assert '"eventType": "START"' in missed
    assert len(set(backend.lines())) == EVENTS_OF_ADDING


def test_the_consolidated_storage_works_as_well(backend, tmp_path):
    """One database for all runs, the ids shared: nothing is taken from another run."""
    from dagster._core.instance import InstanceRef

    storage = {"module": "dagster._core.storage.event_log", "class": "ConsolidatedSqliteEventLogStorage"}
    overrides = {"event_log_storage": {**storage, "config": {"base_dir": str(tmp_path)}}}
    with DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path), overrides=overrides)) as instance:
        sensor_under_test = openlineage_sensor(send=backend, backfill="all")
        runs = [adding.execute_in_process(instance=instance).run_id for _ in range(2)]
        instance.report_runless_asset_event(AssetMaterialization(AssetKey("made")))
        with build_sensor_context(instance=instance) as context:
            sensor_under_test(context)

    assert len(backend.events) == 2 * EVENTS_OF_ADDING + 1
    assert set(runs) == {
        event.run.runId
        for event in backend.events
        if getattr(event, "job", None) and event.job.name == "adding"
    }


def test_nested_graphs_keep_their_op_names(instance, backend, tick):
    """The op definition's name comes from the stored snapshot of the job, through graphs of graphs."""

    @graph
    def inner():
        plus.alias("renamed")(one())

    @graph
    def outer():
        inner()

    tick()
    outer.to_job("nested").execute_in_process(instance=instance)
    tick()

    ops = {
        event.job.name: event.run.facets["dagster_step"].opName
        for event in backend.events
        if "dagster_step" in event.run.facets
    }
    assert ops == {"nested.inner.one": "one", "nested.inner.renamed": "plus"}


def test_a_poisoned_runless_event_stops_no_run(instance, backend, tick):
    """It is said at every tick; the runs go on."""
    tick()
    instance.report_runless_asset_event(AssetMaterialization("made"))
    [shard] = Path(instance.root_directory).rglob(".db")
    with sqlite3.connect(shard) as connection:
        connection.execute("UPDATE event_logs SET event = 'broken'")
    connection.close()
    adding.execute_in_process(instance=instance)

    assert "Runless events after id -1 cannot be read" in tick()
    assert "0 events delivered" in tick()
    assert len(backend.events) == EVENTS_OF_ADDING


def test_runs_take_turns_when_there_is_no_time_for_all(instance, backend, tick, monkeypatch):
    """With time for one run in a tick, as many ticks as there are runs reach them all."""
    monkeypatch.setattr(sensor, "BUDGET", 0.0)
    tick()
    runs = {instance.create_run_for_job(adding).run_id for _ in range(3)}
    for run_id in runs:
        _log_run_start(instance, instance.get_run_by_id(run_id))

    for _ in runs:
        tick()

    assert runs == {event.run.runId for event in backend.events}


LOG_LENGTH = 2 * EVENTS_OF_ADDING


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """An instance with two finished runs, for examples by the dozen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
        with DagsterInstance.local_temp(str(tmp_path_factory.mktemp("home"))) as instance:
            for _ in range(2):
                adding.execute_in_process(instance=instance)
            yield instance


@settings(max_examples=25, deadline=None)
@given(
    answers=st.lists(st.sampled_from(["ok", "refused", "lost"]), max_size=30),
    restarts=st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_whatever_fails_and_restarts_nothing_is_lost(two_runs, answers, restarts):
    """Refused connections, lost acknowledgements, new code servers: what comes twice is the same to the byte."""
    arrived, waiting = [], list(answers)

    def send(event):
        answer = waiting.pop(0) if waiting else "ok"
        if answer != "refused":
            arrived.append(Serde.to_json(event))
        if answer != "ok":
            raise ConnectionError(answer)

    cursor, evaluate = None, openlineage_sensor(send=send, backfill="all")
    for restart in restarts:
        if restart:
            evaluate = openlineage_sensor(send=send, backfill="all")
        with (
            build_sensor_context(instance=two_runs, cursor=cursor) as context,
            contextlib.suppress(DeliveryError),
        ):
            evaluate(context)
            cursor = context.cursor
        if not waiting and cursor and all(mark.done for mark in Cursor.from_json(cursor).runs.values()):
            break

    undisturbed = []
    with build_sensor_context(instance=two_runs) as context:
        openlineage_sensor(send=lambda event: undisturbed.append(Serde.to_json(event)), backfill="all")(
            context
        )
    assert len(undisturbed) == LOG_LENGTH
    assert set(undisturbed) == set(arrived)
