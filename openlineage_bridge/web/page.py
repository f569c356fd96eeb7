"""The lineage as HTML that is complete without a script: search, a node, and what lies upstream and downstream of it.

Everything that came with an event is shown as text: it goes through ``escape``, and stands in a ``bdi`` element, so that
writing marks in a name cannot change what surrounds it.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from string import Template
from urllib.parse import urlencode

from openlineage_bridge.store.graph import Graph, Node

DEPTHS = range(1, 6)
STATES: Mapping[str, str] = {
    "RUNNING": "running",
    "COMPLETE": "complete",
    "FAIL": "failed",
    "ABORT": "aborted",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def render(*, text: str, found: Sequence[Node], node: str, depth: int, graph: Graph | None) -> str:
    """The page.

    Args:
        text: What was searched for; empty for the newest nodes.
        found: The nodes that match it.
        node: The node that was asked for; empty for none.
        depth: How many edges around it are shown.
        graph: Its lineage; None when no node was asked for, or there is none of that id.
    """
    focus = _focus(graph, text, depth) if graph else _unknown(node)
    name = graph.nodes[graph.focus].name if graph else ""
    return _template("page").substitute(
        title=escape(f"{name} · lineage" if name else "Lineage"),
        text=escape(text),
        focus=focus,
        found_title=escape(f"Found for “{text}”" if text else "Newest jobs and datasets"),
        found=_list(
            (_item(each, text, depth) for each in found), "Nothing yet." if not text else "Nothing found."
        ),
    )


def escape(text: object) -> str:
    """Text for HTML, inside elements and quoted attributes; what UTF-8 cannot hold becomes a question mark."""
    return html.escape(str(text)).encode("utf-8", "replace").decode("utf-8")


def neighbourhood(graph: Graph) -> tuple[dict[str, int], dict[str, int]]:
    """How many steps upstream, and how many downstream, each node of the graph is from its focus."""
    upward: dict[str, list[str]] = {}
    downward: dict[str, list[str]] = {}
    for source, target in graph.edges:
        upward.setdefault(target, []).append(source)
        downward.setdefault(source, []).append(target)
    return _steps(graph, upward), _steps(graph, downward)


def _steps(graph: Graph, next_of: Mapping[str, Sequence[str]]) -> dict[str, int]:
    steps = {graph.focus: 0}
    queue = [graph.focus]
    for node in queue:
        for other in next_of.get(node, ()):
            if other not in steps and other in graph.nodes:
                steps[other] = steps[node] + 1
                queue.append(other)
    del steps[graph.focus]
    return steps


# --- parts of the page ----------------------------------------------------------------------------------------------


def _unknown(node: str) -> str:
    return "<p class='note' role='alert'>There is no such job or dataset here (any more).</p>" if node else ""


def _focus(graph: Graph, text: str, depth: int) -> str:
    node = graph.nodes[graph.focus]
    upstream, downstream = neighbourhood(graph)
    return _template("focus").substitute(
        kind=escape(node.kind),
        name=escape(node.name),
        namespace=escape(node.namespace),
        facts=_facts(node),
        node=escape(node.id),
        text=escape(text),
        depth=depth,
        depths="".join(f"<option{' selected' if each == depth else ''}>{each}</option>" for each in DEPTHS),
        truncated="<p class='note'>Only the nearest nodes are shown.</p>" if graph.truncated else "",
        upstream=_side(graph, upstream, text, depth),
        downstream=_side(graph, downstream, text, depth),
    )


def _facts(node: Node) -> str:
    rows = []
    if node.state:
        rows.append(f"<dt>Last run</dt><dd>{_state(node)}</dd>")
    if node.urn:
        rows.append(f"<dt>In the catalog</dt><dd><code><bdi>{escape(node.urn)}</bdi></code></dd>")
    return "\n".join(rows)


def _side(graph: Graph, steps: Mapping[str, int], text: str, depth: int) -> str:
    nodes = sorted((distance, graph.nodes[node].name, node) for node, distance in steps.items())
    items = (_item(graph.nodes[node], text, depth, distance) for distance, _, node in nodes)
    return _list(items, "Nothing known.")


def _list(items: Iterable[str], otherwise: str) -> str:
    joined = "\n".join(items)
    return f"<ul class='nodes'>\n{joined}\n</ul>" if joined else f"<p class='note'>{escape(otherwise)}</p>"


def _item(node: Node, text: str, depth: int, distance: int = 0) -> str:
    query = urlencode(
        {"q": text, "node": node.id, "depth": depth} if text else {"node": node.id, "depth": depth},
        errors="replace",
    )
    parts = [
        f"<span class='mark {_word(node.kind)}'>{escape(node.kind)}</span>",
        f"<a href='?{escape(query)}'><bdi>{escape(node.name)}</bdi></a>",
        f"<span class='namespace'><bdi>{escape(node.namespace)}</bdi></span>",
        _state(node),
        f"<span class='steps'>{distance} steps away</span>" if distance > 1 else "",
        _more(node) if distance else "",
    ]
    return f"<li>{' '.join(filter(None, parts))}</li>"


def _more(node: Node) -> str:
    hidden = node.more_upstream + node.more_downstream
    return f"<span class='more'>{hidden} more behind it</span>" if hidden else ""


def _state(node: Node) -> str:
    if not node.state:
        return ""
    said = STATES.get(node.state, node.state.lower())
    return f"<span class='state {_word(said)}'>{escape(said)}</span> {_time(node.at)}".rstrip()


def _time(microseconds: int | None) -> str:
    """A moment in UTC, for people and for programs; nothing when it is unknown or beyond the calendar."""
    if not microseconds:
        return ""
    try:
        moment = _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return ""
    return f"<time datetime='{moment:%Y-%m-%dT%H:%M:%SZ}'>{moment:%Y-%m-%d %H:%M:%S} UTC</time>"


def _word(text: str) -> str:
    """A text as one class name."""
    return "".join(letter for letter in text if letter.isascii() and letter.isalnum())


@cache
def _template(name: str) -> Template:
    return Template(
        (files("openlineage_bridge.web") / "templates" / f"{name}.html").read_text(encoding="utf-8")
    )
