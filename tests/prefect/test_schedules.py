"""When a schedule of a deployment comes next: cron, interval and RRULE."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from openlineage_bridge_prefect import schedules

NOON = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def _field(least: int, greatest: int) -> st.SearchStrategy[str]:
    number = st.integers(least, greatest)
    # Of a range with one value the library makes a whole cycle, which nobody means.
    ends = st.tuples(number, number).filter(lambda both: both[0] < both[1])
    span = ends.map(lambda both: f"{both[0]}-{both[1]}")
    item = st.one_of(
        number.map(str), span, st.tuples(span, st.integers(1, 7)).map(lambda both: f"{both[0]}/{both[1]}")
    )
    steps = st.integers(2, 20).map(lambda step: f"*/{step}")
    return st.one_of(st.just("*"), steps, st.lists(item, min_size=1, max_size=3).map(",".join))


CRON = st.tuples(_field(0, 59), _field(0, 23), _field(1, 28), _field(1, 12), _field(0, 6)).map(" ".join)


@settings(max_examples=80, deadline=None)
@given(expression=CRON, minutes=st.integers(0, 3 * 365 * 24 * 60), day_or=st.booleans())
@example(expression="* * 2 * 0-6", minutes=0, day_or=True)
@example(expression="* * 1-31 * 2", minutes=0, day_or=True)
@example(expression="* * */2 * 0-6", minutes=0, day_or=True)
def test_cron_comes_next_when_prefect_says(expression, minutes, day_or) -> None:
    """The next time is that of the library by which Prefect's server makes the runs."""
    from prefect._vendor.croniter import croniter

    moment = dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=minutes)
    try:
        expected = croniter(expression, moment, day_or=day_or, max_years_between_matches=4).get_next(
            dt.datetime
        )
    except ValueError:
        expected = None
    actual = schedules.following({"cron": expression, "timezone": "UTC", "day_or": day_or}, moment)

    assert expected == actual or (actual is None and expected - moment > dt.timedelta(days=4 * 365))


@pytest.mark.parametrize(
    ("schedule", "start", "expected"),
    [
        ({"cron": "0 3 * * *", "timezone": "Europe/Berlin"}, (2026, 3, 28, 3), (2026, 3, 29, 3)),
        ({"cron": "@hourly"}, (2026, 3, 28, 3), (2026, 3, 28, 4)),
        ({"cron": "0 9 * * mon-fri", "timezone": "Europe/Berlin"}, (2026, 5, 1, 9), (2026, 5, 4, 9)),
        ({"cron": "0 0 1 jan *", "timezone": "Europe/Berlin"}, (2026, 1, 1), (2027, 1, 1)),
        ({"interval": 3600.0, "timezone": "Europe/Berlin"}, (2026, 5, 1, 9), (2026, 5, 1, 10)),
        ({"interval": 86400, "timezone": "Europe/Berlin"}, (2026, 3, 28, 9), (2026, 3, 29, 9)),
        (
            {"rrule": "FREQ=WEEKLY;BYDAY=MO;BYHOUR=9;BYMINUTE=0;BYSECOND=0", "timezone": "Europe/Berlin"},
            (2026, 5, 4, 9),
            (2026, 5, 11, 9),
        ),
        (
            {"rrule": "DTSTART:20240101T000000\nRRULE:FREQ=DAILY;UNTIL=20240103T000000"},
            (2026, 1, 1),
            None,
        ),
    ],
)
def test_when_a_schedule_comes_next(schedule, start, expected) -> None:
    """By the clock on the wall of its time zone, also where that is put forward."""
    zone = BERLIN if schedule.get("timezone") else dt.UTC
    actual = schedules.following(schedule, dt.datetime(*start, tzinfo=zone))

    assert (dt.datetime(*expected, tzinfo=zone) if expected else None) == actual


@pytest.mark.parametrize(
    "schedule",
    [
        {},
        {"cron": "every night"},
        {"cron": "61 * * * *"},
        {"cron": "*/0 * * * *"},
        {"cron": "0 0 31 2 *"},
        {"cron": "0 3 * * *", "timezone": "Mars/Olympus"},
        {"cron": "* * * * * *"},
        {"interval": "often"},
        {"interval": -5},
        {"rrule": "FREQ=NEVER"},
        {"rrule": "FREQ=SECONDLY"},
    ],
)
def test_what_is_not_understood_has_no_next_time(schedule) -> None:
    """A wrong end would be worse than none."""
    assert schedules.following(schedule, NOON) is None
