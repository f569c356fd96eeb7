"""Objects of the client's attrs classes without its checks, for what is made anew for each event.

The client's constructors parse each time, each id and each URL again, most of them constants of ours, and that takes several
times as long as all the rest of making an event. What is made here equals what they make; they only refuse nothing.
"""

from __future__ import annotations

from typing import Any, TypeVar

import attrs

T = TypeVar("T")

SCHEMA_FIELDS = ("schemaURL", "_schemaURL")
"""What the classes of events, and those of facets, call the field that their constructors set by themselves."""


def unchecked(kind: type[T], **fields: Any) -> T:
    """An object with these fields, and the defaults of its class in the others.

    Args:
        kind: A class of events, runs or facets of the client, or one made like them.
        fields: By the names of the attributes, with their underscores. Those whose default is a new list or mapping have
            to be there.
    """
    made = object.__new__(kind)
    defaults = _defaults[kind] if kind in _defaults else _learn(kind)
    # Past the class's own way, which checks.
    put = object.__setattr__
    for name, value in {**defaults, **fields}.items():
        put(made, name, value)
    return made


_defaults: dict[type, dict[str, Any]] = {}
"""Class met so far → its attributes that have a default which may be shared, and the default."""


def _learn(kind: Any) -> dict[str, Any]:
    found = {
        field.name: field.default
        for field in attrs.fields(kind)
        if field.default is not attrs.NOTHING and not isinstance(field.default, attrs.Factory)  # type: ignore[arg-type]  # it is a class
    }
    schemas = {name: kind._get_schema() for name in SCHEMA_FIELDS if name in found}  # noqa: SLF001 - the client's own way to ask
    return _defaults.setdefault(kind, {**found, **schemas})
