"""``openlineage-bridge autoload``: one line that an interpreter runs at its start, written and removed on demand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from openlineage_bridge_capture.autoload import interpreter, pth
from openlineage_bridge_capture.autoload.interpreter import Interpreter

URL = {"OPENLINEAGE_URL": "http://127.0.0.1:9"}
ASK = "import hostlib; print(hostlib.OBSERVED)"


@pytest.fixture
def python(bare_venv, tmp_path, library) -> str:
    """The interpreter of a virtual environment in which the library and its collector are installed."""
    (_site(tmp_path) / "library.pth").write_text(f"{library}\n")
    return str(bare_venv / "bin" / "python")


def _site(tmp_path: Path) -> Path:
    [site] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    return site


@pytest.fixture
def autoload(python):
    """Runs the command for that interpreter."""

    def run(action: str, *arguments: str, of: str = python) -> subprocess.CompletedProcess[str]:
        code = "from openlineage_bridge_capture.autoload.commands import autoload; autoload()"
        command = [sys.executable, "-c", code, action, "--python", of, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


def said(python: str, *arguments: str, **variables: str) -> tuple[int, str, str]:
    """What a program of the interpreter prints."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENLINEAGE", "PYTHON"))
    }
    done = subprocess.run(
        [python, *arguments],
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr


def _listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_enable_and_disable_leave_nothing_behind(autoload, python, tmp_path):
    """Two files appear, a program leaves a third; all of them go, and nothing else."""
    site = _site(tmp_path)
    before = _listing(site)
    enabled = autoload("enable")
    written = _listing(site) - before
    said(python, "-c", ASK)
    compiled = _listing(site) - before - written
    disabled = autoload("disable")

    assert {pth.LINE_FILE, pth.LOADER_FILE} == written
    assert (0, 1) == (enabled.returncode, len(compiled))
    assert "when hostlib is imported: its collector is on" in enabled.stdout
    assert (0, 3) == (disabled.returncode, disabled.stderr.count("Removed "))
    assert before == _listing(site)
    assert "There was nothing to remove." in autoload("disable").stderr


def test_status_says_where_and_proves_that_it_works(autoload, tmp_path):
    """Exit code 1 before and 0 after; as JSON with what a new process did."""
    before = autoload("status")
    autoload("enable")
    after = autoload("status", "--format", "json")
    found = json.loads(after.stdout)

    assert (1, 0) == (before.returncode, after.returncode)
    assert "not enabled: `openlineage-bridge autoload enable`" in before.stdout
    assert ([str(_site(tmp_path))], True, True, True, {"hostlib": "on"}) == (
        found["folders"],
        found["enabled"],
        found["works"],
        found["current"],
        found["collectors"],
    )


LATER = "import os; os.environ['OPENLINEAGE_URL'] = 'http://127.0.0.1:9'; " + ASK
IN_A_LOOP = (
    "import asyncio\nasync def main():\n import hostlib\n print(hostlib.OBSERVED)\nasyncio.run(main())"
)


@pytest.mark.parametrize(
    ("expected", "arguments", "variables"),
    [
        pytest.param("True", ["-c", ASK], URL, id="configured by a variable"),
        pytest.param("True", ["-c", LATER], {}, id="configured in a notebook's first cell"),
        pytest.param("True", ["-c", IN_A_LOOP], URL, id="imported inside a running event loop"),
        pytest.param("True", ["-I", "-c", ASK], URL, id="isolated mode still has its site-packages"),
        pytest.param("False", ["-c", ASK], {}, id="nothing configured"),
        pytest.param(
            "False", ["-c", ASK], URL | {"OPENLINEAGE_DISABLED": "true"}, id="the client is disabled"
        ),
        pytest.param("False", ["-c", ASK], URL | {"OPENLINEAGE_BRIDGE_AUTOLOAD": "0"}, id="switched off"),
    ],
)
def test_the_collector_is_there_before_its_library(
    autoload, python, tmp_path, expected, arguments, variables
):
    """Whenever a backend is configured by the time of the import, and never otherwise."""
    autoload("enable")

    assert (0, expected, "") == said(python, *arguments, HOME=str(tmp_path), **variables)


def test_a_configuration_file_is_a_configuration(autoload, python, tmp_path):
    """``~/.openlineage/openlineage.yml`` is where the client looks too."""
    autoload("enable")
    (tmp_path / ".openlineage").mkdir()
    (tmp_path / ".openlineage" / "openlineage.yml").write_text("transport: {type: console}\n")

    assert (0, "True", "") == said(python, "-c", ASK, HOME=str(tmp_path))


def test_a_start_imports_one_small_module(autoload, python):
    """A program that never imports the library pays for nothing else."""
    code = "import sys; print(*sorted(sys.modules))"
    before = said(python, "-c", code, **URL)[1].split()
    autoload("enable")
    after = said(python, "-c", code, **URL)[1].split()

    assert {pth.MODULE, "__future__"} == {*after} - {*before}


def test_an_uninstalled_collector_breaks_nothing(autoload, python, library):
    """Left over, it is silent until the library is imported with a backend configured; then it says what to do."""
    autoload("enable")
    (library / "guest.py").unlink()
    code, out, err = said(python, "-c", ASK, **URL)

    assert (0, "0", "") == said(python, "-c", "print(0)", **URL)
    assert (0, "False", "") == said(python, "-c", ASK)
    assert (0, "False") == (code, out)
    assert ["openlineage-bridge autoload disable"] == [
        each for each in err.split("`") if each.startswith("openlineage-bridge autoload")
    ]
    assert 1 == autoload("status").returncode


def test_a_line_without_its_loader_breaks_nothing(autoload, python, tmp_path):
    """Somebody who cleans up may miss the ``.pth`` file; enabling again mends it."""
    autoload("enable")
    (_site(tmp_path) / pth.LOADER_FILE).unlink()

    assert (0, "False", "") == said(python, "-c", ASK, **URL)
    assert 1 == autoload("status").returncode
    assert 0 == autoload("enable").returncode


def test_what_another_version_wrote_is_said(autoload, tmp_path):
    """``status`` asks for ``enable``, which replaces it."""
    autoload("enable")
    with (_site(tmp_path) / pth.LOADER_FILE).open("a") as file:
        file.write("\n# of another version\n")
    before = autoload("status").stdout
    autoload("enable")

    assert "of another version" in before
    assert "of another version" not in autoload("status").stdout


def test_an_interpreter_without_collectors_is_refused(autoload, library):
    """There would be nothing to load."""
    (library / "guest-1.dist-info" / "entry_points.txt").unlink()
    refused = autoload("enable")

    assert (2, "") == (refused.returncode, refused.stdout)
    assert "no collector of openlineage-bridge is installed for" in refused.stderr


@pytest.mark.parametrize("path", ["/nowhere/python", "/bin/false"])
def test_no_interpreter(autoload, path):
    """Is said, with its name."""
    refused = autoload("status", of=path)

    assert 2 == refused.returncode
    assert f"{path} does not work as a Python interpreter" in refused.stderr


def test_the_users_own_folder_is_second_best(tmp_path):
    """Where the interpreter's site-packages cannot be written to; where neither can, both are named."""
    closed = tmp_path / "closed"
    closed.write_text("no folder at all")
    system = Interpreter(sys.executable, "3", (closed / "site",), tmp_path / "user", "a=b:c")
    path = pth.enable(system)

    assert tmp_path / "user" / pth.LINE_FILE == path
    assert [tmp_path / "user"] == [each.folder for each in pth.installed(system)]
    with pytest.raises(PermissionError, match="closed/site"):
        pth.enable(Interpreter(sys.executable, "3", (closed / "site",), None, "a=b:c"))


def test_the_interpreter_of_these_tests_is_described():
    """Its own site-packages come first, and every folder that it reads is known."""
    found = Interpreter.at()

    assert Path(interpreter.__file__).is_file()
    assert sys.version.split()[0] == found.version
    assert any(str(folder) in sys.path for folder in found.site)
