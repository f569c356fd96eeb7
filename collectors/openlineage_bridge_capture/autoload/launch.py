"""The environment in which a command and all its children load the collectors, as ``openlineage-bridge run`` starts them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from openlineage_bridge_capture.autoload import targets

FOLDER = str(Path(__file__).with_name("loader"))

PROBE = "import importlib.util as u, sys; sys.exit(u.find_spec('openlineage_bridge_capture') is None)"


def environment(
    inherited: Mapping[str, str], *, url: str | None = None, namespace: str | None = None
) -> dict[str, str]:
    """What the command sees: all that is inherited, what was asked for, and the loader in front of the PYTHONPATH.

    No host's own plugin switch is turned on: that would load other people's plugins too, and the loader needs none.
    """
    asked = {"OPENLINEAGE_URL": url, "OPENLINEAGE_NAMESPACE": namespace}
    return {
        **inherited,
        **{name: value for name, value in asked.items() if value},
        "PYTHONPATH": _python_path(inherited.get("PYTHONPATH", "")),
        targets.VARIABLE: targets.installed(),
    }


def _python_path(inherited: str) -> str:
    # An empty entry among others means the current folder, and stays; an empty variable means nothing.
    others = [each for each in inherited.split(os.pathsep) if each != FOLDER] if inherited else []
    return os.pathsep.join([FOLDER, *others])


def stranger(program: str, variables: Mapping[str, str]) -> str | None:
    """The interpreter that will run ``program``, when openlineage-bridge is not installed for it; None when all is well.

    A program that names no Python interpreter (a shell script, ``make``) may start any: nothing is said of it.
    """
    interpreter = _interpreter_of(program)
    if interpreter is None or Path(interpreter).parent == Path(sys.executable).parent:
        return None
    try:
        done = subprocess.run([interpreter, "-c", PROBE], env=dict(variables), timeout=20, check=False)  # noqa: S603  # the user's own program
    except (OSError, subprocess.TimeoutExpired):
        return None
    return interpreter if done.returncode == 1 else None


def _interpreter_of(program: str) -> str | None:
    found = shutil.which(program)
    if found is None:
        return None
    if Path(found).name.startswith("python"):
        return found
    try:
        with Path(found).open("rb") as file:
            first = file.readline(500).decode("utf-8", "replace").strip()
    except OSError:
        return None
    named = first.removeprefix("#!").strip() if first.startswith("#!") else ""
    return named if Path(named).name.startswith("python") else None
