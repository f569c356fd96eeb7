"""fsspec: files that are opened, and whole files that are copied, in any file system that has names for others.

What is read counts when it is open, what is written when it is closed without an error. ``rm`` is nothing to tell: that data
is gone is no lineage. Coroutines (``asynchronous=True``) are not seen.
"""

from __future__ import annotations

import functools
import os
import posixpath
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import attrs

from openlineage_bridge_capture.files import calls, notes
from openlineage_bridge_capture.files.facets import NOTHING, Content
from openlineage_bridge_capture.files.locations import innermost, places
from openlineage_bridge_capture.files.notes import WRITING, Arguments, Writing

CLOSING = ("close", "__exit__")
"""Methods that end the writing of a file."""

STANDARD_LIBRARY = frozenset({"_io", "bz2", "gzip", "io", "lzma", "tempfile", "zipfile"})
"""Modules whose classes are everybody's, and not ours to change."""


@attrs.frozen
class Transfer:
    """A method of a file system that moves whole files.

    Args:
        reads: Its parameter that says from where.
        writes: Its parameter that says to where.
        here: Which of them is a path of this machine, whatever the file system.
    """

    reads: str | None = None
    writes: str | None = None
    here: str | None = None


TRANSFERS = {
    "cat": Transfer(reads="path"),
    "cat_file": Transfer(reads="path"),
    "copy": Transfer(reads="path1", writes="path2"),
    "cp_file": Transfer(reads="path1", writes="path2"),
    "get": Transfer(reads="rpath", writes="lpath", here="lpath"),
    "get_file": Transfer(reads="rpath", writes="lpath", here="lpath"),
    "mv": Transfer(reads="path1", writes="path2"),
    "pipe": Transfer(writes="path"),
    "pipe_file": Transfer(writes="path"),
    "put": Transfer(reads="lpath", writes="rpath", here="lpath"),
    "put_file": Transfer(reads="lpath", writes="rpath", here="lpath"),
}
"""Methods of every file system; ``cp``, ``download``, ``upload``, ``move`` and the like go through them."""

LOCAL_TRANSFERS = dict.fromkeys(
    ("cp_file", "get_file", "mv", "put_file"), Transfer(reads="path1", writes="path2")
)
"""Methods of the local file system, which does them in its own way."""


def instrument(module: ModuleType) -> None:
    """Record what the file systems of this ``fsspec.spec`` do; doing it again changes nothing."""
    calls.wrap(module.AbstractFileSystem, "open", _opened)
    for name, transfer in TRANSFERS.items():
        calls.wrap(module.AbstractFileSystem, name, functools.partial(_transferred, transfer))


def instrument_local(module: ModuleType) -> None:
    """Record what the local file system (``fsspec.implementations.local``) does."""
    for name, transfer in LOCAL_TRANSFERS.items():
        calls.wrap(module.LocalFileSystem, name, functools.partial(_transferred, transfer))


def instrument_asyn(module: Any) -> None:
    """Record what asynchronous file systems do (``fsspec.asyn``: S3, GCS, Azure, HTTP).

    They give each object its blocking methods by ``sync_wrapper``, one for each coroutine.
    """
    original = module.sync_wrapper
    if hasattr(original, calls.MARK):
        return

    @functools.wraps(original)
    def sync_wrapper(func: Any, obj: Any = None) -> Any:
        blocking = original(func, obj=obj)
        transfer = TRANSFERS.get(getattr(func, "__name__", "").removeprefix("_"))
        if transfer is None or obj is None:
            return blocking
        return calls.followed(
            blocking, lambda arguments, result: _transferred(transfer, {**arguments, "self": obj}, result)
        )

    setattr(sync_wrapper, calls.MARK, True)
    module.sync_wrapper = sync_wrapper


def _opened(arguments: Arguments, result: Any) -> None:
    """A file is open: read from now on, or to be written by the time it is closed."""
    found = places(arguments["path"], filesystem=arguments["self"])
    if not found or calls.host_is_calling() or calls.arrow_is_calling():
        return
    mode, file = arguments.get("mode", "rb"), innermost(result)
    if "r" in mode and "+" not in mode:
        notes.record(found, "input", Content(size=_integer(getattr(file, "size", None)), files=1))
        return
    if _closing_is_seen(type(file)):
        setattr(file, WRITING, Writing(found, appended="w" not in mode and "x" not in mode))
    else:
        notes.record(found, "output", NOTHING, appended="a" in mode)


def _closing_is_seen(kind: type) -> bool:
    """Whether the methods that end the writing of such files tell us, from now on."""
    seen = False
    for name in CLOSING:
        owner = next((each for each in kind.__mro__ if name in vars(each)), object)
        if owner.__module__ not in STANDARD_LIBRARY and owner is not object:
            _wrap_closing(owner, name)
            seen = True
    return seen


def _wrap_closing(owner: type, name: str) -> None:
    original = vars(owner)[name]
    if hasattr(original, calls.MARK):
        return

    @functools.wraps(original)
    def closing(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Taken away first: what fails now is not written, and one of these methods may call the other.
        writing = getattr(self, "__dict__", {}).pop(WRITING, None)
        if writing is None:
            return original(self, *args, **kwargs)
        with calls.one_call():
            result = original(self, *args, **kwargs)
            if not any(args):
                calls.guarded(lambda: _closed(self, writing))
        return result

    setattr(closing, calls.MARK, True)
    setattr(owner, name, closing)


def _closed(file: Any, writing: Writing) -> None:
    content = writing.content
    if content.size is None and not writing.appended and all(each.path is None for each in writing.places):
        # How far buffered files got.
        content = attrs.evolve(content, size=_integer(getattr(file, "loc", None)), files=1)
    notes.record(writing.places, "output", content, writing.format, appended=writing.appended)


def _transferred(transfer: Transfer, arguments: Arguments, result: Any) -> None:
    """Whole files were moved: what was read on the one side is what is there on the other."""
    if calls.host_is_calling():
        return
    moved = _content(arguments, result)
    if transfer.reads is not None:
        found = places(
            _plain(arguments[transfer.reads]), filesystem=_side(transfer, transfer.reads, arguments)
        )
        notes.record(found, "input", moved)
    if transfer.writes is not None:
        target = _target(transfer, arguments)
        found = places(target, filesystem=_side(transfer, transfer.writes, arguments))
        notes.record(found, "output", moved)


def _side(transfer: Transfer, parameter: str, arguments: Arguments) -> Any:
    return None if parameter == transfer.here else arguments["self"]


def _target(transfer: Transfer, arguments: Arguments) -> Any:
    """Where to: a path with a slash at its end, or a folder of this machine, gets the file under its own name."""
    target = _plain(arguments[transfer.writes or ""])
    source = _plain(arguments.get(transfer.reads or ""))
    if not isinstance(target, str) or not isinstance(source, str) or arguments.get("recursive"):
        return target
    folder = target.endswith("/") or (transfer.writes == transfer.here and os.path.isdir(target))  # noqa: PTH112  # text
    name = posixpath.basename(source)
    return posixpath.join(target, name) if folder and not set(name) & set("*?[") else target


def _plain(paths: Any) -> Any:
    """``pipe`` takes a mapping from paths to bytes; one path may be any path object."""
    if isinstance(paths, Mapping):
        return list(paths)
    return os.fspath(paths) if isinstance(paths, os.PathLike) else paths


def _content(arguments: Arguments, result: Any) -> Content:
    """Bytes that went through our hands as one object."""
    for data in (arguments.get("value"), result):
        if isinstance(data, bytes | bytearray | memoryview):
            return Content(size=len(data), files=1)
    return NOTHING


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) else None
