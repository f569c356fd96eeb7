"""sqlite3: every statement of connections that are opened through ``sqlite3.connect``.

``Connection`` and ``Cursor`` are immutable C types, so their methods cannot be replaced. ``set_trace_callback`` was not
taken: there is one per connection and it is the user's, it is called before a statement succeeds and once per trigger, and
it gets the text with the values of all parameters in it. So ``connect`` asks for a subclass (its ``factory`` argument exists
for that), of the user's own factory where there is one. Connections that were open before, and those of a ``connect`` that
was imported by name before, are not seen.

Nothing is asked of the connection itself: the path is what ``connect`` was given, ``ATTACH`` is read from its text.
"""

from __future__ import annotations

import functools
import os
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.drivers import connections, places, subclasses, texts
from openlineage_bridge_capture.drivers.places import Place
from openlineage_bridge_capture.drivers.texts import Text
from openlineage_bridge_capture.recording import Catalog, Statement

_MARK = "__openlineage_bridge__"
_FACTORY, _URI = 5, 7
"""Positions of these arguments of ``sqlite3.connect``."""

_ATTACH = re.compile(
    r"""\battach\s+(?:database\s+)?(?:'((?:[^']|'')*)'|"([^"]*)"|\?\d*|[:@$](\w+))\s+as\s+["'`\[]?(\w+)""",
    re.IGNORECASE,
)
_DETACH = re.compile(r"""\bdetach\s+(?:database\s+)?["'`\[]?(\w+)""", re.IGNORECASE)


@attrs.define
class State:
    """What is known of one connection: where it is, and which names are temporary."""

    place: Place
    uri: bool = False
    ephemeral: set[str] = attrs.field(factory=set)

    def statement(self, text: Text) -> Statement:
        """This text as a statement of this connection."""
        place = self.place
        ephemeral = text.among(self.ephemeral)
        return Statement(
            text.sql, place.dialect, place.namespace, None, place.schema, place.catalogs, ephemeral
        )


class RecordingCursor(sqlite3.Cursor):
    """A cursor that says what it ran."""

    def execute(self, sql: str, *parameters: Any) -> RecordingCursor:
        """As ``sqlite3.Cursor.execute``."""
        super().execute(sql, *parameters)
        _record(self, sql, *parameters)
        return self

    def executemany(self, sql: str, *parameters: Any) -> RecordingCursor:
        """As ``sqlite3.Cursor.executemany``."""
        super().executemany(sql, *parameters)
        _record(self, sql)
        return self

    def executescript(self, sql_script: str) -> RecordingCursor:
        """As ``sqlite3.Cursor.executescript``."""
        super().executescript(sql_script)
        _record(self, sql_script)
        return self


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
        self.openlineage_state = State(places.sqlite(database, uri=uri), uri)

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
        if not getattr(place.connect, _MARK, False):
            place.connect = _recording(place.connect)


def _recording(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def connect(*args: Any, **kwargs: Any) -> Any:
        factory = kwargs.get("factory", args[_FACTORY] if len(args) > _FACTORY else sqlite3.Connection)
        if subclasses.is_kind(factory, sqlite3.Connection):
            factory = subclasses.recording(factory, RecordingConnection)
            if len(args) > _FACTORY:
                args = (*args[:_FACTORY], factory, *args[_FACTORY + 1 :])
            else:
                kwargs["factory"] = factory
        return original(*args, **kwargs)

    setattr(connect, _MARK, True)
    return connect


def _record(cursor: sqlite3.Cursor, sql: str, parameters: Any = ()) -> None:
    if recorder.active():
        connections.guarded("sqlite3", lambda: _statement(cursor.connection, sql, parameters))


def _statement(connection: sqlite3.Connection, sql: str, parameters: Any) -> None:
    state: State | None = getattr(connection, "openlineage_state", None)
    if state is None or connections.is_hosts_own(connection):
        return
    text = texts.read(sql)
    if text.attaches:
        _attach(state, sql, parameters)
    if text.moves_data:
        recorder.statement(state.statement(text))
    state.ephemeral |= text.temporary
    if text.attaches:
        _detach(state, sql)


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
