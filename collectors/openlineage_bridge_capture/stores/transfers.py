"""One object of a store, read or written → what the recorder gets: the object, and the local file at the other end.

Names are those of files (``files.paths``), so an object is the same dataset whether its client, fsspec or a statement moves it.
A local file that the run wrote itself before it uploads it is no input of the run.
"""

from __future__ import annotations

from typing import Any

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.files import notes
from openlineage_bridge_capture.files.facets import NOTHING, Content
from openlineage_bridge_capture.files.locations import Place, places
from openlineage_bridge_capture.stores import ownership


def read(url: str, size: int | None = None) -> None:
    """Record that the current run read an object.

    Args:
        url: Of the object, e.g. ``s3://bucket/key``.
        size: Bytes of the whole object; None when that is not known, or only a part was read.
    """
    _record(places(url), "input", size)


def wrote(url: str, size: int | None = None) -> None:
    """Record that the current run wrote an object of ``size`` bytes."""
    _record(places(url), "output", size)


def uploaded(source: Any, url: str, size: int | None = None) -> None:
    """Record that a local file became an object.

    Args:
        source: Its path, or the open file; a stream without a name is only written.
        url: Of the object.
        size: Bytes of the object; None to go by the local file.
    """
    local = places(source)
    if not ownership.users_own():
        return
    notes.record(tuple(place for place in local if not _of_this_run(place)), "input", NOTHING)
    notes.record(places(url), "output", _content(_size(local) if size is None else size))


def downloaded(url: str, target: Any, *, whole: bool = True) -> None:
    """Record that an object, or a part of it, became a local file, given by its path or the open file."""
    local = places(target)
    if not ownership.users_own():
        return
    notes.record(places(url), "input", _content(_size(local) if whole else None))
    notes.record(local, "output", NOTHING)


def copied(source: str, target: str) -> None:
    """Record that an object was copied within the stores."""
    read(source)
    wrote(target)


def _record(found: tuple[Place, ...], direction: str, size: int | None) -> None:
    if found and ownership.users_own():
        notes.record(found, direction, _content(size))


def _content(size: int | None) -> Content:
    return NOTHING if size is None else Content(size=size, files=1)


def _size(local: tuple[Place, ...]) -> int | None:
    return local[0].size() if len(local) == 1 else None


def _of_this_run(place: Place) -> bool:
    run = recorder.current_run()
    if run is None:
        return False
    return any(each.identity == (place.namespace, place.name) for each in recorder.peek(run).writes)
