"""Table functions that read or write files, and stages: where a statement names a file without a table."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

FILE_FUNCTIONS: dict[str, str | None] = {
    # DuckDB
    "delta_scan": "delta",
    "iceberg_scan": "iceberg",
    "parquet_scan": "parquet",
    "read_blob": None,
    "read_csv": "csv",
    "read_csv_auto": "csv",
    "read_json": "json",
    "read_json_auto": "json",
    "read_json_objects": "json",
    "read_json_objects_auto": "json",
    "read_ndjson": "json",
    "read_ndjson_auto": "json",
    "read_ndjson_objects": "json",
    "read_parquet": "parquet",
    "read_text": "text",
    "read_xlsx": "excel",
    # Databricks
    "read_files": None,
    # ClickHouse
    "gcs": None,
    "s3": None,
    "url": None,
}
"""Table functions whose first argument names the files that they read, and the format where they tell it."""

_STAGE = re.compile(r"@(?:[\w$\"]+\.)*\"?([\w$%~]+)\"?(/.*)?")


def function_name(node: exp.Expr) -> str:
    """The name of a function in lower case."""
    if isinstance(node, exp.Anonymous) or not isinstance(node, exp.Func):
        return node.name.lower()
    return node.sql_name().lower()


def file_arguments(node: exp.Expr) -> Iterator[str]:
    """The paths in the first argument of a table function."""
    first = next(node.iter_expressions(), None)
    values = first.expressions if isinstance(first, (exp.Array, exp.Tuple)) else [first]
    for value in values:
        if isinstance(value, exp.Literal) and value.is_string:
            yield value.name


def is_stage(node: exp.Expr) -> bool:
    """Whether this is Snowflake's ``@stage/path``."""
    return isinstance(node, exp.Var) and node.name.startswith("@")


def stage_path(reference: str, stages: dict[str, str]) -> str | None:
    """The path that ``@stage/path`` means; None unless the run itself said where the stage is.

    Only Snowflake knows the location of a stage, and the naming specification has no name for one.
    """
    match = _STAGE.fullmatch(reference)
    location = stages.get(match[1].upper()) if match else None
    return f"{location.rstrip('/')}{match[2] or ''}" if match and location else None
