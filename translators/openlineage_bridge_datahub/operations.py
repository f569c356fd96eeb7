"""What happened to a dataset, as DataHub's ``operation``: written, created, dropped, renamed, emptied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from openlineage_bridge.events import Facets
from openlineage_bridge_datahub.facets import facet_of, objects, text_of, whole, words

ACTOR = "urn:li:corpuser:datahub"

LIFECYCLE = {
    "CREATE": "CREATE",
    "DROP": "DROP",
    "ALTER": "ALTER",
    "RENAME": "ALTER",
    "OVERWRITE": "UPDATE",
    "TRUNCATE": "DELETE",
}
"""``lifecycleStateChange`` → OperationType (LifecycleStateChangeDatasetFacet 1-0-1)."""

ICEBERG = {"append": "INSERT", "delete": "DELETE", "overwrite": "UPDATE", "replace": "ALTER"}
"""``operation`` of an Iceberg snapshot → OperationType (icebergCommitReport 1-0-2)."""

WRITTEN = "UPDATE"
"""What an output is where nothing says more: its data changed."""


@attrs.frozen
class Occasion:
    """When something happened, and because of whom.

    Args:
        time: Event time, microseconds since the epoch.
        properties: Custom properties that lead back: the run and its job; empty where a DatasetEvent said it.
    """

    time: int
    properties: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def time_ms(self) -> int:
        """The same in milliseconds, as DataHub counts."""
        return self.time // 1000


def operation(use: Facets, occasion: Occasion) -> dict[str, Any]:
    """``operation`` of one output; which facets decide what it was stands in ``LIFECYCLE`` and ``ICEBERG``."""
    value: dict[str, Any] = {
        "timestampMillis": occasion.time_ms,
        "lastUpdatedTimestamp": occasion.time_ms,
        "actor": ACTOR,
        "operationType": WRITTEN,
        "sourceType": "DATA_PROCESS",
    }
    if occasion.properties:
        value["customProperties"] = occasion.properties
    return value if TELLING.isdisjoint(use.raw) else {**value, **_told(use, occasion)}


TELLING = frozenset({"icebergCommitReport", "lifecycleStateChange", "outputStatistics", "subset", "version"})
"""Facets of a use that say more of an operation than that there was one."""


def _told(use: Facets, occasion: Occasion) -> dict[str, Any]:
    value: dict[str, Any] = {"operationType": _type(use)}
    rows = whole(facet_of(use, "outputStatistics").get("rowCount"))
    if rows is not None:
        value["numAffectedRows"] = rows
    if partition := _partition(use):
        value["partitionSpec"] = {"type": "PARTITION", "partition": partition}
    if properties := {**occasion.properties, **dict(_properties(use))}:
        value["customProperties"] = properties
    return value


def lifecycle(use: Facets) -> str:
    """``CREATE``, ``DROP``, …; empty where the facet says none of the specification's."""
    stated = words(use, "lifecycleStateChange", "lifecycleStateChange").upper()
    return stated if stated in LIFECYCLE else ""


def previous(use: Facets) -> tuple[str, str] | None:
    """Namespace and name that a renamed dataset had before."""
    identifier = facet_of(use, "lifecycleStateChange").get("previousIdentifier")
    if not isinstance(identifier, dict):
        return None
    namespace, name = identifier.get("namespace"), identifier.get("name")
    return (namespace, name) if isinstance(namespace, str) and isinstance(name, str) and name else None


def _type(use: Facets) -> str:
    if stated := lifecycle(use):
        return LIFECYCLE[stated]
    return ICEBERG.get(words(use, "icebergCommitReport", "operation").lower(), WRITTEN)


def _properties(use: Facets) -> Iterator[tuple[str, str]]:
    if stated := lifecycle(use):
        yield "lifecycleStateChange", stated
    if before := previous(use):
        yield "previousIdentifier", "/".join(before)
    if version := words(use, "version", "datasetVersion"):
        yield "datasetVersion", version
    for field, name in (("size", "sizeInBytes"), ("fileCount", "fileCount")):
        number = whole(facet_of(use, "outputStatistics").get(field))
        if number is not None:
            yield name, str(number)
    for field in ("snapshotId", "sequenceNumber"):
        if (value := facet_of(use, "icebergCommitReport").get(field)) is not None:
            yield f"iceberg.{field}", text_of(value)


def _partition(use: Facets) -> str:
    """The one partition that was written, as ``dt=2026-01-01``; empty where it was none, or several."""
    condition = facet_of(use, "subset").get("outputCondition")
    partitions = objects(condition.get("partitions")) if isinstance(condition, dict) else []
    dimensions = partitions[0].get("dimensions") if len(partitions) == 1 else None
    if not isinstance(dimensions, dict):
        return ""
    return "/".join(f"{key}={text_of(value)}" for key, value in sorted(dimensions.items()))
