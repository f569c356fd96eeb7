"""DuckDB: every statement of every connection, cursor and relation, and of the module's default connection.

The methods of ``DuckDBPyConnection`` are replaced on the class. It is a C type, but a mutable one (nanobind in DuckDB 2,
pybind11 before), so no proxy is needed: ``isinstance``, cursors, context managers, attributes and pickling errors are
DuckDB's own. Only the module's functions that never pass through a method are wrapped one by one.

What is asked of DuckDB itself (which databases are attached, whether a name is a table) is asked on a cursor of our own,
never on the user's connection, whose pending result it would discard.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from types import FrameType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import attrs

from openlineage_bridge_capture import log, recorder
from openlineage_bridge_capture.recording import Catalog, Statement

METHODS = ("execute", "executemany", "sql", "query", "from_query", "_submit")
"""Methods of a connection that take SQL. ``_submit`` runs a relation: reads, ``create``, ``write_parquet``. It is private
and of DuckDB 2; before, what a relation writes is not seen, only what it was made from."""

FUNCTIONS = ("execute", "executemany", "sql", "query", "from_query")
"""Functions of the module that take SQL for the default connection."""

IN_MEMORY = "inmemory://"
"""Namespace of what only this process can see (OpenLineage, "Naming")."""

FRAME_LIBRARIES = frozenset({"pandas", "polars", "pyarrow", "numpy", "duckdb", "_duckdb", "torch"})
"""Whose objects DuckDB reads by the name of the Python variable ("replacement scan")."""

_NO_DATA = re.compile(
    r"\s*(?:begin|start|commit|rollback|abort|pragma|explain|describe|show|summarize|use|set|reset|install|load|attach"
    r"|detach|checkpoint|vacuum|analyze|create\s+(?:or\s+replace\s+)?(?:persistent\s+|temporary\s+)?secret)\b[^;]*;?\s*",
    re.IGNORECASE,
)
"""Single statements that move no data; some carry credentials, which therefore never reach a recording."""

_CHANGES_STATE = re.compile(r"\b(use|set|attach|detach|temp|temporary)\b", re.IGNORECASE)
_USE = re.compile(r"(?:^|;)\s*use\s+([^;]+)", re.IGNORECASE)
_SET_SCHEMA = re.compile(
    r"(?:^|;)\s*set\s+(?:session\s+|global\s+|local\s+)?(?:schema|search_path)\s*(?:=|\bto\b)\s*'?([^;',]+)",
    re.IGNORECASE,
)
_ATTACH = re.compile(r"\b(attach|detach)\b", re.IGNORECASE)
_TEMPORARY = re.compile(
    r'\btemp(?:orary)?\s+(?:table|view)\s+(?:if\s+not\s+exists\s+)?"?(\w+)', re.IGNORECASE
)
_IDENTIFIER = re.compile(r'"([^"]+)"|([^\s".]+)')
_READ_NAME = re.compile(r'(?:\bfrom|\bjoin|,)\s*"?([^\W\d]\w*)"?', re.IGNORECASE)
_RELATION = re.compile(r"\b(unnamed_relation_|__duckdb_source_)[0-9a-f]+(?:_\d+)?\b")
_READ_OF_RELATION = re.compile(
    r'SELECT \* FROM \(\n(.*)\n\) AS "unnamed_relation_[0-9a-f]+"(?: LIMIT \d+)?', re.DOTALL
)

_MARK = "__openlineage_bridge__"

_DATABASES = "SELECT database_name, path, type FROM duckdb_databases() WHERE NOT internal"
_IS_TABLE = "SELECT 1 FROM duckdb_tables() WHERE table_name ILIKE ? UNION ALL SELECT 1 FROM duckdb_views() WHERE view_name ILIKE ?"


@attrs.define
class _State:
    """What is known of one connection: the defaults of its names, and what is attached to it."""

    catalog: str
    schema: str
    catalogs: tuple[Catalog, ...]
    attachments: int
    ephemeral: set[str] = attrs.field(factory=set)


_states: WeakKeyDictionary[Any, _State] = WeakKeyDictionary()
_inside = threading.local()
_attachments = 0


def instrument(module: ModuleType) -> None:
    """Record what the connections of this ``duckdb`` module run; doing it again changes nothing."""
    connection = module.DuckDBPyConnection
    for name in METHODS:
        _wrap(connection, name, lambda args, _: args[0])
    _wrap_register(connection)
    for name in FUNCTIONS:
        _wrap(module, name, lambda _, kwargs: kwargs.get("connection") or _default_connection(module))


def _default_connection(module: ModuleType) -> Any:
    # A function since DuckDB 1.2, the connection itself before.
    default = module.default_connection
    return default() if callable(default) else default


def _wrap(owner: Any, name: str, connection_of: Callable[[tuple[Any, ...], Mapping[str, Any]], Any]) -> None:
    original = getattr(owner, name, None)
    if original is None or getattr(original, _MARK, False):
        return
    position = 1 if isinstance(owner, type) else 0

    @functools.wraps(original)
    def recording(*args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1)  # noqa: SLF001  # the documented way to one's caller
        if not recorder.active() or getattr(_inside, "yes", False):
            return _call_as(caller, original, args, kwargs)
        # What DuckDB's own Python code calls while it serves this call is part of this call.
        _inside.yes = True
        try:
            result = _call_as(caller, original, args, kwargs)
            query = args[position] if len(args) > position else kwargs.get("query", kwargs.get("sql"))
            _record(query, lambda: connection_of(args, kwargs), caller)
        finally:
            _inside.yes = False
        return result

    setattr(recording, _MARK, True)
    setattr(owner, name, recording)


_CALL = compile(
    "_openlineage_call(*_openlineage_args, **_openlineage_kwargs)", "<openlineage_bridge>", "eval"
)


def _call_as(caller: FrameType, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call from a frame that has the caller's variables.

    DuckDB looks for data frames in the variables of the Python frame that calls it ("replacement scan"), and would find
    ours: so it is called from one with the globals of the caller and a copy of its locals.
    """
    scope = dict(caller.f_locals)
    scope.update(_openlineage_call=function, _openlineage_args=args, _openlineage_kwargs=kwargs)
    return eval(_CALL, caller.f_globals, scope)  # noqa: S307  # a constant expression


