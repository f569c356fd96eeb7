"""``openlineage-bridge diff``: does a live catalog hold what it should?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openlineage_bridge.cli.options import (
    config_option,
    destinations_of,
    format_option,
    load_config,
    store_option,
)

if TYPE_CHECKING:
    from openlineage_bridge.comparing import Comparable, Compared
    from openlineage_bridge.config import Config
    from openlineage_bridge.translation import Proposal

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

    config = load_config(config_file, store=store)
    compared = _comparable(config, to).compare(_held(config.store, frozenset(urns)))
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


def _comparable(config: Config, name: str | None) -> Comparable:
    """The destination that is asked: by its name, else the first that can be, else the one that needs but an address.

    Raises:
        ConfigError: It cannot be asked.
    """
    from openlineage_bridge.comparing import Comparable
    from openlineage_bridge.errors import ConfigError
    from openlineage_bridge.translation import load_sink

    for known, sink in destinations_of(config).items():
        if name in (None, known) and isinstance(sink, Comparable):
            return sink
    if name is not None:
        raise ConfigError(f"{name} is no destination that can be asked what it holds")
    sink = load_sink("rest", config.translator_options)
    if not isinstance(sink, Comparable):
        raise ConfigError("no destination can be asked what it holds")
    return sink


def _held(store: Path, urns: frozenset[str]) -> Iterator[Proposal]:
    from openlineage_bridge.store.aspects import holdings
    from openlineage_bridge.store.database import open_readonly

    with closing(open_readonly(store)) as connection:
        for proposal in holdings(connection):
            if not urns or proposal.urn in urns:
                yield proposal


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
