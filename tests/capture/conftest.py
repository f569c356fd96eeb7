"""A host of our own, and nothing left of what other tests recorded or configured."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from openlineage_bridge_capture import drivers, log, recorder


class FakeHost:
    """An orchestrator whose context is a contextvar, as Prefect's and Dagster's are."""

    def __init__(self) -> None:
        self._run: ContextVar[str | None] = ContextVar("run", default=None)

    def current(self) -> str | None:
        return self._run.get()

    @contextmanager
    def running(self, run: str) -> Iterator[None]:
        token = self._run.set(run)
        try:
            yield
        finally:
            self._run.reset(token)


@pytest.fixture
def host(monkeypatch) -> FakeHost:
    """The only host of this process, for one test."""
    fake = FakeHost()
    monkeypatch.setattr(recorder, "_hosts", [fake.current])
    monkeypatch.setattr(recorder, "_tapes", {})
    monkeypatch.setattr(recorder, "_unattributed", 0)
    log.forget()
    return fake


@pytest.fixture
def unconfigured(monkeypatch, tmp_path) -> Iterator[None]:
    """No OpenLineage configuration anywhere the client looks."""
    for name in list(os.environ):
        if name.startswith("OPENLINEAGE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OPENLINEAGE_BRIDGE_SPOOL_FOLDER", str(tmp_path / "spool"))
    monkeypatch.chdir(tmp_path)
    log.forget()
    yield
    # The client's constructor copies OPENLINEAGE_URL into these and leaves them behind.
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE__TRANSPORT__TRANSPORTS__")]:
        del os.environ[name]


@pytest.fixture
def duckdb():
    """DuckDB, instrumented the way a host does it."""
    drivers.install()
    return pytest.importorskip("duckdb")


class Backend:
    """A real OpenLineage receiver on loopback that behaves as told; of batches it knows nothing."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.received: list[tuple[str, dict[str, str], dict]] = []
        self._let_go = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        if mode == "refused":
            self._server.server_close()
        else:
            threading.Thread(
                target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
            ).start()

    def _handler(backend) -> type[BaseHTTPRequestHandler]:  # noqa: N805  # the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if backend.mode == "hang":
                    backend._let_go.wait(60)
                    return
                status = 200 if backend.mode == "ok" else int(backend.mode)
                if self.path.endswith("/batch"):
                    status = 404
                elif status == 200:
                    backend.received.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        return Handler

    @property
    def jobs(self) -> list[str]:
        return [event["job"]["name"] for _, _, event in self.received]

    def close(self, mode: str) -> None:
        self._let_go.set()
        if mode != "refused":
            self._server.shutdown()
            self._server.server_close()


@pytest.fixture
def backend() -> Iterator[Callable[[str], Backend]]:
    """Makes backends: ``ok``, ``refused``, ``hang``, or a status to answer with."""
    made: list[tuple[Backend, str]] = []

    def make(mode: str) -> Backend:
        made.append((Backend(mode), mode))
        return made[-1][0]

    yield make
    for each, mode in made:
        each.close(mode)
