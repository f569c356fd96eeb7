"""What the code of ops and assets did travels in Dagster's event log, and never harms a run."""

from __future__ import annotations

import json
import logging

import duckdb
import pytest
from dagster import RetryPolicy, asset, job, materialize, op
from dagster._core.execution.plan import execute_step
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.event import listen as listen_for_statements
from sqlalchemy.event import remove as stop_listening

from openlineage_bridge_capture import Dataset, inputs, outputs, recorder
from openlineage_bridge_capture.recording import Recording, Statement
from openlineage_bridge_dagster import instrumentation
from openlineage_bridge_dagster.fold import RECORDING_KEY
from openlineage_bridge_dagster.instrumentation import arm, current_step, fitting


@pytest.fixture
def recordings(records):
    """What capture saw, by step, an entry for each attempt."""

    def read(run_id):
        return [
            (
                entry.step_key,
                Recording.from_json(entry.dagster_event.event_specific_data.metadata[RECORDING_KEY].value),
            )
            for entry in records(run_id)
            if RECORDING_KEY in getattr(entry.dagster_event.event_specific_data, "metadata", {})
        ]

    return read


def said(step_key, *names):
    return step_key, Recording(inputs=tuple(Dataset("x", name) for name in names))


def test_what_an_op_says_travels_with_its_step(instance, recordings):
    """Each step has its own recording; a step that says nothing logs nothing."""

    @op
    def reading():
        inputs(Dataset("x", "a"), Dataset("x", "b"))

    @op
    def silent():
        pass

    @op
    def writing():
        outputs(Dataset("x", "c", {"documentation": {"description": "out"}}))

    @job
    def talking():
        reading()
        silent()
        writing()

    run_id = talking.execute_in_process(instance=instance).run_id

    written = Recording(outputs=(Dataset("x", "c", {"documentation": {"description": "out"}}),))
    assert {"reading": said("reading", "a", "b")[1], "writing": written} == dict(recordings(run_id))


def test_a_failed_attempt_says_what_it_did_too(instance, recordings):
    """Every attempt has its own recording, the failed ones included."""

    @op(retry_policy=RetryPolicy(max_retries=1))
    def flaky(context):
        inputs(Dataset("x", f"attempt {context.retry_number}"))
        if context.retry_number == 0:
            raise RuntimeError("again")

    @job
    def retrying():
        flaky()

    run_id = retrying.execute_in_process(instance=instance).run_id

    assert [said("flaky", "attempt 0"), said("flaky", "attempt 1")] == recordings(run_id)


def test_sql_is_captured_and_dagsters_own_is_not(instance, recordings, tmp_path):
    """Dagster's storage speaks SQL under the same context: its bookkeeping is nobody's lineage."""
    file = tmp_path / "shop.duckdb"

    @asset
    def orders(context):
        context.log.info("Dagster stores this with SQL")
        with duckdb.connect(str(file)) as connection:
            connection.execute("CREATE TABLE orders AS SELECT 1 AS id")
        context.instance.get_runs()

    run_id = materialize([orders], instance=instance).run_id

    [(step_key, recording)] = recordings(run_id)
    assert step_key == "orders"
    assert {f"duckdb://{file}"} == {statement.namespace for statement in recording.statements}
    assert [statement.sql for statement in recording.statements] == ["CREATE TABLE orders AS SELECT 1 AS id"]


def test_dagsters_storage_acts_for_no_step(instance):
    """Whatever its storage executes while a step runs, and it executes a lot, is attributed to nobody."""
    seen = []

    def executed(*_args):
        seen.append(current_step())

    @op
    def storing(context):
        context.log.info("stored")
        context.instance.get_runs()

    @job
    def busy():
        storing()

    listen_for_statements(Engine, "before_cursor_execute", executed)
    try:
        busy.execute_in_process(instance=instance)
    finally:
        stop_listening(Engine, "before_cursor_execute", executed)

    assert {None} == set(seen)


def test_outside_a_step_nobody_is_executing(instance):
    """In an op the step is named with its run and attempt; around it nothing is."""
    seen = []

    @op
    def asking():
        seen.append(current_step())

    @job
    def questions():
        asking()

    run_id = questions.execute_in_process(instance=instance).run_id

    assert [f"{run_id}/asking#0"] == seen
    assert current_step() is None


def test_a_recording_that_cannot_be_logged_harms_nothing(instance, monkeypatch, caplog):
    """The run succeeds, the lineage is missing, the log says why."""

    def broken(*_args, **_kwargs):
        raise RuntimeError("no log")

    monkeypatch.setattr(instrumentation, "fitting", broken)

    @op
    def reading():
        inputs(Dataset("x", "a"))

    @job
    def harmless():
        reading()

    with caplog.at_level(logging.WARNING, "openlineage_bridge_dagster"):
        result = harmless.execute_in_process(instance=instance)

    assert result.success
    assert "cannot be logged" in caplog.text


def test_an_unknown_dagster_is_left_alone(monkeypatch, caplog):
    """Another signature: nothing is wrapped, and the log says so."""

    def enter_execution_context(step_context, something_new):
        raise AssertionError

    monkeypatch.setattr(execute_step, "enter_execution_context", enter_execution_context)

    with caplog.at_level(logging.WARNING, "openlineage_bridge_dagster"):
        armed = arm()

    assert armed is False
    assert enter_execution_context is execute_step.enter_execution_context
    assert "something_new" in caplog.text


def test_arming_twice_wraps_once():
    arm()
    wrapped = execute_step.enter_execution_context

    assert arm() is True
    assert wrapped is execute_step.enter_execution_context


def test_disabled_means_not_armed(monkeypatch):
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")

    assert arm() is False


def test_the_users_exception_is_untouched(instance):
    """The wrapper adds nothing to it and takes nothing away."""

    class MineError(Exception):
        pass

    @op
    def raising():
        inputs(Dataset("x", "a"))
        raise MineError("mine")

    @job
    def failing():
        raising()

    with pytest.raises(MineError, match="mine"):
        failing.execute_in_process(instance=instance)
    assert not recorder.peek("anything")


statements = st.builds(Statement, sql=st.text(max_size=50), dialect=st.just("duckdb"), namespace=st.just("n"))


@settings(deadline=None)
@given(st.lists(statements, max_size=20), st.integers(200, 3000))
def test_a_recording_in_the_event_log_is_bounded(found, limit):
    """Statements are left out from the end, and counted."""
    recording = Recording(statements=tuple(found))

    fitted = Recording.from_json(json.loads(json.dumps(fitting(recording, limit))))

    assert len(json.dumps(fitted.to_json())) <= limit or not fitted.statements
    assert recording.statements[: len(fitted.statements)] == fitted.statements
    assert len(found) == len(fitted.statements) + fitted.left_out
