"""Polars: ``read_*`` and ``scan_*``, ``DataFrame.write_*`` and ``LazyFrame.sink_*``; databases are captured as SQL.

A scan counts as read by the run that calls ``scan_*``: which files a later ``collect()`` takes could only be told by
resolving its plan a second time. So a lazy frame that is never collected counts too, and its schema and rows are not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from openlineage_bridge_capture.files import calls, notes
from openlineage_bridge_capture.files.facets import NOTHING, Content
from openlineage_bridge_capture.files.notes import Arguments, Call

PARTIAL = frozenset(
    {
        "columns",
        "has_header",
        "include_file_paths",
        "n_rows",
        "new_columns",
        "row_index_name",
        "sheet_id",
        "sheet_name",
        "skip_lines",
        "skip_rows",
        "skip_rows_after_header",
        "table_name",
        "version",
        "with_column_names",
    }
)
"""Parameters of readers with which the frame is not the file: a part of it, or under other names."""


def instrument(module: ModuleType) -> None:
    """Record what this ``polars`` reads and writes; doing it again changes nothing."""
    calls.everywhere([notes.wrap_reader(module, name, call) for name, call in READERS.items()])
    for name, call in WRITERS.items():
        notes.wrap_writer(module.DataFrame, name, call)
    for name, call in SINKS.items():
        notes.wrap_writer(module.LazyFrame, name, call)


def _read(_arguments: Arguments, result: Any) -> Content:
    """What a reader gave: a frame, or frames by sheet."""
    return _frame(result) if hasattr(result, "height") else NOTHING


def _written(arguments: Arguments, _result: Any) -> Content:
    return _frame(arguments["self"])


def _sunk(arguments: Arguments, _result: Any) -> Content | None:
    """Nothing yet with ``lazy=True``, which only adds the writing to a plan."""
    return None if arguments.get("lazy") else NOTHING


def _frame(frame: Any) -> Content:
    return Content(columns=_columns(frame.schema), rows=frame.height)


def _columns(schema: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(kind) for name, kind in schema.items()}


FORMATS = {
    "avro": "avro",
    "csv": "csv",
    "delta": "delta",
    "excel": "excel",
    "ipc": "arrow",
    "ipc_stream": "arrow",
    "json": "json",
    "lines": "text",
    "ndjson": "json",
    "ods": "ods",
    "parquet": "parquet",
}
"""The last part of the functions' names, and the format that they read and write."""

READERS = {
    **{f"read_{kind}": Call("source", known, _read, PARTIAL) for kind, known in FORMATS.items()},
    **{f"scan_{kind}": Call("source", known) for kind, known in FORMATS.items()},
}
"""Functions of the module, whichever of them there are."""

WRITERS = {
    f"write_{kind}": Call(path, FORMATS[kind], _written)
    for kind, path in {
        "avro": "file",
        "csv": "file",
        "delta": "target",
        "excel": "workbook",
        "ipc": "file",
        "ipc_stream": "file",
        "json": "file",
        "ndjson": "file",
        "parquet": "file",
    }.items()
}
"""Methods of ``DataFrame``, by the parameter that says where."""

SINKS = {
    f"sink_{kind}": Call("target" if kind == "delta" else "path", FORMATS[kind], _sunk)
    for kind in ("csv", "delta", "ipc", "ndjson", "parquet")
}
"""Methods of ``LazyFrame``. What they write has the schema of a plan that only Polars resolves."""
