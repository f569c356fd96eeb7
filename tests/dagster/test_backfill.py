"""History: the same events as when it happened, whoever reads it; resumable, and never more than was acknowledged."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from bridge_tests.dagster_jobs import EVENTS_OF_SINGLE, single
from dagster import (
    AssetMaterialization,
    AssetObservation,
    Backoff,
    Definitions,
    DynamicOut,
    DynamicOutput,
    Failure,
    MaterializeResult,
    RetryPolicy,
    asset,
    define_asset_job,
    in_process_executor,
    job,
    op,
)
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge_dagster import backfill
from openlineage_bridge_dagster.assets import definitions_of
from openlineage_bridge_dagster.backfill import Backfill, Mark, Selection, mark_for
from openlineage_bridge_dagster.cursor import Cursor
from openlineage_bridge_dagster.delivery import DeliveryError
from openlineage_bridge_dagster.reading import Reader
from openlineage_bridge_dagster.tail import Tail
from openlineage_bridge_dagster.tailer import Tailer, catch_up

pytestmark = pytest.mark.system

LOOK = {"at": lambda: None}
"""What looks at the instance in the middle of a run."""

TABLE = {"dagster/storage_kind": "snowflake"}


@asset(owners=["team:data"], kinds={"snowflake"})
def orders():
    LOOK["at"]()
    return MaterializeResult(metadata={**TABLE, "dagster/table_name": "shop.public.orders"})


@asset(deps=[orders], retry_policy=RetryPolicy(max_retries=1, delay=0, backoff=Backoff.LINEAR))
def totals(context):
    LOOK["at"]()
    if context.retry_number == 0:
        raise RuntimeError("once more")
    context.log_event(AssetObservation("watched", tags={"dagster/data_version": "7"}))
    return MaterializeResult(metadata={**TABLE, "dagster/table_name": "shop.public.totals"})


@asset(deps=[totals])
def moving(context):
    """An asset that says another place each time."""
    return MaterializeResult(metadata={**TABLE, "dagster/table_name": f"shop.{context.run_id[:8]}.moving"})


@op(out=DynamicOut())
def parts():
    yield from (DynamicOutput(number, mapping_key=f"k{number}") for number in range(2))


@op
def work(number):
    if number == 1:
        raise Failure("one is too many")


@job
def mapping():
    parts().map(work)


DEFINITIONS = Definitions(
    assets=[orders, totals, moving],
    jobs=[define_asset_job("nightly", executor_def=in_process_executor), mapping, single],
)


@pytest.fixture
def live(instance, tick):
    """A history of all sorts, told by the sensor while it happened; the declared graph has tests of its own."""
    tick.restart(static_lineage=False)
    repository = DEFINITIONS.get_repository_def()

    def look():
        tick(DEFINITIONS)

    look()
    LOOK["at"] = look
    try:
        for _ in range(2):
            repository.get_job("nightly").execute_in_process(instance=instance)
            look()
            instance.report_runless_asset_event(
                AssetMaterialization("orders", metadata={"dagster/row_count": 3})
            )
        mapping.execute_in_process(instance=instance, raise_on_error=False)
        instance.report_runless_asset_event(AssetObservation("moving"))
        look()
    finally:
        LOOK["at"] = lambda: None
    return look


@pytest.fixture
def read(instance):
    """Makes readers of the instance as a tailer or a back-fill has them, with the code's definitions."""
    return lambda: Reader(definitions=definitions_of(DEFINITIONS.get_repository_def()), instance=instance)


@pytest.fixture
def history(instance, backend):
    """Makes back-fills of the whole instance."""

    def make(reader=None, mark=None, **settings):
        mark = mark or Mark(Selection(0.0, time.time() + 1))
        reader = reader or Reader(instance=instance)
        return Backfill(reader, mark, backend, wait=lambda _seconds: None, **settings)

    return make


def test_sensor_tailer_and_backfill_agree_to_the_byte(instance, backend, live, read, history):
    """Looked at in the middle of every step, right after, and long after: one and the same history."""
    sensed = Counter(backend.lines())
    backend.events.clear()
    tailer = Tailer(Tail(backend, read()), instance, Cursor(time.time(), 0.0, 0.0), lambda _text: None)
    catch_up(tailer, threading.Event())
    tailed = Counter(backend.lines())
    backend.events.clear()
    list(history(read()).run())

    assert sensed.total() > 30
    assert sensed == tailed
    assert sensed == Counter(backend.lines())


def test_a_stopped_backfill_goes_on_where_it_was(instance, backend, history):
    """From the state that it kept, run by run."""
    runs = [single.execute_in_process(instance=instance).run_id for _ in range(3)]
    kept = []
    first = history(keep=kept.append)
    for _run in first.run():
        break

    mark = mark_for(kept[-1], since=0.0, until=None, jobs=(), now=time.time())
    second = history(mark=mark, keep=kept.append)
    left = second.count()
    told = list(second.run())

    assert runs[1:] == told
    assert 2 <= left <= 3
    assert mark.done
    assert Mark.from_json(kept[-1]).done
    assert 3 * EVENTS_OF_SINGLE == len(backend.events) == len(set(backend.lines()))


def test_history_is_paged(instance, backend, history, monkeypatch):
    """More runs than a page, some of them not of the job that is asked for."""
    monkeypatch.setattr(backfill, "PAGE", 2)
    for job_ in (single, mapping, mapping, mapping, single):
        job_.execute_in_process(instance=instance, raise_on_error=False)

    only = Selection(0.0, time.time() + 1, ("single", "absent"))
    work_ = history(mark=Mark(only))
    counted = work_.count()
    list(work_.run())

    assert 2 == counted == work_.tally.runs
    assert 2 * EVENTS_OF_SINGLE == len(backend.events)


