"""The command line as its user meets it: arguments in; exit code, stdout and stderr out."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

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


# A library that says whether its collector was there first, and that collector; both as small as can be.
HOST = "import sys\nOBSERVED = 'guest' in sys.modules and sys.modules['guest'].ON\n"
GUEST = "ON = False\ndef switch_on():\n    global ON\n    ON = True\n    return True\n"


@pytest.fixture
def library(tmp_path) -> Path:
    """A folder with the library, its collector, and the distribution that declares it."""
    folder = tmp_path / "library"
    declared = folder / "guest-1.dist-info"
    declared.mkdir(parents=True)
    (folder / "hostlib.py").write_text(HOST)
    (folder / "guest.py").write_text(GUEST)
    (declared / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1\n")
    (declared / "entry_points.txt").write_text("[openlineage_bridge.autoload]\nhostlib = guest:switch_on\n")
    return folder


@pytest.fixture
def bare_venv(tmp_path) -> Path:
    """The folder of a virtual environment in which nothing is installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True, timeout=60)
    return tmp_path / "venv"
