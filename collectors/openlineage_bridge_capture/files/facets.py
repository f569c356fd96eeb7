"""What is known of a file that was read or written → facets of its dataset, as plain JSON.

Plain, because the OpenLineage client takes a third of a second to import, which a step that only records need not pay.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

import attrs

from openlineage_bridge_capture.datasets import Dataset
from openlineage_bridge_capture.files.locations import Place

SCHEMA_URLS = {
    "dataSource": "1-0-1/DatasourceDatasetFacet",
    "inputStatistics": "1-0-0/InputStatisticsInputDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "schema": "1-2-0/SchemaDatasetFacet",
    "storage": "1-0-1/StorageDatasetFacet",
}
"""Version and title of the specification of each facet that is made here."""

FORMATS = {
    ".arrow": "arrow",
    ".avro": "avro",
    ".csv": "csv",
    ".feather": "feather",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".orc": "orc",
    ".parquet": "parquet",
    ".tsv": "csv",
    ".txt": "text",
    ".xlsx": "excel",
    ".xml": "xml",
}
"""The format that a file's name tells, in the words of the ``storage`` facet where it has one."""

COMPRESSIONS = frozenset({".bz2", ".gz", ".snappy", ".xz", ".zip", ".zst"})

MAX_COLUMNS = 10_000
"""Columns beyond which a schema says nothing: a matrix rather than a table."""


@attrs.frozen
class Content:
    """What a library knows of the data that it moved, without looking.

    Args:
        columns: Name and type of each column of the dataset, in order; None when not all are known.
        rows: How many rows were read or written.
        size: How many bytes.
        files: How many files.
        format: What the call said of the format.
    """

    columns: Mapping[str, str] | None = None
    rows: int | None = None
    size: int | None = None
    files: int | None = None
    format: str | None = None


NOTHING = Content()


def dataset(place: Place, direction: str, content: Content, file_format: str | None) -> Dataset:
    """The dataset with all that is known of it.

    Args:
        place: Which one.
        direction: ``input`` or ``output``.
        content: What the library knows.
        file_format: The library's word for the format; by the name of the file when None.
    """
    facets = {"storage": _storage(place, file_format or format_of(place.name))}
    if "://" in place.namespace:
        facets["dataSource"] = {"name": place.namespace, "uri": place.namespace}
    if content.columns and len(content.columns) <= MAX_COLUMNS:
        facets["schema"] = _schema(content.columns)
    if statistics := _statistics(content):
        facets[f"{direction}Statistics"] = statistics
    return Dataset(place.namespace, place.name, {key: _sourced(key, facet) for key, facet in facets.items()})


def format_of(name: str) -> str | None:
    """The format that a file's name tells; None when it tells none."""
    stem, extension = posixpath.splitext(name.lower())
    if extension in COMPRESSIONS:
        extension = posixpath.splitext(stem)[1]
    return FORMATS.get(extension)


def _storage(place: Place, file_format: str | None) -> dict[str, Any]:
    layer = "delta" if file_format == "delta" else place.namespace.partition(":")[0]
    known = {"delta": "parquet"}.get(file_format or "", file_format)
    return {"storageLayer": layer, **({"fileFormat": known} if known else {})}


def _schema(columns: Mapping[str, str]) -> dict[str, Any]:
    return {
        "fields": [
            {"name": name, "type": kind, "ordinal_position": position}
            for position, (name, kind) in enumerate(columns.items(), start=1)
        ]
    }


def _statistics(content: Content) -> dict[str, Any]:
    counts = {"rowCount": content.rows, "size": content.size, "fileCount": content.files}
    return {key: count for key, count in counts.items() if count is not None}


def _sourced(key: str, facet: dict[str, Any]) -> dict[str, Any]:
    version, _, title = SCHEMA_URLS[key].partition("/")
    url = f"https://openlineage.io/spec/facets/{version}/{title}.json#/$defs/{title}"
    return {"_schemaURL": url, **facet}
