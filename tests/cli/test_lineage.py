"""``openlineage-bridge lineage``: up and down from a node, as a tree or as JSON."""

from __future__ import annotations

import pytest

TREE = """\
Upstream
  db.s.orders (postgres://h:5432)
  └─ load (ns job) COMPLETE
     └─ db.s.raw (postgres://h:5432)
Downstream
  db.s.orders (postgres://h:5432)
  └─ report (ns job) FAIL
     ├─ db.s.daily (postgres://h:5432)
     └─ db.s.weekly (postgres://h:5432)
"""


@pytest.mark.parametrize(
    "node",
    [
        "db.s.orders",
        "postgres://h:5432 db.s.orders",
        "urn:li:dataset:(urn:li:dataPlatform:postgres,db.s.orders,PROD)",
        "orders",
    ],
)
def test_lineage_as_a_tree(run, shop, node):
    """By name, by namespace and name, by URN, or by a part that fits one node only."""
    run("replay", shop, "--store", "bridge.db")
    said = run("lineage", node, "--store", "bridge.db")

    assert (0, TREE, "") == (said.code, said.out, said.err)


def test_lineage_of_an_end(run, shop):
    """Nothing is said as nothing."""
    run("replay", shop, "--store", "bridge.db")
    said = run("lineage", "db.s.raw", "--store", "bridge.db", "--depth", "1")

    assert (
        "Upstream\n  nothing\nDownstream\n  db.s.raw (postgres://h:5432)\n  └─ load (ns job) COMPLETE\n"
        == said.out
    )


def test_lineage_as_json(run, shop):
    """Nodes, and edges along the flow of data."""
    run("replay", shop, "--store", "bridge.db")
    graph = run("lineage", "load", "--store", "bridge.db", "--format", "json").json
    names = {node["id"]: node["name"] for node in graph["nodes"]}

    assert "load" == names[graph["focus"]]
    assert not graph["truncated"]
    assert {
        ("db.s.raw", "load"),
        ("load", "db.s.orders"),
        ("db.s.orders", "report"),
        ("report", "db.s.daily"),
        ("report", "db.s.weekly"),
    } == {(names[source], names[target]) for source, target in graph["edges"]}


def test_lineage_of_a_circle(run, write, world, table):
    """Ends: what was shown is not followed again."""
    path = write(world.run_event("loop", inputs=[table("a")], outputs=[table("a")]))
    run("replay", path, "--store", "bridge.db")
    said = run("lineage", "db.s.a", "--store", "bridge.db")

    assert (
        "Upstream\n  db.s.a (postgres://h:5432)\n  └─ loop (ns job) COMPLETE\n"
        "     └─ db.s.a (postgres://h:5432)  (see above)\n"
    ) == said.out.partition("Downstream")[0]


def test_lineage_of_an_unclear_node(run, shop):
    """Lists the candidates."""
    run("replay", shop, "--store", "bridge.db")
    said = run("lineage", "db.s", "--store", "bridge.db")

    assert (2, "") == (said.code, said.out)
    assert "'db.s' fits several, name one of them in quotes:" in said.err
    assert "\n  dataset  postgres://h:5432 db.s.daily\n" in said.err


def test_lineage_of_an_unknown_node(run, shop):
    """Says that there is none."""
    run("replay", shop, "--store", "bridge.db")
    said = run("lineage", "nobody", "--store", "bridge.db")

    assert (2, "") == (said.code, said.out)
    assert "no job or dataset is called 'nobody'" in said.err


def test_names_cannot_move_the_cursor(run, write, world):
    """Control characters in a name are shown, not obeyed."""
    evil = {"namespace": "postgres://h:5432", "name": "db.s.x\x1b[2J\r\nfake"}
    run("replay", write(world.run_event(inputs=[evil])), "--store", "bridge.db")
    said = run("lineage", "flow", "--store", "bridge.db")

    assert "db.s.x\\x1b[2J\\x0d\\x0afake (postgres://h:5432)\n" in said.out
