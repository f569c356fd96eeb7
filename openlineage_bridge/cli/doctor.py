"""``openlineage-bridge doctor``: is everything there that lineage needs to flow, and what is the one thing to do next?

What is looked at is said by doctors, found by the entry-point group ``openlineage_bridge.doctors``: the name is the
subcommand, the value a function without arguments that returns findings in the order in which lineage flows, each a
mapping of strings: ``check`` (what was looked at), ``state`` (``ok``; ``note``: worth knowing; ``problem``: no lineage flows before it is
solved), ``says`` (what was found), ``do`` (what the user can do about it, or nothing).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn

import click

from openlineage_bridge.cli.options import format_option

GROUP = "openlineage_bridge.doctors"

Finding = Mapping[str, str]
Doctor = Callable[[], Sequence[Finding]]

OWN = {"store": "openlineage_bridge.cli.doctor_store"}
"""Doctors of the bridge itself, with options of their own: the module of the command."""

FLOWS = "nothing to do, lineage flows"

COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}

ELSEWHERE = """
import sys
try:
    from openlineage_bridge.cli import main
except ImportError:
    print("openlineage-bridge is not installed for", sys.executable, file=sys.stderr)
    sys.exit(2)
main()
"""


class Doctors(click.Group):
    """A group whose commands are the installed doctors."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """By name."""
        return sorted({*_doctors(), *OWN})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command for the doctor of this name, which is imported when it is called."""
        if cmd_name in OWN:
            own: click.Command = import_module(OWN[cmd_name]).command
            return own
        found = _doctors().get(cmd_name)
        return _command(cmd_name, found) if found is not None else None


def _doctors() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


@click.command("doctor", cls=Doctors)
def command() -> None:
    """Find out why lineage does not flow, and what to do next.

    Exit code 0 when it would flow, 1 otherwise.

    \b
    Example:
      openlineage-bridge doctor prefect
      openlineage-bridge doctor prefect --format json --python .venv/bin/python
      openlineage-bridge doctor store --store bridge.db
    """


def _command(name: str, point: EntryPoint) -> click.Command:
    @click.command(
        name,
        help=f"Look at everything between {name} and the OpenLineage backend, for one interpreter.\n\n"
        f"The last line says what to do next.\n\n\b\nExample:\n  openlineage-bridge doctor {name}",
        short_help=f"Would lineage flow from {name}?",
    )
    @format_option("text", "json")
    @click.option(
        "--python",
        "python",
        metavar="PATH",
        help="The interpreter to look at.  [default: the one that runs this command]",
    )
    def doctor(format_: str, python: str | None) -> NoReturn:
        if python is not None:
            _elsewhere(python, name, format_)
        tell(name, _visit(point), format_)

    return doctor


def tell(name: str, found: Sequence[Finding], format_: str, well: str = FLOWS) -> NoReturn:
    """Print what a doctor found, and end with 1 when there is a problem, else with 0; ``well`` is said when there is none."""
    if format_ == "json":
        _print_json(name, found, well)
    else:
        _print(found, well)
    sys.exit(1 if _problem(found) else 0)


def _visit(point: EntryPoint) -> Sequence[Finding]:
    """What the doctor finds; that it cannot be asked is a finding too."""
    try:
        visit: Doctor = point.load()
        return visit()
    except Exception as error:
        return [
            {
                "check": point.name,
                "state": "problem",
                "says": f"its collector does not work in this installation: {error!r}",
                "do": f"{sys.executable} -m pip install --force-reinstall openlineage-bridge",
            }
        ]


def _elsewhere(python: str, name: str, form: str) -> NoReturn:
    """The same command, in the interpreter that was asked for."""
    from openlineage_bridge.errors import ConfigError

    arguments = [python, "-c", ELSEWHERE, "doctor", name, "--format", form]
    try:
        done = subprocess.run(arguments, check=False)
    except OSError as error:
        raise ConfigError(f"{python} cannot be started: {error.strerror}") from error
    sys.exit(done.returncode)


def _problem(found: Sequence[Finding]) -> Finding | None:
    return next((each for each in found if each["state"] == "problem"), None)


def _next(found: Sequence[Finding], well: str) -> str:
    problem = _problem(found)
    if problem is None:
        return well
    return problem["do"] or problem["says"]


def _print_json(name: str, found: Sequence[Finding], well: str) -> None:
    from openlineage_bridge.cli.output import print_json

    print_json(
        {
            "doctor": name,
            "python": sys.executable,
            "flows": _problem(found) is None,
            "findings": [dict(each) for each in found],
            "next": _next(found, well),
        }
    )


def _print(found: Sequence[Finding], well: str) -> None:
    from openlineage_bridge.cli.output import plain

    width = max(len(each["check"]) for each in found)
    for each in found:
        state = click.style(f"{each['state']:<7}", fg=COLOURS.get(each["state"]))
        click.echo(f"{state}  {each['check']:<{width}}  {plain(each['says'])}")
        if each["do"] and each["state"] != "ok":
            click.echo(f"{'':<7}  {'':<{width}}  → {plain(each['do'])}")
    click.echo(f"Next: {plain(_next(found, well))}")
