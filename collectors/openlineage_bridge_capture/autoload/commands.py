"""``openlineage-bridge autoload`` and ``openlineage-bridge run``: the collectors, loaded by the interpreter or for one command."""

# ruff: noqa: D301  # \b keeps an example's lines apart in --help, and must not be raw

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:  # `--help` must not import what these need
    from collections.abc import Sequence

    from openlineage_bridge_capture.autoload.interpreter import Interpreter
    from openlineage_bridge_capture.autoload.pth import Installed

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes of a shell for a command that it cannot start."""

UNCONFIGURED = (
    "no OpenLineage backend is configured, so nothing will be emitted: name one with --url, OPENLINEAGE_URL "
    "or an openlineage.yml"
)

_python = click.option(
    "--python",
    "python",
    metavar="PATH",
    help="The interpreter to set up.  [default: the one that runs this command]",
)


class Refused(click.ClickException):
    """The user has to change something first: exit code 2, as for every command of openlineage-bridge."""

    exit_code = 2


@click.group("autoload")
def autoload() -> None:
    """Load the collectors in every program of a Python interpreter, for as long as you want.

    For Prefect before 3.4.24, notebooks, and programs that import Prefect inside a running event loop. `enable` writes a
    .pth file into the interpreter's site-packages. What it does at every start takes less than a millisecond; a collector is imported
    only when Prefect is, and an OpenLineage backend is configured. Programs that are started with `python -S`
    read no .pth file. OPENLINEAGE_BRIDGE_AUTOLOAD=0 switches it off for one program.

    \b
    Example:
      openlineage-bridge autoload enable
      openlineage-bridge autoload status
    """


@autoload.command()
@_python
def enable(python: str | None) -> None:
    """Write the loader where the interpreter reads it at every start, and prove that it works.

    \b
    Example:
      openlineage-bridge autoload enable --python .venv/bin/python
    """
    from openlineage_bridge_capture.autoload import pth

    interpreter = _interpreter(python)
    if not interpreter.targets:
        raise Refused(f"no collector of openlineage-bridge is installed for {interpreter.path}")
    try:
        path = pth.enable(interpreter)
    except PermissionError as error:
        raise Refused(f"{error}; make one writable, or use `openlineage-bridge run`") from error
    click.echo(f"Wrote {path} and {pth.LOADER_FILE} beside it.", err=True)
    _report(interpreter, "text")


@autoload.command()
@_python
def disable(python: str | None) -> None:
    """Remove what `enable` wrote, and nothing else.

    \b
    Example:
      openlineage-bridge autoload disable
    """
    from openlineage_bridge_capture.autoload import pth

    try:
        gone = pth.disable(_interpreter(python))
    except OSError as error:
        raise Refused(f"{error.filename} cannot be removed: {error.strerror}") from error
    for path in gone:
        click.echo(f"Removed {path}", err=True)
    if not gone:
        click.echo("There was nothing to remove.", err=True)


@autoload.command()
@_python
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(python: str | None, format_: str) -> None:
    """Say where the loader is, and whether it works: a fresh process of the interpreter is asked.

    Exit code 0 when every collector that is installed comes up, 1 otherwise.

    \b
    Example:
      openlineage-bridge autoload status --format json
    """
    _report(_interpreter(python), format_)


def _interpreter(path: str | None) -> Interpreter:
    from openlineage_bridge_capture.autoload.interpreter import Interpreter, InterpreterError

    try:
        return Interpreter.at(path or sys.executable)
    except InterpreterError as error:
        raise Refused(str(error)) from error


def _report(interpreter: Interpreter, form: str) -> NoReturn:
    from openlineage_bridge_capture.autoload import pth

    found = pth.installed(interpreter)
    enabled = [each for each in found if each.line is not None]
    proof = interpreter.proof() if enabled else {}
    works = bool(proof) and all(state == "on" for state in proof.values())
    if form == "json":
        facts = {
            "python": interpreter.path,
            "version": interpreter.version,
            "enabled": bool(enabled),
            "works": works,
            "current": all(each.current for each in found),
            "folders": [str(each.folder) for each in found],
            "collectors": proof,
        }
        click.echo(json.dumps(facts, indent=2))
    else:
        _print(interpreter, found, proof)
    sys.exit(0 if works else 1)


def _print(interpreter: Interpreter, found: Sequence[Installed], proof: dict[str, str]) -> None:
    from openlineage_bridge_capture.autoload.pth import LINE_FILE

    click.echo(f"{interpreter.path} (Python {interpreter.version})")
    for each in found:
        name = LINE_FILE if each.line is not None else "the loader without its .pth file"
        stale = "" if each.current else ": of another version, run `openlineage-bridge autoload enable` again"
        click.echo(f"  {name} in {each.folder}{stale}")
    for module, state in proof.items():
        click.echo(f"  when {module} is imported: its collector is {state}")
    if not any(each.line is not None for each in found):
        click.echo("  not enabled: `openlineage-bridge autoload enable` does it")
    elif not proof:
        click.echo("  enabled, but a new process does not load it: is OPENLINEAGE_BRIDGE_AUTOLOAD set in it?")


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--url", metavar="URL", help="Where events go: sets OPENLINEAGE_URL for the command.")
@click.option("--namespace", metavar="NAME", help="Of the jobs: sets OPENLINEAGE_NAMESPACE for the command.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(url: str | None, namespace: str | None, command: tuple[str, ...]) -> NoReturn:
    """Start a command with the collectors loaded in it, and in every Python program that it starts.

    The command takes the place of this one: the process id, signals and the exit code are its own.
    Programs started with `python -E`, `-I` or `-S` do not read PYTHONPATH; `openlineage-bridge autoload enable` reaches the
    first two.

    \b
    Example:
      openlineage-bridge run python flow.py
      openlineage-bridge run --url http://localhost:5000 prefect worker start --pool default
    """
    from openlineage_bridge_capture.autoload import launch
    from openlineage_bridge_capture.settings import configured

    variables = launch.environment(os.environ, url=url, namespace=namespace)
    if not (url or configured()):
        _warn(UNCONFIGURED)
    if interpreter := launch.stranger(command[0], variables):
        _warn(
            f"openlineage-bridge is not installed for {interpreter}, so nothing is loaded there: install it"
        )
    sys.stdout.flush()
    try:
        os.execvpe(command[0], command, variables)  # noqa: S606  # starting what the user typed is what it is for
    except (FileNotFoundError, NotADirectoryError):
        _fail(f"there is no command {command[0]!r} on the PATH", NOT_FOUND)
    except OSError as error:
        _fail(f"{command[0]} cannot be started: {error.strerror}", NOT_EXECUTABLE)


def _warn(message: str) -> None:
    click.echo(f"openlineage-bridge run: {message}", err=True)


def _fail(message: str, code: int) -> NoReturn:
    _warn(message)
    sys.exit(code)
