"""What commands print: data as text, JSON or JSON lines on stdout; times, states and names as people read them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click

STATE_COLOURS = {"COMPLETE": "green", "FAIL": "red", "ABORT": "yellow", "RUNNING": "cyan"}


def print_json(value: Any) -> None:
    """One JSON document."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True))


def print_lines(values: Iterable[Any]) -> None:
    """One JSON document per line."""
    for value in values:
        click.echo(json.dumps(value, ensure_ascii=False, sort_keys=True))


def table(rows: Iterable[tuple[str, ...]]) -> None:
    """Columns side by side, as wide as their widest cell; colour codes do not count."""
    rows = list(rows)
    widths = [max(len(click.unstyle(cell)) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(row, widths, strict=True)
        ]
        click.echo("  " + "  ".join(cells).rstrip())


def state(text: str) -> str:
    """A run's state, coloured on a terminal."""
    return click.style(text, fg=STATE_COLOURS.get(text))


def moment(microseconds: int | None) -> str:
    """An event time, in UTC, to the second."""
    if not microseconds:
        return "-"
    return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")


def counted(number: int, one: str, more: str = "") -> str:
    """A number with what it counts: ``1 file``, ``1,200 files``."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def plain(text: str) -> str:
    """Text from an event without control characters, which could move the cursor or change colours."""
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)
