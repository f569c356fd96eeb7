"""``openlineage-bridge doctor store``: in which state the store is, what that means, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import click

from openlineage_bridge.cli.doctor import tell
from openlineage_bridge.cli.options import config_option, format_option, load_config, store_option


@click.command("store")
@store_option
@config_option
@format_option("text", "json")
def command(store: Path | None, config_file: Path | None, format_: str) -> NoReturn:
    """Is the store sound, is there room, does everything move?

    Reads every page of it; a service that has it open is not disturbed.

    \b
    Example:
      openlineage-bridge doctor store --store bridge.db
    """
    from openlineage_bridge.store.examination import examine

    tell("store", list(examine(load_config(config_file, store=store))), format_, "nothing to do")
