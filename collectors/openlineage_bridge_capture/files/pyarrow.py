"""Arrow: its readers and writers of Parquet, CSV, JSON, Feather and ORC, and its datasets.

A dataset (``dataset.dataset``) counts as read when it is made: its methods are compiled and cannot be wrapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import attrs

from openlineage_bridge_capture.files import calls, notes
from openlineage_bridge_capture.files.facets import Content
from openlineage_bridge_capture.files.locations import Place, places
from openlineage_bridge_capture.files.notes import Arguments, Call

PARTIAL = frozenset({"columns", "filters", "i", "row_groups", "schema"})
"""Parameters of readers with which the table is not the file."""

_PLACES = "_openlineage_places"


@attrs.frozen
class Handle:
    """A class of Arrow whose objects read or write one file over several calls.

    Args:
        path: The parameter of its constructor that says where.
        format: The format of the file.
        reads: Methods that read.
        closes: Methods after which what was written is there.
    """

    path: str
    format: str
    reads: tuple[str, ...] = ()
    closes: tuple[str, ...] = ()


def instrument(module: ModuleType) -> None:
    """Record what this module of ``pyarrow`` reads and writes; doing it again changes nothing."""
    own = module.__name__
    readers = [notes.wrap_reader(module, name, call) for name, call in READERS.get(own, {}).items()]
    writers = [notes.wrap_writer(module, name, call) for name, call in WRITERS.get(own, {}).items()]
    calls.everywhere(readers + writers)
    for name, handle in HANDLES.get(own, {}).items():
        if (kind := getattr(module, name, None)) is not None:
            _wrap_handle(kind, handle)


def _wrap_handle(kind: type, handle: Handle) -> None:
    calls.wrap(kind, "__init__", lambda arguments, _: _remember(handle, arguments))
    for name in handle.reads:
        calls.wrap(kind, name, lambda arguments, result: _note_read(handle, arguments, result))
    for name in handle.closes:
        calls.wrap(kind, name, lambda arguments, _: _note_closed(handle, arguments))


def _remember(handle: Handle, arguments: Arguments) -> None:
    found = places(arguments.get(handle.path), filesystem=arguments.get("filesystem"))
    if found and not calls.host_is_calling():
        setattr(arguments["self"], _PLACES, found)


def _note_read(handle: Handle, arguments: Arguments, result: Any) -> None:
    """One read of several, perhaps: rows and bytes are known when there is but one, which takes all."""
    source = arguments["self"]
    found: tuple[Place, ...] = getattr(source, _PLACES, ())
    schema = getattr(source, "schema_arrow", None) or getattr(source, "schema", None)
    whole = hasattr(result, "num_rows") and not PARTIAL & set(arguments)
    rows = result.num_rows if whole else None
    if not whole:
        found = tuple(attrs.evolve(place, path=None) for place in found)
    notes.record(found, "input", Content(columns=_columns(schema), rows=rows), handle.format)


def _note_closed(handle: Handle, arguments: Arguments) -> None:
    """What was written is there, unless the user's block ended with an error."""
    writer = arguments["self"]
    found = writer.__dict__.pop(_PLACES, ())
    if any(arguments.get("args", ())):
        return
    metadata = getattr(getattr(writer, "writer", None), "metadata", None)
    schema = getattr(writer, "schema", None)
    rows = getattr(metadata, "num_rows", None)
    notes.record(found, "output", Content(columns=_columns(schema), rows=rows), handle.format)


def _table(_arguments: Arguments, result: Any) -> Content:
    """What a reader gave: a table, or a frame of pandas, or a stream of batches that is not read yet."""
    if hasattr(result, "dtypes"):
        return Content(
            columns={str(name): str(kind) for name, kind in result.dtypes.items()}, rows=len(result)
        )
    return Content(columns=_columns(result.schema), rows=getattr(result, "num_rows", None))


