"""Databricks SQL: every statement of every cursor, and asynchronous ones when their result was got.

The server tells the client nothing of ``USE``, so it is read from the text; without a ``catalog`` argument of ``connect`` names
have the parts that they are written with, because only the server knows the workspace's default catalog.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from openlineage_bridge_capture.drivers import connections, dbapi, places
from openlineage_bridge_capture.drivers.dbapi import After
from openlineage_bridge_capture.drivers.places import Place

PACKAGE = "databricks.sql"

_waiting: WeakKeyDictionary[Any, Callable[[], None]] = WeakKeyDictionary()
"""By cursor: what records the statement that it left running, once its result is there."""


def instrument(module: Any) -> None:
    """Record what the cursors of ``databricks.sql.client`` execute; doing it again changes nothing."""
    cursor = module.Cursor
    dbapi.watch(cursor, "execute", PACKAGE, _execution)
    dbapi.watch(cursor, "executemany", PACKAGE, _many)
    dbapi.watch(cursor, "execute_async", PACKAGE, _submission)
    dbapi.watch(cursor, "get_async_execution_result", PACKAGE, _getting)
    dbapi.watch_transactions(module.Connection, PACKAGE)
    connections.mark_recording(module.Connection)


def _place(connection: Any) -> Place:
    session = connection.session
    return places.databricks(session.host, session.catalog, session.schema)


def _recording(cursor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[str], None] | None:
    """What records this statement under a query id."""
    sql = dbapi.text_of(args, kwargs)
    connection = cursor.connection
    session = dbapi.session(connection, _place)
    if sql is None or session is None:
        return None
    # Its public property may ask the server.
    autocommit = getattr(connection.session, "_autocommit", True)
    return lambda query_id: session.record(sql, query_id=query_id, autocommit=autocommit)


def _execution(cursor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    record = _recording(cursor, args, kwargs)
    return None if record is None else lambda _: record(cursor.query_id)


def _many(cursor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    return None if dbapi.runs_nothing(args, kwargs) else _execution(cursor, args, kwargs)


def _submission(cursor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    _waiting.pop(cursor, None)
    record = _recording(cursor, args, kwargs)
    if record is None:
        return None

    def submitted(_: Any) -> None:
        _waiting[cursor] = dbapi.later(functools.partial(record, cursor.query_id))

    return submitted


def _getting(cursor: Any, _args: tuple[Any, ...], _kwargs: Mapping[str, Any]) -> After | None:
    record = _waiting.get(cursor)
    if record is None:
        return None

    def got(_: Any) -> None:
        if _waiting.pop(cursor, None) is not None:
            record()

    return got
