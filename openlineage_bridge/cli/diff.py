"""``openlineage-bridge diff``: does a live catalog hold what it should?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
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
    from openlineage_bridge.comparing import Compared

SHOWN = 20
"""Aspects of a state that are listed as text."""

WORDS = {
    "equal": "as they should be",
    "missing": "are not there",
    "different": "differ",
    "others": "are there from others, and left alone",
}


@click.command("diff")
@click.argument("urns", nargs=-1, metavar="[URN...]")
@click.option("--to", metavar="NAME", help="Ask this destination.  [default: the first that can be asked]")
@store_option
@config_option
@format_option("text", "json", "jsonl")
def command(
    urns: tuple[str, ...], to: str | None, store: Path | None, config_file: Path | None, format_: str
) -> None:
    """Compare everything that the catalog should hold, or the entities URN..., with what it holds.

    Nothing is changed. What is still on its way counts as missing: `status` tells how much that is. `redeliver` sends
    again what somebody removed or changed. The exit code is 3 when something is missing or different.

    \b
    Examples:
      DATAHUB_GMS_URL=http://localhost:8080 openlineage-bridge diff --store bridge.db
      openlineage-bridge diff --format jsonl | jq -r .entityUrn | sort -u | xargs -d '\\n' openlineage-bridge redeliver
    """
    from openlineage_bridge.cli.output import print_json, print_lines
    from openlineage_bridge.comparing import Comparable
    from openlineage_bridge.store.aspects import held_in

    config = load_config(config_file, store=store)
    # mypy takes a protocol for no concrete class; isinstance is all that it is used for.
    catalog: Comparable = askable(config, to, Comparable, "what it holds")  # type: ignore[type-abstract]
    wanted = frozenset(urns)
    held = (each for each in held_in(config.store) if not wanted or each.urn in wanted)
    compared = catalog.compare(held)
    counts: Counter[str] = Counter()
    apart = _apart(compared, counts)
    if format_ == "jsonl":
        print_lines(_as_json(each) for each in apart)
    elif format_ == "json":
        found = [_as_json(each) for each in apart]
        print_json({"counts": dict(counts), "aspects": found})
    else:
        _print(list(apart), counts)
    click.get_current_context().exit(3 if counts["missing"] or counts["different"] else 0)


def _apart(compared: Iterable[Compared], counts: Counter[str]) -> Iterator[Compared]:
    """Those that are missing or different; all are counted."""
    for each in compared:
        counts[each.state.value] += 1
        if each.state.value in ("missing", "different"):
            yield each


def _as_json(compared: Compared) -> dict[str, Any]:
    return {
        "entityUrn": compared.proposal.urn,
        "aspectName": compared.proposal.aspect_name,
        "timestampMillis": compared.proposal.timestamp_ms,
        "state": compared.state.value,
        "paths": list(compared.paths),
    }


def _print(apart: list[Compared], counts: Counter[str]) -> None:
    from openlineage_bridge.cli.output import plain

    for state, words in WORDS.items():
        if counts[state]:
            click.echo(f"{counts[state]:>8,}  {words}")
        those = [each for each in apart if each.state == state]
        for each in those[:SHOWN]:
            at = f" at {each.proposal.timestamp_ms}" if each.proposal.timestamp_ms is not None else ""
            where = f": {', '.join(each.paths)}" if each.paths else ""
            click.echo(f"          {plain(each.proposal.urn)} {each.proposal.aspect_name}{at}{plain(where)}")
        if len(those) > SHOWN:
            click.echo(f"          … and {len(those) - SHOWN:,} more; --format jsonl lists all")
    if not counts:
        click.echo("nothing should be held: the store has no such entity")