def _text(arguments: Arguments, result: Any) -> Content:
    """The same of text, where options choose and name columns."""
    options = [arguments.get("read_options"), arguments.get("convert_options")]
    chosen = any(getattr(each, name, None) for each in options for name in _CHOOSING)
    content = _table(arguments, result)
    return attrs.evolve(content, columns=None) if chosen else content


_CHOOSING = ("autogenerate_column_names", "column_names", "include_columns", "skip_rows")


def _dataset(arguments: Arguments, result: Any) -> Content:
    files = getattr(result, "files", None)
    known = None if files is None else len(files)
    return Content(columns=_columns(result.schema), files=known, format=_format(arguments))


def _given(parameter: str, file_format: str | None = None) -> Any:
    """What a writer was given: a table, batches, a stream, or a frame of pandas."""

    def look(arguments: Arguments, _result: Any) -> Content:
        data = arguments.get(parameter)
        if hasattr(data, "dtypes"):
            return _table(arguments, data)
        rows = getattr(data, "num_rows", None)
        columns = _columns(getattr(data, "schema", None))
        return Content(columns, rows, format=file_format or _format(arguments))

    return look


def _format(arguments: Arguments) -> str | None:
    """``format`` as datasets take it: a name, or an object that knows the extension of its files."""
    given = arguments.get("format")
    known = given if isinstance(given, str) else getattr(given, "default_extname", "parquet")
    return {"ipc": "arrow", "feather": "arrow"}.get(known, known)


def _columns(schema: Any) -> Mapping[str, str] | None:
    if not hasattr(schema, "names"):
        return None
    return {name: str(kind) for name, kind in zip(schema.names, schema.types, strict=True)}


READERS = {
    "pyarrow.csv": {
        "open_csv": Call("input_file", "csv", _text),
        "read_csv": Call("input_file", "csv", _text),
    },
    "pyarrow.dataset": {
        "dataset": Call("source", None, _dataset),
        "parquet_dataset": Call("metadata_path", "parquet", _dataset),
    },
    "pyarrow.feather": {
        "read_feather": Call("source", "feather", _table, PARTIAL),
        "read_table": Call("source", "feather", _table, PARTIAL),
    },
    "pyarrow.json": {
        "open_json": Call("input_file", "json", _table),
        "read_json": Call("input_file", "json", _table),
    },
    "pyarrow.orc": {"read_table": Call("source", "orc", _table, PARTIAL)},
    "pyarrow.parquet": {
        "read_pandas": Call("source", "parquet", _table, PARTIAL),
        "read_table": Call("source", "parquet", _table, PARTIAL),
    },
}
"""Functions that read, by module."""

WRITERS = {
    "pyarrow.csv": {"write_csv": Call("output_file", "csv", _given("data", "csv"))},
    "pyarrow.dataset": {"write_dataset": Call("base_dir", None, _given("data"))},
    "pyarrow.feather": {"write_feather": Call("dest", "feather", _given("df", "feather"))},
    "pyarrow.orc": {"write_table": Call("where", "orc", _given("table", "orc"))},
    "pyarrow.parquet": {
        "write_table": Call("where", "parquet", _given("table", "parquet")),
        "write_to_dataset": Call("root_path", "parquet", _given("table", "parquet")),
    },
}
"""Functions that write, by module. ``csv.CSVWriter`` is compiled: it is seen where it writes to a file of fsspec."""

HANDLES = {
    "pyarrow.orc": {
        "ORCFile": Handle("source", "orc", reads=("read", "read_stripe")),
        "ORCWriter": Handle("where", "orc", closes=("close", "__exit__")),
    },
    "pyarrow.parquet": {
        "ParquetDataset": Handle("path_or_paths", "parquet", reads=("read", "read_pandas")),
        "ParquetFile": Handle(
            "source", "parquet", reads=("iter_batches", "read", "read_row_group", "read_row_groups")
        ),
        "ParquetWriter": Handle("where", "parquet", closes=("close", "__exit__")),
    },
}
"""Classes, by module. What only looks at a file (``read_metadata``, ``read_schema``) reads no data."""
