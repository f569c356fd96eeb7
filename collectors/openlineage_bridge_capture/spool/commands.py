"""``openlineage-bridge spool``: what waits on this machine, and sending it now."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from openlineage_bridge_capture.spool import SpoolConfig, SpoolTransport
    from openlineage_bridge_capture.spool.folders import Destination

UNAVAILABLE = 4
"""Exit code: the destination did not take everything (as for every command of openlineage-bridge)."""

_folder = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the spool lies, if not in $OPENLINEAGE_BRIDGE_SPOOL_FOLDER or below ~/.local/state.",
)
_format = click.option(
    "--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True
)


@click.group()
def spool() -> None:
    """Look at the events that wait on this machine, and send them now.

    Flows and tasks write their OpenLineage events to files here; each process sends its own, and what ended ones left.

    \b
    Examples:
      openlineage-bridge spool status
      openlineage-bridge spool flush --timeout 60
    """  # noqa: D301  # \b is click\'s mark: leave these lines as they are


@spool.command()
@_folder
@_format
def status(folder: Path | None, format_: str) -> None:
    """Show what waits and what was refused.

    \b
    Examples:
      openlineage-bridge spool status
      openlineage-bridge spool status --format json
    """  # noqa: D301  # \b is click\'s mark: leave these lines as they are
    from openlineage_bridge_capture.spool.config import default_folder
    from openlineage_bridge_capture.spool.folders import destinations

    found = destinations(folder or default_folder())
    if format_ == "json":
        click.echo(json.dumps([_described(each) for each in found], indent=2))
        return
    for each in found:
        _print(each)
    if not found:
        click.echo(f"Nothing was ever spooled in {folder or default_folder()}.", err=True)


@spool.command()
@_folder
@click.option("--url", help="Where to; by default as the OpenLineage client is configured.")
@click.option("--timeout", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Seconds.")
@_format
def flush(folder: Path | None, url: str | None, timeout: float, format_: str) -> None:
    """Send what ended processes left.

    It goes to one receiver; running processes send their own events. Address and credentials are those of OPENLINEAGE_URL, openlineage.yml and their kin. Exit code 4 says that not
    everything was taken in time; it waits on.

    \b
    Examples:
      openlineage-bridge spool flush
      openlineage-bridge spool flush --url http://localhost:5000 --timeout 60
    """  # noqa: D301  # \b is click\'s mark: leave these lines as they are
    transport = _transport(folder, url)
    try:
        done = transport.drain(timeout)
        transport.close(0.5)
    except OSError as error:
        raise click.ClickException(
            f"the spool in {transport.destination.folder} cannot be used: {error}"
        ) from error
    figures = _figures(transport.destination)
    click.echo(json.dumps(figures, indent=2) if format_ == "json" else _sentence(figures))
    sys.exit(0 if done else UNAVAILABLE)


def _transport(folder: Path | None, url: str | None) -> SpoolTransport:
    import attrs

    from openlineage_bridge_capture.spool import SpoolConfig, SpoolTransport

    config = SpoolConfig.from_dict({"url": url}) if url else _configured()
    if config is None:
        raise click.UsageError("No OpenLineage receiver is configured: set OPENLINEAGE_URL, or name a --url.")
    try:
        return SpoolTransport(attrs.evolve(config, folder=folder) if folder else config)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _configured() -> SpoolConfig | None:
    """The spool's settings as the collectors have them; None where events go elsewhere than to a receiver."""
    from openlineage_bridge_capture.client import spool_of, spooling_client
    from openlineage_bridge_capture.settings import configured

    found = spool_of(spooling_client()) if configured() else None
    return found.config if found is not None else None


def _described(destination: Destination) -> dict[str, object]:
    import attrs

    return {
        "url": destination.url,
        "folder": str(destination.folder),
        "bytes": destination.used(),
        "rejected": destination.rejected(),
        "writers": [attrs.asdict(each) for each in destination.waiting()],
    }


def _figures(destination: Destination) -> dict[str, object]:
    """What is left when a flush is over, what running processes have yet to send included."""
    left = sum(each.events for each in destination.waiting())
    return {"url": destination.url, "waiting": left, "rejected": destination.rejected()}


def _sentence(figures: dict[str, object]) -> str:
    return f"{figures['waiting']} events wait for {figures['url']}; it has refused {figures['rejected']}."


def _print(destination: Destination) -> None:
    click.echo(f"{destination.url}\n  in {destination.folder}")
    for each in destination.waiting():
        owner = "running" if each.alive else "left over"
        click.echo(f"  {each.events:>8} events  {each.size:>12} bytes  {owner:<9}  {each.writer}")
    if rejected := destination.rejected():
        click.echo(f"  {rejected:>8} refused by the receiver, with the reasons in rejected.jsonl")
