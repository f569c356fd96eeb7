"""Questions that are asked per event or per node cost the same in a large store as in a small one.

Counted in steps of SQLite's virtual machine, which are the same on every computer.
"""

from __future__ import annotations

import pytest

from openlineage_bridge.config import RetentionConfig
from openlineage_bridge.events import DatasetKey, JobKey, digest
from openlineage_bridge.facts import Fact, FactKey, Kind, Role, RunKey
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import MEMORY, log_of
from openlineage_bridge.store.graph import Direction, GraphQueries
from openlineage_bridge.store.identity import subject_id
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.store.pages import PAGE
from openlineage_bridge.translation import Aspect

JOB = JobKey("ns", "flow")
FACT = Fact(0, digest(b"{}"), b"{}")
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


def with_a_job_of_runs(size: int) -> Store:
    """A store with a job that reads a dataset and had ``size`` runs."""
    store = with_datasets(1)
    store.facts.register([(Kind.RUN, RunKey(JOB, str(number))) for number in range(size)])
    return store


def candidates(store: Store) -> object:
    return store.jobs.candidates(JOB, 1, streaming=False, batch=False)


def neighbours(store: Store) -> object:
    queries = GraphQueries(store.connection)
    return queries.neighbours(queries._node(subject_id(Kind.JOB, JOB)), Direction.UPSTREAM)


def sources(store: Store) -> object:
    queries = GraphQueries(store.connection)
    return queries.neighbours(
        queries._node(subject_id(Kind.DATASET, DatasetKey("n", "0"))), Direction.UPSTREAM
    )


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
        (with_a_job_of_runs, sources),
        (with_a_job_of_runs, named),
        (with_datasets, sharing),
    ],
)
def test_cost_does_not_grow(make, ask):
    """Fifty times the rows, at most twice the steps (and a few to spare)."""
    with make(100) as small, make(5000) as large:
        assert steps(large, lambda: ask(large)) <= 2 * steps(small, lambda: ask(small)) + 20


# --- what is written per event --------------------------------------------------------------------------------------


MOMENT = [Aspect("urn", "dataset", "operation", {"by": "a run"}, timestamp_ms=1)]


def with_owners(size: int) -> Store:
    """A store in which ``size`` runs claim the same moment of a dataset."""
    store = Store(MEMORY)
    for number in range(size):
        store.aspects.claim(b"%08d" % number, MOMENT)
    return store


def one_more_claims(store: Store) -> None:
    store.aspects.claim(b"more", MOMENT)


def one_less_claims(store: Store) -> None:
    store.aspects.claim(b"%08d" % 50, [])


def it_is_delivered(store: Store) -> None:
    store.aspects.delivered(store.aspects.due(1))


@pytest.mark.parametrize("do", [one_more_claims, one_less_claims, it_is_delivered])
def test_what_many_claim_costs_no_more(do):
    """Which of the claims holds is found without a look at the others."""
    with with_owners(100) as small, with_owners(3000) as large:
        assert steps(large, lambda: do(large)) <= 2 * steps(small, lambda: do(small)) + 20


def test_a_run_costs_the_same_however_many_its_job_had(plain, world):
    """From the inbox to the outbox, for a job that reads and writes the same things in every run."""
    with Store(MEMORY) as store:
        pipeline = Pipeline(store, plain.PlainTranslator())

        def hear(runs: range) -> None:
            for run in runs:
                event = world.run_event("flow", run, run, inputs=["a"], outputs=["b"])
                store.inbox.put([inspect(world.encoded(event))], receiver="test", now=1)
                pipeline.drain()

        hear(range(20))
        early = steps(store, lambda: hear(range(20, 40)))
        hear(range(40, 800))
        late = steps(store, lambda: hear(range(800, 820)))

    assert late <= 1.2 * early


def test_new_runs_are_written_side_by_side(tmp_path):
    """A hundred change a few dozen pages, in a store of thousands too: only what finds them is scattered over the file."""
    path = tmp_path / "bridge.db"

    def hear(store: Store, runs: range) -> None:
        with store.transaction():
            store.facts.merge(
                {
                    FactKey(Kind.RUN, RunKey(JOB, str(run)), Role.INPUT, DatasetKey("n", "a"), "@used"): FACT
                    for run in runs
                }
            )

    def changed(store: Store, runs: range) -> int:
        store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        hear(store, runs)
        return log_of(path).stat().st_size // PAGE

    with Store(path) as store, store.bulk():
        hear(store, range(500))
        early = changed(store, range(500, 600))
        hear(store, range(600, 5000))
        late = changed(store, range(5000, 5100))

    assert late <= 3 * early
