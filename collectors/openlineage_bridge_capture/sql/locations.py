"""Where a table keeps its data when its definition says so: external tables, and those with a location of their own."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

LOCATION_OPTIONS = frozenset({"external_location", "location", "uris"})
"""Properties of CREATE TABLE that name a path (Trino, Athena, BigQuery)."""

FORMATS = {"avro", "csv", "json", "orc", "parquet", "text", "xml"}
"""File formats of the ``storage`` facet."""

OTHER_WORDS = {"newline_delimited_json": "json", "textfile": "text"}
"""What dialects call some of them."""

TABLE_FORMATS = {"delta", "iceberg"}


def locations(properties: exp.Expr) -> Iterator[str]:
    """The paths, or Snowflake's ``@stage/path``, that the properties of a table name."""
    for each in properties.expressions:
        if isinstance(each, exp.LocationProperty):
            yield each.name
        elif isinstance(each, exp.Property) and each.name.lower() in LOCATION_OPTIONS:
            value = each.args.get("value")
            yield from (literal.name for literal in value.find_all(exp.Literal)) if value is not None else ()


def file_format(properties: exp.Expr) -> str | None:
    """The format that the properties of a table name; None for one that has no word in the ``storage`` facet."""
    found = properties.find(exp.FileFormatProperty)
    if found is None:
        return None
    inside = next(
        (each.args["value"].name for each in found.expressions if isinstance(each, exp.Property)), ""
    )
    word = (found.name or inside).lower()
    word = OTHER_WORDS.get(word, word)
    return word if word in FORMATS | TABLE_FORMATS else None
