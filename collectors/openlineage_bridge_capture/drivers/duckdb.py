"""DuckDB: every statement of every connection, cursor and relation, and of the module's default connection.

The methods of ``DuckDBPyConnection`` are replaced on the class. It is a C type, but a mutable one (nanobind in DuckDB 2,
pybind11 before), so no proxy is needed: ``isinstance``, cursors, context managers, attributes and pickling errors are
DuckDB's own. Only the module's functions that never pass through a method are wrapped one by one.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping
from types import FrameType, ModuleType
from typing import Any

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.drivers import catalogs, connections
from openlineage_bridge_capture.drivers import duckdb_states as states
from openlineage_bridge_capture.drivers import duckdb_texts as texts
from openlineage_bridge_capture.drivers.duckdb_states import State
from openlineage_bridge_capture.drivers.duckdb_texts import Text
from openlineage_bridge_capture.drivers.replacing import replace
from openlineage_bridge_capture.drivers.transactions import BEGIN, COMMIT, ONE_OF_DATA, ROLLBACK, Step

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


class _Call(threading.local):
    """A call that is watched. What DuckDB's own Python code calls while it serves one, on this thread, is part of it."""

    is_served = False

    def __enter__(self) -> None:
        self.is_served = True

    def __exit__(self, *_: object) -> None:
        self.is_served = False


_call = _Call()
_guarded = functools.partial(connections.guarded, "DuckDB")
_held: list[Any] = []
"""The default connection: DuckDB makes a new object for it as soon as nobody has one, and what is known of it goes with the old."""

# At exit DuckDB counts the objects that are left, and complains of them.
atexit.register(_held.clear)

Variables = Mapping[str, Any]
ConnectionOf = Callable[[tuple[Any, ...], Mapping[str, Any]], Any]
"""Gives the connection of a call from its arguments."""

Meaning = Callable[..., Any]
"""Gives the SQL of a call from its first argument, without the connection, and those that follow."""


