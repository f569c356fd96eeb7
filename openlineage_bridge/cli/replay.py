"""``openlineage-bridge replay``: event files through the same pipeline as everything else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openlineage_bridge.cli.options import (
    config_option,
    format_option,
    load_config,
    sink_of,
    store_option,
    translator_of,
)

if TYPE_CHECKING:
    from openlineage_bridge.delivery import Report
    from openlineage_bridge.replay import Notes, Tally

SHOWN = 10
"""How many refusals and lenient readings are listed; all of the former are in quarantine."""


@click.command("replay")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@store_option
@config_option
@click.option(
    "--to",
    "sink",
    metavar="SINK",
    help="Deliver what changed to this sink of the translator (rest, file), whatever the configuration says; "
    "`none` keeps it in the store.",
)
@format_option("text", "json")
def command(
    paths: tuple[str, ...], store: Path | None, config_file: Path | None, sink: str | None, format_: str
) -> None:
    """Read event files through the same pipeline as everything else; safe to repeat.

    PATH is a file (JSON lines, one JSON document, an array; gzip or not), a folder, or `-` for standard input. What is no
    event goes to quarantine with its place and the reason; the rest is read (exit code 3).

    \b
    Examples:
      openlineage-bridge replay events/*.jsonl --store bridge.db
      openlineage-bridge replay events/ --store bridge.db --to rest
      zcat archive.gz | openlineage-bridge replay - --store bridge.db
    """
    from openlineage_bridge.delivery import Report, deliver
    from openlineage_bridge.pipeline import Pipeline
    from openlineage_bridge.receivers.files import find
    from openlineage_bridge.replay import replay
    from openlineage_bridge.store import Store

    config = load_config(config_file, store=store)
    if sink is not None:
        config = load_config(config_file, store=store, **{f"{config.translator}__sink": sink})
    files, translator, destination = find(paths), translator_of(config), sink_of(config)
    report, started = Report(), time.monotonic()
    with Store(config.store) as opened:
        *_, tally = _shown(
            replay(files, opened, Pipeline(opened, translator, config.lineage_window)), started
        )
        if destination is not None:
            report = deliver(opened, destination)
            destination.close()
        waiting = opened.aspects.waiting()
    _summarise(tally, report, waiting, time.monotonic() - started, format_)
    click.get_current_context().exit(
        4 if report.postponed else 3 if tally.rejected.count or report.refused else 0
    )


def _shown(progress: Iterable[Tally], started: float) -> Iterator[Tally]:
    """A line on a terminal that says how far it is, how fast, and how long it will take."""
    terminal = sys.stderr.isatty()
    for tally in progress:
        if terminal:
            click.echo("\r\x1b[K" + _progress(tally, time.monotonic() - started), err=True, nl=False)
        yield tally
    if terminal:
        click.echo("\r\x1b[K", err=True, nl=False)


def _progress(tally: Tally, seconds: float) -> str:
    reading, rate = tally.reading, tally.events / max(seconds, 0.001)
    text = f"{tally.events:,} events, {rate:,.0f} a second"
    if reading.total and reading.read:
        share = min(reading.read / reading.total, 1.0)
        text += f", {share:.0%}, {seconds / share - seconds:.0f} s left"
    return text


def _summarise(tally: Tally, report: Report, waiting: int, seconds: float, format_: str) -> None:
    if format_ == "json":
        _print_json(tally, report, waiting)
        return
    click.echo(
        f"{tally.events:,} events from {tally.reading.files} files in {seconds:.1f} s: "
        f"{tally.new:,} new, {tally.known:,} known already, {tally.rejected.count:,} refused",
        err=True,
    )
    for problem in tally.reading.problems:
        click.echo(f"  {problem}", err=True)
    _list("refused, and kept in quarantine", tally.rejected)
    _list("read leniently", tally.lenient)
    click.echo(f"{report.delivered:,} proposals delivered, {waiting:,} still to be delivered", err=True)
    if report.reason:
        click.echo(f"  the destination said: {report.reason}", err=True)


def _list(what: str, notes: Notes) -> None:
    if notes.count:
        click.echo(f"  {what}:", err=True)
    for place, text in notes.first[:SHOWN]:
        click.echo(f"    {place}: {text}", err=True)
    if notes.count > SHOWN:
        click.echo(f"    … and {notes.count - SHOWN:,} more", err=True)


def _print_json(tally: Tally, report: Report, waiting: int) -> None:
    import attrs

    from openlineage_bridge.cli.output import print_json

    summary: dict[str, Any] = {
        "events": tally.events,
        "new": tally.new,
        "known": tally.known,
        "rejected": [{"where": where, "reason": reason} for where, reason in tally.rejected.first],
        "lenient": [{"where": where, "warning": warning} for where, warning in tally.lenient.first],
        "problems": tally.reading.problems,
        "delivery": attrs.asdict(report),
        "waiting": waiting,
    }
    print_json(summary)
