"""What the drivers that are written in Python share: watching methods of their classes, and what is known of a connection.

A method is replaced on its class, so ``isinstance``, subclasses, attributes and exceptions are the driver's own. What a
driver's own code calls while it serves a watched call is part of that call; what the user's code calls meanwhile (a generator
of rows that queries as it goes) is not.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self
from weakref import WeakKeyDictionary

import attrs

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.drivers import connections, texts, transactions
from openlineage_bridge_capture.drivers.places import Place
from openlineage_bridge_capture.drivers.replacing import replace
from openlineage_bridge_capture.drivers.transactions import Transaction

SQL_ARGUMENTS = ("operation", "query", "sql", "command", "statement", "stmt", "operations")
"""What drivers call the first argument of ``execute`` (PEP 249 leaves the name open)."""

ENDS = {"commit": Transaction.commit, "rollback": Transaction.roll_back, "close": Transaction.roll_back}
"""Methods of a connection, and what they do to its open transaction (PEP 249: ``close`` rolls back)."""

COMMITTING_DDL = frozenset({"mysql", "oracle", "snowflake"})
"""Dialects in which a statement that defines something commits the transaction before it, and itself."""

After = Callable[[Any], None]
Before = Callable[[Any, tuple[Any, ...], Mapping[str, Any]], "After | None"]
"""Called with the object, arguments and keywords before a watched method; what it gives is called with the result."""

_DDL = re.compile(r"\s*(?:create|alter|drop|truncate|rename|grant|revoke)\b", re.IGNORECASE)
_NOISE = re.compile(r"'(?:[^'\\]|\\.|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
"""Strings and comments."""

_PART = r"(?:`[^`]+`|\"[^\"]+\"|\[[^\]]+\]|[\w$]+)"
_USE = re.compile(
    rf"\s*(?:use(?:\s+(catalog|database|schema|namespace))?|set\s+(catalog))\s+({_PART})(?:\s*\.\s*({_PART}))?\s*",
    re.IGNORECASE,
)
_DATABASE_FIRST = frozenset({"tsql"})

_inside: contextvars.ContextVar[bool] = contextvars.ContextVar("openlineage_bridge_inside", default=False)


@attrs.define
class Session:
    """What is known of one connection.

    Args:
        place: Where its unqualified names are; it follows ``USE``.
        transaction: What may still be rolled back.
        ephemeral: Lower-case names of its temporary tables.
        autocommit: What the connection said of it last, where asking again is slow.
    """

    place: Place
    transaction: Transaction
    ephemeral: set[str] = attrs.field(factory=set)
    autocommit: bool | None = None

    def record(
        self, sql: str, *, place: Place | None = None, query_id: str | None = None, autocommit: bool = True
    ) -> None:
        """A text was executed with success.

        Args:
            sql: The text, as the user gave it.
            place: Where its names are, when the connection itself knows; else ``self.place``.
            query_id: The database's own id of this execution.
            autocommit: Whether it is there to stay unless the text itself opened a transaction.
        """
        text = texts.read(sql)
        at = place or self.place
        execution = None
        if text.moves_data:
            execution = recorder.statement(at.statement(sql, text.among(self.ephemeral)), query_id)
        if at.dialect in COMMITTING_DDL and _DDL.match(sql):
            self.transaction.commit()
        else:
            self.transaction.follow(text.steps, execution, autocommit=autocommit)
        self.ephemeral |= text.temporary
        if "use" in text.words or "catalog" in text.words:
            self.place = moved(self.place, sql)

    def select(self, database: str) -> None:
        """``select_db``: ``USE``, but not as a text."""
        self.place = attrs.evolve(self.place, schema=database)


_sessions: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


def session(connection: Any, place: Callable[[Any], Place]) -> Session | None:
    """What is known of this connection; None for the orchestrator's own.

    Args:
        connection: The driver's.
        place: Tells where a connection that was not seen before is.
    """
    if connections.is_hosts_own(connection):
        return None
    found = _sessions.get(connection)
    if found is None:
        found = _sessions[connection] = Session(place(connection), transactions.of(connection))
    return found


def known(connection: Any) -> Session | None:
    """What is known of this connection, if it was seen before."""
    return _sessions.get(connection)


def begin_session(connection: Any, place: Place) -> None:
    """A connection was opened (again): its temporary tables are gone, its names are where they were at first."""
    before = _sessions.get(connection)
    if before is None:
        _sessions[connection] = Session(place, transactions.of(connection))
        return
    before.transaction.roll_back()
    before.place = place
    before.ephemeral.clear()


def moved(place: Place, sql: str) -> Place:
    """The place after the ``USE`` statements of a text."""
    for kind, first, second in _uses(sql):
        if second:
            place = attrs.evolve(place, catalog=first, schema=second)
        elif kind == "catalog" or (place.dialect in _DATABASE_FIRST and kind != "schema"):
            place = attrs.evolve(place, catalog=first)
        else:
            place = attrs.evolve(place, schema=first)
    return place


@functools.lru_cache(maxsize=256)
def _uses(sql: str) -> tuple[tuple[str, str, str], ...]:
    found = (_USE.fullmatch(each) for each in _NOISE.sub(" ", sql).split(";"))
    return tuple(
        ((use[1] or use[2] or "").lower(), _plain(use[3]), _plain(use[4] or "")) for use in found if use
    )


def _plain(name: str) -> str:
    return name[1:-1] if name[:1] in {"`", '"', "["} else name


def text_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """The SQL among the arguments of a call of ``execute``; None when there is none that is a text."""
    sql = args[0] if args else next((kwargs[name] for name in SQL_ARGUMENTS if name in kwargs), None)
    if isinstance(sql, (bytes, bytearray)):
        return sql.decode("utf-8", "replace")
    return sql if isinstance(sql, str) else None


def runs_nothing(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call of ``executemany`` has no parameters to execute anything with."""
    rows: Any = args[1] if len(args) > 1 else next((kwargs[key] for key in kwargs if "param" in key), ...)
    try:
        return rows is None or len(rows) == 0
    except TypeError:
        # A generator tells only once.
        return False


