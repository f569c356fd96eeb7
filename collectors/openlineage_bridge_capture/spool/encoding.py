"""From an event to one line of JSON: what the client's ``Serde`` would write, in a fraction of its time."""

from __future__ import annotations

import json
import uuid
from datetime import date
from enum import Enum
from typing import Any

import attrs

_ATOMS = frozenset({str, int, float, bool, type(None)})


def to_line(event: Any) -> bytes:
    """The event as one line, newline included; the same JSON value as ``Serde.to_json``, whose keys are sorted.

    Args:
        event: A RunEvent, JobEvent or DatasetEvent of the client, or its dict.

    Raises:
        TypeError: A mapping has keys that JSON cannot carry.
        ValueError: The event refers to itself.
    """
    return f"{_ENCODER.encode(_plain(event))}\n".encode()


def _plain(value: Any) -> Any:
    """Dicts, lists and atoms without nulls, by the rules of ``Serde.remove_nulls_and_enums``."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is dict:
        return {key: plain for key, each in value.items() if (plain := _plain(each)) is not None}
    if kind is list:
        return [plain for each in value if (plain := _plain(each)) is not None and plain != {}]
    names = _FIELDS.get(kind) or _fields_of(kind)
    if names is None:
        return _unusual(value)
    return {name: plain for name in names if (plain := _plain(getattr(value, name))) is not None}


_FIELDS: dict[type, tuple[str, ...]] = {}
"""The names of the fields of each attrs class met so far."""


def _fields_of(kind: type) -> tuple[str, ...] | None:
    """Look up and remember; None for a class that is not attrs's."""
    if not attrs.has(kind):
        return None
    return _FIELDS.setdefault(kind, tuple(field.name for field in attrs.fields(kind)))


def _unusual(value: Any) -> Any:
    """What occurs seldom enough that a chain of checks is cheap."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):  # and datetime, its subclass
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, dict | list | tuple | set | frozenset):
        return _plain(dict(value) if isinstance(value, dict) else list(value))
    # numpy's, which pandas hands over
    return int(value) if type(value).__name__ == "int64" else value


def _placeholder(value: Any) -> str:
    return f"<<non-serializable: {type(value).__qualname__}>>"


_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_placeholder)
