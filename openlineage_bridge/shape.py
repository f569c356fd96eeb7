"""How deep a JSON text is nested and how many items it has, told without building anything.

Decoders recurse: a text of a few kilobytes that is all brackets would end them, or end whoever writes the value again. So
the shape is checked on the bytes, before anything is decoded.
"""

from __future__ import annotations

from typing import Literal

MOST_LEVELS = 100
"""Levels of nesting that an event may have; real ones have about ten."""

_QUOTE, _COMMA = b'",'
_OPEN, _CLOSE = b"[{", b"]}"
_NOT_LEVELS = bytes(set(range(256)) - set(b'"[]{}'))
_NOT_ITEMS = bytes(set(_NOT_LEVELS) - {_COMMA})


def exceeds(
    text: bytes, *, levels: int = MOST_LEVELS, items: int | None = None
) -> Literal["levels", "items"] | None:
    """Which limit a JSON text goes beyond: levels of nesting, or items of an outermost array; None when neither.

    What opens no more brackets than there may be levels is not looked at any closer: most events. Else escapes go first, so
    that every quote left opens or closes a string; then everything but structure.
    """
    counted = items is not None and text.startswith(b"[") and text.count(b",") >= items
    if not counted and text.count(b"{") + text.count(b"[") <= levels:
        return None
    unescaped = text.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in text else text
    if not counted and _surely_shallow(unescaped, levels):
        return None
    return _count(
        unescaped.translate(None, _NOT_ITEMS).replace(b'""', b""), levels, items if counted else None
    )


def _surely_shallow(unescaped: bytes, levels: int) -> bool:
    """Whether emptying the innermost pairs again and again, which opens at most two levels each time, ends soon.

    A fifth of the cost of counting, and enough for every real event.
    """
    structure = unescaped.translate(None, _NOT_LEVELS).replace(b'""', b"")
    for _ in range(levels // 2):
        inner = structure.replace(b"[]", b"").replace(b"{}", b"")
        if len(inner) == len(structure):
            break
        structure = inner
    return not structure


def _count(structure: bytes, levels: int, items: int | None) -> Literal["levels", "items"] | None:
    """Walk through brackets, quotes and commas."""
    level, found, in_string = 0, 1, False
    for token in structure:
        if token == _QUOTE:
            in_string = not in_string
        elif in_string:
            continue
        elif token in _OPEN:
            level += 1
            if level > levels:
                return "levels"
        elif token in _CLOSE:
            level -= 1
        elif level == 1 and items is not None:
            found += 1
            if found > items:
                return "items"
    return None
