"""The page, the graph, the probes and the metrics."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge.errors import StorageError
from openlineage_bridge.store.graph import Graph, Node
from openlineage_bridge.web import page

SECOND = 1_000_000


def shop() -> dict[str, Node]:
    nodes = [
        Node("a1", "dataset", "postgres://db:5432", "shop.public.orders", urn="urn:orders"),
        Node("b2", "job", "prefect", "load.orders", state="COMPLETE", at=1_714_557_600 * SECOND),
        Node("c3", "dataset", "duckdb", "lake.orders", more_downstream=3),
        Node("d4", "job", "dagster", "report", state="FAIL", at=1_714_557_700 * SECOND),
    ]
    return {node.id: node for node in nodes}


EDGES = [("a1", "b2"), ("b2", "c3"), ("c3", "d4")]


@pytest.fixture
def filled(bridge):
    """A server with some lineage."""
    bridge.queries.nodes = shop()
    bridge.queries.edges = EDGES
    return bridge


class Page(HTMLParser):
    """The elements and texts of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag == self.open.pop()

    def handle_data(self, data):
        self.texts.append(data)


# --- JSON -----------------------------------------------------------------------------------------------------------


def test_graph(filled):
    """The graph is the store's, as JSON."""
    reply = filled.get("/api/v1/graph?node=b2&depth=2")

    assert reply.status == 200
    nodes = {node["id"]: node for node in reply.json["nodes"]}
    assert sorted(nodes) == ["a1", "b2", "c3", "d4"]
    assert [list(edge) for edge in EDGES] == reply.json["edges"]
    assert nodes["b2"] == {
        "id": "b2",
        "kind": "job",
        "namespace": "prefect",
        "name": "load.orders",
        "urn": None,
        "state": "COMPLETE",
        "at": 1_714_557_600 * SECOND,
        "more_upstream": 0,
        "more_downstream": 0,
    }
    assert (reply.json["focus"], reply.json["truncated"]) == ("b2", False)


@pytest.mark.parametrize(
    ("written", "depth"),
    [("1", 1), ("5", 5), ("6", 5), ("99999999999", 5), ("0", 1), ("-1", 1), ("x", 1), ("", 1), ("²", 1)],
)
def test_depth(filled, written, depth):
    """Any depth is brought within its bounds."""
    from urllib.parse import quote

    filled.get(f"/api/v1/graph?node=b2&depth={quote(written)}")

    assert [depth] == filled.queries.depths


@pytest.mark.parametrize(("path", "status"), [("/api/v1/graph", 400), ("/api/v1/graph?node=zz", 404)])
def test_graph_of_nothing(filled, path, status):
    """Without a node, or with one that is not there, the answer says what to do."""
    reply = filled.get(path)

    assert status == reply.status
    assert "/api/v1/" in reply.json["error"]


def test_search(filled):
    """Search gives nodes by name."""
    assert [node["id"] for node in filled.get("/api/v1/search?q=orders").json["nodes"]] == ["a1", "b2", "c3"]


# --- the page -------------------------------------------------------------------------------------------------------


def test_empty_page(bridge):
    """With nothing stored the page says so."""
    reply = bridge.get("/")

    assert reply.status == 200
    assert "Nothing yet." in Page(reply.body.decode()).texts


def test_page_of_a_node(filled):
    """Without a script the page shows the node, its last run, and what lies upstream and downstream."""
    reply = filled.get("/?node=b2&depth=2&q=orders")
    text = " ".join(" ".join(Page(reply.body.decode()).texts).split())

    assert re.search(r"job load\.orders Namespace prefect Last run complete 2024-05-01 10:00:00 UTC", text)
    assert re.search(
        r"Upstream.*shop\.public\.orders.*Downstream.*lake\.orders .*3 more behind it.*report.*failed.*2 steps away",
        text,
    )
    assert filled.queries.depths == [2]


def test_every_link_leads_to_a_node(filled):
    """Links keep the search and the depth, so that the address says everything."""
    links = [
        found["href"]
        for tag, found in Page(filled.get("/?node=b2&q=orders&depth=3").body.decode()).elements
        if tag == "a"
    ]

    assert {"?q=orders&node=a1&depth=3", "?q=orders&node=c3&depth=3"} <= set(links)
    assert {200} == {filled.get(f"/{link}").status for link in links if link.startswith("?")}


def test_page_of_nothing(filled):
    """A node that is gone is 404, and the list is still there."""
    reply = filled.get("/?node=zz")

    assert reply.status == 404
    assert b"no such job or dataset" in reply.body
    assert b"load.orders" in reply.body


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "$text ${focus} $",
    "\u202egnp.exe",
    "a\r\nb\x1b[31m\0",
    "&lt;b&gt;",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(bridge, name):
    """Whatever a name contains, it is text: the elements of the page are the same as for a harmless name (G28)."""

    def shown(text: str) -> Page:
        node = Node("a1", "dataset", text, text, urn=text, state=text, at=1)
        bridge.queries.nodes = {"a1": node, "b2": Node("b2", text, text, text)}
        bridge.queries.edges = [("a1", "b2")]
        from urllib.parse import quote

        return Page(bridge.get(f"/?node=a1&q={quote(text)}").body.decode())

    hostile, harmless = shown(name), shown("harmless")

    assert [tag for tag, _ in harmless.elements] == [tag for tag, _ in hostile.elements]
    assert [sorted(found) for _, found in harmless.elements] == [
        sorted(found) for _, found in hostile.elements
    ]
    assert [found for _, found in hostile.elements if found.get("href", "").startswith("javascript")] == []
    assert name.replace("\0", "").replace("\r\n", "\n") in "".join(hostile.texts).replace("\0", "").replace(
        "\r\n", "\n"
    )


