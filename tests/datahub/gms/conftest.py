"""The commands beside a DataHub: a stand-in for GMS that refuses as GMS does, a store that was delivered to it, a command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from openlineage_bridge.cli import main
from openlineage_bridge.delivery import deliver
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge_datahub import DataHubTranslator
from openlineage_bridge_datahub.sinks.rest import RestSink

stand_in = import_module("bridge_tests.gms")


@pytest.fixture(scope="session")
def server():
    with stand_in.running() as gms:
        yield gms


@pytest.fixture
def gms(server, monkeypatch, tmp_path):
    """An empty DataHub, the one that the environment names; nothing else configures a command."""
    server.reset()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATAHUB_GMS_URL", server.url)
    return server


@pytest.fixture
def run(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs a command: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["openlineage-bridge", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        return int(leaving.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def deliver_once(gms) -> Iterator[Callable[[Store], bool]]:
    """Brings DataHub what a store has for it; tells whether something was put off."""
    sink = RestSink(gms.url)
    yield lambda opened: deliver(opened, sink).postponed
    sink.close()


@pytest.fixture
def delivered(deliver_once, tmp_path) -> Callable[..., str]:
    """Makes a store that heard some events and was delivered; gives its path."""

    def make(*events: bytes, name: str = "bridge.db") -> str:
        path: Path = tmp_path / name
        with Store(path) as opened:
            with opened.transaction():
                opened.inbox.put([inspect(each) for each in events], receiver="test", now=1)
            Pipeline(opened, DataHubTranslator()).drain()
            deliver_once(opened)
        return str(path)

    return make
