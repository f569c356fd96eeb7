"""Recording subclasses of driver classes that are immutable C types, made for the classes that users bring too.

``class Recorded(UserClass, Ours)`` puts our methods between the user's and the driver's: what the user's ``super().execute()``
calls is ours, and ``isinstance``, attributes and overridden methods stay as they were.
"""

from __future__ import annotations

import functools
from typing import Any


def is_kind(candidate: object, kind: type) -> bool:
    """Whether a factory is a class of this kind and no function."""
    return isinstance(candidate, type) and issubclass(candidate, kind)


@functools.lru_cache(maxsize=256)
def recording(base: type, ours: type) -> type:
    """``base`` with the methods of ``ours``, under the name of ``base``; ``base`` itself when it has them, or cannot.

    Libraries (polars, for one) tell drivers apart by the module of a cursor's class, so that stays the same.
    """
    if issubclass(base, ours):
        return base
    bases = (ours,) if issubclass(ours, base) else (base, ours)
    body: dict[str, Any] = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
    }
    try:
        return type(base.__name__, bases, body)
    except TypeError:
        # A metaclass or memory layout that does not mix: the user's class works as it is, unrecorded.
        return base