def watch(kind: type, name: str, package: str, before: Before) -> None:
    """Watch a method of a class, plain or asynchronous, where it is defined; a second time changes nothing.

    Args:
        kind: The class; a method that it has not is nothing to watch.
        name: The method.
        package: The driver's, whose own calls inside a watched call are part of that.
        before: What to do; whatever it raises is ours and goes to the log.

    Raises:
        TypeError: It is an immutable C type.
    """
    owner = next((each for each in kind.__mro__ if name in vars(each)), None)
    original = vars(owner)[name] if owner else None
    if callable(original):
        wrapper = _awaiting if inspect.iscoroutinefunction(original) else _calling
        replace(owner, name, functools.partial(wrapper, package, before))


def _calling(package: str, before: Before, original: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not recorder.active() or _is_drivers_own(package):
            return original(self, *args, **kwargs)
        with _Watched(package, before, self, args, kwargs) as call:
            call.result = original(self, *args, **kwargs)
        return call.result

    return method


def _awaiting(package: str, before: Before, original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not recorder.active() or _is_drivers_own(package):
            return await original(self, *args, **kwargs)
        with _Watched(package, before, self, args, kwargs) as call:
            call.result = await original(self, *args, **kwargs)
        return call.result

    return method


class _Watched:
    """A watched call, plain or asynchronous: around it ``before``, and what that gave after its success.

    Args:
        package: The driver's.
        before: What the driver's module does first.
        subject: Whose method it is; then its arguments.
    """

    __slots__ = ("_after", "_package", "_token", "result")

    def __init__(
        self, package: str, before: Before, subject: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        self._package = package
        self._after: After | None = None
        self.result: Any = None
        try:
            self._after = before(subject, args, kwargs)
        except Exception:
            connections.complain(package)

    def __enter__(self) -> Self:
        self._token = _inside.set(True)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        _inside.reset(self._token)
        after = self._after
        if kind is None and after is not None:
            connections.guarded(self._package, lambda: after(self.result))


def _is_drivers_own(package: str) -> bool:
    """Whether the driver's code is making this call (two frames up) on behalf of a call that is watched already."""
    if not _inside.get():
        return False
    caller = str(sys._getframe(2).f_globals.get("__name__", ""))  # noqa: SLF001  # the documented way to one's caller
    return caller == package or caller.startswith(f"{package}.")


def watch_transactions(kind: type, package: str) -> None:
    """Follow ``commit``, ``rollback`` and ``close`` of connections of this class."""
    for name, end in ENDS.items():
        watch(kind, name, package, functools.partial(_ending, end))


def _ending(
    end: Callable[[Transaction], None], connection: Any, _args: tuple[Any, ...], _kwargs: Mapping[str, Any]
) -> After | None:
    found = _sessions.get(connection)
    return None if found is None else lambda _: end(found.transaction)


def later(record: Callable[..., None]) -> Callable[..., None]:
    """``record``, for the run that is current now, whoever calls it when the outcome is known."""
    context = contextvars.copy_context()
    return lambda *args: context.run(record, *args)
