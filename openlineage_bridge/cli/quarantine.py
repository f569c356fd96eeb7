"""``openlineage-bridge quarantine``: what was refused or could not be processed, with the reason."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openlineage_bridge.cli.options import config_option, format_option, store_option, store_path

if TYPE_CHECKING:
    from openlineage_bridge.store.inbox import Quarantined


@click.group("quarantine")
def command() -> None:
    """Look at what was refused or could not be processed, with the reason and the bytes.

    \b
    Examples:
      openlineage-bridge quarantine list --store bridge.db
      openlineage-bridge quarantine show 3 --store bridge.db > event.json
    """


@command.command("list")
@store_option
@config_option
@format_option("text", "json", "jsonl")
def list_(store: Path | None, config_file: Path | None, format_: str) -> None:
    """One line for each: number, stage, where it came from, when, and why."""
    from openlineage_bridge.cli.output import moment, plain, print_json, print_lines, table

    entries = _entries(store, config_file)
    data = [
        {
            "id": each.id,
            "stage": each.stage,
            "from": each.receiver,
            "received": each.received,
            "reason": each.reason,
        }
        for each in entries
    ]
    if format_ == "json":
        print_json(data)
    elif format_ == "jsonl":
        print_lines(data)
    elif not entries:
        click.echo("the quarantine is empty", err=True)
    else:
        table(
            (
                str(each.id),
                each.stage,
                moment(each.received * 1000),
                plain(each.receiver),
                plain(_last_line(each.reason)),
            )
            for each in entries
        )


@command.command()
@click.argument("number", type=int)
@store_option
@config_option
def show(number: int, store: Path | None, config_file: Path | None) -> None:
    """The original bytes of one entry on stdout, the reason on stderr."""
    from openlineage_bridge.errors import ConfigError

    for each in _entries(store, config_file):
        if each.id == number:
            click.echo(f"{each.stage}, from {each.receiver}:\n{each.reason}", err=True)
            sys.stdout.buffer.write(each.body)
            return
    raise ConfigError(f"there is no number {number} in quarantine: `quarantine list` shows what there is")


def _entries(store: Path | None, config_file: Path | None) -> list[Quarantined]:
    from openlineage_bridge.store.database import open_readonly
    from openlineage_bridge.store.inbox import quarantined

    with closing(open_readonly(store_path(config_file, store))) as connection:
        return quarantined(connection)


def _last_line(reason: str) -> str:
    """Of a traceback, the line that names the error."""
    return reason.strip().splitlines()[-1] if reason.strip() else ""
