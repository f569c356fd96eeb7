"""An inbox and a store in memory, and a real server in front of them."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import attrs
import pytest
from structlog.testing import capture_logs

from openlineage_bridge.config import Config, Secret, ServerConfig
from openlineage_bridge.receivers import Receipt, Rejected, Stored
from openlineage_bridge.server.app import create_app
from openlineage_bridge.server.run import Server, bind
from openlineage_bridge.store.graph import Graph, Node


@attrs.define
class MemoryInbox:
    """An inbox that keeps what it accepts; ``failure`` makes it fail, ``answers=False`` makes it silent."""

    stored: list[bytes] = attrs.field(factory=list)
    quarantined: list[bytes] = attrs.field(factory=list)
    calls: list[tuple[bytes, ...]] = attrs.field(factory=list)
    failure: Exception | None = None
    answers: bool = True
    waiting: list[Future] = attrs.field(factory=list)
    called: threading.Event = attrs.field(factory=threading.Event)

    def accept(self, bodies, receiver):
        assert receiver == "http"
        self.calls.append(tuple(bodies))
        future: Future = Future()
        if self.failure:
            future.set_exception(self.failure)
        elif self.answers:
            future.set_result([self.receipt(body) for body in bodies])
        else:
            self.waiting.append(future)
        self.called.set()
        return future

    def receipt(self, body: bytes) -> Receipt:
        try:
            event = json.loads(body)
            reason = (
                ""
                if isinstance(event, dict) and event.get("job", {}).get("name")
                else "no identity: job.name"
            )
        except (ValueError, RecursionError):
            reason = "not JSON"
        if reason:
            self.quarantined.append(body)
            return Rejected(reason)
        duplicate = body in self.stored
        if not duplicate:
            self.stored.append(body)
        return Stored(duplicate=duplicate, warnings=tuple(event.get("warn", ())))


@attrs.define
class MemoryQueries:
    """A store that holds the graph that a test gives it."""

    nodes: dict[str, Node] = attrs.field(factory=dict)
    edges: list[tuple[str, str]] = attrs.field(factory=list)
    figures: dict[str, object] = attrs.field(factory=dict)
    failure: Exception | None = None
    depths: list[int] = attrs.field(factory=list)

    def check(self):
        if self.failure:
            raise self.failure

    def status(self):
        if self.failure:
            raise self.failure
        return self.figures

    def graph(self, node, depth):
        if self.failure:
            raise self.failure
        self.depths.append(depth)
        return Graph(node, dict(self.nodes), tuple(self.edges)) if node in self.nodes else None

    def search(self, text, limit):
        if self.failure:
            raise self.failure
        return [node for node in self.nodes.values() if text in node.name][:limit]


@attrs.define
class Reply:
    """What the server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@attrs.define
class Running:
    """A server on a loopback port, with what stands behind it."""

    url: str
    port: int
    inbox: MemoryInbox
    queries: MemoryQueries
    app: object
    server: Server
    logs: list = attrs.field(factory=list)

    def request(self, method, path, body=None, headers=None) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Reply(
                answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
            )
        finally:
            connection.close()

    def post(self, body, path="/api/v1/lineage", **headers) -> Reply:
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        return self.request("POST", path, body, {"Content-Type": "application/json"} | given)

    def get(self, path, **headers) -> Reply:
        return self.request("GET", path, None, headers)


@contextmanager
def running(*tokens: str, write: tuple[str, ...] = (), read: tuple[str, ...] = ()) -> Iterator[Running]:
    """A real uvicorn in a thread of its own, with tokens for everything, for writing and for reading."""
    lists = {"tokens": tokens, "write_tokens": write, "read_tokens": read}
    settings = ServerConfig(port=0, **{key: tuple(map(Secret, texts)) for key, texts in lists.items()})
    inbox, queries = MemoryInbox(), MemoryQueries()
    app = create_app(inbox, queries, Config(server=settings))
    server = Server(app, bind(settings))
    thread = threading.Thread(target=server.listen, name="server")
    thread.start()
    try:
        assert server.ready.wait(10)
        yield Running(server.url, server.listener.getsockname()[1], inbox, queries, app, server)
    finally:
        server.stop()
        thread.join(15)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def _shared_server():
    with running() as started:
        yield started


@pytest.fixture
def bridge(_shared_server):
    """A server that lets everyone in, with nothing behind it yet."""
    for part in (_shared_server.inbox, _shared_server.queries):
        part.__init__()
    with capture_logs() as logs:
        _shared_server.logs = logs
        yield _shared_server


@pytest.fixture
def start():
    """Starts a server of the test's own, with tokens."""
    return running
