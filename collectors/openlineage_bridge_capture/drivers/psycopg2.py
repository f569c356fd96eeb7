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
from openlineage_bridge_capture.drivers import catalogs, connections, postgres, subclasses
from openlineage_bridge_capture.drivers.postgres import CURRENT_SCHEMA

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

_ROWS = re.compile(r"(\bvalues\s*)%s", re.IGNORECASE)
_MARK = "__openlineage_bridge__"


def instrument(module: Any) -> None:
    """Record what connections opened through ``connect`` of this module run; doing it again changes nothing."""
    original = module.connect
    if getattr(original, _MARK, False):
        return
    plain = module.extensions.connection
    ours = _recording_connection(plain, module.extensions.cursor)

    @functools.wraps(original)
    def connect(dsn: Any = None, connection_factory: Any = None, *args: Any, **kwargs: Any) -> Any:
        factory = connection_factory or plain
        if subclasses.is_kind(factory, plain):
            connection_factory = subclasses.recording(factory, ours)
        return original(dsn, connection_factory, *args, **kwargs)

    setattr(connect, _MARK, True)
    module.connect = connect


def instrument_extras(module: ModuleType) -> None:
    """Record what ``execute_values`` and ``execute_batch`` run as one statement each."""
    for name in PASTING:
        original = getattr(module, name)
        if not getattr(original, _MARK, False):
            setattr(module, name, _pasting(original))


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
        failed = self.get_transaction_status() == _extensions().TRANSACTION_STATUS_INERROR
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
    extensions = _extensions()
    return connection.get_transaction_status() in {
        extensions.TRANSACTION_STATUS_INTRANS,
        extensions.TRANSACTION_STATUS_INERROR,
        extensions.TRANSACTION_STATUS_ACTIVE,
    }


def _recording_cursor(plain: type) -> type:
    class RecordingCursor(plain):  # type: ignore[misc]  # the class is known when psycopg2 is
        openlineage_silent = False

    for name in METHODS:
        setattr(RecordingCursor, name, _taking_sql(getattr(plain, name), plain))
    for name, sql in COPIES.items():
        setattr(RecordingCursor, name, _copying(getattr(plain, name), sql, plain))
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
    @functools.wraps(original)
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

    setattr(function, _MARK, True)
    return function


def _extensions() -> Any:
    return importlib.import_module("psycopg2.extensions")


def _record(cursor: Any, query: Any, plain: type, *, pasted: bool = False) -> None:
    if recorder.active() and not cursor.openlineage_silent:
        connections.guarded("psycopg2", lambda: _take(cursor, query, plain, pasted=pasted))


def _take(cursor: Any, query: Any, plain: type, *, pasted: bool) -> None:
    connection = cursor.connection
    sql = _text(query, cursor)
    if pasted:
        # The one placeholder of execute_values stands for rows.
        sql = _ROWS.sub(r"\1(%s)", sql)
    found = postgres.noted(connection, sql)
    if found is None:
        return
    state, text = found
    if state.must_ask and _may_ask(connection):
        with plain(connection) as asking:
            asking.execute(CURRENT_SCHEMA)
            state.learn(asking.fetchone()[0])
    execution = state.record(text) if text.moves_data else None
    inside = state.transaction.is_open or _is_inside(connection)
    state.follow(text, execution, outcome=cursor.statusmessage if text.controls else None, inside=inside)
    if not (catalogs.worth_asking(execution) and _may_ask(connection)):
        return
    question = state.question(text, execution, connection.server_version)
    if question is not None:
        _ask(connection, state, question, plain)


def _ask(connection: Any, state: postgres.State, question: str, plain: type) -> None:
    """Ask for columns; inside a transaction behind a savepoint, and back to it should anything go wrong."""
    inside = _is_inside(connection)
    with plain(connection) as asking:
        try:
            asking.execute(f"{postgres.SAVE}; {question}" if inside else question)
            state.learn_columns(asking.fetchall())
        except Exception:
            catalogs.complain("PostgreSQL")
            if inside:
                asking.execute(postgres.UNDO)
        if inside:
            asking.execute(postgres.RELEASE)


def _text(query: Any, cursor: Any) -> str:
    if isinstance(query, bytes):
        return query.decode(_python_encoding(cursor.connection))
    return query if isinstance(query, str) else str(query.as_string(cursor))


def _python_encoding(connection: Any) -> str:
    return str(_extensions().encodings.get(connection.encoding, "utf-8"))


def _may_ask(connection: Any) -> bool:
    """Not on an asynchronous connection, and only where a question changes nothing."""
    extensions = _extensions()
    ready = (extensions.TRANSACTION_STATUS_IDLE, extensions.TRANSACTION_STATUS_INTRANS)
    if connection.async_:
        return False
    status: int = connection.get_transaction_status()
    return status in ready and (status == ready[1] or connection.autocommit)
