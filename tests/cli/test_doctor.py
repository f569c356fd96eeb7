"""``openlineage-bridge doctor``: what doctors find, shown; the exit code and the last line say what it means."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from openlineage_bridge.cli.doctor import command

FINE = {"check": "engine", "state": "ok", "says": "it runs", "do": ""}
NOTE = {"check": "oil", "state": "note", "says": "is low", "do": "buy some"}
BROKEN = {"check": "wheel", "state": "problem", "says": "is flat\x1b[2J", "do": "pump it up"}
LOST = {"check": "key", "state": "problem", "says": "is lost", "do": ""}


@pytest.fixture
def doctor(tmp_path, monkeypatch):
    """Calls the command with a doctor that finds what it is told to."""

    def call(*arguments, finds=(), code=""):
        declared = tmp_path / "garage-1.dist-info"
        declared.mkdir(exist_ok=True)
        (tmp_path / "garage.py").write_text(f"{code}\ndef visit():\n    return {list(finds)!r}\n")
        (declared / "METADATA").write_text("Metadata-Version: 2.1\nName: garage\nVersion: 1\n")
        (declared / "entry_points.txt").write_text("[openlineage_bridge.doctors]\ncar = garage:visit\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "garage", raising=False)
        return CliRunner().invoke(command, list(arguments))

    return call


def test_nothing_wrong(doctor):
    """Exit code 0; notes are shown, with what can be done."""
    said = doctor("car", finds=[FINE, NOTE])

    assert (0, "Next: nothing to do, lineage flows") == (said.exit_code, said.stdout.splitlines()[-1])
    assert "ok       engine  it runs" in said.stdout
    assert "→ buy some" in said.stdout


def test_something_wrong(doctor):
    """Exit code 1; the last line is what to do about the first problem; what it says cannot move the cursor."""
    said = doctor("car", finds=[NOTE, BROKEN, LOST])

    assert (1, "Next: pump it up") == (said.exit_code, said.stdout.splitlines()[-1])
    assert "\x1b" not in said.stdout


def test_a_problem_without_advice(doctor):
    """Is at least said again."""
    assert "Next: is lost" == doctor("car", finds=[LOST]).stdout.splitlines()[-1]


def test_as_json(doctor):
    """The same, for programs."""
    said = doctor("car", "--format", "json", finds=[FINE, BROKEN])
    found = json.loads(said.stdout)

    assert 1 == said.exit_code
    assert {
        "doctor": "car",
        "python": sys.executable,
        "flows": False,
        "findings": [FINE, BROKEN],
        "next": "pump it up",
    } == found


def test_a_doctor_that_fails(doctor):
    """Is a problem like any other."""
    said = doctor("car", "--format", "json", code="nonsense")

    assert 1 == said.exit_code
    assert "its collector does not work in this installation: NameError" in said.stdout


def test_doctors_are_listed(doctor):
    """With what each looks at."""
    said = doctor("--help")

    assert "car" in said.stdout
    assert "Would lineage flow from car?" in said.stdout


def test_another_interpreter(doctor, tmp_path, capfd):
    """Is asked itself; where openlineage-bridge is not installed, that is what is said."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True, timeout=60)
    other = str(tmp_path / "venv" / "bin" / "python")
    said = doctor("car", "--python", other)

    assert 2 == said.exit_code
    assert f"openlineage-bridge is not installed for {other}" in capfd.readouterr().err
