"""Lineage between datasets that no job makes: what DatasetEvents stated of their upstreams, for people."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

import attrs

from openlineage_bridge.events import DatasetKey, Facets, JobKey
from openlineage_bridge.facts import Kind
from openlineage_bridge.lineage import lineage_of
from openlineage_bridge.store.identity import SubjectId, subject_id

_STATEMENTS = """
SELECT coalesce(s.urn, s.id), s.namespace, s.name, f.facet, b.body
FROM subjects s CROSS JOIN facts f
    ON f.subject = s.id AND f.role = '' AND f.dataset = x'' AND f.facet IN ('columnLineage', 'lineage')
JOIN bodies b ON b.digest = f.digest
WHERE s.kind <> 'run' AND s.kind = 'dataset' ORDER BY f.time, f.digest
"""
"""The facets of datasets themselves, oldest first; what a run said of its outputs has another role.

That they are no runs is said because the index by name holds none, and SQLite takes it only for a question that says so.
"""


@attrs.frozen
class StatedLineage:
    """Which datasets others are made from, as these others say.

    Args:
        sources: By dataset, what it is made from.
        targets: By dataset, what is made from it.
        keys: What the sources are called: it may be that nothing else ever mentioned them.
    """

    sources: Mapping[SubjectId, frozenset[SubjectId]]
    targets: Mapping[SubjectId, frozenset[SubjectId]]
    keys: Mapping[SubjectId, DatasetKey]

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> StatedLineage:
        """All that the store holds. Costs a look at every dataset: to be read once for a question."""
        edges: set[tuple[SubjectId, SubjectId]] = set()
        keys: dict[SubjectId, DatasetKey] = {}
        for target, facets in _newest(connection.execute(_STATEMENTS)).values():
            for source in upstreams(target, facets):
                identity = subject_id(Kind.DATASET, source)
                keys[identity] = source
                edges.add((identity, subject_id(Kind.DATASET, target)))
        return cls(_grouped((target, source) for source, target in edges), _grouped(edges), keys)


def upstreams(dataset: DatasetKey, facets: Facets) -> tuple[DatasetKey, ...]:
    """What a dataset says that it is made from: its ``lineage`` facet (LineageDatasetFacet 1-0-0), else ``columnLineage``."""
    if explicit := facets.get("lineage"):
        entry = {**explicit, "type": "DATASET", "namespace": dataset.namespace, "name": dataset.name}
        return lineage_of(_NO_JOB, {}, {}, {"entries": [entry]}).inputs
    return lineage_of(_NO_JOB, {}, {dataset: facets}).inputs


_NO_JOB = JobKey("", "")


def _newest(rows: Iterable[tuple[object, str, str, str, bytes]]) -> dict[object, tuple[DatasetKey, Facets]]:
    """By entity of the catalog: a dataset that it is, and per facet what was last said of any of those that it is."""
    found: dict[object, tuple[DatasetKey, dict[str, bytes]]] = {}
    for entity, namespace, name, facet, body in rows:
        _, facets = found.setdefault(entity, (DatasetKey(namespace, name), {}))
        facets[facet] = body
    return {
        entity: (key, Facets({facet: body for facet, body in facets.items() if body}))
        for entity, (key, facets) in found.items()
    }


def _grouped(pairs: Iterable[tuple[SubjectId, SubjectId]]) -> dict[SubjectId, frozenset[SubjectId]]:
    grouped: dict[SubjectId, set[SubjectId]] = {}
    for one, other in pairs:
        grouped.setdefault(one, set()).add(other)
    return {one: frozenset(others) for one, others in grouped.items()}
