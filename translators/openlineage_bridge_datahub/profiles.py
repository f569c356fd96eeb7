"""What was measured of a dataset, as DataHub's ``datasetProfile``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from openlineage_bridge.events import Facets
from openlineage_bridge_datahub.facets import facet_of, text_of, whole

PathOf = Callable[[str], str]
"""From a column, as the producer writes it, to its path in the schema."""

WHOLE_TABLE = frozenset({"CREATE", "OVERWRITE"})
"""After these the rows that were written are all that the table has."""


def profile(use: Facets, time_ms: int, path_of: PathOf, *, rewritten: bool = False) -> dict[str, Any] | None:
    """``datasetProfile`` of ``dataQualityMetrics``; None where nothing was measured.

    Args:
        use: Facets of an input or output, or of a dataset that a DatasetEvent describes.
        time_ms: When it was measured.
        path_of: Names columns as the schema does.
        rewritten: Whether the run wrote the whole table, so that ``outputStatistics`` are totals.
    """
    metrics = facet_of(use, "dataQualityMetrics")
    written = facet_of(use, "outputStatistics") if rewritten else {}
    rows = _first(metrics.get("rowCount"), written.get("rowCount"))
    size = _first(metrics.get("bytes"), written.get("size"))
    columns = _columns(metrics.get("columnMetrics"), rows, path_of)
    if rows is None and size is None and not columns:
        return None
    value: dict[str, Any] = {"timestampMillis": time_ms}
    if rows is not None:
        value["rowCount"] = rows
    if size is not None:
        value["sizeInBytes"] = size
    if columns:
        value |= {"columnCount": len(columns), "fieldProfiles": columns}
    return value


def _first(*numbers: Any) -> int | None:
    return next((found for each in numbers if (found := whole(each)) is not None), None)


def _columns(metrics: Any, rows: int | None, path_of: PathOf) -> list[dict[str, Any]]:
    """One profile per column of ``columnMetrics`` (DataQualityMetricsDatasetFacet 1-0-1)."""
    found: dict[str, dict[str, Any]] = {}
    for name, measured in sorted(metrics.items()) if isinstance(metrics, dict) else ():
        if name and isinstance(measured, dict):
            found.setdefault(path_of(name), {"fieldPath": path_of(name), **_column(measured, rows)})
    return list(found.values())


def _column(measured: Mapping[str, Any], rows: int | None) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for field, counted, share in (
        ("distinctCount", "uniqueCount", "uniqueProportion"),
        ("nullCount", "nullCount", "nullProportion"),
    ):
        number = whole(measured.get(field))
        if number is not None:
            value[counted] = number
            if rows and number <= rows:
                value[share] = number / rows
    for field in ("min", "max"):
        if measured.get(field) is not None:
            value[field] = text_of(measured[field])
    total, count = measured.get("sum"), whole(measured.get("count"))
    if isinstance(total, int | float) and not isinstance(total, bool) and count:
        value["mean"] = text_of(total / count)
    return {**value, **_quantiles(measured.get("quantiles"))}


def _quantiles(quantiles: Any) -> dict[str, Any]:
    if not isinstance(quantiles, dict):
        return {}
    known = {at: text_of(value) for at, value in sorted(quantiles.items()) if value is not None}
    if not known:
        return {}
    value: dict[str, Any] = {"quantiles": [{"quantile": at, "value": text} for at, text in known.items()]}
    if "0.5" in known:
        value["median"] = known["0.5"]
    return value
