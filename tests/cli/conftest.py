"""The command line as its user meets it: arguments in; exit code, stdout and stderr out."""

from __future__ import annotations

import io
import json
import os
import sys

import attrs
import pytest

from openlineage_bridge.cli import main

QUIET = ("OPENLINEAGE", "DATAHUB_")


@attrs.frozen
class Said:
    """What a command did."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def json(self):
        return json.loads(self.raw)

    @property
    def lines(self) -> list:
        return [json.loads(line) for line in self.raw.splitlines()]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """No configuration of the developer is found by accident."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [each for each in os.environ if each.startswith(QUIET)]:
        monkeypatch.delenv(name)


@pytest.fixture
def run(monkeypatch, capsysbinary):
    """Runs the console script's function with arguments, and standard input if there is one."""

    def run(*arguments, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "argv", ["openlineage-bridge", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsysbinary.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        out, err = capsysbinary.readouterr()
        return Said(int(leaving.value.code or 0), out, err.decode())

    return run


@pytest.fixture
def write(tmp_path, world):
    """Writes an event file of JSON lines; gives its path."""

    def write(*events, name="events.jsonl"):
        path = tmp_path / name
        path.write_bytes(
            b"".join((each if isinstance(each, bytes) else world.encoded(each)) + b"\n" for each in events)
        )
        return path

    return write


@pytest.fixture
def table():
    """A dataset whose name DataHub knows."""
    return lambda name: {"namespace": "postgres://h:5432", "name": f"db.s.{name}"}


@pytest.fixture
def shop(write, world, table):
    """Two jobs, one after the other, of which the second failed."""
    return write(
        world.run_event("load", 0, 0, "START", inputs=[table("raw")]),
        world.run_event("load", 0, 5, "COMPLETE", outputs=[table("orders")]),
        world.run_event(
            "report", 1, 7, "START", inputs=[table("orders")], outputs=[table("daily"), table("weekly")]
        ),
        world.run_event("report", 1, 9, "FAIL", run_facets={"errorMessage": {"message": "no disk\nat all"}}),
    )
