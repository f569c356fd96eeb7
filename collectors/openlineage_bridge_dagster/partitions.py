"""From a partition key to the time it stands for, where that is unmistakable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from openlineage.client.facet_v2 import nominal_time_run

from openlineage_bridge_dagster.identity import PARTITION_TAG, SCHEDULED_TIME_TAG

# Formats of Dagster's time-window partitions. A lone "2026-11" or "20261103" could be anything.
_FORMATS = (
    (re.compile(r"\d{4}-\d{2}-\d{2}"), "%Y-%m-%d"),
    (re.compile(r"\d{4}-\d{2}-\d{2}-\d{2}:\d{2}"), "%Y-%m-%d-%H:%M"),
)


def nominal_time(tags: Mapping[str, str]) -> nominal_time_run.NominalTimeRunFacet | None:
    """``nominalTime`` of a run: its partition's start if its key is a date, else the time its schedule meant.

    The end is left out: a key ``2026-11-01`` may be a day, a week or a month, and only the definition knows. Of a
    multi-dimensional partition, the one dimension that is a date counts; two dates say nothing.
    """
    start = _partition_start(tags) or _scheduled(tags.get(SCHEDULED_TIME_TAG))
    if start is None:
        return None
    return nominal_time_run.NominalTimeRunFacet(nominalStartTime=start.isoformat().replace("+00:00", "Z"))


def _partition_start(tags: Mapping[str, str]) -> datetime | None:
    keys = [value for tag, value in tags.items() if tag.startswith(f"{PARTITION_TAG}/")] or [
        tags.get(PARTITION_TAG, "")
    ]
    starts = [start for key in keys if (start := _parse(key)) is not None]
    return starts[0] if len(starts) == 1 else None


def _parse(key: str) -> datetime | None:
    for pattern, layout in _FORMATS:
        if pattern.fullmatch(key):
            try:
                return datetime.strptime(key, layout).replace(tzinfo=UTC)
            except ValueError:  # 2026-13-45 looks like a date and is none
                return None
    return None


def _scheduled(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment and moment.tzinfo else None
