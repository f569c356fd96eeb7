"""From an event to one line of JSON: what the client's ``Serde`` would write, in a fraction of its time.

The text is put together in one go, without the dictionaries that ``Serde`` makes of the whole event first, and what
many events have in common (``fixed``) is written once.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from datetime import date
from enum import Enum
from json.encoder import encode_basestring_ascii as quoted
from operator import attrgetter
from typing import Any, TypeVar

import attrs
from openlineage.client.event_v2 import RunState

T = TypeVar("T")

MAX_FIXED = 4_096
"""Values whose text is remembered; of more the oldest are written anew each time."""


def to_line(event: Any) -> bytes:
    """The event as one line, newline included; the same JSON value as ``Serde.to_json``, whose keys are sorted.

    Args:
        event: A RunEvent, JobEvent or DatasetEvent of the client, or its dict.

    Raises:
        TypeError: A mapping has keys that JSON cannot carry.
        RecursionError: The event refers to itself.
    """
    return f"{_text(event) or 'null'}\n".encode()


def fixed(value: T) -> T:
    """Say of an object of an attrs class that neither it nor anything in it will ever change; it is encoded once.

    Returns:
        The object itself, which is kept alive while its text is remembered.
    """
    _fixed[id(value)] = (value, None)
    if len(_fixed) > MAX_FIXED:
        _fixed.pop(next(iter(_fixed)), None)
    return value


_fixed: dict[int, tuple[Any, str | None]] = {}
"""By identity, which nobody else can have meanwhile: the object, and its text once it was asked for."""


def _text(value: Any) -> str | None:
    """JSON without nulls, by the rules of ``Serde.remove_nulls_and_enums``; None for what is null."""
    writer = _WRITERS.get(type(value)) or _writer_of(type(value))
    return writer(value)


def _nothing(_: None) -> None:
    return None


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _mapping(value: dict[Any, Any]) -> str:
    names = [f"{quoted(key) if type(key) is str else _key(key)}:" for key in value]
    return _members(names, value.values())


def _members(names: Iterable[str], values: Iterable[Any]) -> str:
    members = []
    for name, value in zip(names, values, strict=True):
        kind = type(value)
        # Nearly all that there is, so without a call of ours.
        if kind is str:
            members.append(name + quoted(value))
        elif value is not None:
            # As in _text, which it would take as long to call.
            writer = _WRITERS.get(kind) or _writer_of(kind)
            if (text := writer(value)) is not None:
                members.append(name + text)
    return f"{{{','.join(members)}}}"


def _key(key: Any) -> str:
    """Keys that are no strings, as Python's encoder says them."""
    return _ENCODER.encode({key: 0})[1:-3]


def _sequence(value: list[Any]) -> str:
    if not value:
        return "[]"
    elements = [text for each in value if (text := _text(each)) is not None and text != "{}"]
    return f"[{','.join(elements)}]"


def _other(value: Any) -> str | None:
    """What occurs seldom enough that a chain of checks is cheap."""
    if isinstance(value, date):  # and datetime, its subclass
        return quoted(value.isoformat())
    if isinstance(value, uuid.UUID):
        return quoted(str(value))
    if isinstance(value, dict):
        return _mapping(value)
    if isinstance(value, list | tuple | set | frozenset):
        return _sequence(list(value))
    # numpy's, which pandas hands over
    return _ENCODER.encode(int(value) if type(value).__name__ == "int64" else value)


def _member(value: Enum) -> str | None:
    return _text(value.value)


def _object_writer(kind: type) -> Callable[[Any], str]:
    """Writes the fields of an attrs class."""
    fields = [field.name for field in attrs.fields(kind)]
    names = [f"{quoted(field)}:" for field in fields]
    values = _getter(fields)

    def write(value: Any) -> str:
        known = _fixed.get(id(value))
        if known is not None and known[1] is not None:
            return known[1]
        written = _members(names, values(value))
        if known is not None:
            _fixed[id(value)] = (value, written)
        return written

    return write


def _getter(fields: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Gets the values of fields, in their order."""
    if len(fields) > 1:
        return attrgetter(*fields)
    return lambda value: tuple(getattr(value, field) for field in fields)


def _writer_of(kind: type) -> Callable[[Any], str | None]:
    """Look up, and remember for attrs classes: others are made at will, and would stay alive with it."""
    if attrs.has(kind):
        return _WRITERS.setdefault(kind, _object_writer(kind))
    return _member if issubclass(kind, Enum) else _other


def _placeholder(value: Any) -> str:
    return f"<<non-serializable: {type(value).__qualname__}>>"


_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_placeholder)

_WRITERS: dict[type, Callable[[Any], str | None]] = {
    str: quoted,
    int: int.__repr__,
    float: _ENCODER.encode,
    bool: _truth,
    type(None): _nothing,
    dict: _mapping,
    list: _sequence,
    RunState: _member,
}
"""How to write each class met so far."""
