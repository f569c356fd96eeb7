"""``openlineage-bridge lineage``: upstream and downstream of a job or dataset, as a tree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openlineage_bridge.cli.options import config_option, format_option, store_option, store_path

if TYPE_CHECKING:
    from openlineage_bridge.store.graph import Graph, Node
    from openlineage_bridge.store.status import Queries

SUGGESTIONS = 20


@click.command("lineage")
@click.argument("node")
@click.option(
    "--depth",
    default=20,
    show_default=True,
    help="How many hops to follow; a hop leads to a job or a dataset.",
)
@store_option
@config_option
@format_option("text", "json")
def command(node: str, depth: int, store: Path | None, config_file: Path | None, format_: str) -> None:
    """Show upstream and downstream of NODE, a job or a dataset, as a tree.

    NODE is a name, `NAMESPACE NAME`, a URN, or a part of one that fits a single node.

    \b
    Examples:
      openlineage-bridge lineage warehouse.main.orders --store bridge.db
      openlineage-bridge lineage "s3://bucket path/to/data" --depth 2 --format json
    """
    from openlineage_bridge.store.status import Queries

    queries = Queries(store_path(config_file, store))
    graph = queries.graph(_the_one(queries, node).id, depth)
    assert graph is not None
    if format_ == "json":
        from openlineage_bridge.cli.output import print_json

        print_json(graph.as_json())
    else:
        for line in tree(graph):
            click.echo(line)


def _the_one(queries: Queries, text: str) -> Node:
    """The node that is meant: an exact match, else the only one that contains the text.

    Raises:
        ConfigError: There is none, or there are several; the text lists them.
    """
    from openlineage_bridge.cli.output import plain
    from openlineage_bridge.errors import ConfigError

    found = queries.find(text) or queries.search(text, SUGGESTIONS)
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(f"no job or dataset is called {text!r}: `status` shows what the store holds")
    listed = "".join(f"\n  {each.kind:7}  {plain(each.namespace)} {plain(each.name)}" for each in found)
    raise ConfigError(f"{text!r} fits several, name one of them in quotes:{listed}")


def tree(graph: Graph) -> Iterator[str]:
    """The lines of the tree: what is upstream, the node itself, what is downstream."""
    upstream: dict[str, list[str]] = {}
    downstream: dict[str, list[str]] = {}
    for source, target in graph.edges:
        upstream.setdefault(target, []).append(source)
        downstream.setdefault(source, []).append(target)
    yield click.style("Upstream", bold=True)
    yield from _branch(graph, graph.focus, upstream) if graph.focus in upstream else ["  nothing"]
    yield click.style("Downstream", bold=True)
    yield from _branch(graph, graph.focus, downstream) if graph.focus in downstream else ["  nothing"]
    if graph.truncated:
        yield "(there is more: ask for a smaller --depth or another node)"


def _branch(graph: Graph, root: str, next_: dict[str, list[str]]) -> Iterator[str]:
    """A tree with its root; what was shown before is named again, but not followed again."""
    yield "  " + label(graph.nodes[root])
    shown = {root}
    pending = [(child, "  ", last) for child, last in _children(graph, root, next_)]
    while pending:
        identity, indent, last = pending.pop(0)
        children = [] if identity in shown else _children(graph, identity, next_)
        again = "  (see above)" if identity in shown and next_.get(identity) else ""
        yield f"{indent}{'└─' if last else '├─'} {label(graph.nodes[identity])}{again}"
        shown.add(identity)
        inner = indent + ("   " if last else "│  ")
        pending[:0] = [(child, inner, is_last) for child, is_last in children]


def _children(graph: Graph, identity: str, next_: dict[str, list[str]]) -> list[tuple[str, bool]]:
    children = sorted(
        next_.get(identity, ()), key=lambda each: (graph.nodes[each].namespace, graph.nodes[each].name)
    )
    return [(child, index == len(children) - 1) for index, child in enumerate(children)]


def label(node: Node) -> str:
    """A node on one line: a job with the state of its newest run, a dataset with its namespace."""
    from openlineage_bridge.cli.output import plain, state

    name, namespace = plain(node.name), plain(node.namespace)
    if node.kind == "job":
        suffix = f" {state(node.state)}" if node.state else ""
        return f"{click.style(name, fg='blue', bold=True)} ({namespace} job){suffix}"
    return f"{click.style(name, bold=True)} ({namespace})"
