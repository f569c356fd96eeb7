"""One SQLite file for each run, looked at before Dagster opens it, and never instead of that where it is needed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest
from bridge_tests.dagster_jobs import single
from dagster import DagsterInstance, EventLogEntry
from dagster._core.storage.event_log.sqlite import sqlite_event_log

from openlineage_bridge_dagster.fold import EVENT_TYPES
from openlineage_bridge_dagster.reading import Reader
from openlineage_bridge_dagster.shards import is_read_to_the_end


@pytest.fixture
def checks(monkeypatch):
    """How often Dagster looked through its migrations."""
    seen = []
    original = sqlite_event_log.check_alembic_revision

    def counting(*given):
        seen.append(given)
        return original(*given)

    monkeypatch.setattr(sqlite_event_log, "check_alembic_revision", counting)
    return seen


def test_the_log_of_a_run_is_read_without_the_check(instance, checks):
    """By an instance that has not seen the file before, as a sensor's is at each tick."""
    run_id = single.execute_in_process(instance=instance).run_id
    checks.clear()

    with DagsterInstance.from_ref(instance.get_ref()) as fresh:
        records, more = Reader(instance=fresh).page(run_id, -1)

    assert (0, False) == (len(checks), more)
    assert "PIPELINE_SUCCESS" == records[-1].event_log_entry.dagster_event.event_type_value


def test_a_log_that_says_nothing_new_is_not_opened_by_dagster(instance, monkeypatch):
    """Neither by the first instance nor by a fresh one; lines of text behind the last record are nothing new."""
    run_id = single.execute_in_process(instance=instance).run_id
    records, _ = Reader(instance=instance).page(run_id, -1)
    end = records[-1].storage_id
    run = instance.get_run_by_id(run_id)
    instance.report_engine_event("said, and asked for", run)
    instance.handle_new_event(_text(run_id))

    assert [end + 1] == [each.storage_id for each in Reader(instance=instance).page(run_id, end)[0]]
    with DagsterInstance.from_ref(instance.get_ref()) as fresh:
        monkeypatch.setattr(type(fresh.event_log_storage), "run_connection", None)
        assert ((), False) == Reader(instance=fresh).page(run_id, end + 1)
        with pytest.raises(TypeError):
            Reader(instance=fresh).page(run_id, end)


def _text(run_id):
    """A line of a run's log as Python's ``logging`` makes it: no event of Dagster's."""
    return EventLogEntry(
        error_info=None, level=20, user_message="a line", run_id=run_id, timestamp=1.0, job_name="single"
    )


def test_a_run_without_a_file_is_left_to_dagster(instance, checks):
    """It makes the file and its tables, as it would have without us."""
    records, more = Reader(instance=instance).page("0000", -1)

    assert ([], False) == (list(records), more)
    assert len(checks) > 0


@pytest.mark.parametrize("made", ["", "CREATE TABLE alembic_version (version_num)"])
def test_a_file_without_its_table_is_left_to_dagster(tmp_path, made):
    """Whoever writes the first record is still at it."""
    with closing(sqlite3.connect(tmp_path / "run.db")) as connection:
        connection.execute(made or "SELECT 1")
    storage = SimpleNamespace(_initialized_dbs=set(), path_for_shard=lambda run_id: tmp_path / f"{run_id}.db")

    assert not is_read_to_the_end(storage, "run", -1, EVENT_TYPES)
    assert set() == storage._initialized_dbs


def test_a_file_that_is_no_database_is_left_to_dagster(tmp_path):
    (tmp_path / "run.db").write_text("not a database, and long enough to be taken for one" * 100)
    storage = SimpleNamespace(_initialized_dbs=set(), path_for_shard=lambda run_id: tmp_path / f"{run_id}.db")

    assert not is_read_to_the_end(storage, "run", -1, EVENT_TYPES)
    assert set() == storage._initialized_dbs


def test_other_storages_are_left_alone():
    """PostgreSQL, MySQL, Dagster+, and a Dagster whose storage looks different."""
    for storage in (SimpleNamespace(), SimpleNamespace(_initialized_dbs={}, path_for_shard=lambda _: "x")):
        assert not is_read_to_the_end(storage, "run", -1, EVENT_TYPES)


def test_the_snapshots_of_a_job_are_read_once(instance, monkeypatch):
    """However many runs share them."""
    runs = [single.execute_in_process(instance=instance).run_id for _ in range(3)]
    asked = []
    original = DagsterInstance.get_job_snapshot

    def counting(self, snapshot_id):
        asked.append(snapshot_id)
        return original(self, snapshot_id)

    monkeypatch.setattr(DagsterInstance, "get_job_snapshot", counting)
    reader = Reader(instance=instance)
    for run_id in runs:
        reader.fold(instance.get_run_record_by_id(run_id))

    assert 1 == len(asked)
