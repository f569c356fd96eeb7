"""sqlite3: every statement of connections that are opened through ``sqlite3.connect``.

``Connection`` and ``Cursor`` are immutable C types, so their methods cannot be replaced. ``set_trace_callback`` was not
taken: there is one per connection and it is the user's, it is called before a statement succeeds and once per trigger, and
it gets the text with the values of all parameters in it. So ``connect`` asks for a subclass (its ``factory`` argument exists
for that), of the user's own factory where there is one. Connections that were open before, and those of a ``connect`` that
was imported by name before, are not seen.

The path is what ``connect`` was given, ``ATTACH`` is read from its text. The connection is asked for the columns of tables, without
ever waiting for somebody else's lock. Whether a transaction is open is what the connection itself says (``in_transaction``); a
statement whose failure made SQLite roll back takes the others with it.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import attrs

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.drivers import catalogs, connections, places, subclasses, texts, transactions
from openlineage_bridge_capture.drivers.places import Place
from openlineage_bridge_capture.drivers.replacing import replace
from openlineage_bridge_capture.drivers.texts import Text
from openlineage_bridge_capture.drivers.transactions import ROLLBACK, ROLLBACK_TO, Transaction
from openlineage_bridge_capture.recording import Catalog

_FACTORY, _URI = 5, 7
"""Positions of these arguments of ``sqlite3.connect``."""

_ATTACH = re.compile(
    r"""\battach\s+(?:database\s+)?(?:'((?:[^']|'')*)'|"([^"]*)"|\?\d*|[:@$](\w+))\s+as\s+["'`\[]?(\w+)""",
    re.IGNORECASE,
)
_DETACH = re.compile(r"""\bdetach\s+(?:database\s+)?["'`\[]?(\w+)""", re.IGNORECASE)
_COLUMNS = """
SELECT m.name, c.name, c.type
FROM {schema}.sqlite_master AS m, pragma_table_info(m.name, ?) AS c
WHERE m.type IN ('table', 'view') AND lower(m.name) IN (SELECT value FROM json_each(?)) ORDER BY m.name, c.cid
"""


@attrs.define(eq=False)
class State:
    """What is known of one connection: where it is, which names are temporary, and what its transaction executed."""

    place: Place
    uri: bool
    transaction: Transaction
    ephemeral: set[str] = attrs.field(factory=set)
    questions: catalogs.Questions = attrs.field(factory=catalogs.Questions)

    def record(self, text: Text, run: recorder.RunKey | None) -> recorder.Execution | None:
        """Hand a statement that succeeded to the recorder."""
        return recorder.statement(self.place.statement(text.sql, text.among(self.ephemeral)), run=run)


class RecordingCursor(sqlite3.Cursor):
    """A cursor that says what it ran."""

    def execute(self, sql: str, *parameters: Any) -> RecordingCursor:
        """As ``sqlite3.Cursor.execute``."""
        _run(self, super().execute, sql, *parameters)
        return self

    def executemany(self, sql: str, *parameters: Any) -> RecordingCursor:
        """As ``sqlite3.Cursor.executemany``."""
        _run(self, super().executemany, sql, *parameters)
        return self

    def executescript(self, sql_script: str) -> RecordingCursor:
        """As ``sqlite3.Cursor.executescript``."""
        _run(self, super().executescript, sql_script)
        return self


connections.mark_recording(RecordingCursor)
_CURSOR = subclasses.recording(sqlite3.Cursor, RecordingCursor)


class RecordingConnection(sqlite3.Connection):
    """A connection whose cursors say what they ran.

    Its own ``execute`` methods make a cursor of the plain class in C, without asking ``cursor``; here of ours.
    """

    openlineage_state: State | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        uri = bool(kwargs.get("uri", args[_URI] if len(args) > _URI else False))
        connections.guarded(
            "sqlite3", lambda: self._know(kwargs.get("database", args[0] if args else None), uri)
        )
        super().__init__(*args, **kwargs)

    def _know(self, database: Any, uri: bool) -> None:
        self.openlineage_state = State(places.sqlite(database, uri=uri), uri, transactions.of(self))

    def commit(self) -> None:
        """As ``sqlite3.Connection.commit``."""
        super().commit()
        _ended(self, committed=True)

    def rollback(self) -> None:
        """As ``sqlite3.Connection.rollback``."""
        super().rollback()
        _ended(self, committed=False)

    def close(self) -> None:
        """As ``sqlite3.Connection.close``, which rolls back."""
        super().close()
        _closed(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Any:
        """As ``sqlite3.Connection.__exit__``, which neither calls ``commit`` nor ``rollback`` of a subclass."""
        result = super().__exit__(kind, error, traceback)
        _ended(self, committed=kind is None)
        return result

    def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
        """As ``sqlite3.Connection.cursor``."""
        if subclasses.is_kind(factory, sqlite3.Cursor):
            factory = subclasses.recording(factory, RecordingCursor)
        return super().cursor(factory)

    def execute(self, sql: str, *parameters: Any) -> Any:
        """As ``sqlite3.Connection.execute``."""
        return super().cursor(_CURSOR).execute(sql, *parameters)

    def executemany(self, sql: str, *parameters: Any) -> Any:
        """As ``sqlite3.Connection.executemany``."""
        return super().cursor(_CURSOR).executemany(sql, *parameters)

    def executescript(self, sql_script: str) -> Any:
        """As ``sqlite3.Connection.executescript``."""
        return super().cursor(_CURSOR).executescript(sql_script)


connections.mark_recording(RecordingConnection)


def instrument(module: Any) -> None:
    """Record what connections opened through ``sqlite3.connect`` run; doing it again changes nothing."""
    # The same function under two names, of which SQLAlchemy uses the second.
    for place in (module, module.dbapi2):
        replace(place, "connect", _recording)


def _recording(original: Callable[..., Any]) -> Callable[..., Any]:
    def connect(*args: Any, **kwargs: Any) -> Any:
        factory = kwargs.get("factory", args[_FACTORY] if len(args) > _FACTORY else sqlite3.Connection)
        if subclasses.is_kind(factory, sqlite3.Connection):
            factory = subclasses.recording(factory, RecordingConnection)
            if len(args) > _FACTORY:
                args = (*args[:_FACTORY], factory, *args[_FACTORY + 1 :])
            else:
                kwargs["factory"] = factory
        return original(*args, **kwargs)

    return connect


def _run(cursor: sqlite3.Cursor, method: Callable[..., Any], sql: str, *parameters: Any) -> None:
    """Execute a text and record it.

    A failure that SQLite answers with a rollback (``ON CONFLICT ROLLBACK``, a full disk) undoes the whole transaction.
    """
    try:
        method(sql, *parameters)
    except sqlite3.Error:
        _ended(cursor.connection, committed=False)
        raise
    if recorder.active():
        connections.guarded("sqlite3", lambda: _record(cursor.connection, sql, *parameters))


def _state(connection: Any) -> State | None:
    state: State | None = getattr(connection, "openlineage_state", None)
    return state


def _ended(connection: Any, *, committed: bool) -> None:
    """What was executed is settled, if the transaction is really over."""
    state = _state(connection)
    if state is None or not state.transaction.holds_anything:
        return
    # With ``autocommit=False`` (Python 3.12) the next transaction is open already.
    if connection.in_transaction and getattr(connection, "autocommit", None) is not False:
        return
    if committed:
        state.transaction.commit()
    else:
        state.transaction.roll_back()


def _closed(connection: Any) -> None:
    state = _state(connection)
    if state is not None:
        state.transaction.roll_back()


def _record(connection: sqlite3.Connection, sql: str, parameters: Any = ()) -> None:
    state = _state(connection)
    if state is None or connections.is_hosts_own(connection):
        return
    text, run = texts.read(sql), None
    if text.is_plain and not state.transaction.holds_anything:
        run = recorder.attributed_run()
        if run is None:
            return
    if text.attaches:
        _attach(state, sql, parameters)
    execution = state.record(text, run) if text.moves_data else None
    if text.temporary:
        state.ephemeral |= text.temporary
    _follow(connection, state, text, execution)
    if execution is not None and execution.first:
        _look_up(connection, state, text, execution)
    if text.attaches:
        _detach(state, sql)


def _follow(
    connection: sqlite3.Connection, state: State, text: Text, execution: recorder.Execution | None
) -> None:
    """Keep up with the transaction: what was executed in it, and whether it is over."""
    if connection.in_transaction:
        # Neither BEGIN nor an implicit one can be nested: what is open now was open or has just begun.
        state.transaction.follow(text.steps, execution, autocommit=False)
    elif text.controls and any(step.meaning in {ROLLBACK, ROLLBACK_TO} for step in text.steps):
        state.transaction.follow(text.steps, execution)
    else:
        state.transaction.commit()


def _look_up(connection: sqlite3.Connection, state: State, text: Text, execution: recorder.Execution) -> None:
    """Ask for the columns of the tables that the statement mentions, in its own file and in those attached."""
    names = state.questions.to_ask(execution, text.names, again=text.defines)
    if names:
        catalogs.guarded("SQLite", lambda: _ask(connection, state, [name.lower() for name in names]))


def _ask(connection: sqlite3.Connection, state: State, names: list[str]) -> None:
    visible = {"main": state.place.namespace, **{each.alias: each.namespace for each in state.place.catalogs}}
    asked = json.dumps(sorted(set(names)))
    with _without_waiting(connection) as cursor:
        for schema, namespace in visible.items():
            if namespace == places.IN_MEMORY or (schema != "main" and schema.lower() not in names):
                continue
            quoted = schema.replace('"', '""')
            sql = _COLUMNS.format(schema=f'"{quoted}"')
            found = cursor.execute(sql, (schema, asked)).fetchmany(catalogs.MAX_ROWS)
            state.questions.record(
                (namespace, f"main.{_text(table)}", _text(column), _text(kind) or None)
                for table, column, kind in found
            )


@contextmanager
def _without_waiting(connection: sqlite3.Connection) -> Iterator[sqlite3.Cursor]:
    """A plain cursor that gives up at once where somebody else holds a lock; the user's patience is put back."""
    cursor = sqlite3.Connection.cursor(connection, sqlite3.Cursor)
    cursor.row_factory = None
    ((patience,),) = cursor.execute("PRAGMA busy_timeout").fetchall()
    cursor.execute("PRAGMA busy_timeout = 0")
    try:
        yield cursor
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {int(patience)}")
        cursor.close()


def _text(value: Any) -> str:
    """What the user's ``text_factory`` may have made something else of."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _attach(state: State, sql: str, parameters: Any) -> None:
    """A table of an attached file has that file's namespace, and the name it has for those who open the file itself."""
    for single, double, name, alias in _ATTACH.findall(sql):
        path = single.replace("''", "'") or double or _value(parameters, name)
        attached = Catalog(alias, places.sqlite_namespace(path, uri=state.uri), "")
        others = tuple(each for each in state.place.catalogs if each.alias.lower() != alias.lower())
        state.place = attrs.evolve(state.place, catalogs=(*others, attached))


def _value(parameters: Any, name: str) -> str:
    if isinstance(parameters, Mapping):
        value = parameters.get(name, "")
    else:
        value = parameters[0] if isinstance(parameters, Sequence) and parameters else ""
    return os.fsdecode(value)


def _detach(state: State, sql: str) -> None:
    gone = {alias.lower() for alias in _DETACH.findall(sql)}
    kept = tuple(each for each in state.place.catalogs if each.alias.lower() not in gone)
    state.place = attrs.evolve(state.place, catalogs=kept)
