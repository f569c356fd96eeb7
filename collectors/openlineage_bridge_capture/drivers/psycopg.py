"""psycopg 3: every statement of every cursor, synchronous and asynchronous, client-side and server-side.

The cursors are Python classes, so their methods are replaced on the class; connections, pools and the user's own cursor
classes end in them. In pipeline mode a statement counts as succeeded when it was sent. Transactions are followed where
``commit()``, ``rollback()``, ``with connection`` and ``connection.transaction()`` meet, synchronous or not: the private method that sends
their commands; a version without it is followed through the text of statements only, and what it rolls back counts as written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
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
from openlineage_bridge_capture.drivers import connections, postgres, transactions
from openlineage_bridge_capture.drivers.postgres import Question, Rows
from openlineage_bridge_capture.drivers.replacing import replace
from openlineage_bridge_capture.drivers.transactions import COMMIT, ROLLBACK, Step

METHODS = ("execute", "executemany")
"""Methods of a cursor that take SQL and are done when they return."""

CURSORS = ("Cursor", "ServerCursor")
ASYNC_CURSORS = ("AsyncCursor", "AsyncServerCursor")

_NO_PIPELINE = 0
"""libpq's ``PQ_PIPELINE_OFF``."""


def instrument(module: ModuleType) -> None:
    """Record what the cursors of this ``psycopg`` module run; doing it again changes nothing."""
    for names, wrappers, plain in ((CURSORS, _SYNC, _execute), (ASYNC_CURSORS, _ASYNC, _async_execute)):
        for cursor in (getattr(module, name) for name in names):
            for method in METHODS:
                replace(cursor, method, plain)
            for method, wrapper in wrappers.items():
                replace(cursor, method, wrapper)
            connections.mark_recording(cursor)
    for connection, wrapper in ((module.Connection, _close), (module.AsyncConnection, _async_close)):
        replace(connection, "close", wrapper)
    base = next((each for each in module.Connection.__mro__ if "_exec_command" in vars(each)), None)
    if base is not None:
        replace(base, "_exec_command", _command)
    connections.mark_recording(module.Connection)
    connections.mark_recording(module.AsyncConnection)


def _execute(original: Callable[..., Any]) -> Callable[..., Any]:
    def execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = original(self, query, *args, **kwargs)
        except Exception:
            _failed(self)
            raise
        _record(self, query)
        return result

    return execute


def _async_execute(original: Callable[..., Any]) -> Callable[..., Any]:
    async def execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = await original(self, query, *args, **kwargs)
        except Exception:
            _failed(self)
            raise
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


def _close(original: Callable[..., Any]) -> Callable[..., Any]:
    def close(self: Any) -> Any:
        result = original(self)
        connections.guarded("psycopg", lambda: postgres.undo(self))
        return result

    return close


def _async_close(original: Callable[..., Any]) -> Callable[..., Any]:
    async def close(self: Any) -> Any:
        result = await original(self)
        connections.guarded("psycopg", lambda: postgres.undo(self))
        return result

    return close


