"""Any other DB-API module, by configuration: ``OPENLINEAGE_BRIDGE_DBAPI``.

``module=where`` for each module, separated by ``;``. ``module`` is what is imported and has ``connect`` (PEP 249). ``where`` is one of

* the kind of database: ``MySQLdb=mysql``. Host, port, database and schema are then those that ``connect`` is called with,
  under the names that are usual (``ARGUMENTS``).
* a URL, for what ``connect`` is not told or hides in a connection string:
  ``ibm_db_dbi=db2://host:50000/DB/SCHEMA?dialect=postgres``. Each part that it has stands, the others come from ``connect``:
  ``pyodbc=mssql:///sales``.

The kind is the scheme of the OpenLineage namespace, and of the names of its tables as for SQLAlchemy's URLs
(``places.PLATFORMS``); ``dialect`` is what sqlglot calls the SQL, where it is called otherwise. ``MySQLdb`` and ``mysql.connector`` need
no configuration.

Cursors are watched on their class. Where that is an immutable C type, ``connect`` gives the connection in a wrapper that
passes everything through and has the connection's class for ``isinstance``.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import weakref
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from weakref import WeakKeyDictionary

import attrs

from openlineage_bridge_capture import log
from openlineage_bridge_capture.drivers import connections, dbapi, places, wrappers
from openlineage_bridge_capture.drivers.dbapi import After, Session
from openlineage_bridge_capture.drivers.places import Place
from openlineage_bridge_capture.drivers.replacing import is_replaced, replace, replacement
from openlineage_bridge_capture.drivers.transactions import Transaction

VARIABLE = "OPENLINEAGE_BRIDGE_DBAPI"

BUILT_IN = "MySQLdb=mysql; mysql.connector=mysql"
"""Modules that need no configuration, in its own form."""

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "host": ("host", "hostname", "server", "server_hostname"),
    "port": ("port",),
    "database": ("database", "db", "dbname", "catalog", "service_name"),
    "schema": ("schema", "current_schema", "currentschema"),
}
"""What ``connect`` calls the parts of a place."""

SCHEMES = {"postgres": "postgresql", "sqlserver": "mssql", "tsql": "mssql"}
"""Kinds that SQLAlchemy calls otherwise."""

METHODS = ("execute", "executemany")
"""Methods of a cursor that take SQL (PEP 249)."""

POSITIONS: Mapping[str, tuple[str, ...]] = {"MySQLdb": ("host", "user", "password", "database", "port")}
"""What the arguments of ``connect`` are by position, where they are no connection string."""

AT_HOME = frozenset({"mysql", "mariadb", "postgres", "postgresql"})
"""Kinds whose clients take this machine when they are told no host."""

IN_TRANSACTION: Mapping[str, Callable[[Any], bool]] = {
    "MySQLdb": lambda connection: not connection.get_autocommit(),
    "mysql.connector": lambda connection: bool(connection.in_transaction),
}
"""What tells, without asking the server, whether a connection has a transaction open."""

KEPT_BY_CONNECTIONS = {"in_transaction": False, "autocommit": True}
"""Attributes that modules keep on their connections, and their value when nothing may be rolled back."""

_cursors: WeakKeyDictionary[Any, tuple[Session, weakref.ref[Any]]] = WeakKeyDictionary()
"""Of which connection a cursor is: PEP 249 does not make cursors tell."""


@attrs.frozen
class Where:
    """Where the tables of a module's connections are; in the form of a SQLAlchemy URL (``places.Url``).

    Args:
        kind: Of the database: the scheme of the namespace.
        host: Of the server; None is what ``connect`` says.
        port: The same.
        database: The same.
        schema: The same.
        dialect: sqlglot's name of the SQL; None is that of the kind.
    """

    kind: str
    host: str | None = None
    port: int | None = None
    database: str | None = None
    schema: str | None = None
    dialect: str | None = None

    @property
    def query(self) -> Mapping[str, object]:
        """Options of a URL, of which there are none here."""
        return {}

    def with_arguments(self, arguments: Mapping[str, Any]) -> Where:
        """This, with the parts that it lacks from the arguments of ``connect``."""
        found = {
            part: value
            for part, names in ARGUMENTS.items()
            if getattr(self, part) is None and (value := _first(arguments, names)) is not None
        }
        if "host" in found:
            found["host"], port = _port(found["host"])
            found.setdefault("port", self.port or port)
        if found.get("port") is not None:
            found["port"] = int(found["port"])
        return attrs.evolve(self, **found)

    def place(self) -> Place:
        """The place of unqualified names."""
        place = places.of_url(SCHEMES.get(self.kind, self.kind), self, self.schema)
        return place if self.dialect is None else attrs.evolve(place, dialect=self.dialect)


def _first(arguments: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    given = {key.lower(): value for key, value in arguments.items()}
    value = next((given[name] for name in names if given.get(name)), None)
    return value if value is None or isinstance(value, int) else str(value)


def _port(value: Any) -> tuple[str, int | None]:
    """``host,port`` and ``tcp:host,port``, as ODBC has them."""
    host, _, port = str(value).removeprefix("tcp:").partition(",")
    return host, int(port) if port else None


def parse(text: str) -> tuple[dict[str, Where], list[str]]:
    """What a value of the variable says of each module, and the entries that say nothing.

    Total: a bad entry is left out, and the rest stands.
    """
    found: dict[str, Where] = {}
    bad: list[str] = []
    for entry in filter(None, (each.strip() for each in text.split(";"))):
        module, _, where = (part.strip() for part in entry.partition("="))
        place = _where(where)
        if place is not None and all(part.isidentifier() for part in module.split(".")):
            found[module] = place
        else:
            bad.append(entry)
    return found, bad


def _where(text: str) -> Where | None:
    """A kind, or a URL; None for what is neither."""
    try:
        url = urlsplit(text if "://" in text else f"{text}://")
        port = url.port
    except ValueError:
        return None
    database, _, schema = unquote(url.path).strip("/").partition("/")
    dialect = dict(parse_qsl(url.query)).get("dialect")
    return (
        Where(url.scheme, url.hostname, port, database or None, schema or None, dialect)
        if url.scheme
        else None
    )


def drivers(taken: Collection[str]) -> dict[str, Callable[[Any], None]]:
    """What to do with each configured module once it is imported.

    Args:
        taken: Modules that are captured anyway, whose configuration is ignored.
    """
    return dict(_drivers(os.environ.get(VARIABLE, ""), frozenset(taken)))


@functools.cache
def _drivers(text: str, taken: frozenset[str]) -> dict[str, Callable[[Any], None]]:
    """The same functions for the same text, so that a module is armed once."""
    found, bad = parse(text)
    known = sorted(module for module in found if _is_taken(module, taken))
    if bad or known:
        log.once(
            logging.WARNING,
            "%s: ignored %s; write module=kind or module=kind://host:port/database/schema?dialect=name, separated by ';',"
            " for modules that are not captured anyway",
            VARIABLE,
            ", ".join([*(_redacted(each) for each in bad), *known]),
        )
    own = {module: where for module, where in found.items() if module not in known}
    every = {**parse(BUILT_IN)[0], **own}
    return {
        module: functools.partial(instrument, where=where, name=module) for module, where in every.items()
    }


def _is_taken(module: str, taken: frozenset[str]) -> bool:
    """Whether this module, or the one that it belongs to, is captured anyway."""
    return any(f"{each}.".startswith(f"{module}.") or f"{module}.".startswith(f"{each}.") for each in taken)


def _redacted(entry: str) -> str:
    """An entry without what may be a password in it."""
    before, at, after = entry.rpartition("@")
    return f"{before.partition('=')[0]}=…@{after}" if at else entry


def instrument(module: Any, where: Where, name: str | None = None) -> None:
    """Record what connections that ``connect`` of this module gives execute; doing it again changes nothing.

    Args:
        module: As it was imported.
        where: What the configuration says of it.
        name: What it was imported as; another module may stand in for it (``pymysql.install_as_MySQLdb``).
    """
    original = module.connect
    if is_replaced(original) or name not in {None, module.__name__}:
        return
    if isinstance(original, type):
        # ``connect`` is the class itself, which users may have subclassed.
        dbapi.watch(
            original, "__init__", module.__name__, functools.partial(_opening, module.__name__, where)
        )
        return
    connect = replacement(original, functools.partial(_connecting, module.__name__, where))
    for alias in [each for each, value in vars(module).items() if value is original]:
        setattr(module, alias, connect)


def _connecting(package: str, where: Where, original: Callable[..., Any]) -> Callable[..., Any]:
    def connect(*args: Any, **kwargs: Any) -> Any:
        connection = original(*args, **kwargs)
        try:
            return _watched(connection, package, where.with_arguments(told(package, args, kwargs)))
        except Exception:
            connections.complain(package)
            return connection

    return connect


def _opening(
    package: str, where: Where, connection: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> After | None:
    found = where.with_arguments(told(package, args, kwargs))
    return lambda _: _watch(connection, package, found)


def told(package: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What ``connect`` was told, by name: positions that are known, and the keywords of a connection string."""
    if package in POSITIONS:
        return {**dict(zip(POSITIONS[package], args, strict=False)), **kwargs}
    string = next((each for each in args[:1] if isinstance(each, str)), "")
    pairs = (each.partition("=") for each in string.split(";"))
    return {**{key.strip().lower(): value.strip(" {}") for key, _, value in pairs if value}, **kwargs}


