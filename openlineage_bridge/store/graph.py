"""The lineage graph as the store holds it: datasets and jobs, connected by what each job now reads and writes."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from functools import cached_property
from itertools import product
from typing import Any

import attrs

from openlineage_bridge.facts import Kind, Role
from openlineage_bridge.store.identity import SubjectId
from openlineage_bridge.store.stated import StatedLineage

MOST_NODES = 200
"""Most nodes in one answer: beyond it a picture says nothing."""


class Direction(StrEnum):
    """Which way to follow the flow of data."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"


@attrs.frozen
class Node:
    """A dataset or a job.

    Args:
        id: Stable id within a store (hex).
        kind: ``dataset`` or ``job``.
        namespace: OpenLineage namespace.
        name: OpenLineage name.
        urn: The catalog's name of it; None when the translator gave none.
        state: For a job, the state of its newest run: ``RUNNING``, ``COMPLETE``, ``FAIL``, ``ABORT``; else None.
        at: Event time of that state, microseconds since the epoch; None when unknown.
        more_upstream: Neighbours upstream that this answer leaves out.
        more_downstream: Neighbours downstream that this answer leaves out.
    """

    id: str
    kind: str
    namespace: str
    name: str
    urn: str | None = None
    state: str | None = None
    at: int | None = None
    more_upstream: int = 0
    more_downstream: int = 0


@attrs.frozen
class Graph:
    """A part of the lineage.

    Args:
        focus: Id of the node that was asked for.
        nodes: Nodes by id.
        edges: ``(from, to)`` along the flow of data: dataset → job that reads it, job → dataset it writes, job → job
            that takes its result where no dataset connects the two, and dataset → dataset that a DatasetEvent says is made
            from it where no job connects the two.
        truncated: Whether the cap on nodes cut it.
    """

    focus: str
    nodes: dict[str, Node]
    edges: tuple[tuple[str, str], ...]
    truncated: bool = False

    def as_json(self) -> dict[str, Any]:
        """As plain JSON types, with the nodes as a list: what the command line prints and the API answers."""
        graph = attrs.asdict(self)
        return graph | {"nodes": list(graph["nodes"].values())}


_UNCONNECTED = """NOT EXISTS (
    SELECT 1 FROM edges AS written JOIN edges AS read ON read.dataset = written.dataset
    WHERE written.job = handovers.upstream AND written.role = 'output' AND read.job = handovers.job AND read.role = 'input'
)"""

_NEIGHBOURS = {
    (Kind.JOB, Direction.UPSTREAM): (
        f"SELECT dataset FROM edges WHERE job = ? AND role = '{Role.INPUT}'",
        f"SELECT upstream FROM handovers WHERE job = ? AND {_UNCONNECTED}",
    ),
    (Kind.JOB, Direction.DOWNSTREAM): (
        f"SELECT dataset FROM edges WHERE job = ? AND role = '{Role.OUTPUT}'",
        f"SELECT job FROM handovers WHERE upstream = ? AND {_UNCONNECTED}",
    ),
    (Kind.DATASET, Direction.UPSTREAM): (
        f"SELECT job FROM edges WHERE dataset = ? AND role = '{Role.OUTPUT}'",
    ),
    (Kind.DATASET, Direction.DOWNSTREAM): (
        f"SELECT job FROM edges WHERE dataset = ? AND role = '{Role.INPUT}'",
    ),
}
"""By kind of a node and direction: the queries that give the nodes one hop away."""

_MADE_BY_A_JOB = f"""SELECT EXISTS (
    SELECT 1 FROM edges AS read JOIN edges AS written ON written.job = read.job
    WHERE read.dataset = ? AND read.role = '{Role.INPUT}' AND written.dataset = ? AND written.role = '{Role.OUTPUT}'
)"""