def _command(original: Callable[..., Any]) -> Callable[..., Any]:
    def exec_command(self: Any, command: Any, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        try:
            result = yield from original(self, command, *args, **kwargs)
        except Exception:
            _control(self, command, "failed")
            raise
        _control(self, command, getattr(result, "command_status", None))
        return result

    return exec_command


def _control(connection: Any, command: Any, outcome: bytes | str | None) -> None:
    if recorder.active():
        connections.guarded("psycopg", lambda: _follow_command(connection, command, outcome))


def _follow_command(connection: Any, command: Any, outcome: bytes | str | None) -> None:
    """Follow what psycopg itself sent about a transaction; a COMMIT that fails, or that finds a failure, is a rollback."""
    state = postgres.state_of(connection)
    if state is None:
        return
    for step in transactions.steps(_text(command, connection)):
        if step.meaning == COMMIT and outcome in {"failed", b"ROLLBACK"}:
            state.transaction.control(Step(ROLLBACK))
        elif outcome != "failed" or step.meaning == ROLLBACK:
            state.transaction.control(step)


def _failed(cursor: Any) -> None:
    """A statement that failed and left no transaction behind has taken it along: a COMMIT, a lost connection."""
    if recorder.active():
        connections.guarded("psycopg", lambda: _undo_unless_open(cursor.connection))


def _undo_unless_open(connection: Any) -> None:
    if connection.pgconn.transaction_status in {postgres.IDLE, postgres.UNKNOWN}:
        postgres.undo(connection)


_SYNC: dict[str, Callable[[Any], Any]] = {"stream": _stream, "copy": _copy}
_ASYNC: dict[str, Callable[[Any], Any]] = {"stream": _async_stream, "copy": _async_copy}


def _record(cursor: Any, query: Any) -> None:
    """Record a statement that succeeded; whatever goes wrong here is ours, not the user's."""
    if not recorder.active():
        return
    try:
        steps = postgres.recording(cursor, _text(query, cursor.connection), _TELLER)
        question = next(steps, None)
        while question is not None:
            question = postgres.told(steps, _answer(cursor.connection, question))
    except Exception:
        connections.complain("psycopg")


async def _record_async(cursor: Any, query: Any) -> None:
    """The same on an asynchronous connection, whose event loop is never blocked."""
    if not recorder.active():
        return
    try:
        steps = postgres.recording(cursor, _text(query, cursor.connection), _TELLER)
        question = next(steps, None)
        while question is not None:
            question = postgres.told(steps, await _answer_async(cursor.connection, question))
    except Exception:
        connections.complain("psycopg")


def _answer(connection: Any, question: Question) -> Rows | Exception:
    with _plain(connection) as asking:
        try:
            _unrecorded(asking.execute)(asking, _all(question))
        except Exception as error:
            return error
        return asking.fetchall() if _has_rows(asking) else []


async def _answer_async(connection: Any, question: Question) -> Rows | Exception:
    async with _plain(connection) as asking:
        try:
            await _unrecorded(asking.execute)(asking, _all(question))
        except Exception as error:
            return error
        return await asking.fetchall() if _has_rows(asking) else []


def _all(question: Question) -> str:
    """What the server gets, in one go."""
    return f"{postgres.SAVE}; {question.sql}; {postgres.RELEASE}" if question.protected else question.sql


def _has_rows(asking: Any) -> bool:
    """Whether any statement of a question gave rows; the cursor is at them then."""
    while asking.description is None:
        if not asking.nextset():
            return False
    return True


def _text(query: Any, connection: Any) -> str:
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode(connection.info.encoding)
    if hasattr(query, "as_string"):
        return str(query.as_string(connection))
    # A template string (Python 3.14): its values become placeholders.
    return "%s".join(query.strings)


def _is_inside(connection: Any) -> bool:
    # From ``pgconn``, because ``connection.info`` makes an object and an enumeration each time.
    return bool(connection.pgconn.transaction_status == postgres.INSIDE)


def _may_ask(connection: Any) -> bool:
    status = connection.pgconn.transaction_status
    if connection.pgconn.pipeline_status != _NO_PIPELINE:
        return False
    return bool(status == postgres.INSIDE or (status == postgres.IDLE and connection.autocommit))


_TELLER = postgres.Teller(_is_inside, _may_ask, lambda connection: int(connection.info.server_version))


def _plain(connection: Any) -> Any:
    """A cursor of psycopg's own kind, whatever the user's connection makes."""
    import psycopg

    kind = psycopg.AsyncCursor if isinstance(connection, psycopg.AsyncConnection) else psycopg.Cursor
    return kind(connection, row_factory=psycopg.rows.tuple_row)


def _unrecorded(method: Any) -> Any:
    return method.__func__.__wrapped__
