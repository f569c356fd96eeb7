"""A host of our own, and nothing left of what other tests recorded or configured."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from types import FrameType

import pytest
from bridge_tests.receiver import Receiver, receiving

from openlineage_bridge_capture import drivers, log, recorder
from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.spool import SpoolConfig, SpoolTransport


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


@pytest.fixture
def shop(postgres_server, host) -> Iterator[str]:
    """A fresh schema with a table in it, inside the run ``r``; the conninfo of its database."""
    drivers.install()
    psycopg = pytest.importorskip("psycopg")
    conninfo = f"host=127.0.0.1 port={postgres_server} dbname=postgres user=postgres"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("DROP SCHEMA IF EXISTS app CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.execute("CREATE TABLE orders (id int, price int)")
        connection.execute("INSERT INTO orders VALUES (1, 10)")
    with host.running("r"):
        yield conninfo
    assert recorder.peek("r").left_out == 0


@pytest.fixture
def psycopg(shop):
    """The instrumented module."""
    return pytest.importorskip("psycopg")


@pytest.fixture
def psycopg2(shop):
    """The instrumented module, with its extras."""
    pytest.importorskip("psycopg2.extras")
    return pytest.importorskip("psycopg2")


@pytest.fixture
def recorded() -> Callable[[], list[str]]:
    """The statements that the run ``r`` executed so far."""
    return lambda: [statement.sql for statement in recorder.peek("r").statements]


@pytest.fixture
def lineage() -> Callable[[], tuple[set[str], set[str]]]:
    """Ends the recording of the run ``r``: the names of what it read and of what it wrote, all of it understood."""

    def names() -> tuple[set[str], set[str]]:
        description = describe(recorder.take("r"))
        assert not description.run_facets.keys() - {"externalQuery"}
        return {each.name for each in description.inputs}, {each.name for each in description.outputs}

    return names


@pytest.fixture
def backend() -> Iterator[Callable[[str], Receiver]]:
    """Makes receivers, each of the given mode."""
    with ExitStack() as made:
        yield lambda mode: made.enter_context(receiving(mode))


@pytest.fixture
def receiver(backend) -> Receiver:
    """A receiver that takes everything until it is told otherwise."""
    return backend("ok")


@pytest.fixture
def spool(receiver, tmp_path):
    """Makes transports to the receiver; closes them."""
    made = []

    def make(**settings) -> SpoolTransport:
        params = {"url": receiver.url, "folder": str(tmp_path / "spool"), "timeout": 5, **settings}
        made.append(SpoolTransport(SpoolConfig.from_dict(params)))
        return made[-1]

    yield make
    receiver.let_go.set()
    for each in made:
        each.close(0.2)


@pytest.fixture
def calls(host) -> Callable[[Callable[[], object]], tuple[int, int]]:
    """How many calls of our functions a repeated statement takes outside every run, and inside one: its cost, but no time."""

    def of(statement: Callable[[], object]) -> int:
        ours = Counter()

        def count(frame: FrameType, event: str, _: object) -> None:
            ours[event == "call" and "openlineage_bridge_capture" in frame.f_code.co_filename] += 1

        for _ in range(3):
            statement()
        sys.setprofile(count)
        try:
            statement()
        finally:
            sys.setprofile(None)
        return ours[True]

    def counted(statement: Callable[[], object]) -> tuple[int, int]:
        with host.running(None):
            outside = of(statement)
        with host.running("r"):
            return outside, of(statement)

    return counted
