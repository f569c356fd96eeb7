"""Connections and cursors of immutable classes, in wrappers that pass everything through: the last resort of ``configured``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.drivers import connections, dbapi
from openlineage_bridge_capture.drivers.dbapi import Session

Record = Callable[[Session, str], None]


class Wrapper:
    """An object of a driver; to ``isinstance``, attributes, ``with`` and iteration it is that object."""

    __slots__ = ("__weakref__", "_openlineage_wrapped")
    _openlineage_wrapped: Any

    def __init__(self, wrapped: Any) -> None:
        object.__setattr__(self, "_openlineage_wrapped", wrapped)

    @property
    def __class__(self) -> type:
        return type(self._openlineage_wrapped)

    @__class__.setter
    def __class__(self, value: type) -> None:
        self._openlineage_wrapped.__class__ = value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._openlineage_wrapped, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._openlineage_wrapped, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._openlineage_wrapped, name)

    def __dir__(self) -> list[str]:
        return dir(self._openlineage_wrapped)

    def __repr__(self) -> str:
        return repr(self._openlineage_wrapped)

    def __eq__(self, other: object) -> bool:
        inside = other._openlineage_wrapped if isinstance_of_ours(other) else other  # type: ignore[attr-defined]  # a wrapper
        return bool(self._openlineage_wrapped == inside)

    def __hash__(self) -> int:
        return hash(self._openlineage_wrapped)

    def __enter__(self) -> Any:
        return self._own(self._openlineage_wrapped.__enter__())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._openlineage_wrapped)

    def _own(self, result: Any) -> Any:
        """What a method gave; where that is the object itself, its wrapper."""
        return self if result is self._openlineage_wrapped else result


def isinstance_of_ours(value: object) -> bool:
    """Whether this is a wrapper, which its ``__class__`` denies."""
    return issubclass(type(value), Wrapper)


class Cursor(Wrapper):
    """A cursor that says what it ran."""

    __slots__ = ("_openlineage_connection", "_openlineage_record", "_openlineage_session")
    _openlineage_connection: Any
    _openlineage_session: Session
    _openlineage_record: Record

    def __init__(self, wrapped: Any, connection: Any, session: Session, record: Record) -> None:
        super().__init__(wrapped)
        object.__setattr__(self, "_openlineage_connection", connection)
        object.__setattr__(self, "_openlineage_session", session)
        object.__setattr__(self, "_openlineage_record", record)

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)
        return self._openlineage_connection if name == "connection" else value

    def __exit__(self, *error: object) -> Any:
        return self._openlineage_wrapped.__exit__(*error)

    def __next__(self) -> Any:
        return next(self._openlineage_wrapped)

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """As the driver's."""
        result = self._openlineage_wrapped.execute(*args, **kwargs)
        self._say(args, kwargs)
        return self._own(result)

    def executemany(self, *args: Any, **kwargs: Any) -> Any:
        """As the driver's."""
        nothing = dbapi.runs_nothing(args, kwargs)
        result = self._openlineage_wrapped.executemany(*args, **kwargs)
        if not nothing:
            self._say(args, kwargs)
        return self._own(result)

    def _say(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        sql = dbapi.text_of(args, kwargs)
        if sql is not None and recorder.active():
            connections.guarded(
                "a configured module", lambda: self._openlineage_record(self._openlineage_session, sql)
            )


class Connection(Wrapper):
    """A connection whose cursors say what they ran."""

    __slots__ = ("_openlineage_record", "_openlineage_session")
    _openlineage_session: Session
    _openlineage_record: Record

    def __init__(self, wrapped: Any, session: Session, record: Record) -> None:
        super().__init__(wrapped)
        object.__setattr__(self, "_openlineage_session", session)
        object.__setattr__(self, "_openlineage_record", record)

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """As the driver's."""
        made = self._openlineage_wrapped.cursor(*args, **kwargs)
        return Cursor(made, self, self._openlineage_session, self._record)

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """As the driver's, where it has this short cut to a cursor."""
        made = self._openlineage_wrapped.execute(*args, **kwargs)
        cursor = Cursor(made, self, self._openlineage_session, self._record)
        cursor._say(args, kwargs)  # noqa: SLF001  # of one kind
        return cursor

    def commit(self) -> Any:
        """As the driver's."""
        result = self._openlineage_wrapped.commit()
        self._openlineage_session.transaction.commit()
        return result

    def rollback(self) -> Any:
        """As the driver's."""
        result = self._openlineage_wrapped.rollback()
        self._openlineage_session.transaction.roll_back()
        return result

    def __exit__(self, *error: object) -> Any:
        result = self._openlineage_wrapped.__exit__(*error)
        transaction = self._openlineage_session.transaction
        if error[:1] == (None,):
            transaction.commit()
        else:
            transaction.roll_back()
        return result

    def _record(self, session: Session, sql: str) -> None:
        if not connections.is_hosts_own(self):
            self._openlineage_record(session, sql)


connections.mark_recording(Connection)