def instrument(module: ModuleType) -> None:
    """Record what the connections of this ``duckdb`` module run; doing it again changes nothing."""
    connection = module.DuckDBPyConnection

    def of_call(_: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return kwargs.get("connection") or _default_connection(module)

    for owner, connection_of, names in ((connection, _self, METHODS), (module, of_call, FUNCTIONS)):
        for name in names:
            replace(owner, name, functools.partial(_recording, owner, connection_of, _itself))
        for name in APPENDING:
            replace(owner, name, functools.partial(_recording, owner, connection_of, _appended))
        for name, step in CONTROLS.items():
            replace(owner, name, functools.partial(_controlling, connection_of, step))
    replace(connection, "query_appender", functools.partial(_recording, connection, _self, _itself))
    replace(connection, "_create_view", functools.partial(_recording, connection, _self, _viewed))
    replace(connection, "register", _registering)


def _self(args: tuple[Any, ...], _: Mapping[str, Any]) -> Any:
    return args[0]


def _default_connection(module: ModuleType) -> Any:
    # A function since DuckDB 1.2, the connection itself before.
    default = module.default_connection
    _held[:] = [default() if callable(default) else default]
    return _held[0]


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


def _recording(
    owner: Any, connection_of: ConnectionOf, meaning: Meaning, original: Callable[..., Any]
) -> Callable[..., Any]:
    position = 1 if isinstance(owner, type) else 0

    def recording(*args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1)  # noqa: SLF001  # the documented way to one's caller
        if _call.is_served or not recorder.active():
            return _call_from(caller, caller.f_locals, original, args, kwargs)
        variables = caller.f_locals
        with _call:
            try:
                result = _call_from(caller, variables, original, args, kwargs)
            except Exception:
                _guarded(
                    lambda: _failed(_query(meaning, args[position:], kwargs), connection_of(args, kwargs))
                )
                raise
            _guarded(
                lambda: _record(
                    _query(meaning, args[position:], kwargs),
                    connection_of(args, kwargs),
                    variables,
                    caller.f_globals,
                )
            )
        return result

    return recording


def _query(meaning: Meaning, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The SQL of a call, or an object that holds it."""
    if args:
        return args[0] if meaning is _itself else meaning(*args)
    return meaning(next((kwargs[name] for name in ARGUMENTS if name in kwargs), None))


_CALL = compile(
    "_openlineage_call(*_openlineage_args, **_openlineage_kwargs)", "<openlineage_bridge>", "eval"
)


def _call_from(
    caller: FrameType, variables: Variables, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call from a frame that has the caller's variables.

    DuckDB looks for data frames in the variables of the Python frame that calls it ("replacement scan"), and would find
    ours: so it is called from one with the globals of the caller and a copy of its locals.
    """
    # On a module's own level the locals are the globals.
    scope = {} if variables is caller.f_globals else dict(variables)
    scope["_openlineage_call"] = function
    scope["_openlineage_args"] = args
    scope["_openlineage_kwargs"] = kwargs
    return eval(_CALL, caller.f_globals, scope)  # noqa: S307  # a constant expression


def _controlling(connection_of: ConnectionOf, step: Step, original: Callable[..., Any]) -> Callable[..., Any]:
    def controlling(*args: Any, **kwargs: Any) -> Any:
        if _call.is_served or not recorder.active():
            return original(*args, **kwargs)
        with _call:
            try:
                result = original(*args, **kwargs)
            except Exception:
                if step.meaning == COMMIT:
                    _guarded(lambda: _control(connection_of(args, kwargs), Step(ROLLBACK)))
                raise
            _guarded(lambda: _control(connection_of(args, kwargs), step))
        return result

    return controlling


def _registering(original: Callable[..., Any]) -> Callable[..., Any]:
    def register(self: Any, view_name: str, *args: Any, **kwargs: Any) -> Any:
        result = original(self, view_name, *args, **kwargs)
        if recorder.active() and not _call.is_served:
            with _call:
                _guarded(lambda: states.of(self).ephemeral.add(view_name.lower()))
        return result

    return register


def _control(connection: Any, step: Step) -> None:
    """A connection that was never used before has done nothing that could be undone, and may be closed now."""
    state = states.of(connection) if step.meaning == BEGIN else states.known(connection)
    if state is not None:
        _follow_transaction(connection, state, (step,), None)


def _sql_of(query: Any) -> str | None:
    sql = query if isinstance(query, str) else getattr(query, "query", None)
    return sql if isinstance(sql, str) else None


def _record(query: Any, connection: Any, variables: Variables, others: Variables) -> None:
    """Hand one statement that succeeded to the recorder.

    Args:
        query: Its text, or an object that holds it.
        connection: On which it was executed.
        variables: The caller's own.
        others: Its module's.
    """
    sql = _sql_of(query)
    text = texts.read(sql) if sql is not None else None
    if sql is None or text is None or text.says_nothing:
        return
    run = recorder.attributed_run() if text.is_plain else None
    if run is None and text.is_plain:
        return
    state = states.of(connection)
    # A script may use what it attaches, and what it detaches at its end: both have their place in it.
    place = states.place_while_attaching(connection, state) if text.attaches else state.place
    execution = None
    if text.moves_data and not text.only_controls:
        ephemeral = _ephemeral(text, state, connection, variables, others)
        directory = os.getcwd() if text.holds_paths else None  # noqa: PTH109  # text, as the recording keeps it
        execution = recorder.statement(place.statement(text.sql, ephemeral, directory), run=run)
    if text.changes_state:
        states.follow(sql, state)
    _follow_transaction(connection, state, text.steps, execution)
    if catalogs.worth_asking(execution):
        states.look_up(connection, state, text, execution)


def _follow_transaction(
    connection: Any, state: State, steps: tuple[Step, ...], execution: recorder.Execution | None
) -> None:
    state.transaction.follow(steps, execution)
    if steps == ONE_OF_DATA:
        return
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


def _ephemeral(
    text: Text, state: State, connection: Any, variables: Variables, others: Variables
) -> tuple[str, ...]:
    """Which names in a text are no tables of any database, but registered objects, temporary tables or data frames.

    DuckDB looks for a data frame among the caller's variables when there is no table of that name.
    """
    return tuple(
        sorted(
            name
            for name in text.read_names
            if name.lower() in state.ephemeral
            or (
                _is_data_frame(variables.get(name, others.get(name)))
                and not states.is_table(connection, name)
            )
        )
    )


def _is_data_frame(value: Any) -> bool:
    return value is not None and type(value).__module__.partition(".")[0] in FRAME_LIBRARIES
