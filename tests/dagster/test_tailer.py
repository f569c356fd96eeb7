"""The tail as a process of its own: patient, frugal, and its state is its own."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest
from bridge_tests.dagster_jobs import EVENTS_OF_SINGLE, single
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge_capture import statefile
from openlineage_bridge_capture.statefile import StateFileError
from openlineage_bridge_dagster import tail, tailer
from openlineage_bridge_dagster.assets import definitions_of
from openlineage_bridge_dagster.cursor import Cursor, RunMark
from openlineage_bridge_dagster.delivery import DeliveryError
from openlineage_bridge_dagster.tail import Tail
from openlineage_bridge_dagster.tailer import Tailer, backoff, catch_up, follow
from openlineage_bridge_dagster.workspace import Workspace, load

pytestmark = pytest.mark.system

BOUND = 20.0


@pytest.fixture
def following(instance, backend):
    """Makes tailers from the beginning of history."""

    def make(keep=lambda _text: None, **settings):
        return Tailer(Tail(backend, **settings), instance, Cursor(time.time(), 0.0, 0.0), keep)

    return make


def run_until(tailer_, enough):
    """Follow, each time from the start of a turn, until there is enough."""
    stop, deadline = threading.Event(), time.monotonic() + BOUND

    def look():
        if enough() or time.monotonic() > deadline:
            stop.set()

    follow(tailer_, 0.001, stop, look)
    assert enough()


def test_an_outage_is_waited_for_and_nothing_is_lost(instance, backend, following):
    """The cursor that is kept never tells of more than was acknowledged."""
    backend.answers = [*[ConnectionError("refused")] * 5, None, None, *[ConnectionError("refused")] * 3]
    kept = []

    def keep(text):
        marks = Cursor.from_json(text).runs.values()
        kept.append((sum(mark.last > 0 for mark in marks), len(backend.events)))

    single.execute_in_process(instance=instance)
    run_until(following(keep), lambda: len(backend.events) == EVENTS_OF_SINGLE)

    assert EVENTS_OF_SINGLE == len(set(backend.lines()))
    assert all(events > 0 for runs, events in kept if runs and not events)
    assert (0, 0) in kept


def test_a_storage_that_is_away_is_waited_for(instance, backend, following, monkeypatch):
    """As the backend is."""
    single.execute_in_process(instance=instance)
    errors = [OSError("no route")] * 3
    discover = tail.discover

    def sometimes(*arguments, **settings):
        if errors:
            raise errors.pop()
        return discover(*arguments, **settings)

    monkeypatch.setattr(tail, "discover", sometimes)
    run_until(following(), lambda: len(backend.events) == EVENTS_OF_SINGLE)

    assert [] == errors


def test_a_state_that_cannot_be_kept_for_a_while_stops_nothing(instance, backend, following, caplog):
    """It is said, and what is not kept is told again at the next start."""
    single.execute_in_process(instance=instance)
    failing = [StateFileError("The state cannot be kept in x: disk full")] * 2

    def keep(_text):
        if failing:
            raise failing.pop()

    run_until(following(keep), lambda: not failing and len(backend.events) == EVENTS_OF_SINGLE)

    assert "disk full" in caplog.text


def test_catching_up_ends_at_an_outage(instance, backend, following):
    """A cron job says so and comes again."""
    single.execute_in_process(instance=instance)
    backend.answers = [ConnectionError("refused")]

    with pytest.raises(DeliveryError):
        catch_up(following(), threading.Event())


def test_catching_up_takes_as_many_turns_as_it_needs(instance, backend, following, monkeypatch):
    """With no time in a turn, one record each."""
    monkeypatch.setattr(tailer, "BUDGET", 0.0)
    for _ in range(3):
        single.execute_in_process(instance=instance)

    catch_up(following(), threading.Event())

    assert 3 * EVENTS_OF_SINGLE == len(backend.events) == len(set(backend.lines()))


def test_a_turn_ends_when_it_is_to_stop(instance, backend, following):
    """After the record at hand, however much time there was."""
    single.execute_in_process(instance=instance)
    following(stop=lambda: len(backend.events) >= 2).turn()

    assert 2 == len(backend.events)


def test_a_run_that_fails_rests(instance, backend, following):
    """Half a second is no time for a refusal to go away: it would be given up within three."""
    single.execute_in_process(instance=instance)
    refusal = RuntimeError("HTTP 422")
    refusal.response = type("Response", (), {"status_code": 422})()
    backend.answers = [refusal] * (tail.MAX_FAILURES + 5)
    tailer_ = following(rest=60.0)

    for _ in range(tail.MAX_FAILURES + 5):
        tailer_.turn()

    [mark] = tailer_.cursor.runs.values()
    assert (1, 0.0) == (mark.failures, mark.done)


def test_failures_with_progress_between_them_give_nothing_up(instance, backend, following):
    """Only failures in a row count: a storage that is away now and then never adds up to a lost run."""
    single.execute_in_process(instance=instance)
    refusal = RuntimeError("HTTP 422")
    refusal.response = type("Response", (), {"status_code": 422})()
    backend.answers = [*[refusal, None] * EVENTS_OF_SINGLE]
    tailer_ = following()

    for _ in range(2 * tail.MAX_FAILURES + 1):
        tailer_.turn()

    assert EVENTS_OF_SINGLE == len(backend.events)
    assert 0 == tailer_.tally.given_up


@pytest.mark.parametrize(
    ("asked", "spoke", "changed", "quiet"),
    [
        (0.0, 0.0, False, False),
        (0.5, 61.0, False, True),
        (2.0, 61.0, False, False),
        (25.0, 86_400.0, False, True),
        (31.0, 86_400.0, False, False),
        (0.5, 86_400.0, True, False),
    ],
)
def test_a_quiet_run_is_asked_less_often(asked, spoke, changed, quiet):
    """A run whose process died stays open for ever, and must not cost a query each half second."""
    now = time.monotonic()
    folding = tail._Folding(None, asked=now - asked, spoke=now - spoke, updated=1.0)

    assert quiet == folding.is_quiet(RunMark(updated=2.0 if changed else 1.0))


@given(failures=st.integers(min_value=1), every=st.floats(min_value=0.05, max_value=30))
def test_waits_grow_up_to_a_minute(failures, every):
    assert 0 < backoff(failures, every) <= tailer.LONGEST_WAIT


def test_a_state_belongs_to_one_process(tmp_path):
    """Until that process ends, however it ends."""
    path = tmp_path / "deep" / "state.json"
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()

    def other():
        with statefile.held(path):
            ready.set()
            done.wait(BOUND)

    process = context.Process(target=other)
    process.start()
    assert ready.wait(BOUND)
    with pytest.raises(StateFileError, match="--state"), statefile.held(path):
        pass
    assert statefile.is_held(path)
    process.kill()
    process.join(BOUND)

    assert not statefile.is_held(path)
    with statefile.held(path):
        statefile.save(path, "{}")
    assert "{}" == statefile.load(path)


def test_a_state_is_replaced_as_a_whole(tmp_path, monkeypatch):
    """What fails on the way leaves the old state, and nothing beside it."""
    path = tmp_path / "state.json"
    statefile.save(path, "old")
    monkeypatch.setattr(
        statefile.os, "fsync", lambda _descriptor: (_ for _ in ()).throw(OSError("disk full"))
    )

    with pytest.raises(StateFileError, match="disk full"):
        statefile.save(path, "new")

    assert ["old", ["state.json"]] == [statefile.load(path), [each.name for each in tmp_path.iterdir()]]


CODE = '''
from dagster import *

@asset(owners=["team:data", "a@b.io"], kinds={"duckdb"}, tags={"k": "v"}, group_name="sales", description="What came.",
       metadata={"dagster/uri": "s3://lake/orders", "dagster/column_schema": TableSchema(columns=[TableColumn("id", "int")])})
def orders(): ...

@asset(deps=[orders, AssetKey("outside")])
def totals():
    """Sums."""

@multi_asset(specs=[AssetSpec("one", deps=["totals"]), AssetSpec("two", deps=["one"], metadata={"x": 1})])
def both(): ...

defs = Definitions(assets=[orders, totals, both, AssetSpec("declared", description="Elsewhere.")])
'''


def test_a_workspace_says_what_the_code_itself_says(instance, tmp_path):
    """So that a tailer with the workspace and a sensor in the code agree; what cannot be loaded is said."""
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(CODE)
    bad.write_text("import no_such_module")
    names = {}
    exec(CODE, names)
    repository = names["defs"].get_repository_def()
    own = definitions_of(repository)

    loaded = load(instance, Workspace(python_files=(good, bad)))

    keys = repository.asset_graph.get_all_asset_keys()
    assert 6 == loaded.assets == len(keys)
    assert {key: own(key) for key in keys} == {key: loaded.definitions(key) for key in keys}
    [problem] = loaded.problems
    assert "bad.py" in problem
    assert "no_such_module" in problem


def test_nothing_named_is_no_workspace():
    assert not Workspace()
    assert Workspace(modules=("m",))
