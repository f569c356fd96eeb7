"""A run has one id in a store, whatever happens in between; ids of runs that came one after another stand together."""

from __future__ import annotations

import pytest

from openlineage_bridge.events import JobKey
from openlineage_bridge.facts import Kind, RunKey
from openlineage_bridge.store import Store, run_ids
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.identity import subject_id

RUNS = [RunKey(JobKey("ns", "flow"), str(number)) for number in range(5)]


def register(store: Store, *runs: RunKey) -> list[bytes]:
    """Make runs known; their ids."""
    store.facts.register([(Kind.RUN, run) for run in runs])
    return [store.facts.run_ids.of(run) for run in runs]


def stored(store: Store) -> list[bytes]:
    return [identity for (identity,) in store.connection.execute("SELECT id FROM subjects ORDER BY run_id")]


def test_the_same_in_another_process(tmp_path):
    """It was written down."""
    with Store(tmp_path / "bridge.db") as store:
        first = register(store, *RUNS)
    with Store(tmp_path / "bridge.db") as store:
        assert first == register(store, *RUNS) == stored(store)


def test_the_same_when_it_is_forgotten(monkeypatch):
    """Only so many are kept in memory."""
    monkeypatch.setattr(run_ids, "MOST_KNOWN", 2)
    with Store(MEMORY) as store:
        first = register(store, *RUNS)

        assert first == register(store, *RUNS) == stored(store)
        assert 2 == len(store.facts.run_ids._known)


def test_the_same_after_a_failure():
    """What was rolled back is written again, once."""

    def fail(store: Store) -> None:
        register(store, *RUNS)
        raise KeyError

    with Store(MEMORY) as store:
        with pytest.raises(KeyError), store.transaction():
            fail(store)
        assert [] == stored(store)

        assert register(store, *RUNS) == stored(store)


def test_an_older_store_keeps_its_ids():
    """They are digests there, and other rows refer to them."""
    older = subject_id(Kind.RUN, RUNS[0])
    with Store(MEMORY) as store:
        store.connection.execute("INSERT INTO subjects VALUES (?, 'run', 'ns', 'flow', '0', NULL)", (older,))

        assert [older] == register(store, RUNS[0]) == stored(store)


def test_later_runs_stand_behind_earlier_ones(monkeypatch):
    """However their digests compare: rows of new runs go to the same few pages."""
    moments = iter(range(0, 10**9, 10**8))
    monkeypatch.setattr(run_ids, "time_ns", lambda: next(moments))
    with Store(MEMORY) as store:
        ids = register(store, *RUNS)

    assert sorted(ids) == ids != sorted(ids, key=lambda each: each[run_ids.TIME_BYTES :])


def test_ids_of_different_runs_differ():
    """Of the same moment, and of the same run id in another job."""
    runs = [*RUNS, RunKey(JobKey("ns", "other"), "0")]
    with Store(MEMORY) as store:
        assert len(runs) == len(set(register(store, *runs)))