class GraphQueries:
    """Questions about the lineage, asked on a connection that may be read-only.

    Datasets that the catalog holds as one entity (``postgres://…`` and ``postgresql://…``) are one node here.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def find(self, text: str) -> list[Node]:
        """The nodes that ``text`` names exactly: by id, by URN, as ``NAMESPACE NAME``, ``NAMESPACE/NAME`` or by name alone."""
        found = [row for query, values in _lookups(text) for row in self._connection.execute(query, values)]
        return self._nodes(row[0] for row in sorted(set(found))) or self._only_stated(
            lambda each: (
                text in (each.id, each.name, f"{each.namespace} {each.name}", f"{each.namespace}/{each.name}")
            )
        )

    def search(self, text: str, limit: int) -> list[Node]:
        """Nodes whose name, namespace or URN contains ``text``, newest jobs first, then datasets, by name."""
        pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        rows = self._connection.execute(
            "SELECT id FROM subjects WHERE kind <> 'run' AND (name LIKE :pattern ESCAPE '\\' "
            "OR namespace LIKE :pattern ESCAPE '\\' OR urn LIKE :pattern ESCAPE '\\') "
            "ORDER BY kind DESC, (SELECT max(at) FROM runs WHERE job = id) DESC, namespace, name LIMIT :limit",
            {"pattern": pattern, "limit": limit},
        )
        found = self._nodes(row[0] for row in rows)
        if len(found) < limit:
            mentioned = self._only_stated(
                lambda each: text.lower() in f"{each.name}\n{each.namespace}".lower()
            )
            found += mentioned[: limit - len(found)]
        return found

    def graph(self, focus: Node, depth: int, most: int = MOST_NODES) -> Graph:
        """Everything upstream and downstream of ``focus``, at most ``depth`` hops away; a hop leads from dataset to job or back."""
        walk = _Walk(self, focus, most)
        for direction in Direction:
            walk.follow(direction, depth)
        return Graph(
            focus.id, self._with_more(walk.nodes, walk.edges), tuple(sorted(walk.edges)), walk.truncated
        )

    def neighbours(self, node: Node, direction: Direction) -> list[Node]:
        """The nodes one hop away."""
        queries = _NEIGHBOURS[Kind(node.kind), direction]
        members = self._members(bytes.fromhex(node.id))
        found = (
            row[0]
            for member in members
            for query in queries
            for row in self._connection.execute(query, (member,))
        )
        stated = self._stated_neighbours(members, direction) if node.kind == Kind.DATASET else ()
        return [each for each in self._nodes([*found, *stated]) if each.id != node.id]

    def _stated_neighbours(self, members: Sequence[SubjectId], direction: Direction) -> Iterator[SubjectId]:
        """The datasets that a dataset says it is made from, or that say so of it, where no job makes the one from the other."""
        upstream = direction is Direction.UPSTREAM
        stated = self._stated.sources if upstream else self._stated.targets
        for other in sorted({other for member in members for other in stated.get(member, ())}):
            sources, targets = (
                (self._members(other), members) if upstream else (members, self._members(other))
            )
            if not any(self._is_made_by_a_job(*pair) for pair in product(sources, targets)):
                yield other

    def _is_made_by_a_job(self, source: SubjectId, target: SubjectId) -> bool:
        return bool(self._connection.execute(_MADE_BY_A_JOB, (source, target)).fetchone()[0])

    @cached_property
    def _stated(self) -> StatedLineage:
        return StatedLineage.read(self._connection)

    def _only_stated(self, wanted: Callable[[Node], bool]) -> list[Node]:
        """The datasets that only others' statements mention."""
        nodes = (self._node(identity) for identity in self._stated.keys if self._subject(identity) is None)
        return sorted(filter(wanted, nodes), key=lambda each: (each.namespace, each.name))

    def _with_more(self, nodes: dict[str, Node], edges: set[tuple[str, str]]) -> dict[str, Node]:
        return {
            node.id: attrs.evolve(
                node,
                more_upstream=sum(
                    (each.id, node.id) not in edges for each in self.neighbours(node, Direction.UPSTREAM)
                ),
                more_downstream=sum(
                    (node.id, each.id) not in edges for each in self.neighbours(node, Direction.DOWNSTREAM)
                ),
            )
            for node in nodes.values()
        }

    def _nodes(self, ids: Iterable[SubjectId]) -> list[Node]:
        """The nodes behind subjects, each once, in the order given."""
        nodes = {}
        for identity in ids:
            representative = self._members(identity)[0]
            if representative not in nodes:
                nodes[representative] = self._node(representative)
        return list(nodes.values())

    def _members(self, identity: SubjectId) -> list[SubjectId]:
        """The dataset and all that are the same entity in the catalog, in a stable order; a job is alone."""
        rows = self._connection.execute(
            "SELECT id FROM subjects INDEXED BY subjects_by_urn WHERE urn = (SELECT urn FROM subjects WHERE id = ?) "
            "AND kind = 'dataset' "
            "ORDER BY namespace, name",
            (identity,),
        ).fetchall()
        members = [row[0] for row in rows]
        return members if identity in members else [identity]

    def _subject(self, identity: SubjectId) -> tuple[str, str, str, str | None] | None:
        """Kind, namespace, name and URN of what something was said about."""
        row: tuple[str, str, str, str | None] | None = self._connection.execute(
            "SELECT kind, namespace, name, urn FROM subjects WHERE id = ?", (identity,)
        ).fetchone()
        return row

    def _node(self, identity: SubjectId) -> Node:
        kind, namespace, name, urn = self._subject(identity) or (
            Kind.DATASET.value,
            *self._stated.keys[identity],
            None,
        )
        state, at = None, None
        if kind == Kind.JOB:
            newest = self._connection.execute(
                "SELECT coalesce(result, 'RUNNING'), at FROM runs WHERE job = ? ORDER BY at DESC, run_id DESC LIMIT 1",
                (identity,),
            ).fetchone()
            state, at = newest or (None, None)
        return Node(identity.hex(), kind, namespace, name, urn, state, at)


