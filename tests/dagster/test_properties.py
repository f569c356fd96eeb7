"""What holds for every log and every place in it, on the logs of real runs."""

from __future__ import annotations

import pytest
from dagster import (
    AssetSpec,
    DagsterInstance,
    DynamicOut,
    DynamicOutput,
    MaterializeResult,
    RetryPolicy,
    asset,
    graph,
    job,
    materialize,
    multi_asset,
    op,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from openlineage.client.serde import Serde

from openlineage_bridge_dagster.cursor import Cursor, RunMark
from openlineage_bridge_dagster.fold import EVENT_TYPES, RunFold, fold
from openlineage_bridge_dagster.identity import RunIdentity, node_path


@asset
def source():
    return 1


@multi_asset(specs=[AssetSpec("x", deps=["source"]), AssetSpec("y", deps=["source"])])
def both():
    yield MaterializeResult(asset_key="x")
    yield MaterializeResult(asset_key="y")


@op(out=DynamicOut())
def fan():
    for key in ("a", "b", "c"):
        yield DynamicOutput(1, mapping_key=key)


@op(retry_policy=RetryPolicy(max_retries=1))
def flaky(context, number):
    if context.retry_number == 0:
        raise RuntimeError("again")
    return number


@op
def broken():
    raise ValueError("no")


@graph
def work():
    fan().map(flaky)
    broken()


@job
def everything():
    work()


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """The logs of two runs that hold most kinds of records: assets, mapped and retried steps, a failure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
        with DagsterInstance.local_temp(str(tmp_path_factory.mktemp("home"))) as instance:
            runs = [
                materialize([source, both], instance=instance).run_id,
                everything.execute_in_process(instance=instance, raise_on_error=False).run_id,
            ]
            return {
                run_id: [
                    record.event_log_entry
                    for record in instance.get_records_for_run(run_id, of_type=set(EVENT_TYPES)).records
                ]
                for run_id in runs
            }


def identity(run_id):
    return RunIdentity(run_id=run_id, namespace="dagster", job_name="j")


def lines(events):
    return [Serde.to_json(event) for event in events]


@settings(deadline=None)
@given(st.data())
def test_a_silent_replay_to_any_point_leaves_the_same_remaining_events(logs, data):
    """The state of a fold is its log: a restart at any record loses nothing and repeats nothing."""
    run_id = data.draw(st.sampled_from(sorted(logs)))
    log = logs[run_id]
    cut = data.draw(st.integers(0, len(log)))
    whole_fold, resumed = RunFold(identity(run_id)), RunFold(identity(run_id))
    whole = [(position, line) for position, entry in enumerate(log) for line in lines(whole_fold.feed(entry))]

    for entry in log[:cut]:
        resumed.feed(entry)
    remaining = [line for entry in log[cut:] for line in lines(resumed.feed(entry))]

    assert [line for position, line in whole if position >= cut] == remaining


@settings(deadline=None)
@given(st.data())
def test_every_run_starts_once_before_it_ends_once(logs, data):
    """Whatever part of the log is missing at its end; and nothing is left open when the run's end is there."""
    run_id = data.draw(st.sampled_from(sorted(logs)))
    cut = data.draw(st.integers(0, len(logs[run_id])))

    events = fold(identity(run_id), logs[run_id][:cut])

    states: dict[str, list[str]] = {}
    for event in events:
        states.setdefault(event.run.runId, []).append(event.eventType.value)
    assert all(seen[0] == "START" and len(seen) <= 2 for seen in states.values())
    if cut == len(logs[run_id]):
        assert all(len(seen) == 2 for seen in states.values())


@settings(deadline=None)
@given(st.data())
def test_folding_twice_gives_the_same_bytes(logs, data):
    run_id = data.draw(st.sampled_from(sorted(logs)))

    assert lines(fold(identity(run_id), logs[run_id])) == lines(fold(identity(run_id), logs[run_id]))


@pytest.mark.parametrize(
    ("step_key", "path"),
    [
        ("work", "work"),
        ("inner.work[k0]", "inner.work"),
        ("a[x].b[y]", "a.b"),
        ("prod__duckdb__t", "prod__duckdb__t"),
    ],
)
def test_a_node_path_has_no_mapping_key(step_key, path):
    assert path == node_path(step_key)


marks = st.builds(
    RunMark,
    last=st.integers(-1, 10**9),
    updated=st.floats(0, 1e10),
    done=st.floats(0, 1e10),
    fed=st.integers(0, 10**6),
    failures=st.integers(0, 9),
)


@settings(deadline=None)
@given(
    st.builds(
        Cursor,
        born=st.floats(0, 1e10),
        start=st.floats(0, 1e10),
        watermark=st.floats(0, 1e10),
        runless=st.integers(-1, 10**9),
        runs=st.dictionaries(st.uuids().map(str), marks),
    )
)
def test_a_cursor_survives_its_json(cursor):
    assert cursor == Cursor.from_json(cursor.to_json())


@pytest.mark.parametrize("text", ["", "7", "{}", '{"v": 99}'])
def test_a_foreign_cursor_is_refused(text):
    with pytest.raises(ValueError):
        Cursor.from_json(text)