def test_a_run_that_is_deleted_meanwhile_ends_nothing(instance, backend, history):
    """The storage would find nothing behind a run that is gone."""
    runs = [single.execute_in_process(instance=instance).run_id for _ in range(2)]
    work_ = history()
    for _run in work_.run():
        break
    instance.delete_run(runs[0])

    assert runs[1:] == list(history(mark=work_.mark).run())


def test_only_the_named_runs(instance, backend, history):
    """Whenever they were created; events without a run are not among them."""
    instance.report_runless_asset_event(AssetMaterialization("made"))
    first, _ = (single.execute_in_process(instance=instance).run_id for _ in range(2))
    work_ = history(mark=Mark(Selection(0.0, time.time(), run_ids=(first,))))

    assert 1 == work_.count()
    assert [first] == list(work_.run())
    assert EVENTS_OF_SINGLE == len(backend.events)


def test_time_has_two_ends(instance, backend, history):
    """What came later than asked for, with a run or without, is left alone."""
    single.execute_in_process(instance=instance)
    instance.report_runless_asset_event(AssetMaterialization("made"))
    [run] = instance.get_run_records()
    created = run.create_timestamp.timestamp()
    before, after = Selection(0.0, created - 5), Selection(created + 30, created + 60)

    for selection in (before, after):
        work_ = history(mark=Mark(selection))
        assert (0, []) == (work_.count(), list(work_.run()))
        assert work_.mark.done
    assert [] == backend.events


def test_runs_that_have_not_started_are_counted_only(instance, backend, history):
    instance.create_run_for_job(single)
    work_ = history()

    list(work_.run())

    assert (1, 0) == (work_.tally.not_started, work_.tally.runs)


def test_an_outage_is_waited_for(instance, backend, history):
    """Some attempts, longer apart each time; then the same event, not the next."""
    single.execute_in_process(instance=instance)
    waited = []
    backend.answers = [None, *[ConnectionError("refused")] * 3]
    work_ = history()
    work_.wait = waited.append

    list(work_.run())

    assert [0.5, 1.0, 2.0] == waited
    assert EVENTS_OF_SINGLE == len(backend.events) == len(set(backend.lines()))


def test_a_long_outage_ends_it_and_loses_nothing(instance, backend, history):
    """The next start tells the run again from its beginning."""
    run_id = single.execute_in_process(instance=instance).run_id
    kept = []
    work_ = history(keep=kept.append)
    backend.answers = [None, *[ConnectionError("refused")] * backfill.ATTEMPTS]

    with pytest.raises(DeliveryError):
        list(work_.run())

    assert ([], False) == (kept, work_.mark.done)
    assert [run_id] == list(history(mark=work_.mark).run())
    assert EVENTS_OF_SINGLE == len(set(backend.lines()))


def test_a_refused_event_is_counted_and_left_out(instance, backend, history):
    """The others of its run are worth having."""
    single.execute_in_process(instance=instance)
    refusal = RuntimeError("HTTP 422")
    refusal.response = type("Response", (), {"status_code": 422})()
    backend.answers = [None, refusal]
    work_ = history()

    list(work_.run())

    assert (1, EVENTS_OF_SINGLE - 1) == (work_.tally.refused, len(backend.events))


def test_a_poisoned_run_is_counted_and_the_next_is_told(instance, backend, history):
    bad, good = (single.execute_in_process(instance=instance).run_id for _ in range(2))
    [shard] = Path(instance.root_directory).rglob(f"{bad}.db")
    with sqlite3.connect(shard) as connection:
        connection.execute("UPDATE event_logs SET event = 'broken' WHERE dagster_event_type = 'STEP_SUCCESS'")
    connection.close()
    work_ = history()

    assert [bad, good] == list(work_.run())
    assert 1 == work_.tally.unreadable
    assert good in {event.run.runId for event in backend.events}


def test_names_are_those_of_the_time(instance, backend, live, history):
    """A run goes by what an asset had said before it, whatever the asset says today."""
    backend.events.clear()
    list(history().run())

    named = [
        output.name
        for event in backend.events
        if getattr(event, "outputs", None) and event.eventType.value == "COMPLETE"
        for output in event.outputs
        if output.name.endswith("MOVING")
    ]
    first = next(event.run.runId for event in backend.events if event.job.name == "nightly")
    assert [f"SHOP.{first[:8].upper()}.MOVING"] * 2 == named


times = st.floats(min_value=0, max_value=2**32, allow_nan=False)
selections = st.builds(Selection, times, times, st.lists(st.text()).map(tuple))


@given(st.builds(Mark, selections, st.none() | st.uuids().map(str), times, st.integers(-1), st.booleans()))
def test_a_mark_survives_its_file(mark):
    assert mark == Mark.from_json(mark.to_json())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"v": 1}', '{"v": 2, "selection": {}}', '"x"'])
def test_what_is_no_mark_is_refused(text):
    with pytest.raises(ValueError, match="was not written"):
        Mark.from_json(text)


@pytest.mark.parametrize(
    ("saved", "begins"),
    [
        (Mark(Selection(1.0, 9.0), "r", 2.0), "r"),
        (Mark(Selection(1.0, 9.0), "r", 2.0, done=True), None),
        (Mark(Selection(0.0, 9.0), "r", 2.0), None),
        (Mark(Selection(1.0, 9.0, ("a",)), "r", 2.0), None),
    ],
)
def test_only_an_unfinished_backfill_of_the_same_is_gone_on_with(saved, begins):
    mark = mark_for(saved.to_json(), since=1.0, until=None, jobs=(), now=20.0)

    assert begins == mark.run_id
    assert (9.0 if begins else 20.0) == mark.selection.until
