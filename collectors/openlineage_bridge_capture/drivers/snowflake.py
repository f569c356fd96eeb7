"""snowflake-connector-python: every statement of every cursor, synchronous, asynchronous and of ``snowflake.connector.aio``.

``execute_string``, ``fetch_pandas_all`` and ``write_pandas`` go through cursors, so they need nothing of their own. A statement
that was left running (``execute_async``) counts when anything tells that it succeeded: its status, ``get_results_from_sfqid`` or
``query_result``, on whichever connection of this process; it then belongs to the run that started it. One that nobody asks
after is not recorded. Database and schema are the connection's attributes, which the server's answers keep current.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openlineage_bridge_capture.drivers import connections, dbapi, places, texts
from openlineage_bridge_capture.drivers.dbapi import After, Session
from openlineage_bridge_capture.drivers.places import Place

PACKAGE = "snowflake.connector"

MAX_WAITING = 1_000
"""Statements whose outcome is waited for; beyond it the oldest is forgotten."""

MOVING = frozenset({"autocommit", "call", "database", "immediate", "schema", "use"})
"""Words of statements after which the connection may have other defaults; asking it every time is too slow."""

ROWS = ("seqparams", "seq_of_parameters")
"""What ``executemany`` calls its rows, before version 5 and since."""

_RESULT_OF = re.compile(r"\bresult_scan\s*\(\s*'([0-9a-f-]{36})'\s*\)", re.IGNORECASE)
_FETCHING = re.compile(r"select \* from table\(result_scan\('[0-9a-f-]{36}'\)\)")
"""The connector's own statement, with which it fetches the result of one that was left running."""

_HOST = re.compile(r"[^.]+((?:\..+)?)\.snowflakecomputing\.(?:com|cn)", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"'(?:[^'\\]|''|\\.)*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/"
    r"|(?P<name>\bidentifier\s*\(\s*(?:\?|%s)\s*\))|(?P<value>\?|%s)",
    re.IGNORECASE | re.DOTALL,
)
_IDENTIFIER = r"(?:[A-Za-z_][\w$]*|\"(?:[^\"]|\"\")+\")"
_NAME = re.compile(rf"{_IDENTIFIER}(?:\.{_IDENTIFIER}){{0,2}}")

_waiting: dict[str, Callable[[], None]] = {}
"""By query id: what records a statement that was left running."""

_lock = threading.Lock()


def instrument_cursors(module: Any) -> None:
    """Record what the cursors of this module execute; doing it again changes nothing."""
    # The class that plain and dictionary cursors share has a name of its own since 3.18.
    kind = getattr(module, "SnowflakeCursorBase", None) or module.SnowflakeCursor
    dbapi.watch(kind, "execute", PACKAGE, _execution)
    dbapi.watch(kind, "executemany", PACKAGE, _many)
    dbapi.watch(kind, "execute_async", PACKAGE, _submission)
    dbapi.watch(kind, "query_result", PACKAGE, _asking_result)


def instrument_connections(module: Any) -> None:
    """Follow the connections of this module; doing it again changes nothing."""
    kind = module.SnowflakeConnection
    for name in ("get_query_status", "get_query_status_throw_if_error"):
        dbapi.watch(kind, name, PACKAGE, _asking_status)
    dbapi.watch_transactions(kind, PACKAGE)
    connections.mark_recording(kind)


def _place(connection: Any) -> Place:
    """The account with the region that only the host's name has; through another host (a proxy) the account alone."""
    told = _teller(connection)
    host = _HOST.fullmatch(str(told("host")))
    account = f"{told('account')}{host[1] if host else ''}"
    return places.snowflake(account, _plain(told("database")), _plain(told("schema")))


def _teller(connection: Any) -> Callable[[str], Any]:
    """What tells the connection's attributes; since version 5 the public ones report each look at them as telemetry."""
    info = getattr(connection, "_connection_info", None)
    return functools.partial(getattr, connection) if info is None else info.__getitem__


def _query_id(cursor: Any) -> str | None:
    own = getattr(cursor, "_query_result", None)
    query_id: str | None = getattr(own, "sfqid", None) or cursor.sfqid
    return query_id


def _failed(cursor: Any) -> bool:
    """Whether the user's errorhandler swallowed an error; the cursor keeps it (PEP 249, ``Cursor.messages``)."""
    own = getattr(cursor, "_messages", None)
    return bool(cursor.messages if own is None else own)


