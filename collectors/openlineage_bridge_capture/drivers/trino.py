"""Trino: every statement that ran to its end.

``execute`` comes back as soon as there are rows, long before the query has succeeded: it may fail on any later page. So a
statement counts when the coordinator has said with its last page that there is none left: within ``execute`` for what gives
few rows or none, else while the user fetches. A result that is never fetched to the end is not recorded. The catalog and
schema are the session's, which the client keeps current after ``USE``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from openlineage_bridge_capture.drivers import connections, dbapi, places
from openlineage_bridge_capture.drivers.dbapi import After
from openlineage_bridge_capture.drivers.places import Place

PACKAGE = "trino"

_unfinished: WeakKeyDictionary[Any, Callable[[], None]] = WeakKeyDictionary()
"""By query: what records it once it is finished."""


def instrument_dbapi(module: Any) -> None:
    """Record what the cursors of ``trino.dbapi`` execute; doing it again changes nothing."""
    for kind in (module.Cursor, getattr(module, "SegmentCursor", module.Cursor)):
        dbapi.watch(kind, "execute", PACKAGE, _execution)
    dbapi.watch(module.Cursor, "executemany", PACKAGE, _execution)
    dbapi.watch_transactions(module.Connection, PACKAGE)
    connections.mark_recording(module.Connection)


def instrument_client(module: Any) -> None:
    """Notice the last page of the queries of ``trino.client``; doing it again changes nothing."""
    dbapi.watch(module.TrinoQuery, "fetch", PACKAGE, _fetching)


def _place(connection: Any) -> Place:
    session = getattr(connection, "_client_session", connection)
    return places.trino(connection.host, connection.port, session.catalog, session.schema)


def _execution(cursor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    sql = dbapi.text_of(args, kwargs)
    connection = cursor.connection
    session = dbapi.session(connection, _place)
    if sql is None or session is None:
        return None
    place = _place(connection)
    autocommit = connection.transaction is None

    def executed(_: Any) -> None:
        # The cursor's own properties tell all of it but whether it is finished.
        query = cursor._query  # noqa: SLF001
        query_id = query.query_id
        record = functools.partial(session.record, sql, place=place, query_id=query_id, autocommit=autocommit)
        if query.finished:
            record()
        elif not query.cancelled:
            _unfinished[query] = dbapi.later(record)

    return executed


def _fetching(query: Any, _args: tuple[Any, ...], _kwargs: Mapping[str, Any]) -> After | None:
    record = _unfinished.get(query)
    if record is None:
        return None

    def fetched(_: Any) -> None:
        if query.finished and _unfinished.pop(query, None) is not None:
            record()

    return fetched
