"""``openlineage-bridge migrate``: hide what the plugin that reported the same jobs before left in the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openlineage_bridge.cli.options import (
    askable,
    config_option,
    format_option,
    load_config,
    store_option,
)

if TYPE_CHECKING:
    from openlineage_bridge.migrating import Migratable, Predecessor

AT_ONCE = 200
"""Changes that a sink is given together."""


@click.command("migrate")
@click.option("--apply", is_flag=True, help="Do it. Without it nothing is sent.")
@click.option("--orphans", is_flag=True, help="Also what no job of the bridge's replaces.")
@click.option("--restore", is_flag=True, help="Bring back what was hidden, instead.")
@click.option("--to", metavar="NAME", help="In this destination.  [default: the first that can be asked]")
@store_option
@config_option
@format_option("text", "json")
def command(
    to: str | None,
    store: Path | None,
    config_file: Path | None,
    *,
    format_: str,
    apply: bool,
    orphans: bool,
    restore: bool,
) -> None:
    """Find the jobs that prefect-datahub or DataHub's Dagster plugin wrote for the flows in the store, and hide them.

    Listed is what the plugin wrote and a job of the bridge's replaces; with --apply it is soft-deleted: DataHub keeps it, and
    --restore --apply brings it back. What the bridge holds itself, and what somebody else wrote, is never touched. Switch the
    plugin off first: each of its runs shows its jobs again.

    \b
    Examples:
      DATAHUB_GMS_URL=http://localhost:8080 openlineage-bridge migrate --store bridge.db
      openlineage-bridge migrate --apply
      openlineage-bridge migrate --restore --apply
    """
    from openlineage_bridge.errors import ConfigError
    from openlineage_bridge.migrating import Migratable
    from openlineage_bridge.store.aspects import held_in

    if restore and orphans:
        raise ConfigError("--restore brings back everything that was hidden: it takes no --orphans")
    config = load_config(config_file, store=store)
    # mypy takes a protocol for no concrete class; isinstance is all that it is used for.
    sink: Migratable = askable(config, to, Migratable, "what others left there")  # type: ignore[type-abstract]
    with closing(sink):
        found = list(sink.hidden() if restore else sink.predecessors(held_in(config.store)))
        chosen = [each for each in found if restore or orphans or each.replaced_by]
        left = [] if restore or orphans else [each for each in found if not each.replaced_by]
        refused = _sent(sink, chosen) if apply else {}
    done = [each for each in chosen if apply and each.urn not in refused]
    if format_ == "json":
        from openlineage_bridge.cli.output import print_json

        print_json(_as_json(chosen, left, done, refused))
    else:
        _print(chosen, left, done, refused, restore=restore, apply=apply)
    click.get_current_context().exit(1 if refused else 0)


def _sent(sink: Migratable, chosen: Sequence[Predecessor]) -> dict[str, str]:
    """Send the changes; by URN why one was refused.

    Raises:
        RetryLater: The destination is away; what was sent before stays, and the command may be repeated.
    """
    from openlineage_bridge.errors import RetryLater
    from openlineage_bridge.translation import Refused, Retry

    refused = {}
    for start in range(0, len(chosen), AT_ONCE):
        changes = [each.change for each in chosen[start : start + AT_ONCE]]
        for change, outcome in zip(changes, sink.send(changes), strict=True):
            if isinstance(outcome, Retry):
                raise RetryLater(outcome.reason)
            if isinstance(outcome, Refused):
                refused[change.urn] = outcome.reason
    return refused


def _as_json(
    chosen: Sequence[Predecessor],
    left: Sequence[Predecessor],
    done: Sequence[Predecessor],
    refused: dict[str, str],
) -> list[dict[str, Any]]:
    """Every entity that was found, with what became of it."""
    states = dict.fromkeys((each.urn for each in chosen), "listed")
    states |= dict.fromkeys((each.urn for each in left), "left alone")
    states |= dict.fromkeys((each.urn for each in done), "done") | dict.fromkeys(refused, "refused")
    return [
        {
            "entityUrn": each.urn,
            "peer": each.peer,
            "replacedBy": list(each.replaced_by),
            "state": states[each.urn],
            **({"reason": refused[each.urn]} if each.urn in refused else {}),
        }
        for each in (*chosen, *left)
    ]


def _print(
    chosen: Sequence[Predecessor],
    left: Sequence[Predecessor],
    done: Sequence[Predecessor],
    refused: dict[str, str],
    *,
    restore: bool,
    apply: bool,
) -> None:
    from openlineage_bridge.cli.output import plain

    for each in chosen:
        successors = f" → {', '.join(map(plain, each.replaced_by))}" if each.replaced_by else ""
        click.echo(f"{each.peer}: {plain(each.urn)}{successors}")
    for each in left:
        click.echo(f"{each.peer}: {plain(each.urn)} has no counterpart, and is left alone")
    for urn, reason in refused.items():
        click.echo(f"refused: {plain(urn)}: {plain(reason)}", err=True)
    verb = "brought back" if restore else "hidden"
    if apply:
        click.echo(f"{len(done):,} {verb}", err=True)
    elif chosen:
        click.echo(f"{len(chosen):,} would be {verb}: --apply does it", err=True)
    elif not left:
        click.echo("nothing was hidden" if restore else "there is nothing of another plugin's", err=True)
