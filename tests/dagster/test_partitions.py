"""Which partition keys and schedules are a time."""

from __future__ import annotations

import pytest

from openlineage_bridge_dagster.partitions import nominal_time


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, None),
        ({"dagster/partition": "2026-11-03"}, "2026-11-03T00:00:00Z"),
        ({"dagster/partition": "2026-11-03-05:00"}, "2026-11-03T05:00:00Z"),
        ({"dagster/partition": "eu"}, None),
        ({"dagster/partition": "2026-11"}, None),
        ({"dagster/partition": "2026-13-45"}, None),
        (
            {
                "dagster/partition": "2026-11-03|eu",
                "dagster/partition/date": "2026-11-03",
                "dagster/partition/region": "eu",
            },
            "2026-11-03T00:00:00Z",
        ),
        ({"dagster/partition/a": "2026-11-03", "dagster/partition/b": "2026-11-04"}, None),
        ({".dagster/scheduled_execution_time": "2026-11-03T02:00:00+01:00"}, "2026-11-03T01:00:00Z"),
        ({".dagster/scheduled_execution_time": "soon"}, None),
    ],
)
def test_only_what_is_unmistakably_a_time_is_a_nominal_time(tags, expected):
    facet = nominal_time(tags)

    assert expected == (facet.nominalStartTime if facet else None)
