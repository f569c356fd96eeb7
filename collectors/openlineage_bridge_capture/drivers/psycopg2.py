"""psycopg2: every statement of connections that are opened through ``psycopg2.connect``.

``connection`` and ``cursor`` are immutable C types, so ``connect`` asks for a subclass by the argument that exists for that
(``connection_factory``), of the user's own factory where there is one. Connections of a ``connect`` that was imported by name
before are not seen. ``execute_values`` and ``execute_batch`` paste the rows into the text; they are recorded as the
statement that the user wrote.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.drivers import connections, postgres, subclasses
from openlineage_bridge_capture.drivers.postgres import Question, Rows
from openlineage_bridge_capture.drivers.replacing import is_replaced, replace

METHODS = ("execute", "executemany", "copy_expert")
"""Methods of a cursor that take SQL."""

COPIES = {"copy_from": "COPY {} FROM STDIN", "copy_to": "COPY {} TO STDOUT"}
"""Methods of a cursor that copy a table, and the statement that the server gets."""

ENDINGS = {
    "commit": True,
    "tpc_commit": True,
    "tpc_prepare": True,
    "rollback": False,
    "tpc_rollback": False,
    "reset": False,
}
"""Methods of a connection that end its transaction, and whether what it did stays; ``with connection`` calls the first and
the fourth. What is prepared is taken for committed."""

PASTING = ("execute_values", "execute_batch")
"""Functions of ``psycopg2.extras`` that execute texts of their own making."""

_INSIDE = frozenset({postgres.ACTIVE, postgres.INSIDE, postgres.FAILED})
_ROWS = re.compile(r"(\bvalues\s*)%s", re.IGNORECASE)


def instrument(module: Any) -> None:
    """Record what connections opened through ``connect`` of this module run; doing it again changes nothing."""
    if is_replaced(module.connect):
        return
    plain = module.extensions.connection
    ours = _recording_connection(plain, module.extensions.cursor)
    replace(module, "connect", functools.partial(_connecting, plain, ours))


def _connecting(plain: type, ours: type, original: Callable[..., Any]) -> Callable[..., Any]:
    def connect(dsn: Any = None, connection_factory: Any = None, *args: Any, **kwargs: Any) -> Any:
        factory = connection_factory or plain
        if subclasses.is_kind(factory, plain):
            connection_factory = subclasses.recording(factory, ours)
        return original(dsn, connection_factory, *args, **kwargs)

    return connect


def instrument_extras(module: ModuleType) -> None:
    """Record what ``execute_values`` and ``execute_batch`` run as one statement each."""
    for name in PASTING:
        replace(module, name, _pasting)


def _recording_connection(plain: type, plain_cursor: type) -> type:
    cursor_class = _recording_cursor(plain_cursor)

    class RecordingConnection(plain):  # type: ignore[misc]  # the class is known when psycopg2 is
        def cursor(self, *args: Any, **kwargs: Any) -> Any:
            """As psycopg2's."""
            factory = kwargs.get("cursor_factory", args[1] if len(args) > 1 else None)
            factory = factory or self.cursor_factory or plain_cursor
            if subclasses.is_kind(factory, plain_cursor):
                factory = subclasses.recording(factory, cursor_class)
            if len(args) > 1:
                return super().cursor(args[0], factory, *args[2:], **kwargs)
            return super().cursor(*args, **{**kwargs, "cursor_factory": factory})

        def close(self) -> None:
            """As psycopg2's, which rolls back."""
            super().close()
            connections.guarded("psycopg2", lambda: postgres.undo(self))

    for name, stays in ENDINGS.items():
        setattr(RecordingConnection, name, _ending(getattr(plain, name), stays=stays))
    connections.mark_recording(RecordingConnection)
    return RecordingConnection


def _ending(original: Callable[..., Any], *, stays: bool) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        # The server answers COMMIT after a failure with a rollback.
        failed = self.get_transaction_status() == postgres.FAILED
        try:
            result = original(self, *args, **kwargs)
        except Exception:
            _settle_unless_open(self, stays=False)
            raise
        _settle_unless_open(self, stays=stays and not failed)
        return result

    return method


