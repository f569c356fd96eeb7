"""``python -m openlineage_bridge_capture.spool``: what waits on this machine, and sending it now."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import attrs
import click
from openlineage.client.client import OpenLineageClient

from openlineage_bridge_capture.settings import configured
from openlineage_bridge_capture.spool import SpoolConfig, SpoolTransport
from openlineage_bridge_capture.spool.config import default_folder
from openlineage_bridge_capture.spool.folders import Destination, destinations

UNAVAILABLE = 4
"""Exit code: the destination did not take everything (as for every command of openlineage-bridge)."""

_folder = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The transport's option of the same name, where it is not the default.",
)


@click.group()
def main() -> None:
    """Events that wait in the spool of this machine."""


@main.command()
@_folder
@click.option("--format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(folder: Path | None, format: str) -> None:
    """What waits, by destination and writer."""
    found = destinations(folder or default_folder())
    if format == "json":
        click.echo(json.dumps([_described(each) for each in found], indent=2))
        return
    for each in found:
        _print(each)
    if not found:
        click.echo("Nothing was ever spooled here.", err=True)


@main.command()
@_folder
@click.option("--url", help="Where to; by default as the OpenLineage client is configured.")
@click.option("--timeout", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Seconds.")
def flush(folder: Path | None, url: str | None, timeout: float) -> None:
    """Send what ended processes left for one URL; running ones send their own."""
    transport = _transport(folder, url)
    done = transport.drain(timeout)
    transport.close(0.5)
    left = [each for each in transport.destination.waiting() if not each.alive]
    click.echo(f"{sum(each.events for each in left)} events wait for {transport.destination.url}.")
    sys.exit(0 if done else UNAVAILABLE)


def _transport(folder: Path | None, url: str | None) -> SpoolTransport:
    if url:
        params = {"url": url} | ({"folder": str(folder)} if folder else {})
        return SpoolTransport(SpoolConfig.from_dict(params))
    transport = OpenLineageClient().transport if configured() else None
    if not isinstance(transport, SpoolTransport):
        raise click.UsageError(
            "The OpenLineage client is not configured with the spool transport: name a --url."
        )
    return SpoolTransport(attrs.evolve(transport.config, folder=folder)) if folder else transport


def _described(destination: Destination) -> dict[str, object]:
    return {
        "url": destination.url,
        "folder": str(destination.folder),
        "bytes": destination.used(),
        "rejected": destination.rejected(),
        "writers": [attrs.asdict(each) for each in destination.waiting()],
    }


def _print(destination: Destination) -> None:
    click.echo(f"{destination.url}\n  in {destination.folder}")
    for each in destination.waiting():
        owner = "running" if each.alive else "left over"
        click.echo(f"  {each.events:>8} events  {each.size:>12} bytes  {owner:<9}  {each.writer}")
    if rejected := destination.rejected():
        click.echo(f"  {rejected:>8} refused by the receiver, with the reasons in rejected.jsonl")


if __name__ == "__main__":
    main(prog_name="python -m openlineage_bridge_capture.spool")
