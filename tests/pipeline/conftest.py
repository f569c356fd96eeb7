"""A bridge in memory, and everything it knows and would deliver."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import closing

import attrs
import pytest

from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.aspects import holdings
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.graph import GraphQueries
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.store.quarantine import quarantined

FACTS = """
SELECT s.kind, s.namespace, s.name, s.run_id, f.role, d.namespace, d.name, f.facet, f.time, b.body
FROM facts f JOIN subjects s ON s.id = f.subject JOIN bodies b ON b.digest = f.digest
LEFT JOIN subjects d ON d.id = f.dataset ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
"""
EDGES = """
SELECT j.namespace, j.name, e.role, d.namespace, d.name, d.urn
FROM edges e JOIN subjects j ON j.id = e.job JOIN subjects d ON d.id = e.dataset ORDER BY 1, 2, 3, 4, 5
"""
HANDOVERS = """
SELECT j.namespace, j.name, u.namespace, u.name
FROM handovers h JOIN subjects j ON j.id = h.job JOIN subjects u ON u.id = h.upstream ORDER BY 1, 2, 3, 4
"""
RUNS = "SELECT hex(job), run_id, started, ended, result, at, reporting, used FROM runs ORDER BY 1, 2"


@attrs.define
class Bridge:
    """A store with a pipeline, on the caller's thread."""

    store: Store
    pipeline: Pipeline

    def hear(self, *events: dict | bytes) -> Bridge:
        """Receive the events and process them together."""
        bodies = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
        with self.store.transaction():
            self.store.inbox.put(map(inspect, bodies), receiver="test", now=1)
        self.pipeline.step(len(events))
        return self

    def rows(self, query: str, *values) -> list[tuple]:
        return self.store.connection.execute(query, values).fetchall()

    def knows(self) -> dict[str, list]:
        """Facts, derived state and aspects: what must not depend on order, repetition or batches."""
        return {
            "facts": self.rows(FACTS),
            "edges": self.rows(EDGES),
            "handovers": self.rows(HANDOVERS),
            "runs": self.rows(RUNS),
            "holds": [
                (each.entity_type, each.urn, each.aspect_name, each.timestamp_ms, each.body)
                for each in holdings(self.store.connection)
            ],
            "outbox": self.rows("SELECT urn, name, at FROM outbox ORDER BY 1, 2, 3"),
            "quarantine": [
                (each.failure.stage, each.failure.reason) for each in quarantined(self.store.connection)
            ],
        }

    def holds(self) -> dict[tuple[str, str], dict]:
        """By URN and aspect: its value."""
        return {
            (each.urn, each.aspect_name): json.loads(each.body) for each in holdings(self.store.connection)
        }

    def path(self, name: str) -> set[tuple[str, str]]:
        """The edges of the graph around a node, by name."""
        queries = GraphQueries(self.store.connection)
        (node,) = queries.find(name)
        graph = queries.graph(node, 20)
        return {(graph.nodes[source].name, graph.nodes[target].name) for source, target in graph.edges}

    def edges(self) -> set[tuple[str, str, str]]:
        """Job, role, dataset: names only."""
        return {(job, role, dataset) for _, job, role, _, dataset, _ in self.rows(EDGES)}


@pytest.fixture
def bridge(plain):
    """A bridge with the plain translator."""
    with Store(MEMORY) as store:
        yield Bridge(store, Pipeline(store, plain.PlainTranslator()))


@pytest.fixture(scope="session")
def told():
    """What a new bridge knows after it was told batches of events."""

    def tell(batches: Iterable[list[dict | bytes]], translator, window: int = 1) -> dict[str, list]:
        with closing(Store(MEMORY)) as store:
            bridge = Bridge(store, Pipeline(store, translator, window))
            for batch in batches:
                bridge.hear(*batch)
            bridge.pipeline.drain()
            return bridge.knows()

    return tell
