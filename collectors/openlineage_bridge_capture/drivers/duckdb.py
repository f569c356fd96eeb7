"""DuckDB: every statement of every connection, cursor and relation, and of the module's default connection.

The methods of ``DuckDBPyConnection`` are replaced on the class. It is a C type, but a mutable one (nanobind in DuckDB 2,
pybind11 before), so no proxy is needed: ``isinstance``, cursors, context managers, attributes and pickling errors are
DuckDB's own. Only the module's functions that never pass through a method are wrapped one by one.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from types import FrameType, ModuleType
from typing import Any

from openlineage_bridge_capture import log, recorder
from openlineage_bridge_capture.drivers import duckdb_states as states
from openlineage_bridge_capture.drivers import duckdb_texts as texts
from openlineage_bridge_capture.drivers.duckdb_states import IN_MEMORY, State
from openlineage_bridge_capture.drivers.duckdb_texts import Text
from openlineage_bridge_capture.drivers.transactions import BEGIN, COMMIT, ROLLBACK, Step
from openlineage_bridge_capture.recording import Catalog, Statement

METHODS = ("execute", "executemany", "sql", "query", "from_query", "_submit")
"""Methods of a connection that take SQL. ``_submit`` runs a relation: reads, ``create``, ``write_parquet``. It is private
and of DuckDB 2; before, what a relation writes is not seen, only what it was made from."""

FUNCTIONS = ("execute", "executemany", "sql", "query", "from_query")
"""Functions of the module that take SQL for the default connection."""

CONTROLS = {
    "begin": Step(BEGIN),
    "commit": Step(COMMIT),
    "rollback": Step(ROLLBACK),
    "close": Step(ROLLBACK),
    "__exit__": Step(ROLLBACK),
}
"""Methods of a connection, and functions of the module, that begin and end transactions; closing rolls back."""

APPENDING = ("append", "appender")
"""Methods of a connection, and functions of the module, that put rows of the process into a table named first."""

FRAME_LIBRARIES = frozenset({"pandas", "polars", "pyarrow", "numpy", "duckdb", "_duckdb", "torch"})
"""Whose objects DuckDB reads by the name of the Python variable ("replacement scan")."""

ARGUMENTS = ("query", "sql", "table_name", "table", "dml")
"""What the argument with the statement, or the table, is called where it is given by name."""

_PLAIN_NAME = re.compile(r"[\w.]+")
_MARK = "__openlineage_bridge__"

_inside = threading.local()
_held: list[Any] = []
"""The default connection: DuckDB makes a new object for it as soon as nobody has one, and what is known of it goes with the old."""

# At exit DuckDB counts the objects that are left, and complains of them.
atexit.register(_held.clear)

ConnectionOf = Callable[[tuple[Any, ...], Mapping[str, Any]], Any]


def instrument(module: ModuleType) -> None:
    """Record what the connections of this ``duckdb`` module run; doing it again changes nothing."""
    connection = module.DuckDBPyConnection

    def of_call(_: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return kwargs.get("connection") or _default_connection(module)

    for name in METHODS:
        _wrap(connection, name, _self)
    _wrap_register(connection)
    for name in FUNCTIONS:
        _wrap(module, name, of_call)
    for name in APPENDING:
        _wrap(connection, name, _self, _appended)
        _wrap(module, name, of_call, _appended)
    _wrap(connection, "query_appender", _self)
    _wrap(connection, "_create_view", _self, _viewed)
    for name, step in CONTROLS.items():
        _wrap_control(connection, name, step, _self)
        _wrap_control(module, name, step, of_call)


def _self(args: tuple[Any, ...], _: Mapping[str, Any]) -> Any:
    return args[0]


def _default_connection(module: ModuleType) -> Any:
    # A function since DuckDB 1.2, the connection itself before.
    default = module.default_connection
    _held[:] = [default() if callable(default) else default]
    return _held[0]


def _unwrapped(owner: Any, name: str) -> Any:
    """The original of a method or function; None when there is none, or it is replaced already."""
    original = getattr(owner, name, None)
    return None if getattr(original, _MARK, False) else original


def _itself(query: Any, *_: Any) -> Any:
    return query


def _appended(table: Any, *_: Any) -> str:
    """What appending to a table does, as SQL; an appender is taken at its word when it is made."""
    return f"INSERT INTO {_quoted(table)} VALUES (?)"


def _viewed(name: Any, sql: Any = None, *_: Any) -> str | None:
    """What a relation that becomes a view does, as SQL."""
    return f"CREATE VIEW {_quoted(name)} AS {sql}" if isinstance(name, str) and isinstance(sql, str) else None


def _quoted(name: Any) -> str:
    text = str(name)
    return text if _PLAIN_NAME.fullmatch(text) else '"{}"'.format(text.replace('"', '""'))


def _wrap(owner: Any, name: str, connection_of: ConnectionOf, meaning: Callable[..., Any] = _itself) -> None:
    original = _unwrapped(owner, name)
    if original is None:
        return
    position = 1 if isinstance(owner, type) else 0

    @functools.wraps(original)
    def recording(*args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1)  # noqa: SLF001  # the documented way to one's caller
        if not recorder.active() or getattr(_inside, "yes", False):
            return _call_as(caller, original, args, kwargs)
        named = next((kwargs[key] for key in ARGUMENTS if key in kwargs), None)
        argument = args[position] if len(args) > position else named
        # What DuckDB's own Python code calls while it serves this call is part of this call.
        _inside.yes = True
        try:
            result = _call_as(caller, original, args, kwargs)
            _guarded(
                lambda: _record(meaning(argument, *args[position + 1 :]), connection_of(args, kwargs), caller)
            )
        except Exception:
            _guarded(lambda: _failed(meaning(argument, *args[position + 1 :]), connection_of(args, kwargs)))
            raise
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


def _wrap_control(owner: Any, name: str, step: Step, connection_of: ConnectionOf) -> None:
    original = _unwrapped(owner, name)
    if original is None:
        return

    @functools.wraps(original)
    def controlling(*args: Any, **kwargs: Any) -> Any:
        if not recorder.active() or getattr(_inside, "yes", False):
            return original(*args, **kwargs)
        _inside.yes = True
        try:
            result = original(*args, **kwargs)
            _guarded(lambda: _control(connection_of(args, kwargs), step))
        except Exception:
            if step.meaning == COMMIT:
                _guarded(lambda: _control(connection_of(args, kwargs), Step(ROLLBACK)))
            raise
        finally:
            _inside.yes = False
        return result

    setattr(controlling, _MARK, True)
    setattr(owner, name, controlling)


def _control(connection: Any, step: Step) -> None:
    """A connection that was never used before has done nothing that could be undone, and may be closed now."""
    state = states.of(connection) if step.meaning == BEGIN else states.known(connection)
    if state is not None:
        _follow_transaction(connection, state, (step,), None)


def _wrap_register(connection: Any) -> None:
    original = _unwrapped(connection, "register")
    if original is None:
        return

    @functools.wraps(original)
    def register(self: Any, view_name: str, *args: Any, **kwargs: Any) -> Any:
        result = original(self, view_name, *args, **kwargs)
        if recorder.active() and not getattr(_inside, "yes", False):
            _inside.yes = True
            try:
                _guarded(lambda: states.of(self).ephemeral.add(view_name.lower()))
            finally:
                _inside.yes = False
        return result

    setattr(register, _MARK, True)
    connection.register = register


def _guarded(record: Callable[[], None]) -> None:
    """Whatever goes wrong in recording is ours, not the user's."""
    try:
        record()
    except Exception:
        log.once(
            logging.WARNING, "Could not record a DuckDB statement; its lineage is missing", exc_info=True
        )


