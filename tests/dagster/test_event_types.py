"""Every type of record that Dagster writes, and what the collector makes of it: none is passed over by mistake."""

from __future__ import annotations

from dagster import DagsterEventType, asset, materialize

from openlineage_bridge_dagster.fold import EVENT_TYPES, PATH_TYPES, RunFold
from openlineage_bridge_dagster.runless import RUNLESS_TYPES

RUN = "an event of the run"
STEP = "an event of the step"
KEPT = "kept for the event of the step's end"
CHOSEN = "read where paths count as lineage (Sources.paths)"
NOTHING = "says nothing of lineage"

HANDLED = {
    "RUN_START": RUN,
    "RUN_SUCCESS": RUN,
    "RUN_FAILURE": RUN,
    "RUN_CANCELING": "remembered: steps that are interrupted now are aborted, not failed",
    "RUN_CANCELED": RUN,
    "RUN_SUSPENDED": RUN,
    "RUN_RESUMED": RUN,
    "STEP_START": STEP,
    "STEP_RESTARTED": STEP,
    "STEP_SUCCESS": STEP,
    "STEP_FAILURE": STEP,
    "STEP_UP_FOR_RETRY": STEP,
    "STEP_EXPECTATION_RESULT": KEPT,
    "ASSET_MATERIALIZATION_PLANNED": "kept for the event of the step's start",
    "ASSET_MATERIALIZATION": KEPT,
    "ASSET_OBSERVATION": KEPT,
    "ASSET_CHECK_EVALUATION": KEPT,
    "ENGINE_EVENT": "what capture recorded in the step; the cause of a run's end that has none",
    "HANDLED_OUTPUT": CHOSEN,
    "LOADED_INPUT": CHOSEN,
}
IGNORED = {
    # The run waits; it has not begun.
    "RUN_ENQUEUED": NOTHING,
    "RUN_DEQUEUED": NOTHING,
    "RUN_STARTING": NOTHING,
    # A step that is skipped does not run. What is about the process, the resources or the hooks around it is not data.
    "STEP_SKIPPED": NOTHING,
    "STEP_WORKER_STARTING": NOTHING,
    "STEP_WORKER_STARTED": NOTHING,
    "RESOURCE_INIT_STARTED": NOTHING,
    "RESOURCE_INIT_SUCCESS": NOTHING,
    "RESOURCE_INIT_FAILURE": NOTHING,
    "LOGS_CAPTURED": NOTHING,
    "HOOK_COMPLETED": NOTHING,
    "HOOK_ERRORED": NOTHING,
    "HOOK_SKIPPED": NOTHING,
    "ALERT_START": NOTHING,
    "ALERT_SUCCESS": NOTHING,
    "ALERT_FAILURE": NOTHING,
    # Type checks of values between ops, and where these are pickled.
    "STEP_INPUT": NOTHING,
    "STEP_OUTPUT": NOTHING,
    "OBJECT_STORE_OPERATION": NOTHING,
    "ASSET_STORE_OPERATION": NOTHING,
    # The check's evaluation, or the failure of its step, follows.
    "ASSET_CHECK_EVALUATION_PLANNED": NOTHING,
    # Dagster+ alone; the failure of the step is told.
    "ASSET_FAILED_TO_MATERIALIZE": NOTHING,
    # Dagster forgets what it knew of the asset; the table stays as it is.
    "ASSET_WIPED": NOTHING,
    # Judgements of daemons on events that were told.
    "ASSET_HEALTH_CHANGED": NOTHING,
    "FRESHNESS_STATE_EVALUATION": NOTHING,
    "FRESHNESS_STATE_CHANGE": NOTHING,
    # The sensor and the tailer look at the code that they load, not at who else loaded it.
    "CODE_LOCATION_UPDATED": NOTHING,
}
RUNLESS = {"ASSET_MATERIALIZATION", "ASSET_OBSERVATION", "ASSET_CHECK_EVALUATION"}


def test_every_type_of_record_is_accounted_for():
    """A type that a new Dagster adds belongs into one of the tables above; an older one lacks some."""
    known = {each.name for each in DagsterEventType}

    assert not known - HANDLED.keys() - IGNORED.keys()
    assert not HANDLED.keys() & IGNORED.keys()


def test_the_tables_are_what_the_collector_does():
    """What is handled is asked for and has a handler; what is ignored is not even read."""
    known = {each.name for each in DagsterEventType}
    handlers = {each.name for each in DagsterEventType if each.value in RunFold.HANDLERS}

    assert HANDLED.keys() & known == handlers
    assert handlers == {each.name for each in EVENT_TYPES | PATH_TYPES}
    assert {name for name, how in HANDLED.items() if how == CHOSEN} == {each.name for each in PATH_TYPES}
    assert {each.name for each in RUNLESS_TYPES} == RUNLESS


@asset
def orders():
    return 1


def test_ignored_and_unknown_records_change_nothing(instance, folded, records):
    """Wherever they stand in a log that is read all the same, and whatever a newer Dagster may call them."""
    run_id = materialize([orders], instance=instance).run_id
    log, expected = records(run_id), folded(run_id)

    for event_type in [*IGNORED, "SOMETHING_NEW"]:
        value = getattr(DagsterEventType.__members__.get(event_type), "value", event_type)
        mixed = [each for record in log for each in (_stranger(record, value), record)]
        assert expected == folded(run_id, log=mixed), event_type


def _stranger(record, value):
    """The record as another type, with nothing in it."""
    event = record.dagster_event._replace(event_type_value=value, event_specific_data=None)
    return record._replace(dagster_event=event)
