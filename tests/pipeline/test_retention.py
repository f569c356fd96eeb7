"""What leaves the store is what nobody needs: pruning changes neither lineage nor what waits (G32)."""

from __future__ import annotations

import pytest

from openlineage_bridge.config import RetentionConfig
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.inbox import inspect

DAY = 86_400_000
NOW = 1_704_067_200_000 + 400 * DAY
"""Milliseconds: more than a year after the world's first moment."""


def prune(bridge, now=NOW, window=1, **limits) -> int:
    """Prune until nothing more may leave; how much did."""
    config = RetentionConfig(**({"runs": 1, "run_days": 1, "event_days": 1} | limits))
    return sum(iter(lambda: bridge.store.prune(config, window=window, now=now), 0))


def run_ids(bridge) -> set[str]:
    return {run_id[-1] for (run_id,) in bridge.rows("SELECT run_id FROM runs")}


def test_processed_events_leave(bridge, world):
    """After ``event_days``; those that wait never do."""
    bridge.hear(world.run_event())
    with bridge.store.transaction():
        bridge.store.inbox.put([inspect(world.encoded(world.run_event(run=1)))], receiver="test", now=1)
    prune(bridge, now=DAY, runs=9)
    assert 2 == len(bridge.rows("SELECT seq FROM inbox"))

    prune(bridge, now=DAY + 2, runs=9)
    assert 1 == len(bridge.rows("SELECT seq FROM inbox")) == len(bridge.store.inbox.pending(9))


def test_old_runs_leave_with_everything_of_theirs(bridge, world):
    """The newest runs stay, however old; of the others nothing is left but what the catalog has."""
    for run in range(3):
        bridge.hear(
            world.run_event(run=run, second=run, inputs=["a"], run_facets={"nominalTime": {"v": run}})
        )
    with bridge.store.transaction():
        bridge.store.aspects.delivered(bridge.store.aspects.due(100))
    prune(bridge, runs=1)

    assert {"2"} == run_ids(bridge)
    assert {"run:" + world.RUN_IDS[2]} == {urn for urn, _ in bridge.holds() if urn.startswith("run:")}
    assert [] == bridge.rows("SELECT subject FROM facts WHERE subject NOT IN (SELECT id FROM subjects)")
    assert [] == bridge.rows("SELECT digest FROM bodies WHERE digest NOT IN (SELECT digest FROM facts)")
    assert 0 == bridge.store.aspects.waiting()


def test_young_runs_stay(bridge, world):
    """For ``run_days``, however many there are."""
    for run in range(3):
        bridge.hear(world.run_event(run=run, second=run))

    prune(bridge, run_days=500)

    assert {"0", "1", "2"} == run_ids(bridge)


def test_what_waits_for_the_destination_stays(bridge, world):
    """Old runs that the destination has not got yet are not pruned: what was accepted is delivered."""
    for run in range(3):
        bridge.hear(world.run_event(run=run, second=run))
    with bridge.store.transaction():
        bridge.store.aspects.address("away")
    waiting = bridge.store.aspects.waiting()
    prune(bridge, runs=1)

    assert waiting == bridge.store.aspects.waiting()


HISTORIES = [
    # events as (run, second, type, inputs)
    [(0, 1, "COMPLETE", "a"), (1, 2, "FAIL", "b"), (2, 3, "FAIL", "")],
    [(0, 1, "COMPLETE", "a"), (1, 2, "COMPLETE", ""), (2, 3, "COMPLETE", "")],
    [(0, 1, "FAIL", "a"), (1, 2, "ABORT", ""), (2, 3, "START", "")],
    [(0, 1, "START", "a"), (1, 2, "COMPLETE", "b"), (2, 3, "START", "")],
    [(0, 1, "RUNNING", "a"), (2, 3, "COMPLETE", "")],
]


@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.parametrize("history", HISTORIES)
def test_pruning_never_changes_lineage(bridge, world, plain, history, window):
    """The runs that speak for a job stay: what it reads is the same after the next event as it would have been."""
    bridge.pipeline = Pipeline(bridge.store, plain.PlainTranslator(), window)
    for run, second, event_type, inputs in history:
        bridge.hear(world.run_event("flow", run, second, event_type, inputs))
    assert_same_after_pruning(bridge, world, window)


def test_pruning_keeps_a_run_that_reports(bridge, world):
    """A run that reported RUNNING speaks for its job, though silent ones started after it."""
    bridge.hear(world.run_event(run=0, second=1, event_type="RUNNING", inputs=["a"]))
    bridge.hear(world.run_event(run=1, second=2, event_type="START", inputs=["b"]))
    bridge.hear(world.run_event(run=2, second=3, event_type="START"))

    assert_same_after_pruning(bridge, world, window=1)


def assert_same_after_pruning(bridge, world, window) -> None:
    before = bridge.edges()
    prune(bridge, window=window)
    bridge.hear(world.run_event("flow", 2, 4, "OTHER", job_facets={"documentation": {"description": "new"}}))

    assert before == bridge.edges()


def test_file_becomes_smaller(tmp_path, world):
    """What is free inside the file goes back to the disk, in small steps, but for what is needed next."""
    path = tmp_path / "bridge.db"
    with Store(path) as store:
        with store.transaction():
            events = [
                world.encoded(
                    world.run_event(run=run, job_facets={"documentation": {"description": "x" * 9000}})
                )
                for run in range(500)
            ]
            store.inbox.put(map(inspect, events), receiver="test", now=1)
            store.inbox.done(store.inbox.pending(500))
        store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        before = path.stat().st_size
        assert 0 == store.shrink()
        assert 499 == store.prune(RetentionConfig(event_days=0), window=1, now=10)
        steps = list(iter(store.shrink, 0))
        store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        assert len(steps) > 2
        assert path.stat().st_size < before / 10
        assert "ok" == store.connection.execute("PRAGMA integrity_check").fetchone()[0]