def _settle_unless_open(connection: Any, *, stays: bool) -> None:
    connections.guarded("psycopg2", lambda: _settle(connection, stays=stays))


def _settle(connection: Any, *, stays: bool) -> None:
    """The transaction is over, if it is: what it did stays, or was undone."""
    state = postgres.known(connection)
    if state is None or (not connection.closed and _is_inside(connection)):
        return
    if stays:
        state.transaction.commit()
    else:
        state.transaction.roll_back()


def _is_inside(connection: Any) -> bool:
    return connection.get_transaction_status() in _INSIDE


def _recording_cursor(plain: type) -> type:
    class RecordingCursor(plain):  # type: ignore[misc]  # the class is known when psycopg2 is
        openlineage_silent = False

    for name in METHODS:
        setattr(RecordingCursor, name, _taking_sql(getattr(plain, name), plain))
    for name, sql in COPIES.items():
        setattr(RecordingCursor, name, _copying(getattr(plain, name), sql, plain))
    connections.mark_recording(RecordingCursor)
    return RecordingCursor


def _taking_sql(original: Callable[..., Any], plain: type) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = original(self, *args, **kwargs)
        except Exception:
            _settle_unless_open(self.connection, stays=False)
            raise
        _record(self, args[0] if args else kwargs.get("query", kwargs.get("sql")), plain)
        return result

    return method


def _copying(original: Callable[..., Any], sql: str, plain: type) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(self: Any, file: Any, table: str, *args: Any, **kwargs: Any) -> Any:
        result = original(self, file, table, *args, **kwargs)
        # Since 2.9 the name is quoted as a whole.
        quoted = str(table).replace('"', '""')
        _record(self, sql.format(f'"{quoted}"'), plain)
        return result

    return method


def _pasting(original: Callable[..., Any]) -> Callable[..., Any]:
    def function(cur: Any, sql: Any, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(cur, "openlineage_silent") or cur.openlineage_silent:
            return original(cur, sql, *args, **kwargs)
        cur.openlineage_silent = True
        try:
            result = original(cur, sql, *args, **kwargs)
        finally:
            cur.openlineage_silent = False
        _record(cur, sql, _extensions().cursor, pasted=True)
        return result

    return function


def _extensions() -> Any:
    return importlib.import_module("psycopg2.extensions")


def _record(cursor: Any, query: Any, plain: type, *, pasted: bool = False) -> None:
    if recorder.active() and not cursor.openlineage_silent:
        connections.guarded("psycopg2", lambda: _take(cursor, query, plain, pasted=pasted))


def _take(cursor: Any, query: Any, plain: type, *, pasted: bool) -> None:
    sql = _text(query, cursor)
    if pasted:
        # The one placeholder of execute_values stands for rows.
        sql = _ROWS.sub(r"\1(%s)", sql)
    steps = postgres.recording(cursor, sql, _TELLER)
    question = next(steps, None)
    while question is not None:
        question = postgres.told(steps, _answer(cursor.connection, question, plain))


def _answer(connection: Any, question: Question, plain: type) -> Rows | Exception:
    with plain(connection) as asking:
        try:
            # Of several statements only the last one's result is kept.
            asking.execute(f"{postgres.SAVE}; {question.sql}" if question.protected else question.sql)
        except Exception as error:
            return error
        try:
            return asking.fetchall() if asking.description else []
        finally:
            if question.protected:
                asking.execute(postgres.RELEASE)


def _text(query: Any, cursor: Any) -> str:
    if isinstance(query, bytes):
        return query.decode(_python_encoding(cursor.connection))
    return query if isinstance(query, str) else str(query.as_string(cursor))


def _python_encoding(connection: Any) -> str:
    return str(_extensions().encodings.get(connection.encoding, "utf-8"))


def _may_ask(connection: Any) -> bool:
    """Not on an asynchronous connection, and only where a question changes nothing."""
    if connection.async_:
        return False
    status = connection.get_transaction_status()
    return bool(status == postgres.INSIDE or (status == postgres.IDLE and connection.autocommit))


_TELLER = postgres.Teller(_is_inside, _may_ask, lambda connection: int(connection.server_version))
