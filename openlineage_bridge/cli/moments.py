"""Points in time as people type them: a date, a date with a time, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

FORMS = "a date (2026-01-31), a date with a time (2026-01-31T08:00), or how long ago (7d, 12h, 30m)"
"""What may be typed; without a zone it is UTC. How long ago is counted from the beginning of the day, hour or minute, so that
the same command means the same for a while: an interrupted one goes on."""

_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_AGO = re.compile(r"(\d+)([dhm])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(_context: click.Context, _option: click.Parameter, typed: str | None) -> int | None:
    """Callback of an option: what was typed as microseconds since the epoch, as event times are."""
    if typed is None:
        return None
    moment = _read(typed)
    if moment is None:
        raise click.BadParameter(f"{typed!r} is not {FORMS}")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _read(text: str) -> datetime | None:
    if ago := _AGO.fullmatch(text):
        unit = timedelta(**{_UNITS[ago[2]]: 1})
        passed = (datetime.now(UTC) - _EPOCH) // unit
        return _EPOCH + (passed - int(ago[1])) * unit
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
