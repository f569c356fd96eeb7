"""PyMySQL: every statement of every cursor, buffered or not.

The current database is what the connection was opened with, then what ``USE`` and ``select_db`` say. Whether a statement is
inside a transaction is what the server said with its result, so nothing is asked. A text of several statements
(``MULTI_STATEMENTS``) counts when its first statement has succeeded, and an unbuffered one when its first row can be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openlineage_bridge_capture.drivers import connections, dbapi, places
from openlineage_bridge_capture.drivers.dbapi import After
from openlineage_bridge_capture.drivers.places import Place

PACKAGE = "pymysql"

IN_TRANSACTION = 1
"""``SERVER_STATUS_IN_TRANS`` of MySQL's protocol."""


def instrument_cursors(module: Any) -> None:
    """Record what the cursors of ``pymysql.cursors`` execute; doing it again changes nothing."""
    for name in ("execute", "executemany"):
        dbapi.watch(module.Cursor, name, PACKAGE, _many if name == "executemany" else _execution)


def instrument_connections(module: Any) -> None:
    """Follow the connections of ``pymysql.connections``; doing it again changes nothing."""
    kind = module.Connection
    dbapi.watch(kind, "connect", PACKAGE, _connecting)
    dbapi.watch(kind, "select_db", PACKAGE, _selecting)
    dbapi.watch_transactions(kind, PACKAGE)
    connections.mark_recording(kind)


def _place(connection: Any) -> Place:
    database = connection.db
    if isinstance(database, bytes):
        # The handshake leaves it encoded.
        database = database.decode(connection.encoding)
    host = None if connection.unix_socket else connection.host
    return places.mysql(host, connection.port, database)


def _many(cursor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    rows = args[1] if len(args) > 1 else kwargs.get("args")
    return _execution(cursor, args, kwargs) if rows else None


def _execution(cursor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    sql = dbapi.text_of(args, kwargs)
    return None if sql is None else lambda _: _record(cursor.connection, sql)


def _record(connection: Any, sql: str) -> None:
    session = dbapi.session(connection, _place)
    if session is None:
        return
    in_transaction = bool(connection.server_status & IN_TRANSACTION)
    session.record(sql, autocommit=not in_transaction)
    if not in_transaction:
        session.transaction.commit()


def _connecting(connection: Any, _args: tuple[Any, ...], _kwargs: Mapping[str, Any]) -> After | None:
    return lambda _: dbapi.begin_session(connection, _place(connection))


def _selecting(connection: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    database = args[0] if args else kwargs.get("db")

    def selected(_: Any) -> None:
        session = dbapi.session(connection, _place)
        if session is not None:
            session.select(database.decode() if isinstance(database, bytes) else str(database))

    return selected
