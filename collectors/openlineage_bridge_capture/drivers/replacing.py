"""How a method or function of a driver is replaced where it lives: once, and otherwise looking like the original."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

_MARK = "__openlineage_bridge__"


def replace(owner: Any, name: str, wrapper: Callable[[Any], Callable[..., Any]]) -> None:
    """Put what ``wrapper`` makes of ``owner.name`` in its place; what is missing or was replaced before stays as it is.

    Args:
        owner: A class or module.
        name: A function of it. One that a class inherits is replaced for this class only.
        wrapper: Gets the original and gives the replacement, which takes its name, documentation and signature.

    Raises:
        TypeError: The class is an immutable C type.
    """
    original = getattr(owner, name, None)
    if original is None or is_replaced(original):
        return
    setattr(owner, name, replacement(original, wrapper))


def replacement(original: Any, wrapper: Callable[[Any], Callable[..., Any]]) -> Any:
    """What ``wrapper`` makes of a function, marked as a replacement of it."""
    made = functools.wraps(original)(wrapper(original))
    setattr(made, _MARK, True)
    return made


def is_replaced(function: Any) -> bool:
    """Whether a function is a replacement already."""
    return bool(getattr(function, _MARK, False))