def _sql_of(query: Any) -> str | None:
    sql = query if isinstance(query, str) else getattr(query, "query", None)
    return sql if isinstance(sql, str) else None


def _record(query: Any, connection: Any, caller: FrameType) -> None:
    """Hand one statement that succeeded to the recorder."""
    sql = _sql_of(query)
    text = texts.read(sql) if sql is not None else None
    if sql is None or text is None or text.says_nothing:
        return
    state = states.of(connection)
    catalogs, execution = state.catalogs, None
    if text.attaches:
        # A script may use what it attaches, and what it detaches at its end: both have their place in it.
        catalogs = states.catalogs_after_attaching(connection, state)
    if text.moves_data and not _only_controls(text):
        execution = recorder.statement(_statement(text, connection, state, catalogs, caller))
    if text.changes_state:
        states.follow(sql, state)
    _follow_transaction(connection, state, text.steps, execution)
    if execution is not None:
        states.look_up(connection, state, text, execution)


def _only_controls(text: Text) -> bool:
    return text.controls and all(step.meaning != "data" for step in text.steps)


def _follow_transaction(
    connection: Any, state: State, steps: tuple[Step, ...], execution: recorder.Execution | None
) -> None:
    state.transaction.follow(steps, execution)
    if steps[-1:] == (Step(COMMIT),):
        states.look_up_pending(connection, state)
    elif steps[-1:] == (Step(ROLLBACK),):
        state.pending.clear()


def _failed(query: Any, connection: Any) -> None:
    """A commit that fails has undone everything, and so has a statement whose failure aborted the transaction."""
    sql, state = _sql_of(query), states.known(connection)
    if state is None or not state.transaction.is_open:
        return
    if (sql is not None and texts.read(sql).steps == (Step(COMMIT),)) or _is_aborted(connection):
        _control(connection, Step(ROLLBACK))


def _is_aborted(connection: Any) -> bool:
    """Whether the open transaction takes no more statements: then even COMMIT rolls it back, without a word (DuckDB 2)."""
    try:
        connection.sql("SELECT 1").fetchall()
    except Exception:
        # Whatever it is, nothing of the transaction will be left.
        return True
    return False


def _statement(
    text: Text, connection: Any, state: State, catalogs: tuple[Catalog, ...], caller: FrameType
) -> Statement:
    namespaces = {catalog.alias: catalog.namespace for catalog in catalogs}
    noted = {name for name in text.read_names if name.lower() in state.ephemeral}
    ephemeral = noted | _data_frames(text.read_names - noted, connection, caller)
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


def _data_frames(names: Iterable[str], connection: Any, caller: FrameType) -> set[str]:
    """Which names mean data frames in the caller's variables: DuckDB looks there when there is no such table."""
    frames = {name for name in names if _is_data_frame(caller.f_locals.get(name, caller.f_globals.get(name)))}
    return {name for name in frames if not states.is_table(connection, name)}


def _is_data_frame(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] in FRAME_LIBRARIES
