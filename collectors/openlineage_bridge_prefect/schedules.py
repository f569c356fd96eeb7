"""When a schedule of a Prefect deployment comes next: cron, interval and RRULE, as the API's JSON has them; pure.

``nominalEndTime`` is "the nominal start time of the next run" (OpenLineage, NominalTimeRunFacet). What is not understood
has no next time: a wrong one would be worse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], start=1
    )
}
WEEKDAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}

FIELDS: tuple[tuple[int, int, Mapping[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, MONTHS),
    (0, 7, WEEKDAYS),
)
"""Least and greatest value, and names, of the fields of a cron expression: minute, hour, day, month, day of the week."""

ITEM = re.compile(r"((?P<every>\*)|(?P<first>[0-9a-z]+)(-(?P<last>[0-9a-z]+))?)(/(?P<step>\d+))?")
"""One item of a cron field: ``*``, a value or a range, with or without a step."""

FARTHEST_DAY = 4 * 366 + 1
"""Days that are looked through for the next time: 29 February comes once in four years."""

COARSE = re.compile(r"FREQ=(YEARLY|MONTHLY|WEEKLY|DAILY)", re.IGNORECASE)
"""Rules that are followed: dateutil steps from the rule's beginning, which for finer ones takes seconds."""


def following(schedule: Mapping[str, Any], start: datetime) -> datetime | None:
    """The time at which a schedule comes next after ``start``; None when that cannot be told.

    Args:
        schedule: ``{"cron", "timezone", "day_or"}``, ``{"interval", …}`` in seconds or ``{"rrule", "timezone"}``.
        start: One of its times, with a time zone.
    """
    try:
        found = _following(schedule, start)
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return found.astimezone(UTC) if found is not None and found > start else None


def _following(schedule: Mapping[str, Any], start: datetime) -> datetime | None:
    zone = ZoneInfo(schedule.get("timezone") or "UTC")
    if cron := schedule.get("cron"):
        days_unite = schedule.get("day_or") is not False
        found = _cron(cron, start.astimezone(zone).replace(tzinfo=None), days_unite=days_unite)
        return found.replace(tzinfo=zone) if found is not None else None
    if interval := schedule.get("interval"):
        return _after(start, timedelta(seconds=float(interval)), zone)
    if (rule := schedule.get("rrule")) and COARSE.search(rule):
        local = start.astimezone(zone).replace(tzinfo=None)
        # Prefect reads a rule without a beginning from midnight of 2020 on (prefect, ``RRuleSchedule.to_rrule``).
        found = rrulestr(rule, dtstart=datetime(2020, 1, 1), ignoretz=True).after(local)  # noqa: DTZ001 - wall time
        return found.replace(tzinfo=zone) if found is not None else None
    return None


def _after(start: datetime, interval: timedelta, zone: tzinfo) -> datetime:
    """Whole days keep the time on the wall, shorter intervals the time that passes (prefect, ``IntervalSchedule``)."""
    if interval % timedelta(days=1):
        return start + interval
    return start.astimezone(zone) + interval


def _cron(expression: str, start: datetime, *, days_unite: bool) -> datetime | None:
    """The next time on the wall of a cron expression of five fields."""
    texts = ALIASES.get(expression.strip().lower(), expression).lower().split()
    minutes, hours, days, months, weekdays = (
        set(_values(text, *field)) for text, field in zip(texts, FIELDS, strict=True)
    )
    # Sunday is counted twice, and is the seventh day in Python.
    weekdays = {number or 7 for number in weekdays}
    _, _, day_text, _, weekday_text = texts
    any_day = _is_any(day_text, len(days) == 31, weekday_text)
    any_weekday = _is_any(weekday_text, len(weekdays) == 7, day_text)
    either = days_unite and not any_day and not any_weekday
    times = sorted(time(hour, minute) for hour in hours for minute in minutes)
    for day in (start.date() + timedelta(days=ahead) for ahead in range(FARTHEST_DAY)):
        by_day, by_weekday = day.day in days, day.isoweekday() in weekdays
        if day.month in months and (by_day or by_weekday if either else by_day and by_weekday):
            later = (each for each in times if day > start.date() or each > start.time())
            if (found := next(later, None)) is not None:
                return datetime.combine(day, found)
    return None


def _is_any(text: str, complete: bool, beside: str) -> bool:
    """Whether a field leaves the day to the field beside it: ``*`` does, all values only beside a ``*`` (croniter)."""
    return text == "*" or (complete and "*" in beside)


def _values(text: str, least: int, greatest: int, names: Mapping[str, int]) -> Iterator[int]:
    for item in text.split(","):
        match = ITEM.fullmatch(item)
        if match is None:
            raise ValueError(item)
        lower, upper = least, greatest
        if not match["every"]:
            lower = _number(match["first"], names)
            # A value with a step means: from there on.
            upper = _number(match["last"], names) if match["last"] else greatest if match["step"] else lower
        if not least <= lower <= upper <= greatest:
            raise ValueError(item)
        yield from range(lower, upper + 1, int(match["step"] or 1))


def _number(text: str, names: Mapping[str, int]) -> int:
    return names[text] if text in names else int(text)
