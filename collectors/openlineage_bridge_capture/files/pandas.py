"""pandas: ``read_csv`` and its kin, ``DataFrame.to_csv`` and its kin; what speaks SQL is captured as SQL."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from openlineage_bridge_capture.files import calls, notes
from openlineage_bridge_capture.files.facets import NOTHING, Content
from openlineage_bridge_capture.files.notes import Arguments, Call

PARTIAL = frozenset(
    {
        "chunksize",
        "columns",
        "filters",
        "index_col",
        "iterator",
        "names",
        "nrows",
        "sheet_name",
        "skipfooter",
        "skiprows",
        "usecols",
        "where",
    }
)
"""Parameters of readers with which the frame is not the file: a part of it, or under other names."""


def instrument(module: ModuleType) -> None:
    """Record what this ``pandas`` reads and writes; doing it again changes nothing."""
    calls.everywhere([notes.wrap_reader(module, name, call) for name, call in READERS.items()])
    # `to_csv` is NDFrame's, `to_parquet` DataFrame's; which class has which changed over the versions.
    generic = importlib.import_module("pandas.core.generic")
    for owner in (generic.NDFrame, module.DataFrame, module.Series):
        for name, call in WRITERS.items():
            notes.wrap_writer(owner, name, call)


def _read(arguments: Arguments, result: Any) -> Content:
    """What a reader gave: a frame, a series, frames by sheet, or an iterator of frames that is not read yet."""
    columns = _columns(result)
    if columns is None:
        return NOTHING
    named = arguments.get("header", 0) is not None
    return Content(columns=columns if named else None, rows=len(result))


def _written(arguments: Arguments, _result: Any) -> Content:
    """What a method of a frame wrote: the frame, its index included where that has a name."""
    if hasattr(arguments.get("excel_writer"), "sheets"):
        return NOTHING  # one sheet of several, perhaps
    frame = arguments["self"]
    columns = _columns(frame) or {}
    if isinstance(chosen := arguments.get("columns"), list | tuple):
        columns = {str(name): columns.get(str(name), "object") for name in chosen}
    if isinstance(header := arguments.get("header"), list | tuple):
        columns = dict(zip(map(str, header), columns.values(), strict=False))
    if arguments.get("index") is not False:
        columns = {**_levels(frame.index), **columns}
    return Content(columns=columns, rows=len(frame))


def _pickled(_arguments: Arguments, result: Any) -> Content:
    """A pickle may hold anything: what it is only counts when it is a table."""
    return _read(_arguments, result) if hasattr(result, "dtypes") else NOTHING


def _columns(frame: Any) -> Mapping[str, str] | None:
    """Names and dtypes of a frame, or of the one column that a series is."""
    if hasattr(frame, "columns"):
        # Labels may be anything, tuples for one, and the same one twice.
        return {_label(name): str(kind) for name, kind in zip(frame.columns, frame.dtypes, strict=True)}
    if hasattr(frame, "dtype") and hasattr(frame, "name"):
        return {} if frame.name is None else {_label(frame.name): str(frame.dtype)}
    return None


def _levels(index: Any) -> dict[str, str]:
    kinds = index.dtypes if hasattr(index, "levels") else [index.dtype]
    return {
        _label(name): str(kind) for name, kind in zip(index.names, kinds, strict=True) if name is not None
    }


def _label(name: Any) -> str:
    return ".".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _reader(path: str, file_format: str | None) -> Call:
    return Call(path, file_format, _read, PARTIAL)


def _writer(path: str, file_format: str | None) -> Call:
    return Call(path, file_format, _written)


READERS = {
    "read_csv": _reader("filepath_or_buffer", "csv"),
    "read_excel": _reader("io", "excel"),
    "read_feather": _reader("path", "feather"),
    "read_fwf": _reader("filepath_or_buffer", "text"),
    "read_hdf": _reader("path_or_buf", "hdf5"),
    "read_json": _reader("path_or_buf", "json"),
    "read_orc": _reader("path", "orc"),
    "read_parquet": _reader("path", "parquet"),
    "read_pickle": Call("filepath_or_buffer", "pickle", _pickled),
    "read_sas": _reader("filepath_or_buffer", "sas"),
    "read_spss": _reader("path", "spss"),
    "read_stata": _reader("filepath_or_buffer", "stata"),
    "read_table": _reader("filepath_or_buffer", "csv"),
    "read_xml": _reader("path_or_buffer", "xml"),
}
"""Functions of the module. ``read_html`` and ``read_clipboard`` take pages and the screen's content: no datasets."""

WRITERS = {
    "to_csv": _writer("path_or_buf", "csv"),
    "to_excel": _writer("excel_writer", "excel"),
    "to_feather": _writer("path", "feather"),
    "to_hdf": _writer("path_or_buf", "hdf5"),
    "to_json": _writer("path_or_buf", "json"),
    "to_orc": _writer("path", "orc"),
    "to_parquet": _writer("path", "parquet"),
    "to_pickle": _writer("path", "pickle"),
    "to_stata": _writer("path", "stata"),
    "to_xml": _writer("path_or_buffer", "xml"),
}
"""Methods of frames and series. A report (``to_html``, ``to_latex``) is no dataset."""
