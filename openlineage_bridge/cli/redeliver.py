"""``openlineage-bridge redeliver``: deliver again what a destination was given already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from openlineage_bridge.cli.options import config_option, format_option, store_option, store_path

if TYPE_CHECKING:
    from collections.abc import Collection


@click.command("redeliver")
@click.argument("urns", nargs=-1, metavar="[URN...]")
@click.option("--all", "everything", is_flag=True, help="Everything that the destination should hold.")
@click.option("--to", metavar="NAME", help="To this destination only, as `status` names it.  [default: all]")
@store_option
@config_option
@click.option(
    "--url", metavar="URL", help="Have the bridge that runs there do it, instead of opening the store."
)
@click.option(
    "--token", envvar="OPENLINEAGE_BRIDGE_TOKEN", help="For --url.  [env: OPENLINEAGE_BRIDGE_TOKEN]"
)
@format_option("text", "json")
def command(
    urns: tuple[str, ...],
    to: str | None,
    store: Path | None,
    config_file: Path | None,
    *,
    url: str | None,
    token: str | None,
    format_: str,
    everything: bool,
) -> None:
    """Deliver again what a destination was given already: all of it after it was rebuilt, or the entities URN...

    It goes out with the next delivery: at once where a bridge is running (--url), else with the next `serve`. `diff` tells
    what a DataHub lacks.

    \b
    Examples:
      openlineage-bridge redeliver --all --url http://127.0.0.1:5000
      openlineage-bridge redeliver 'urn:li:dataFlow:(prefect,load-shop,PROD)' --store bridge.db --to datahub
    """
    from openlineage_bridge.errors import ConfigError

    if everything == bool(urns):
        raise ConfigError("say what: URNs, or --all")
    wanted = None if everything else set(urns)
    waiting = _asked(url, token, wanted, to) if url else _marked(store_path(config_file, store), wanted, to)
    if format_ == "json":
        from openlineage_bridge.cli.output import print_json

        print_json(waiting)
        return
    for name, count in waiting.items():
        click.echo(f"{name}: {count:,} to be delivered")


def _asked(url: str, token: str | None, urns: Collection[str] | None, to: str | None) -> dict[str, int]:
    from openlineage_bridge.cli.remote import redeliver

    return redeliver(url, token, urns, to)


def _marked(path: Path, urns: Collection[str] | None, to: str | None) -> dict[str, int]:
    from openlineage_bridge.errors import StorageError
    from openlineage_bridge.redelivery import redeliver
    from openlineage_bridge.store import Store
    from openlineage_bridge.store.database import open_readonly

    open_readonly(path).close()  # a command that looks at what was delivered makes no store
    try:
        opened = Store(path)
    except StorageError as error:
        raise StorageError(f"{error}; to have it do this, name its address with --url") from None
    with opened:
        return redeliver(opened, urns, to)