class _Walk:
    """A breadth-first walk that gathers nodes and edges up to a cap."""

    def __init__(self, queries: GraphQueries, focus: Node, most: int) -> None:
        self._queries = queries
        self._focus = focus
        self._most = most
        self.nodes = {focus.id: focus}
        self.edges: set[tuple[str, str]] = set()
        self.truncated = False

    def follow(self, direction: Direction, depth: int) -> None:
        """Gather what is up to ``depth`` hops away in one direction."""
        front, seen = [self._focus], {self._focus.id}
        for _ in range(depth):
            reached = {each.id: each for node in front for each in self._step(node, direction)}
            front = [node for identity, node in reached.items() if identity not in seen]
            seen |= reached.keys()

    def _step(self, node: Node, direction: Direction) -> Iterator[Node]:
        for neighbour in self._queries.neighbours(node, direction):
            if neighbour.id not in self.nodes and len(self.nodes) >= self._most:
                self.truncated = True
                continue
            self.nodes.setdefault(neighbour.id, neighbour)
            pair = (neighbour.id, node.id)
            self.edges.add(pair if direction is Direction.UPSTREAM else pair[::-1])
            yield neighbour


def _lookups(text: str) -> Iterator[tuple[str, tuple[object, ...]]]:
    """The queries that find what ``text`` names exactly, each by an index."""
    if re.fullmatch(r"[0-9a-fA-F]{32}", text):
        yield "SELECT id FROM subjects WHERE id = ? AND kind <> 'run'", (bytes.fromhex(text),)
    yield "SELECT id FROM subjects WHERE urn = ? AND kind <> 'run'", (text,)
    for kind in (Kind.JOB, Kind.DATASET):
        yield "SELECT id FROM subjects WHERE kind <> 'run' AND kind = ? AND name = ?", (kind, text)
        for match in re.finditer(r"[ /]", text):
            namespace, name = text[: match.start()], text[match.end() :]
            yield (
                "SELECT id FROM subjects WHERE kind <> 'run' AND kind = ? AND name = ? AND namespace = ?",
                (kind, name, namespace),
            )