def _wrap_register(connection: Any) -> None:
    original = connection.register
    if getattr(original, _MARK, False):
        return

    @functools.wraps(original)
    def register(self: Any, view_name: str, *args: Any, **kwargs: Any) -> Any:
        result = original(self, view_name, *args, **kwargs)
        if recorder.active() and not getattr(_inside, "yes", False):
            _remember_registered(self, view_name)
        return result

    setattr(register, _MARK, True)
    connection.register = register


def _remember_registered(connection: Any, name: str) -> None:
    _inside.yes = True
    try:
        _state(connection).ephemeral.add(name.lower())
    except Exception:
        log.once(logging.WARNING, "Could not note a registered data frame of DuckDB", exc_info=True)
    finally:
        _inside.yes = False


@attrs.frozen
class _Text:
    """What the text of a statement alone tells; the same texts come again and again."""

    sql: str
    moves_data: bool
    changes_state: bool
    attaches: bool
    names: frozenset[str]
    holds_paths: bool


@functools.lru_cache(maxsize=512)
def _text(sql: str) -> _Text:
    return _Text(
        sql=_stable(sql),
        moves_data=not _NO_DATA.fullmatch(sql),
        changes_state=bool(_CHANGES_STATE.search(sql)),
        attaches=bool(_ATTACH.search(sql)),
        names=frozenset(_READ_NAME.findall(sql)),
        holds_paths="'" in sql,
    )


def _record(query: Any, connection_of: Callable[[], Any], caller: FrameType) -> None:
    """Hand one statement that succeeded to the recorder; whatever goes wrong here is ours, not the user's."""
    try:
        sql = query if isinstance(query, str) else getattr(query, "query", None)
        if not isinstance(sql, str):
            return
        # A statement full of data is only going to be counted, and is not worth a place in the cache.
        text = _text(sql) if len(sql) <= recorder.MAX_SQL_LENGTH else _text.__wrapped__(sql)
        if not (text.moves_data or text.changes_state):
            return
        connection = connection_of()
        state = _state(connection)
        catalogs = state.catalogs
        if text.attaches:
            # A script may use what it attaches, and what it detaches at its end: both have their place in it.
            catalogs = _catalogs_after_attaching(connection, state)
        if text.moves_data:
            recorder.statement(_statement(text, connection, state, catalogs, caller))
        if text.changes_state:
            _follow(sql, state)
    except Exception:
        log.once(
            logging.WARNING, "Could not record a DuckDB statement; its lineage is missing", exc_info=True
        )


