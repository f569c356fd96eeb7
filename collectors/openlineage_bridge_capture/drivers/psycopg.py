"""psycopg 3: every statement of every cursor, synchronous and asynchronous, client-side and server-side.

The cursors are Python classes, so their methods are replaced on the class; connections, pools and the user's own cursor
classes end in them. In pipeline mode a statement counts as succeeded when it was sent.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    aclosing,
    asynccontextmanager,
    closing,
    contextmanager,
)
from types import ModuleType
from typing import Any

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.drivers import connections, postgres
from openlineage_bridge_capture.drivers.postgres import CURRENT_SCHEMA
from openlineage_bridge_capture.drivers.texts import Text

METHODS = ("execute", "executemany")
"""Methods of a cursor that take SQL and are done when they return."""

CURSORS = ("Cursor", "ServerCursor")
ASYNC_CURSORS = ("AsyncCursor", "AsyncServerCursor")

_MARK = "__openlineage_bridge__"
_READY = ("IDLE", "INTRANS")
"""Transaction states in which a question changes nothing."""


def instrument(module: ModuleType) -> None:
    """Record what the cursors of this ``psycopg`` module run; doing it again changes nothing."""
    for names, wrappers, plain in ((CURSORS, _SYNC, _execute), (ASYNC_CURSORS, _ASYNC, _async_execute)):
        for cursor in (getattr(module, name) for name in names):
            for method in METHODS:
                _replace(cursor, method, plain)
            for method, wrapper in wrappers.items():
                _replace(cursor, method, wrapper)
    connections.mark_recording(module.Connection)
    connections.mark_recording(module.AsyncConnection)


def _replace(cursor: type, name: str, wrapper: Callable[[Any], Any]) -> None:
    original = vars(cursor).get(name)
    if original is None or getattr(original, _MARK, False):
        return
    replacement = functools.wraps(original)(wrapper(original))
    setattr(replacement, _MARK, True)
    setattr(cursor, name, replacement)


def _execute(original: Callable[..., Any]) -> Callable[..., Any]:
    def execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, query, *args, **kwargs)
        _record(self, query)
        return result

    return execute


def _async_execute(original: Callable[..., Any]) -> Callable[..., Any]:
    async def execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        result = await original(self, query, *args, **kwargs)
        await _record_async(self, query)
        return result

    return execute


def _stream(original: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    def stream(self: Any, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        # The connection is busy until the last row: recording comes after it, or after the user's break.
        with closing(original(self, query, *args, **kwargs)) as rows:
            try:
                yield from rows
            except GeneratorExit:
                rows.close()
                _record(self, query)
                raise
        _record(self, query)

    return stream


def _async_stream(original: Callable[..., Any]) -> Callable[..., AsyncIterator[Any]]:
    async def stream(self: Any, query: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async with aclosing(original(self, query, *args, **kwargs)) as rows:
            try:
                async for row in rows:
                    yield row
            except GeneratorExit:
                await rows.aclose()
                await _record_async(self, query)
                raise
        await _record_async(self, query)

    return stream


def _copy(original: Callable[..., Any]) -> Callable[..., AbstractContextManager[Any]]:
    @contextmanager
    def copy(self: Any, statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with original(self, statement, *args, **kwargs) as running:
            yield running
        _record(self, statement)

    return copy


def _async_copy(original: Callable[..., Any]) -> Callable[..., AbstractAsyncContextManager[Any]]:
    @asynccontextmanager
    async def copy(self: Any, statement: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async with original(self, statement, *args, **kwargs) as running:
            yield running
        await _record_async(self, statement)

    return copy


_SYNC: dict[str, Callable[[Any], Any]] = {"stream": _stream, "copy": _copy}
_ASYNC: dict[str, Callable[[Any], Any]] = {"stream": _async_stream, "copy": _async_copy}


def _noted(cursor: Any, query: Any) -> tuple[postgres.State, Text] | None:
    """What is needed to record a statement that succeeded; None when it is not to be recorded."""
    if not recorder.active():
        return None
    return postgres.noted(cursor.connection, _text(query, cursor.connection))


def _record(cursor: Any, query: Any) -> None:
    """Record a statement that succeeded; whatever goes wrong here is ours, not the user's."""
    try:
        connection, found = cursor.connection, _noted(cursor, query)
        if found is None:
            return
        state, text = found
        if state.must_ask and _may_ask(connection):
            with _plain(connection) as asking:
                _unrecorded(asking.execute)(asking, CURRENT_SCHEMA)
                state.learn(asking.fetchone()[0])
        state.record(text)
    except Exception:
        connections.complain("psycopg")


async def _record_async(cursor: Any, query: Any) -> None:
    """The same on an asynchronous connection, whose event loop is never blocked."""
    try:
        connection, found = cursor.connection, _noted(cursor, query)
        if found is None:
            return
        state, text = found
        if state.must_ask and _may_ask(connection):
            async with _plain(connection) as asking:
                await _unrecorded(asking.execute)(asking, CURRENT_SCHEMA)
                state.learn((await asking.fetchone())[0])
        state.record(text)
    except Exception:
        connections.complain("psycopg")


def _text(query: Any, connection: Any) -> str:
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode(connection.info.encoding)
    if hasattr(query, "as_string"):
        return str(query.as_string(connection))
    # A template string (Python 3.14): its values become placeholders.
    return "%s".join(query.strings)


def _may_ask(connection: Any) -> bool:
    info = connection.info
    return info.transaction_status.name in _READY and info.pipeline_status.name == "OFF"


def _plain(connection: Any) -> Any:
    """A cursor of psycopg's own kind, whatever the user's connection makes."""
    import psycopg

    kind = psycopg.AsyncCursor if isinstance(connection, psycopg.AsyncConnection) else psycopg.Cursor
    return kind(connection, row_factory=psycopg.rows.tuple_row)


def _unrecorded(method: Any) -> Any:
    return method.__func__.__wrapped__
