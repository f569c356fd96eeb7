"""``openlineage-bridge translate``: what the catalog would hold after all the events of some files."""

from __future__ import annotations

from pathlib import Path

import click

from openlineage_bridge.cli.options import config_option, load_config, translator_of


@click.command("translate")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@config_option
def command(paths: tuple[str, ...], config_file: Path | None) -> None:
    """Print what the catalog would hold after all the events of PATH..., one proposal per line.

    Nothing is kept and nothing is sent.

    \b
    Example:
      openlineage-bridge translate events/*.jsonl | jq -r .entityUrn | sort -u
    """
    from openlineage_bridge.pipeline import Pipeline
    from openlineage_bridge.receivers.sources import find
    from openlineage_bridge.replay import replay
    from openlineage_bridge.store import Store
    from openlineage_bridge.store.aspects import holdings
    from openlineage_bridge.store.database import MEMORY

    config = load_config(config_file)
    with Store(MEMORY) as store:
        pipeline = Pipeline(store, translator_of(config), config.lineage_window)
        *_, tally = replay(find(paths), store, pipeline)
        for proposal in holdings(store.connection):
            click.echo(proposal.to_mcp())
    reading = tally.reading
    for place, reason in tally.rejected.first:
        click.echo(f"{place}: {reason}", err=True)
    for problem in [*reading.problems, *(f"{name}: the file is empty" for name in reading.empty)]:
        click.echo(problem, err=True)
    click.get_current_context().exit(3 if tally.rejected.count or reading.problems else 0)
