"""aiosqlite: runs sqlite3 on a thread of its own, which must know whose statement it executes.

What is captured is sqlite3's; here each call only takes its caller's context along. Part of a private method, because the
public ones all end there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import copy_context
from types import ModuleType
from typing import Any

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.drivers.replacing import replace


def instrument(module: ModuleType) -> None:
    """Let the connections of this module carry contexts over; doing it again changes nothing."""
    # The one place that hands work to the thread.
    replace(module.Connection, "_execute", _carrying)


def _carrying(original: Callable[..., Any]) -> Callable[..., Any]:
    async def _execute(self: Any, fn: Any, *args: Any, **kwargs: Any) -> Any:
        if not recorder.active():
            return await original(self, fn, *args, **kwargs)
        return await original(self, functools.partial(copy_context().run, fn), *args, **kwargs)

    return _execute
