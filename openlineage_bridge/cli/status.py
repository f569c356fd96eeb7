"""``openlineage-bridge status``: what is in the store, the newest runs, what is still to be delivered."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from openlineage_bridge.cli.options import config_option, format_option, store_option, store_path


@click.command("status")
@store_option
@config_option
@click.option("--runs", default=10, show_default=True, help="How many of the newest runs to list.")
@format_option("text", "json")
def command(store: Path | None, config_file: Path | None, runs: int, format_: str) -> None:
    """Show what is in the store, the newest runs, and what is still to be delivered.

    Reads the file only: it works beside a running service.

    \b
    Example:
      openlineage-bridge status --store bridge.db
    """
    import attrs

    from openlineage_bridge.cli.output import print_json
    from openlineage_bridge.store.status import Queries

    path = store_path(config_file, store)
    queries = Queries(path)
    figures, newest = queries.status(), queries.runs(runs)
    if format_ == "json":
        print_json(figures | {"store": str(path), "newest_runs": [attrs.asdict(run) for run in newest]})
    else:
        _print(path, figures)
        print_runs(newest)


def _print(store: Path, figures: dict[str, Any]) -> None:
    from openlineage_bridge.cli.output import moment, plain, table

    quarantine, runs = figures["quarantine_events"], figures["runs"]
    click.echo(click.style(f"Store {store}", bold=True))
    rows = [
        ("events", f"{figures['events']:,}", f"{figures['inbox_events']:,} waiting to be processed"),
        ("quarantine", f"{sum(quarantine.values()):,}", _parts(quarantine)),
        ("jobs", f"{figures['jobs']:,}", ""),
        ("runs", f"{sum(runs.values()):,}", _parts(runs)),
        ("datasets", f"{figures['datasets']:,}", ""),
        (
            "aspects",
            f"{figures['aspects']:,}",
            f"{figures['delivered_aspects']:,} delivered, {figures['outbox_aspects']:,} still to be delivered",
        ),
        ("newest event", moment(figures["newest_event"]), "UTC"),
    ]
    table(rows)
    for name, destination in figures["destinations"].items():
        click.echo(f"  to {plain(name)}: {_standing(destination)}")
    if quarantine:
        click.echo(f"  look at the quarantine with: openlineage-bridge quarantine list --store {store}")
    if figures["stores_set_aside"]:
        click.echo(f"  a damaged store was set aside: openlineage-bridge doctor store --store {store}")


def _standing(destination: dict[str, Any]) -> str:
    """How far a destination is, and what it last said, in words."""
    from openlineage_bridge.cli.output import plain

    if not destination["waiting"]:
        return f"has all {destination['takes']}"
    lag = timedelta(seconds=int(destination["lag_seconds"]))
    text = f"{destination['waiting']:,} {destination['takes']} behind, the oldest for {lag} h"
    if destination["failures"]:
        times = "once" if destination["failures"] == 1 else f"{destination['failures']} times in a row"
        text += f"; it would not have them {times}: {plain(destination['reason'])}"
    return text


def _parts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items())


def print_runs(runs: list[Any]) -> None:
    """The runs as a table, newest first."""
    from openlineage_bridge.cli.output import moment, plain, state, table

    if not runs:
        return
    click.echo(click.style("\nNewest runs", bold=True))
    table(
        (
            state(run.state),
            moment(run.started),
            f"{(run.at - run.started) / 1e6:.1f} s" if run.started else "-",
            plain(f"{run.namespace} {run.name}"),
            click.style(plain(run.error), fg="red") if run.error else "",
        )
        for run in runs
    )
