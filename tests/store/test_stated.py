"""Lineage between datasets that no job makes: in the graph as DatasetEvents state it, beside that of jobs."""

from __future__ import annotations

import json

import pytest

from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.graph import GraphQueries
from openlineage_bridge.store.inbox import inspect


@pytest.fixture
def hear(plain):
    """Tells a bridge in memory events, and hands out what may be asked of it then."""
    with Store(MEMORY) as store:
        pipeline = Pipeline(store, plain.PlainTranslator())

        def hear(*events):
            with store.transaction():
                bodies = [inspect(json.dumps(event).encode()) for event in events]
                store.inbox.put(bodies, receiver="test", now=1)
            pipeline.step(len(events))
            return GraphQueries(store.connection)

        yield hear


def dataset(name, namespace="db://h", **facets):
    return {"namespace": namespace, "name": name, "facets": facets}


def made_from(*names, namespace="db://h"):
    """The ``lineage`` facet of a dataset."""
    return {"inputs": [{"namespace": namespace, "name": name, "type": "DATASET"} for name in names]}


def columns_from(*names):
    """The ``columnLineage`` facet of a dataset with one column."""
    return {
        "fields": {
            "c": {"inputFields": [{"namespace": "db://h", "name": name, "field": "c"} for name in names]}
        }
    }


def edges(queries, focus, depth=20):
    (node,) = queries.find(focus)
    graph = queries.graph(node, depth)
    return {(graph.nodes[source].name, graph.nodes[target].name) for source, target in graph.edges}


@pytest.mark.parametrize("focus", ["a", "b", "c"])
def test_upstream_and_downstream(hear, world, focus):
    """One edge from dataset to dataset, whichever end was asked for; across several of them."""
    queries = hear(
        world.dataset_event(dataset("a")),
        world.dataset_event(dataset("b", lineage=made_from("a"))),
        world.dataset_event(dataset("c", columnLineage=columns_from("b"))),
    )

    assert {("a", "b"), ("b", "c")} == edges(queries, focus)


def test_the_lineage_facet_is_the_complete_picture(hear, world):
    """Where a dataset has both facets, ``columnLineage`` adds no upstream (explicit lineage facet, precedence)."""
    queries = hear(
        world.dataset_event(dataset("c", lineage=made_from("a"), columnLineage=columns_from("b"))),
    )

    assert {("a", "c")} == edges(queries, "c")


def test_the_newest_statement_stands(hear, world):
    """Whatever order they arrive in; a removed facet says nothing any more."""
    queries = hear(
        world.dataset_event(dataset("b", lineage=made_from("new")), second=2),
        world.dataset_event(dataset("b", lineage=made_from("old")), second=1),
        world.dataset_event(dataset("gone", lineage=made_from("a")), second=1),
        world.dataset_event(dataset("gone", lineage={"_deleted": True}), second=2),
    )

    assert {("new", "b")} == edges(queries, "b")
    assert set() == edges(queries, "gone")


def test_what_a_job_makes_is_shown_through_the_job(hear, world):
    """The direct edge says less than the two around the job; another upstream, which no job reads, is shown."""
    queries = hear(
        world.run_event("load", inputs=["a"], outputs=["b"]),
        world.dataset_event(dataset("b", lineage=made_from("a", "side"))),
    )

    assert {("a", "load"), ("load", "b"), ("side", "b")} == edges(queries, "b")
    assert {("a", "load"), ("load", "b")} == edges(queries, "a")


def test_what_a_run_says_of_its_outputs_is_no_statement_of_the_dataset(hear, world):
    """Column lineage of a run belongs to its job: an input that only its columns name is the job's."""
    queries = hear(world.run_event("load", outputs=[dataset("b", columnLineage=columns_from("a"))]))

    assert {("a", "load"), ("load", "b")} == edges(queries, "b")


def test_a_source_that_nothing_else_mentions(hear, world):
    """It is found by name, by namespace and name, by a part, and by its id, and leads on to what is made from it."""
    queries = hear(world.dataset_event(dataset("b", lineage=made_from("only/there"))))
    (node,) = queries.find("only/there")

    assert ("dataset", "db://h", "only/there", None) == (node.kind, node.namespace, node.name, node.urn)
    assert [node] == queries.find("db://h only/there") == queries.find(node.id) == queries.search("NLY", 5)
    assert {("only/there", "b")} == edges(queries, "only/there")
    assert [] == queries.search("NLY", 0)


def test_datasets_that_are_one_entity_are_one_node(hear, world):
    """Of ``postgres://`` and ``postgresql://`` the newest statement of either stands, and a source is either's node."""
    one, other = "postgres://h:5432", "postgresql://h:5432"
    queries = hear(
        world.dataset_event(dataset("db.s.a", one)),
        world.dataset_event(dataset("db.s.b", one, lineage=made_from("db.s.z")), second=1),
        world.dataset_event(dataset("db.s.b", other, lineage=made_from("db.s.a", namespace=other)), second=2),
        world.dataset_event(dataset("db.s.a", other)),
    )
    (node,) = queries.find(f"{one} db.s.b")
    graph = queries.graph(node, 3)

    assert {("db.s.a", "db.s.b")} == {(graph.nodes[a].name, graph.nodes[b].name) for a, b in graph.edges}
    assert 2 == len(graph.nodes)


def test_a_circle_and_a_dataset_of_itself(hear, world):
    """Ends; nothing is its own upstream."""
    queries = hear(
        world.dataset_event(dataset("a", lineage=made_from("b", "a"))),
        world.dataset_event(dataset("b", lineage=made_from("a"))),
    )

    assert {("a", "b"), ("b", "a")} == edges(queries, "a")


def test_neighbours_that_are_left_out_are_counted(hear, world):
    """A node at the edge of the picture says how much lies behind it."""
    queries = hear(
        world.dataset_event(dataset("b", lineage=made_from("a"))),
        world.dataset_event(dataset("c", lineage=made_from("b", "x"))),
    )
    (focus,) = queries.find("a")
    graph = queries.graph(focus, 1)
    [b] = [node for node in graph.nodes.values() if node.name == "b"]

    assert (0, 1) == (b.more_upstream, b.more_downstream)