@given(st.text(st.characters()))
def test_escape_is_total(text):
    """Any text, lone surrogates included, becomes something that UTF-8 and HTML can hold."""
    escaped = page.escape(text)

    assert escaped == escaped.encode().decode()
    assert not set("<>\"'") & set(escaped)


@given(st.integers())
def test_any_time(at):
    """A time beyond the calendar is left out."""
    html = page.render(
        text="", found=[Node("a", "job", "n", "j", state="COMPLETE", at=at)], node="", depth=1, graph=None
    )

    assert "complete" in html


def test_neighbourhood_with_a_cycle():
    """Steps are counted once, in both directions, also around a cycle."""
    nodes = {key: Node(key, "job", "n", key) for key in "abcd"}
    graph = Graph("a", nodes, (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("x", "a")))

    assert page.neighbourhood(graph) == ({"c": 1, "b": 2, "d": 1}, {"b": 1, "c": 2})


def test_nothing_is_loaded_from_elsewhere(filled):
    """The page may load its own files only, all of them are there, and none of them names another host (G28)."""
    reply = filled.get("/?node=b2")
    linked = [
        found.get("src") or found["href"]
        for tag, found in Page(reply.body.decode()).elements
        if tag in {"script", "link"}
    ]

    assert reply.headers["content-security-policy"].startswith("default-src 'self'")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert sorted(linked) == ["static/graph.js", "static/icon.svg", "static/page.css"]
    for path in linked:
        file = filled.get(f"/{path}")
        assert file.status == 200
        assert "default-src 'self'" in file.headers["content-security-policy"]
        assert set(re.findall(rb"https?://[^\"' ]+", file.body)) <= {b"http://www.w3.org/2000/svg"}


# --- probes and metrics ---------------------------------------------------------------------------------------------


def test_probes(bridge):
    """Alive always; ready when the store answers and nobody asked the process to stop."""
    healthy = [bridge.get(path).status for path in ("/livez", "/readyz", "/healthcheck")]
    bridge.queries.failure = StorageError("the store cannot be read")
    broken = [
        bridge.get(path).status
        for path in ("/livez", "/readyz", "/healthcheck", "/", "/api/v1/search", "/api/v1/graph?node=a")
    ]
    bridge.queries.failure = None
    bridge.app.state.health.stopping = True
    stopping = [bridge.get("/livez").status, bridge.get("/readyz").status, bridge.post(b"{}").status]
    bridge.app.state.health.stopping = False

    assert healthy == [200, 200, 200]
    assert broken == [200, 503, 503, 503, 503, 503]
    assert stopping == [200, 503, 503]


def metrics(bridge) -> dict[str, float]:
    lines = bridge.get("/metrics").body.decode().splitlines()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")
    }


def test_counters(bridge):
    """Requests are counted by what came of them, and names never become labels."""
    before = metrics(bridge)
    good = b'{"job": {"namespace": "secret-namespace", "name": "secret-name"}}'
    bridge.post(good)
    bridge.post(b"[" + good + b", {}, 1]")
    bridge.post(b"[")
    bridge.post(good, Content_Encoding="br")
    after = metrics(bridge)
    changed = {
        key: value - before.get(key, 0)
        for key, value in after.items()
        if value != before.get(key, 0) and "_ack_" not in key and "_created" not in key
    }

    assert changed == {
        'olbridge_events_received_total{receiver="http"}': 4,
        'olbridge_events_rejected_total{reason="event"}': 2,
        'olbridge_events_rejected_total{reason="not_json"}': 1,
        'olbridge_events_rejected_total{reason="encoding"}': 1,
        "olbridge_events_duplicate_total": 1,
        'olbridge_http_answers_total{status="200"}': 2,
        'olbridge_http_answers_total{status="400"}': 1,
        'olbridge_http_answers_total{status="415"}': 1,
    }
    assert after["olbridge_ack_seconds_count"] - before["olbridge_ack_seconds_count"] == 4
    assert b"secret" not in bridge.get("/metrics").body


def test_gauges(bridge):
    """The store's figures are shown where it has them, and left out while it cannot be read."""
    bridge.queries.figures = {
        "inbox_events": 3,
        "quarantine_events": {"parse": 1, "deliver": 2},
        "version": "1",
        "other": 5,
    }
    shown = {
        key: value
        for key, value in metrics(bridge).items()
        if "inbox" in key or "quarantine" in key or "other" in key
    }
    bridge.queries.failure = StorageError("away")
    reply = bridge.get("/metrics")

    assert shown == {
        "olbridge_inbox_events": 3,
        'olbridge_quarantine_events{stage="parse"}': 1,
        'olbridge_quarantine_events{stage="deliver"}': 2,
    }
    assert reply.status == 200
    assert b"inbox_events" not in reply.body


def test_logs_hold_hostile_text_as_values(bridge):
    """What a sender wrote is never the message of a log line (G28)."""
    bridge.post(b"{}", Content_Encoding="\x1b[31mred")
    bridge.post(b"[{}, {}]")

    assert [
        {
            "event": "request_refused",
            "log_level": "warning",
            "status": status,
            "refused": refused,
            "reason": reason,
        }
        for status, refused, reason in (
            (415, 1, r"Content-Encoding '\x1b[31mred' is not supported: send gzip, or none"),
            (200, 2, "no identity: job.name"),
        )
    ] == bridge.logs