def _statement(
    text: _Text, connection: Any, state: _State, catalogs: tuple[Catalog, ...], caller: FrameType
) -> Statement:
    namespaces = {catalog.alias: catalog.namespace for catalog in catalogs}
    noted = {name for name in text.names if name.lower() in state.ephemeral}
    ephemeral = noted | _data_frames(text.names - noted, connection, caller)
    return Statement(
        sql=text.sql,
        dialect="duckdb",
        namespace=namespaces.get(state.catalog, IN_MEMORY),
        catalog=state.catalog,
        schema=state.schema,
        catalogs=catalogs,
        ephemeral=tuple(sorted(ephemeral)),
        directory=os.getcwd() if text.holds_paths else None,  # noqa: PTH109  # text, as the recording keeps it
    )


def _stable(sql: str) -> str:
    """The text without DuckDB's random names, so that the same code gives the same text in every run.

    Reading a relation that ``sql()`` made is the query of that relation, which is recorded already.
    """
    if "unnamed_relation_" not in sql and "__duckdb_source_" not in sql:
        return sql
    if read := _READ_OF_RELATION.fullmatch(sql):
        return _stable(read[1])
    seen: dict[str, str] = {}
    return _RELATION.sub(lambda match: seen.setdefault(match[0], f"{match[1]}{len(seen) + 1}"), sql)


def _data_frames(names: Iterable[str], connection: Any, caller: FrameType) -> set[str]:
    """Which names mean data frames in the caller's variables: DuckDB looks there when there is no such table."""
    frames = {name for name in names if _is_data_frame(caller.f_locals.get(name, caller.f_globals.get(name)))}
    return {name for name in frames if not _is_table(connection, name)}


def _is_data_frame(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] in FRAME_LIBRARIES


def _is_table(connection: Any, name: str) -> bool:
    with connection.cursor() as cursor:
        return bool(cursor.execute(_IS_TABLE, [name, name]).fetchall())


def _state(connection: Any) -> _State:
    state = _states.get(connection)
    if state is None:
        state = _states[connection] = _first_sight(connection)
    elif state.attachments != _attachments:
        state.attachments, state.catalogs = _attachments, _catalogs(connection)
    return state


def _first_sight(connection: Any) -> _State:
    with connection.cursor() as cursor:
        catalog, schema = cursor.execute("SELECT current_database(), current_schema()").fetchall()[0]
    return _State(catalog, schema, _catalogs(connection), _attachments)


def _catalogs(connection: Any) -> tuple[Catalog, ...]:
    with connection.cursor() as cursor:
        rows = cursor.execute(_DATABASES).fetchall()
    return tuple(sorted((_catalog(*row) for row in rows), key=lambda catalog: catalog.alias))


def _catalog(alias: str, path: str | None, kind: str) -> Catalog:
    if not path or kind != "duckdb":
        return Catalog(alias, IN_MEMORY, alias)
    remote = "://" in path or path.startswith("md:")
    # The name DuckDB itself gives a database that is opened without an alias.
    name = os.path.basename(path).partition(".")[0] or alias  # noqa: PTH119  # it may be a URL
    return Catalog(alias, f"duckdb://{path if remote else os.path.abspath(path)}", name)  # noqa: PTH100  # no symlinks


def _catalogs_after_attaching(connection: Any, state: _State) -> tuple[Catalog, ...]:
    """Every catalog there was before or is now; other connections of the database look again too."""
    global _attachments  # noqa: PLW0603  # attaching is seen by every connection of the database
    _attachments += 1
    before, now = state.catalogs, _state(connection).catalogs
    return tuple({catalog.alias: catalog for catalog in (*before, *now)}.values())


def _follow(sql: str, state: _State) -> None:
    """Keep up with what a statement changed about the names of the next ones."""
    for name in _USE.findall(sql) + _SET_SCHEMA.findall(sql):
        _use([quoted or plain for quoted, plain in _IDENTIFIER.findall(name)], state)
    state.ephemeral.update(name.lower() for name in _TEMPORARY.findall(sql))


def _use(parts: list[str], state: _State) -> None:
    """``USE a.b`` names catalog and schema, ``USE a`` a catalog if there is one of that name, else a schema."""
    known = {catalog.alias for catalog in state.catalogs}
    if len(parts) > 1:
        state.catalog, state.schema = parts[0], parts[1]
    elif parts and parts[0] in known:
        state.catalog, state.schema = parts[0], "main"
    elif parts:
        state.schema = parts[0]
