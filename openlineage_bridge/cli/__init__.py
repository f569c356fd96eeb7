"""The command line: one file per command, imported when the command is called; ``--help`` imports click alone.

Commands that belong to the collectors are in their packages, and found by entry point.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn

import click

COMMANDS = {
    "demo": "The whole product on one machine: Prefect, Dagster, a database, and the lineage across them.",
    "serve": "Receive events over HTTP, keep them, and keep the catalog equal to what they say.",
    "consume": "Receive events from Kafka, keep them, and keep the catalog equal to what they say.",
    "replay": "Read event files through the same pipeline; safe to repeat.",
    "translate": "Print what the catalog would hold after all the events of some files.",
    "validate": "Tell what is wrong with event files, by line and rule, or with a configuration.",
    "lineage": "Show upstream and downstream of a job or dataset as a tree.",
    "export": "Write everything the catalog should hold to a file that `datahub ingest` reads.",
    "explain": "Tell which URN a dataset gets, by which rule, step by step.",
    "verify": "Ask the catalog which of the datasets it has, and propose the rules that are missing.",
    "redeliver": "Deliver again what a destination was given already.",
    "diff": "Tell what a live catalog lacks of what it should hold, and what differs.",
    "migrate": "Hide the jobs that the plugin before the bridge left in the catalog.",
    "status": "Show what is in the store, the newest runs, and what is still to be delivered.",
    "health": "Ask a running bridge whether it takes events right now.",
    "queue": "Show what waits, one by one: to be processed, and to be delivered.",
    "quarantine": "Look at what was refused or could not be processed, with the reason.",
    "retranslate": "Derive every aspect again, after a change of configuration.",
    "doctor": "Find out why lineage does not flow, and what to do next.",
}


COLLECTED = {
    "run": "Start a command with the collectors loaded in it, and in every Python program that it starts.",
    "autoload": "Load the collectors in every program of a Python interpreter, for as long as you want.",
    "prefect": "Watch a Prefect server from outside, and bring its history.",
    "dagster": "Tail a Dagster instance from a process of its own, and bring its history.",
    "spool": "Look at the events that wait on this machine, and send them now.",
}
"""Commands of the collectors, where pipelines run; listed here, so that ``--help`` need not import them."""

GROUP = "openlineage_bridge.commands"
"""Entry points of these commands, and of anybody else's: the name is the command's, the value a click command."""


class LazyGroup(click.Group):
    """A group that knows its commands' names and first lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a newcomer meets them."""
        return list(_lines())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's own file, or what its entry point names."""
        if cmd_name in COMMANDS:
            command: click.Command = import_module(f"openlineage_bridge.cli.{cmd_name}").command
            return command
        found = _found().get(cmd_name)
        return found.load() if found is not None else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of ``--help``, from the tables above."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_lines().items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which commands there are when one is unknown."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            known = self.list_commands(ctx)  # looks for those of other distributions
            if args[0] not in known:
                ctx.fail(f"no command {args[0]!r}: there are {', '.join(known)}")
        return super().resolve_command(ctx, args)


def _lines() -> dict[str, str]:
    """Every command that is installed, with its first line."""
    return COMMANDS | {
        name: COLLECTED.get(name) or f"(of {point.dist.name if point.dist else point.value})"
        for name, point in _found().items()
        if name not in COMMANDS
    }


def _found() -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=GROUP))}


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start with `openlineage-bridge demo`. Data goes to stdout, everything else to stderr. "
    "Exit codes: 0 ok, 1 unexpected, 2 usage or configuration, 3 finished but some events are in quarantine, "
    "4 destination unavailable, 130 interrupted.",
)
@click.version_option(package_name="openlineage-bridge")
def group() -> None:
    """Lineage from Prefect, Dagster and any other OpenLineage producer, kept and delivered to the catalog."""


def main() -> NoReturn:
    """The console script: turns every error into one sentence and an exit code."""
    try:
        code = group.main(standalone_mode=False, color=_colours(os.environ))
        sys.stdout.flush()
    except SystemExit as leaving:
        # When the reader of our output leaves (`| head`), click wraps stdout so and exits with 1; it is no failure.
        sys.exit(0 if type(sys.stdout).__name__.endswith("PacifyFlushWrapper") else leaving.code)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as refused:
        refused.show()
        sys.exit(refused.exit_code)
    except ModuleNotFoundError as error:
        _fail(_missing(error), 2)
    except Exception as error:
        _explain(error)
    sys.exit(code or 0)


def _colours(environ: Mapping[str, str]) -> bool | None:
    """What the environment says of colours (https://no-color.org); None leaves it to whether stdout is a terminal."""
    if environ.get("NO_COLOR"):
        return False
    return True if environ.get("FORCE_COLOR") else None


EXTRAS = {
    "confluent_kafka": "kafka",
    "fsspec": "files",
    "jsonschema": "server",
    "msgspec": "server",
    "prometheus_client": "server",
    "referencing": "server",
    "starlette": "server",
    "structlog": "server",
    "uvicorn": "server",
    "yaml": "server",
    "httpx2": "datahub",
    "duckdb": "demo",
    "prefect": "demo",
    "dagster": "demo",
}
"""Which extra installs a module that a command may miss."""


def _missing(error: ModuleNotFoundError) -> str:
    extra = EXTRAS.get((error.name or "").partition(".")[0])
    advice = f"install openlineage-bridge[{extra}]" if extra else "is the installation complete?"
    return f"this command needs {error.name}: {advice}"


def _explain(error: Exception) -> NoReturn:
    from openlineage_bridge.errors import BridgeError, ConfigError, RetryLater

    if isinstance(error, ConfigError):
        _fail(str(error), 2)
    if isinstance(error, RetryLater):
        _fail(str(error), 4)
    if isinstance(error, BridgeError):
        _fail(str(error), 1)
    raise error


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"openlineage-bridge: {message}", err=True)
    sys.exit(code)
