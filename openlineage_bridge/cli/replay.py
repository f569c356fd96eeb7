"""``openlineage-bridge replay``: event files through the same pipeline as everything else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from openlineage_bridge.cli.moments import microseconds
from openlineage_bridge.cli.options import (
    config_option,
    destinations_of,
    format_option,
    load_config,
    store_option,
    translator_of,
)

if TYPE_CHECKING:
    from openlineage_bridge.cli.progress import Progress
    from openlineage_bridge.config import Config
    from openlineage_bridge.delivery import Destination
    from openlineage_bridge.pacing import Report
    from openlineage_bridge.receivers.sources import Source
    from openlineage_bridge.replay import Notes, Tally
    from openlineage_bridge.selection import Rhythm, Selection
    from openlineage_bridge.store import Store

SHOWN = 10
"""How many refusals and lenient readings are listed; all of the former are in quarantine."""


@click.command("replay")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@store_option
@config_option
@click.option(
    "--since",
    metavar="TIME",
    callback=microseconds,
    help="Only events from this time on: 2026-01-31, 2026-01-31T08:00+01:00, 7d (ago).",
)
@click.option("--until", metavar="TIME", callback=microseconds, help="Only events before this time.")
@click.option(
    "--namespace", "namespaces", multiple=True, metavar="PATTERN", help="Only jobs of this namespace."
)
@click.option("--job", "jobs", multiple=True, metavar="PATTERN", help="Only jobs of this name: `etl.*`.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    help="Keep to the times of the events, so many times as fast: 60 shows an hour in a minute.  [default: as fast as possible]",
)
@click.option(
    "--to",
    "sink",
    metavar="SINK",
    help="Deliver what changed to this sink of the translator (rest, file), whatever the configuration says; "
    "`none` keeps it in the store.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show what the catalog would hold otherwise; keep nothing and send nothing. Works beside a running bridge.",
)
@format_option("text", "json")
def command(
    *,
    paths: tuple[str, ...],
    store: Path | None,
    config_file: Path | None,
    since: int | None,
    until: int | None,
    namespaces: tuple[str, ...],
    jobs: tuple[str, ...],
    speed: float | None,
    sink: str | None,
    dry_run: bool,
    format_: str,
) -> None:
    """Read event files through the same pipeline as everything else; safe to interrupt and to repeat.

    PATH is a file of any size (JSON lines, JSON documents, arrays; .gz, .zst or .zip), a folder, a pattern in quotes, `-` for
    standard input, an s3:// or gs:// URL, or the events of a Marquez (http://HOST:5000/api/v1/events/lineage). What is no event
    goes to quarantine with its place and the reason; the rest is read (exit code 3). Interrupted, even by kill -9, the same
    command goes on where it was.

    \b
    Examples:
      openlineage-bridge replay events/*.jsonl --store bridge.db
      openlineage-bridge replay s3://lake/openlineage/ --since 7d --job 'etl.*' --dry-run
      openlineage-bridge replay archive.jsonl.zst --store bridge.db --to rest
    """
    from openlineage_bridge.receivers.sources import find
    from openlineage_bridge.selection import Rhythm, Selection

    config = load_config(config_file, store=store)
    if sink is not None:
        import attrs

        # One sink and no other: what was asked for here stands for everything that is configured.
        config = load_config(config_file, store=store, **{f"{config.translator}__sink": sink})
        config = attrs.evolve(config, destinations={})
    asked = _Asked(
        find(paths),
        Selection(since, until, namespaces, jobs),
        Rhythm(speed) if speed else None,
        config,
        format_,
    )
    _rehearse(asked) if dry_run else _replay(asked)


class _Asked(NamedTuple):
    """What the command line asked for; no attrs class, because ``--help`` imports click alone."""

    sources: Sequence[Source]
    selection: Selection
    rhythm: Rhythm | None
    config: Config
    format_: str

    def replayed(self, store: Store, progress: Progress) -> Iterator[Tally]:
        """The replay, told of while it goes on."""
        from openlineage_bridge.pipeline import Pipeline
        from openlineage_bridge.replay import replay

        pipeline = Pipeline(store, translator_of(self.config), self.config.lineage_window)
        return progress.follow(
            replay(self.sources, store, pipeline, selection=self.selection, rhythm=self.rhythm)
        )


# --- for real -------------------------------------------------------------------------------------------------------


def _replay(asked: _Asked) -> NoReturn:
    from openlineage_bridge.cli.progress import Progress
    from openlineage_bridge.replay import Tally
    from openlineage_bridge.store import Store

    destinations, progress, tally = list(destinations_of(asked.config).values()), Progress(), Tally()
    with Store(asked.config.store) as store:
        try:
            for tally in asked.replayed(store, progress):  # noqa: B007  - the last one is what was done
                if asked.rhythm:
                    _deliver(store, destinations)
            report = _deliver(store, destinations)
        except KeyboardInterrupt:
            _say_how_to_go_on(tally)
            raise
        finally:
            for each in destinations:
                each.close()
        waiting = store.aspects.waiting()
    _summarise(tally, report, waiting, progress.seconds, asked.format_)
    incomplete = tally.refused or tally.reading.problems or report.refused
    click.get_current_context().exit(4 if report.postponed else 3 if incomplete else 0)


def _deliver(store: Store, destinations: Sequence[Destination]) -> Report:
    from openlineage_bridge.delivery import deliver
    from openlineage_bridge.pacing import Report

    return deliver(store, *destinations) if destinations else Report()


def _say_how_to_go_on(tally: Tally) -> None:
    done = tally.events + tally.reading.before
    click.echo(f"{done:,} events are in; the same command goes on behind them", err=True)


def _summarise(tally: Tally, report: Report, waiting: int, seconds: float, format_: str) -> None:
    if format_ == "json":
        import attrs

        from openlineage_bridge.cli.output import print_json

        print_json(_as_json(tally) | {"delivery": attrs.asdict(report), "waiting": waiting})
        return
    from openlineage_bridge.cli.output import counted

    _print_tally(tally, seconds)
    click.echo(
        f"{counted(report.delivered, 'proposal')} delivered, {waiting:,} still to be delivered", err=True
    )
    if report.reason:
        click.echo(f"  the destination said: {report.reason}", err=True)


def _print_tally(tally: Tally, seconds: float, refused: str = "refused, and kept in quarantine") -> None:
    from openlineage_bridge.cli.output import counted

    reading = tally.reading
    click.echo(
        f"{counted(tally.events, 'event')} from {counted(reading.files, 'file')} in {seconds:.1f} s: "
        f"{tally.new:,} new, {tally.known:,} known already, {tally.rejected.count:,} refused"
        + (f", {tally.left_out:,} not asked for" if tally.left_out else ""),
        err=True,
    )
    if reading.before:
        click.echo(
            f"  went on behind {counted(reading.before, 'event')} of an interrupted replay, {reading.refused_before:,} of them refused",
            err=True,
        )
    for problem in [*reading.problems, *(f"{name}: the file is empty" for name in reading.empty)]:
        click.echo(f"  {problem}", err=True)
    _list(refused, tally.rejected)
    _list("read leniently", tally.lenient)


def _list(what: str, notes: Notes) -> None:
    if notes.count:
        click.echo(f"  {what}:", err=True)
    for place, text in notes.first[:SHOWN]:
        click.echo(f"    {place}: {text}", err=True)
    if notes.count > SHOWN:
        click.echo(f"    … and {notes.count - SHOWN:,} more", err=True)


def _as_json(tally: Tally) -> dict[str, Any]:
    return {
        "events": tally.events,
        "new": tally.new,
        "known": tally.known,
        "left_out": tally.left_out,
        "before": tally.reading.before,
        "refused_before": tally.reading.refused_before,
        "rejected": [{"where": where, "reason": reason} for where, reason in tally.rejected.first],
        "lenient": [{"where": where, "warning": warning} for where, warning in tally.lenient.first],
        "problems": tally.reading.problems,
        "empty": tally.reading.empty,
    }


# --- to see what it would do ----------------------------------------------------------------------------------------


def _rehearse(asked: _Asked) -> NoReturn:
    from openlineage_bridge.cli.differences import print_changes
    from openlineage_bridge.cli.progress import Progress
    from openlineage_bridge.store.rehearsal import rehearsal

    progress = Progress()
    with rehearsal(asked.config.store) as rehearsed:
        *_, tally = asked.replayed(rehearsed.store, progress)
        print_changes(rehearsed.changes(), asked.format_)
    _print_tally(tally, progress.seconds, refused="would be refused")
    click.echo("nothing was kept and nothing was sent", err=True)
    click.get_current_context().exit(3 if tally.refused or tally.reading.problems else 0)
