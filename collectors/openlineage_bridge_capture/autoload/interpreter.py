"""An interpreter, asked about itself in a process of its own: its site folders, its collectors, whether autoload works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs

from openlineage_bridge_capture.autoload.targets import GROUP

PATIENCE = 60.0
"""Seconds that an interpreter may take to answer; a network file system can be slow."""

HERE = "import sys; sys.path = [each for each in sys.path if each]"
"""The current folder is on the path of ``python -c`` and of few programs: what lies there must not answer."""

ABOUT = f"""{HERE}
import json, site, sysconfig
from importlib.metadata import entry_points
targets = sorted({{(e.name, e.value) for e in entry_points(group={GROUP!r})}})
print(json.dumps({{
    "version": sys.version.split()[0],
    "site": list(dict.fromkeys([sysconfig.get_path("purelib"), *site.getsitepackages()])),
    "user": site.getusersitepackages() if site.ENABLE_USER_SITE else None,
    "targets": " ".join(f"{{name}}={{value}}" for name, value in targets),
}}))
"""
"""Printed by the interpreter: ``site.getsitepackages`` are the folders whose ``.pth`` files it reads, with the user's own."""

PROOF = f"""{HERE}
import importlib.util, json
loader = sys.modules.get("_openlineage_bridge_autoload")
for name in list(loader.report()) if loader else ():
    importlib.util.find_spec(name)
print(json.dumps(loader.report() if loader else {{}}))
"""
"""Asking for the spec of a module is what an import begins with: the collector goes on, the library is not imported."""


class InterpreterError(RuntimeError):
    """The interpreter could not be asked; the message says what to look at."""


@attrs.frozen
class Interpreter:
    """One Python interpreter.

    Args:
        path: The program.
        version: As in ``sys.version``.
        site: The folders whose ``.pth`` files it reads, the one that packages are installed into first.
        user: The user's own such folder; None where it is switched off, as in a virtual environment.
        targets: What its installed collectors wait for, as the loader reads it.
    """

    path: str
    version: str
    site: tuple[Path, ...]
    user: Path | None
    targets: str

    @classmethod
    def at(cls, path: str = sys.executable) -> Interpreter:
        """Ask the interpreter at ``path``.

        Raises:
            InterpreterError: It is no Python 3, or does not answer.
        """
        found = _ask(path, ABOUT, {})
        return cls(
            path=path,
            version=found["version"],
            site=tuple(map(Path, found["site"])),
            user=Path(found["user"]) if found["user"] else None,
            targets=found["targets"],
        )

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder in which a ``.pth`` file of ours may lie."""
        return (*self.site, *([self.user] if self.user else []))

    def proof(self) -> dict[str, str]:
        """What a fresh process of it does for each target: ``on``, or why not; empty where nothing is armed.

        It believes that a backend is configured, so that the collectors come up; nothing is sent to it.
        """
        found: dict[str, str] = _ask(self.path, PROOF, {"OPENLINEAGE_URL": "http://127.0.0.1:9"})
        return found


def _ask(path: str, code: str, variables: dict[str, str]) -> Any:
    try:
        done = subprocess.run(  # noqa: S603  # the interpreter is the user's choice, the code is ours
            [path, "-c", code],
            env=_environment() | variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise InterpreterError(f"{path} does not work as a Python interpreter: {last}") from error
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        raise InterpreterError(f"{path} does not work as a Python interpreter: {error}") from error


def _environment() -> dict[str, str]:
    """As the user's, without what would let another loader answer, or none."""
    ours = ("OPENLINEAGE_BRIDGE_AUTOLOAD", "OPENLINEAGE_BRIDGE_AUTOLOAD_TARGETS", "OPENLINEAGE_DISABLED")
    return {name: value for name, value in os.environ.items() if name not in ours}
