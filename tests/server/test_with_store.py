"""The server in front of the real store: what was answered with 200 is there, what was refused is in quarantine."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
import time
from urllib.parse import quote

import pytest

from openlineage_bridge.config import Config, ServerConfig
from openlineage_bridge.server.app import create_app
from openlineage_bridge.server.metrics import GAUGES
from openlineage_bridge.server.run import Server, bind
from openlineage_bridge.service import Service
from openlineage_bridge.store.status import Queries
from openlineage_bridge.translation import Resolution


class NoCatalog:
    """A translator for which the catalog holds nothing."""

    def resolve(self, dataset):
        return Resolution(f"urn:{dataset.key.namespace}:{dataset.key.name}", "none", "none", ())

    def job_urn(self, job):
        return f"urn:{job.key.namespace}:{job.key.name}"

    def dataset(self, dataset):
        return ()

    def job(self, job):
        return ()

    def run(self, run):
        return ()


def event(name: str, inputs=(), outputs=()) -> bytes:
    body = {
        "eventTime": "2024-05-01T10:00:00Z",
        "eventType": "COMPLETE",
        "producer": "https://example.org/",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": "0190a6a2-1111-7000-8000-000000000001"},
        "job": {"namespace": "jobs", "name": name},
        "inputs": [{"namespace": "data", "name": each} for each in inputs],
        "outputs": [{"namespace": "data", "name": each} for each in outputs],
    }
    return json.dumps(body).encode()


@pytest.fixture
def served(tmp_path):
    """A function that sends a request to a server on a new store, and the questions that the store answers."""
    path = tmp_path / "bridge.db"
    settings = ServerConfig(port=0)
    listener = bind(settings)
    service = Service(path, NoCatalog())
    queries = Queries(path)
    server = Server(create_app(service, queries, Config(store=path, server=settings), service), listener)
    thread = threading.Thread(target=server.listen)
    thread.start()
    assert server.ready.wait(10)

    def send(method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(*listener.getsockname(), timeout=10)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    try:
        yield send, queries
    finally:
        server.stop()
        thread.join(15)
        service.close()


def wait_until_processed(queries) -> None:
    deadline = time.monotonic() + 10
    while queries.status()["inbox_events"] and time.monotonic() < deadline:
        threading.Event().wait(0.01)


def test_from_events_to_the_page(served):
    """Events that were posted appear on the page and in the graph, with names as text."""
    send, queries = served
    hostile = "<b>lake</b>.orders"
    batch = b"[" + event("load", ["orders"], [hostile]) + b"," + event("report", [hostile], ["report"]) + b"]"

    assert send("POST", "/api/v1/lineage", gzip.compress(batch), {"Content-Encoding": "gzip"})[0] == 200
    wait_until_processed(queries)
    (node,) = json.loads(send("GET", f"/api/v1/search?q={quote(hostile)}")[1])["nodes"]
    graph = json.loads(send("GET", f"/api/v1/graph?node={node['id']}&depth=2")[1])
    status, page = send("GET", f"/?node={node['id']}&depth=2")

    assert {"load", "report", "orders", hostile} | {"report"} == {each["name"] for each in graph["nodes"]}
    assert len(graph["edges"]) == 4
    assert status == 200
    assert b"&lt;b&gt;lake&lt;/b&gt;.orders" in page
    assert b"<b>lake" not in page


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"not json", ""), (b"[", ""), (b"{}", ""), (b"[" * 100_000, ""), (b"\x1f\x8b\x08broken", "gzip")],
)
def test_refused_bytes_are_in_quarantine(served, body, encoding):
    """Whatever is answered with 400 is kept, and nothing of it is in the inbox."""
    send, queries = served

    status, answer = send("POST", "/api/v1/lineage", body, {"Content-Encoding": encoding})

    assert status == 400
    assert json.loads(answer)["error"]
    assert sum(queries.status()["quarantine_events"].values()) == 1
    assert queries.status()["events"] == 0


@pytest.mark.parametrize(
    "text", ["%00", "%ED%A0%80", "%25", "_", "%5C", "'", '"', "%F0%9F%92%A9", "x" * 5000]
)
def test_any_text_can_be_searched(served, text):
    """No text breaks the search, the graph or the page."""
    send, _ = served

    actual = [
        send("GET", f"{path}{text}")[0]
        for path in ("/api/v1/search?q=", "/?q=", "/api/v1/graph?node=", "/?node=")
    ]

    assert actual == [200, 200, 404, 404]


def test_metrics_of_the_store(served):
    """The store's figures are among the metrics."""
    send, queries = served
    send("POST", "/api/v1/lineage", event("load"))
    wait_until_processed(queries)

    assert b"\nolbridge_inbox_events 0.0\n" in send("GET", "/metrics")[1]
    assert send("GET", "/readyz")[0] == 200


def test_an_operator_tries_again_and_drops(served):
    """What is in quarantine, by number or all of it, while the service has the store open."""
    send, queries = served
    for body in (b"one", b"two", b"three"):
        send("POST", "/api/v1/lineage", body)
    answers = [
        send("POST", f"/api/v1/quarantine/{operation}", json.dumps({"numbers": numbers}).encode())
        for operation, numbers in (("retry", [1, 9]), ("drop", [1]), ("drop", None), ("retry", None))
    ]

    assert [200] * 4 == [status for status, _ in answers]
    again, *dropped, nothing = [json.loads(content) for _, content in answers]
    assert ([], ["1"], [9]) == (again["done"], list(again["refused"]), again["unknown"])
    assert [[1], [2, 3], []] == [each["done"] for each in (*dropped, nothing)]
    assert {} == queries.status()["quarantine_events"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"numbers": "all"}', b'{"numbers": [1.5]}', b" " * 2_000_000]
)
def test_an_order_that_is_none(served, body):
    """Is refused, with the form that it should have."""
    send, _ = served
    status, content = send("POST", "/api/v1/quarantine/drop", body)

    assert 400 == status
    assert "say which" in json.loads(content)["error"]


def test_figures_of_the_store(served):
    """What waits, for how long, and how much room there is; each gauge of the table is there."""
    send, queries = served
    send("POST", "/api/v1/lineage", event("load"))
    wait_until_processed(queries)
    lines = send("GET", "/metrics")[1].decode().splitlines()
    shown = {line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")}

    assert {f"olbridge_{name}" for name in GAUGES} - {"olbridge_quarantine_events"} <= shown
    assert "olbridge_inbox_events 0.0" in lines
