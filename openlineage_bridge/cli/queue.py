"""``openlineage-bridge queue``: what waits, one by one: events to be processed, and what is to be delivered."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openlineage_bridge.cli.options import config_option, format_option, store_option, store_path

if TYPE_CHECKING:
    from openlineage_bridge.store.queue import WaitingAspect, WaitingEvent


@click.command("queue")
@store_option
@config_option
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="Most lines of each."
)
@format_option("text", "json", "jsonl")
def command(store: Path | None, config_file: Path | None, limit: int, format_: str) -> None:
    """Show what waits, oldest first: events that are not processed yet, and what a destination still lacks.

    Reads the file only: it works beside a running service. How much waits in all, `status` tells.

    \b
    Examples:
      openlineage-bridge queue --store bridge.db
      openlineage-bridge queue --limit 1000 --format jsonl --store bridge.db
    """
    import attrs

    from openlineage_bridge.cli.output import print_json, print_lines
    from openlineage_bridge.store.database import open_readonly
    from openlineage_bridge.store.queue import waiting_aspects, waiting_events

    with closing(open_readonly(store_path(config_file, store))) as connection:
        events, aspects = waiting_events(connection, limit), waiting_aspects(connection, limit)
    data = {"inbox": [*map(attrs.asdict, events)], "outbox": [*map(attrs.asdict, aspects)]}
    if format_ == "json":
        print_json(data)
    elif format_ == "jsonl":
        print_lines({"queue": queue} | each for queue, entries in data.items() for each in entries)
    else:
        _print(events, aspects)


def _print(events: Sequence[WaitingEvent], aspects: Sequence[WaitingAspect]) -> None:
    from openlineage_bridge.cli.output import moment, plain, table

    if not events and not aspects:
        click.echo("nothing waits", err=True)
    if events:
        click.echo(click.style("To be processed", bold=True))
        table(
            (
                f"{each.number}",
                moment(each.received * 1000),
                each.type,
                plain(each.about),
                f"{each.size:,} bytes",
                plain(each.receiver),
            )
            for each in events
        )
    if aspects:
        click.echo(click.style("To be delivered", bold=True))
        table(
            (
                f"{each.number}",
                moment(each.since * 1_000_000),
                each.name,
                plain(each.urn),
                f"{each.attempts} times" if each.attempts else "",
                plain(f"{each.destination}: {each.reason}" if each.reason else each.destination),
            )
            for each in aspects
        )
