"""``openlineage-bridge retranslate``: derive every aspect again, after a change of configuration."""

from __future__ import annotations

from pathlib import Path

import click

from openlineage_bridge.cli.options import config_option, load_config, store_option, translator_of


@click.command("retranslate")
@store_option
@config_option
def command(store: Path | None, config_file: Path | None) -> None:
    """Derive every aspect again from what the events said, after a change of configuration or an upgrade.

    The difference goes to the outbox, and out with the next delivery.

    \b
    Example:
      openlineage-bridge retranslate --store bridge.db
    """
    from openlineage_bridge.pipeline import Pipeline
    from openlineage_bridge.store import Store

    config = load_config(config_file, store=store)
    with Store(config.store) as opened:
        pipeline = Pipeline(opened, translator_of(config), config.lineage_window)
        pipeline.drain()
        failures = pipeline.retranslate()
        for failure in failures:
            click.echo(failure, err=True)
        click.echo(f"done: {opened.aspects.waiting():,} proposals still to be delivered", err=True)
    click.get_current_context().exit(3 if failures else 0)
