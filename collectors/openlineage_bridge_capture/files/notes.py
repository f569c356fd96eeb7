"""From a call that read or wrote files to what the recorder gets."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.files import calls, facets
from openlineage_bridge_capture.files.facets import NOTHING, Content
from openlineage_bridge_capture.files.locations import Place, innermost, places

Arguments = Mapping[str, Any]

WRITING = "_openlineage_writing"
"""Attribute of an open file under which stands what will have been written once it is closed."""


@attrs.frozen
class Call:
    """A function that reads or writes files.

    Args:
        path: Its parameter that says where.
        format: The format of the files, in the words of the ``storage`` facet where it has one; None to go by their name.
        look: From the arguments and the result to what was moved; None when nothing was, after all.
        partial: Parameters with which the result is not all that there is, or under other names.
    """

    path: str
    format: str | None
    look: Callable[[Arguments, Any], Content | None] = lambda _arguments, _result: NOTHING
    partial: frozenset[str] = frozenset()


@attrs.define
class Writing:
    """What a file that is open for writing is going to be."""

    places: tuple[Place, ...]
    content: Content = NOTHING
    format: str | None = None
    appended: bool = False


def wrap_reader(owner: Any, name: str, call: Call) -> calls.Change | None:
    """Record what ``owner.name`` reads from now on."""
    return calls.wrap(owner, name, lambda arguments, result: _note(call, "input", arguments, result))


def wrap_writer(owner: Any, name: str, call: Call) -> calls.Change | None:
    """Record what ``owner.name`` writes from now on."""
    return calls.wrap(owner, name, lambda arguments, result: _note(call, "output", arguments, result))


def record(
    found: tuple[Place, ...],
    direction: str,
    content: Content,
    file_format: str | None = None,
    *,
    appended: bool = False,
) -> None:
    """Hand datasets to the recorder; counts go to one only when they are all of it.

    Args:
        found: Which ones.
        direction: ``input`` or ``output``.
        content: What is known of all of them together.
        file_format: The library's word for their format.
        appended: Whether there was something in it before, so that neither counts nor size are this run's.
    """
    noted = recorder.read if direction == "input" else recorder.wrote
    for place in found:
        known = content if len(found) == 1 else attrs.evolve(NOTHING, columns=content.columns)
        if appended:
            known = attrs.evolve(NOTHING, columns=content.columns, files=1)
        known = _measured(place, known) if place.whole else NOTHING
        noted(facets.dataset(place, direction, known, content.format or file_format))


def _note(call: Call, direction: str, arguments: Arguments, result: Any) -> None:
    """Record a call that succeeded, unless what it did has no name or is the orchestrator's own business."""
    target = arguments.get(call.path)
    found = places(target, arguments.get("storage_options"), arguments.get("filesystem"))
    if not found or calls.host_is_calling():
        return
    content = call.look(arguments, result)
    if content is None:
        return
    if any(arguments.get(name) is not None for name in call.partial):
        content, found = attrs.evolve(content, columns=None), _unmeasured(found)
    # An ExcelWriter is a path too, but what it writes is there only once it is closed.
    if direction == "output" and (not isinstance(target, str | os.PathLike) or hasattr(target, "close")):
        _note_into(target, found, content, call.format)
    else:
        record(found, direction, content, call.format, appended=_appends(arguments))


def _note_into(file: Any, found: tuple[Place, ...], content: Content, file_format: str | None) -> None:
    """What was written into an open file, which is not all, perhaps, and counts when it is closed, if we see that."""
    writing = getattr(innermost(file), WRITING, None)
    if not isinstance(writing, Writing):
        record(_unmeasured(found), "output", attrs.evolve(content, rows=None), file_format)
        return
    once = writing.content == NOTHING
    writing.content = content if once else attrs.evolve(writing.content, rows=None)
    writing.format = file_format


def _unmeasured(found: tuple[Place, ...]) -> tuple[Place, ...]:
    return tuple(attrs.evolve(place, path=None) for place in found)


def _measured(place: Place, content: Content) -> Content:
    """With the size that a look at the file's entry gives, where the library told none."""
    if content.files is not None or content.size is not None:
        return content
    size = place.size()
    return content if size is None else attrs.evolve(content, size=size, files=1)


def _appends(arguments: Arguments) -> bool:
    mode = arguments.get("mode")
    return isinstance(mode, str) and mode.startswith("a")
