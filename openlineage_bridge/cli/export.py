"""``openlineage-bridge export``: everything the catalog should hold, as a file that ``datahub ingest`` reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import click

from openlineage_bridge.cli.options import config_option, store_option, store_path


@click.command("export")
@click.option(
    "--output",
    "-o",
    required=True,
    metavar="FILE",
    type=click.File("wb", atomic=True),
    help="Where to; `-` is stdout.",
)
@store_option
@config_option
def command(output: BinaryIO, store: Path | None, config_file: Path | None) -> None:
    """Write everything the catalog should hold, as a JSON array of proposals.

    The `file` source of `datahub ingest` reads it.

    \b
    Example:
      openlineage-bridge export --store bridge.db --output proposals.json
      datahub ingest -c recipe.yml      # source: {type: file, config: {path: proposals.json}}
    """
    from openlineage_bridge.cli.output import counted
    from openlineage_bridge.store.aspects import held_in

    held = held_in(store_path(config_file, store))
    count = write_array(output, (proposal.to_mcp() for proposal in held))
    click.echo(f"{counted(count, 'proposal')} written", err=True)


def write_array(output: BinaryIO, items: Iterable[bytes]) -> int:
    """A JSON array with one item per line; how many there were."""
    count = 0
    for count, item in enumerate(items, 1):
        output.write((b"[\n" if count == 1 else b",\n") + item)
    output.write(b"\n]\n" if count else b"[]\n")
    return count