def _plain(name: str | None) -> str | None:
    """What the user wrote in quotes, before the server has said what it is."""
    return name[1:-1].replace('""', '"') if name and len(name) > 2 and name[0] == name[-1] == '"' else name


def _execution(cursor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    if kwargs.get("_describe_only"):
        return None
    record = _recording(cursor, args, kwargs, args[1] if len(args) > 1 else None)
    left_running = kwargs.get("_exec_async") or kwargs.get("_no_results")
    if record is None or left_running:
        return record and _submitted(cursor, record)
    sql = dbapi.text_of(args, kwargs) or ""

    def executed(result: Any) -> None:
        if result is None or _failed(cursor):
            return
        _succeeded(*_RESULT_OF.findall(sql))
        if not _FETCHING.fullmatch(sql):
            record(_query_id(cursor))

    return executed


def _many(cursor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    rows = args[1] if len(args) > 1 else next((kwargs[name] for name in ROWS if name in kwargs), None)
    if not rows:
        return None
    # Names among the parameters are those of rows, and differ.
    return _execution(cursor, args[:1], {key: value for key, value in kwargs.items() if key not in ROWS})


def _submission(cursor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    record = _recording(cursor, args, kwargs, args[1] if len(args) > 1 else None)
    return record and _submitted(cursor, record)


def _submitted(cursor: Any, record: Callable[[str | None], None]) -> After:
    def submitted(_: Any) -> None:
        query_id = _query_id(cursor)
        if query_id is not None and not _failed(cursor):
            _wait_for(query_id, functools.partial(record, query_id))

    return submitted


def _recording(
    cursor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], parameters: Any
) -> Callable[[str | None], None] | None:
    """What records this statement under a query id."""
    connection = getattr(cursor, "_connection", None) or cursor.connection
    session = dbapi.session(connection, _place)
    sql = dbapi.text_of(args, kwargs)
    if session is None or sql is None:
        return None
    if parameters is None:
        parameters = kwargs.get("params", kwargs.get("parameters"))
    if session.autocommit is None:
        session.autocommit = _autocommit(connection)
    # A script may end in another place than the one that it started in.
    return functools.partial(_record, connection, session, named(sql, parameters), session.place)


def _record(connection: Any, session: Session, sql: str, place: Place, query_id: str | None) -> None:
    session.record(sql, place=place, query_id=query_id, autocommit=bool(session.autocommit))
    if not MOVING.isdisjoint(texts.read(sql).words):
        session.place, session.autocommit = _place(connection), _autocommit(connection)


def _autocommit(connection: Any) -> bool:
    parameters = getattr(connection, "_session_parameters", None) or {}
    return bool(parameters.get("AUTOCOMMIT", True))


def named(sql: str, parameters: Any) -> str:
    """The text with the names that ``IDENTIFIER(?)`` gets from parameters; no other value is put into it."""
    if "identifier" not in sql.lower() or not isinstance(parameters, Sequence) or isinstance(parameters, str):
        return sql
    values = iter(parameters)

    def replaced(found: re.Match[str]) -> str:
        if found["name"] is None and found["value"] is None:
            return found[0]
        value = next(values, None)
        is_name = found["name"] is not None and isinstance(value, str) and _NAME.fullmatch(value)
        return str(value) if is_name else found[0]

    return _PLACEHOLDER.sub(replaced, sql)


def _wait_for(query_id: str, record: Callable[[], None]) -> None:
    with _lock:
        if len(_waiting) >= MAX_WAITING:
            _waiting.pop(next(iter(_waiting)))
        _waiting[query_id] = dbapi.later(record)


def _succeeded(*query_ids: Any) -> None:
    """Record the statements with these ids that are waited for."""
    with _lock:
        records = [_waiting.pop(query_id) for query_id in query_ids if query_id in _waiting]
    for record in records:
        record()


def _asking_status(_connection: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    query_id = args[0] if args else kwargs.get("sf_qid")

    def answered(status: Any) -> None:
        if getattr(status, "name", "") == "SUCCESS":
            _succeeded(query_id)

    return answered


def _asking_result(cursor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    query_id = args[0] if args else kwargs.get("qid")

    def answered(result: Any) -> None:
        if result is not None and not _failed(cursor):
            _succeeded(query_id)

    return answered
