"""How far a long command is: a line that renews itself on a terminal, a line a minute elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import attrs
import click

if TYPE_CHECKING:
    from openlineage_bridge.replay import Tally

ON_TERMINAL, ELSEWHERE = 0.2, 60.0
"""Seconds between two lines."""


@attrs.define
class Progress:
    """Tells of a replay while it goes on.

    Args:
        clock: Seconds that go on evenly.
    """

    clock: Callable[[], float] = time.monotonic
    _terminal: bool = attrs.field(init=False)
    _started: float = attrs.field(init=False)
    _told: tuple[float, int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._started = self.clock()
        self._told = (self._started, 0)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self.clock() - self._started

    def follow(self, tallies: Iterable[Tally]) -> Iterator[Tally]:
        """The same tallies; tells of one when it is time."""
        try:
            for tally in tallies:
                self._tell(tally)
                yield tally
        finally:
            if self._terminal:
                click.echo("\r\x1b[K", err=True, nl=False)

    def _tell(self, tally: Tally) -> None:
        now = self.clock()
        at, events = self._told
        if now - at < (ON_TERMINAL if self._terminal else ELSEWHERE):
            return
        lately = (tally.events - events) / (now - at)
        self._told = (now, tally.events)
        text = line(tally, now - self._started)
        if self._terminal:
            click.echo("\r\x1b[K" + text, err=True, nl=False)
        else:
            click.echo(f"{text} ({lately:,.0f} a second in the last minute)", err=True)


def line(tally: Tally, seconds: float) -> str:
    """Events, rate, share, and the time that is left if it goes on like this; what an earlier replay read is no part of the rate."""
    reading = tally.reading
    text = f"{tally.events + reading.before:,} events, {tally.events / max(seconds, 0.001):,.0f} a second"
    done, total = reading.read - reading.skipped, reading.total - reading.skipped
    if reading.total and done > 0:
        left = seconds * max(total - done, 0) / done
        text += f", {min(reading.read / reading.total, 1.0):.0%}, {timedelta(seconds=round(left))} left"
    return text
