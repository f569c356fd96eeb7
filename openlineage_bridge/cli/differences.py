"""Differences between two states of the catalog, printed for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from openlineage_bridge.changes import Change

SIGNS = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red")}


def print_changes(changes: Iterable[Change], format_: str) -> None:
    """The changes, sorted by entity: as text one entity after the other and the sums, or one JSON array."""
    if format_ == "json":
        _print_json(changes)
    else:
        _print_text(changes)


def _print_json(changes: Iterable[Change]) -> None:
    """An array with one change a line, so that any number of them needs no memory."""
    from openlineage_bridge.events import encode

    start = "["
    for change in changes:
        click.echo(start)
        click.echo(encode(_as_json(change)), nl=False)
        start = ","
    click.echo("[]" if start == "[" else "\n]")


def _as_json(change: Change) -> dict[str, Any]:
    from openlineage_bridge.events import decode

    about = change.about
    return {
        "change": str(change.kind),
        "entityType": about.entity_type,
        "entityUrn": about.urn,
        "aspectName": about.aspect_name,
        "timestampMillis": about.timestamp_ms,
        "before": decode(change.before.body) if change.before else None,
        "after": decode(change.after.body) if change.after else None,
    }


def _print_text(changes: Iterable[Change]) -> None:
    from openlineage_bridge.cli.output import counted, plain

    sums: Counter[str] = Counter()
    for urn, those in groupby(_counted(changes, sums), key=lambda each: each.about.urn):
        sums["entities"] += 1
        click.echo(click.style(plain(urn), bold=True))
        for line in _lines(those):
            click.echo(line)
    if not sums:
        click.echo("nothing would change")
        return
    parts = [f"{sums[kind]:,} {kind}" for kind in SIGNS if sums[kind]]
    click.echo(f"{counted(sums['entities'], 'entity', 'entities')}, aspects: {', '.join(parts)}")


def _counted(changes: Iterable[Change], sums: Counter[str]) -> Iterator[Change]:
    for change in changes:
        sums[str(change.kind)] += 1
        yield change


def _lines(changes: Iterable[Change]) -> Iterator[str]:
    """An aspect on each line; those of many moments are counted."""
    for (aspect, kind), those in groupby(changes, key=lambda each: (each.about.aspect_name, str(each.kind))):
        first, *more = those
        sign, colour = SIGNS[kind]
        moments = f" ({len(more) + 1:,} times)" if more else ""
        fields = ", ".join(first.fields())
        yield click.style(f"  {sign} {aspect}{moments}", fg=colour) + (f": {fields}" if fields else "")
