"""Questions that are asked per event or per node cost the same in a large store as in a small one.

Counted in steps of SQLite's virtual machine, which are the same on every computer.
"""

from __future__ import annotations

import pytest

from openlineage_bridge.config import RetentionConfig
from openlineage_bridge.events import DatasetKey, JobKey
from openlineage_bridge.facts import Kind, Role
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.facts import subject_id
from openlineage_bridge.store.graph import Direction, GraphQueries

JOB = JobKey("ns", "flow")
GRAIN = 10


def steps(store: Store, ask) -> int:
    """Tens of virtual machine steps that a question takes."""
    counted = []
    store.connection.set_progress_handler(lambda: counted.append(1), GRAIN)
    ask()
    store.connection.set_progress_handler(None, GRAIN)
    return len(counted)


def with_runs(size: int) -> Store:
    """A store with one job that completed ``size`` runs."""
    store = Store(MEMORY)
    store.connection.executemany(
        "INSERT INTO runs VALUES (?, ?, ?, 0, ?, 'COMPLETE', ?, 0, 1)",
        [(b"%08d" % at, subject_id(Kind.JOB, JOB), str(at), at, at) for at in range(size)],
    )
    return store


def with_datasets(size: int) -> Store:
    """A store with ``size`` datasets, of which one job reads one."""
    store = Store(MEMORY)
    store.facts.register([(Kind.JOB, JOB), *((Kind.DATASET, DatasetKey("n", str(i))) for i in range(size))])
    for number in range(size):
        store.facts.set_urn(Kind.DATASET, DatasetKey("n", str(number)), f"urn{number}")
    store.jobs.set_edges(JOB, [(Role.INPUT, DatasetKey("n", "0"))])
    return store


def candidates(store: Store) -> object:
    return store.jobs.candidates(JOB, 1, streaming=False, batch=False)


def neighbours(store: Store) -> object:
    queries = GraphQueries(store.connection)
    return queries.neighbours(queries._node(subject_id(Kind.JOB, JOB)), Direction.UPSTREAM)


def named(store: Store) -> object:
    return GraphQueries(store.connection).find("urn0")


def sharing(store: Store) -> object:
    return store.facts.shares_its_urn(DatasetKey("n", "0"))


def nothing_to_prune(store: Store) -> object:
    return store.prune(RetentionConfig(runs=1, run_days=1e5), window=1, now=1 << 41)


@pytest.mark.parametrize(
    ("make", "ask"),
    [
        (with_runs, candidates),
        (with_runs, nothing_to_prune),
        (with_datasets, neighbours),
        (with_datasets, named),
        (with_datasets, sharing),
    ],
)
def test_cost_does_not_grow(make, ask):
    """Fifty times the rows, at most twice the steps (and a few to spare)."""
    with make(100) as small, make(5000) as large:
        assert steps(large, lambda: ask(large)) <= 2 * steps(small, lambda: ask(small)) + 20