def _watched(connection: Any, package: str, where: Where) -> Any:
    """The connection, watched on its class or in a wrapper."""
    if where.host is None and where.kind not in AT_HOME:
        log.once(
            logging.WARNING,
            "%s: connect() of %s does not tell its host; write %s=%s://host:port/database",
            VARIABLE,
            package,
            package,
            where.kind,
        )
        return connection
    try:
        _watch(connection, package, where)
    except TypeError:
        session = dbapi.Session(where.place(), Transaction())
        return wrappers.Connection(connection, session, _recording(package, connection))
    return connection


def _watch(connection: Any, package: str, where: Where) -> None:
    """Watch the class of this connection, and keep where it is.

    Raises:
        TypeError: The class is an immutable C type.
    """
    # A pool may give a stand-in that passes everything on to the connection itself.
    connection = getattr(connection.cursor, "__self__", connection)
    kind = type(connection)
    _watch_cursors_of(kind, package)
    dbapi.watch_transactions(kind, package)
    dbapi.watch(kind, "select_db", package, _selecting)
    dbapi.begin_session(connection, where.place())
    connections.mark_recording(kind)


def _watch_cursors_of(kind: type, package: str) -> None:
    owner = next(each for each in kind.__mro__ if "cursor" in vars(each))
    replace(owner, "cursor", functools.partial(_giving_cursors, package))


