"""The two files of ``openlineage-bridge autoload``: a ``.pth`` of one line that an interpreter runs at every start, and the loader.

The wheel never brings them: code that runs in every program of an interpreter is there because its user asked for it.
"""

from __future__ import annotations

import contextlib
import os
from importlib.resources import files
from pathlib import Path

import attrs

from openlineage_bridge_capture.autoload.interpreter import Interpreter

MODULE = "_openlineage_bridge_autoload"

# Folders' .pth files are read in the order of their names: that of an editable installation comes before this one.
LINE_FILE = "openlineage_bridge_autoload.pth"
LOADER_FILE = f"{MODULE}.py"


@attrs.frozen
class Installed:
    """What was found in one site folder.

    Args:
        folder: Where.
        line: The line of the ``.pth`` file; None where only the loader is left.
        current: Whether both files are what ``enable`` would write today.
    """

    folder: Path
    line: str | None
    current: bool


def line_for(targets: str) -> str:
    """The line of the ``.pth`` file; where the loader was removed by hand, Python starts as if the line were not there."""
    code = f"try:\n import {MODULE} as m\nexcept ImportError: pass\nelse: m.arm({targets!r})"
    return f"import sys; exec({code!r})\n"


def enable(interpreter: Interpreter) -> Path:
    """Write the two files where the interpreter reads them; in the user's own site folder where its own is not writable.

    Returns:
        The ``.pth`` file.

    Raises:
        PermissionError: No such folder can be written to; the message says which were tried.
    """
    for folder in _candidates(interpreter):
        # The loader first: the line must never be there without it.
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            _replace(folder / LOADER_FILE, _loader())
            _replace(folder / LINE_FILE, line_for(interpreter.targets))
            return folder / LINE_FILE
    tried = ", ".join(map(str, interpreter.folders))
    raise PermissionError(f"none of the site folders can be written to: {tried}")


def _candidates(interpreter: Interpreter) -> list[Path]:
    there = [found.folder for found in installed(interpreter)]
    own = [*interpreter.site[:1], *([interpreter.user] if interpreter.user else [])]
    return [*there, *(folder for folder in own if folder not in there)]


def installed(interpreter: Interpreter) -> list[Installed]:
    """What of ours lies in the site folders of an interpreter."""
    return [
        found
        for folder in dict.fromkeys(interpreter.folders)
        if (found := _look(folder, interpreter.targets))
    ]


def _look(folder: Path, targets: str) -> Installed | None:
    line, loader = _text(folder / LINE_FILE), _text(folder / LOADER_FILE)
    if line is None and loader is None:
        return None
    return Installed(folder, line, current=(line, loader) == (line_for(targets), _loader()))


def disable(interpreter: Interpreter) -> list[Path]:
    """Remove what ``enable`` wrote, the compiled loader included, and nothing else.

    Returns:
        The files that are gone.

    Raises:
        OSError: A file cannot be removed.
    """
    gone: list[Path] = []
    for found in installed(interpreter):
        # The line first: it must never be there without the loader.
        compiled = sorted((found.folder / "__pycache__").glob(f"{MODULE}.*.pyc"))
        for path in (found.folder / LINE_FILE, found.folder / LOADER_FILE, *compiled):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                gone.append(path)
    return gone


def _loader() -> str:
    # Not by path: the package may lie in an archive.
    return files("openlineage_bridge_capture.autoload.loader").joinpath(LOADER_FILE).read_text("utf-8")


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except OSError:
        return None


def _replace(path: Path, text: str) -> None:
    """Written beside and renamed: an interpreter that starts meanwhile reads the old file or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, "utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
