"""psycopg 3: every statement of every cursor, synchronous and asynchronous, client-side and server-side.

The cursors are Python classes, so their methods are replaced on the class; connections, pools and the user's own cursor
classes end in them. In pipeline mode a statement counts as succeeded when it was sent. Transactions are followed where
``commit()``, ``rollback()``, ``with connection`` and ``connection.transaction()`` meet, synchronous or not: the private method that sends
their commands; a version without it is followed through the text of statements only, and what it rolls back counts as written.
"""

from __future__ import annotations

import functools
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
from openlineage_bridge_capture.drivers import catalogs, connections, postgres, transactions
from openlineage_bridge_capture.drivers.postgres import CURRENT_SCHEMA
from openlineage_bridge_capture.drivers.texts import Text
from openlineage_bridge_capture.drivers.transactions import COMMIT, ROLLBACK, Step

METHODS = ("execute", "executemany")
"""Methods of a cursor that take SQL and are done when they return."""

CURSORS = ("Cursor", "ServerCursor")
ASYNC_CURSORS = ("AsyncCursor", "AsyncServerCursor")

_MARK = "__openlineage_bridge__"
_IDLE, _INSIDE, _UNKNOWN = 0, 2, 4
"""libpq's ``PGTransactionStatusType``: a question changes nothing in the first two; when idle it would open a transaction,
unless in autocommit. Read from ``pgconn``, because ``connection.info`` makes an object and an enumeration each time."""

_NO_PIPELINE = 0
"""libpq's ``PQ_PIPELINE_OFF``."""


def instrument(module: ModuleType) -> None:
    """Record what the cursors of this ``psycopg`` module run; doing it again changes nothing."""
    for names, wrappers, plain in ((CURSORS, _SYNC, _execute), (ASYNC_CURSORS, _ASYNC, _async_execute)):
        for cursor in (getattr(module, name) for name in names):
            for method in METHODS:
                _replace(cursor, method, plain)
            for method, wrapper in wrappers.items():
                _replace(cursor, method, wrapper)
    for connection, wrapper in ((module.Connection, _close), (module.AsyncConnection, _async_close)):
        _replace(connection, "close", wrapper)
    base = next((each for each in module.Connection.__mro__ if "_exec_command" in vars(each)), None)
    if base is not None:
        _replace(base, "_exec_command", _command)
    connections.mark_recording(module.Connection)
    connections.mark_recording(module.AsyncConnection)


def _replace(owner: type, name: str, wrapper: Callable[[Any], Any]) -> None:
    original = vars(owner).get(name)
    if original is None or getattr(original, _MARK, False):
        return
    replacement = functools.wraps(original)(wrapper(original))
    setattr(replacement, _MARK, True)
    setattr(owner, name, replacement)


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
    if connection.pgconn.transaction_status in {_IDLE, _UNKNOWN}:
        postgres.undo(connection)


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
        question = _followed(cursor, state, text)
        if question is not None:
            _ask(connection, state, question)
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
        question = _followed(cursor, state, text)
        if question is not None:
            await _ask_async(connection, state, question)
    except Exception:
        connections.complain("psycopg")


def _followed(cursor: Any, state: postgres.State, text: Text) -> str | None:
    """Record the statement and keep up with its transaction; what to ask the catalog about it."""
    connection = cursor.connection
    execution = state.record(text) if text.moves_data else None
    inside = state.transaction.is_open or connection.pgconn.transaction_status == _INSIDE
    state.follow(text, execution, outcome=cursor.statusmessage if text.controls else None, inside=inside)
    if not (catalogs.worth_asking(execution) and _may_ask(connection)):
        return None
    return state.question(text, execution, connection.info.server_version)


def _ask(connection: Any, state: postgres.State, question: str) -> None:
    """Ask for columns; inside a transaction in one go with a savepoint, and back to it should anything go wrong."""
    inside = connection.pgconn.transaction_status == _INSIDE
    with _plain(connection) as asking:
        try:
            _unrecorded(asking.execute)(asking, _protected(question) if inside else question)
            if inside:
                asking.nextset()
            state.learn_columns(asking.fetchall())
        except Exception:
            catalogs.complain("PostgreSQL")
            if inside:
                _unrecorded(asking.execute)(asking, f"{postgres.UNDO}; {postgres.RELEASE}")


async def _ask_async(connection: Any, state: postgres.State, question: str) -> None:
    inside = connection.pgconn.transaction_status == _INSIDE
    async with _plain(connection) as asking:
        try:
            await _unrecorded(asking.execute)(asking, _protected(question) if inside else question)
            if inside:
                asking.nextset()
            state.learn_columns(await asking.fetchall())
        except Exception:
            catalogs.complain("PostgreSQL")
            if inside:
                await _unrecorded(asking.execute)(asking, f"{postgres.UNDO}; {postgres.RELEASE}")


def _protected(question: str) -> str:
    return f"{postgres.SAVE}; {question}; {postgres.RELEASE}"


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
    status = connection.pgconn.transaction_status
    if connection.pgconn.pipeline_status != _NO_PIPELINE:
        return False
    return bool(status == _INSIDE or (status == _IDLE and connection.autocommit))


def _plain(connection: Any) -> Any:
    """A cursor of psycopg's own kind, whatever the user's connection makes."""
    import psycopg

    kind = psycopg.AsyncCursor if isinstance(connection, psycopg.AsyncConnection) else psycopg.Cursor
    return kind(connection, row_factory=psycopg.rows.tuple_row)


def _unrecorded(method: Any) -> Any:
    return method.__func__.__wrapped__