def _giving_cursors(package: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def cursor(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = original(self, *args, **kwargs)
        try:
            return _watched_cursor(self, made, package)
        except Exception:
            connections.complain(package)
            return made

    return cursor


def _watched_cursor(connection: Any, cursor: Any, package: str) -> Any:
    session = dbapi.known(connection)
    if session is None or connections.is_hosts_own(connection):
        return cursor
    record = _recording(package, connection)
    try:
        for name in METHODS:
            dbapi.watch(type(cursor), name, package, functools.partial(_execution, package, name))
        _cursors[cursor] = session, weakref.ref(connection)
    except TypeError:
        return wrappers.Cursor(cursor, connection, session, record)
    return cursor


def _execution(
    package: str, name: str, cursor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> After | None:
    session, connection = _cursors.get(cursor, (None, None))
    sql = dbapi.text_of(args, kwargs)
    if session is None or connection is None or sql is None:
        return None
    if name == "executemany" and dbapi.runs_nothing(args, kwargs):
        return None
    return lambda _: _recording(package, connection())(session, sql)


def _recording(package: str, connection: Any) -> Callable[[Session, str], None]:
    return lambda session, sql: session.record(sql, autocommit=autocommits(package, connection))


def autocommits(package: str, connection: Any) -> bool:
    """Whether what was executed just now is there to stay, as far as the client knows without asking; True otherwise."""
    if package in IN_TRANSACTION:
        return not IN_TRANSACTION[package](connection)
    for name, means_yes in KEPT_BY_CONNECTIONS.items():
        kept = inspect.getattr_static(connection, name, None)
        # A property that is written in Python may well ask the server.
        if kept is not None and not isinstance(kept, property) and not callable(kept):
            return bool(getattr(connection, name)) is means_yes
    return True


def _selecting(connection: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    session = dbapi.known(connection)
    database = args[0] if args else next(iter(kwargs.values()), None)
    return None if session is None or not isinstance(database, str) else lambda _: session.select(database)
