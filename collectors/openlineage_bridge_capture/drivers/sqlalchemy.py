"""SQLAlchemy 1.4 and 2: every statement of every engine, synchronous and asynchronous, pandas and the ORM included.

Two listeners on the class ``Engine``. ``after_cursor_execute`` comes only after success. A statement is recorded here
unless the driver underneath records it itself, which it does with more knowledge of the connection (attached files, the
current ``search_path``); so nothing is recorded twice. Engines that the orchestrator made for its own state are left out, with
their driver connections: by who made the engine or, for older engines, who uses it first.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.drivers import connections, places, texts
from openlineage_bridge_capture.drivers.places import Place
from openlineage_bridge_capture.recording import Statement

RECORDED_BELOW = frozenset({"duckdb"})
"""Backends whose wrapper hides the driver's connection, which is captured on its class."""

_MARK = "__openlineage_bridge__"

_hosts: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""By dialect object, of which every engine has one and its option engines share it: whether it is the orchestrator's."""

_places: WeakKeyDictionary[Any, Place] = WeakKeyDictionary()


def instrument(module: ModuleType) -> None:
    """Listen to every engine of this ``sqlalchemy`` module; doing it again changes nothing."""
    dialect = module.engine.Dialect
    original = vars(dialect)["engine_created"].__func__
    if getattr(original, _MARK, False):
        return

    # The constructor of Engine must stay as it is: create_engine() reads its options from its code.
    @functools.wraps(original)
    def engine_created(cls: Any, engine: Any) -> None:
        connections.guarded("SQLAlchemy", lambda: _remember_maker(engine.dialect))
        original(cls, engine)

    setattr(engine_created, _MARK, True)
    dialect.engine_created = classmethod(engine_created)
    module.event.listen(module.engine.Engine, "engine_connect", _engine_connect)
    module.event.listen(module.engine.Engine, "after_cursor_execute", _after_cursor_execute)


def _remember_maker(dialect: Any) -> None:
    _hosts[dialect] = connections.host_is_calling()


def _is_hosts(dialect: Any) -> bool:
    known = _hosts.get(dialect)
    if known is None:
        known = _hosts[dialect] = connections.host_is_calling()
    return known


def _engine_connect(connection: Any, *_branch: Any) -> None:
    connections.guarded("SQLAlchemy", lambda: _mark_hosts_own(connection))


def _mark_hosts_own(connection: Any) -> None:
    if _is_hosts(connection.dialect):
        driver = _driver_connection(connection)
        if connections.records_itself(driver):
            connections.mark_hosts_own(driver)


def _after_cursor_execute(connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
    if recorder.active():
        connections.guarded("SQLAlchemy", lambda: _record(connection, statement))


def _record(connection: Any, sql: str) -> None:
    dialect = connection.dialect
    if dialect.name in RECORDED_BELOW or _is_hosts(dialect):
        return
    if connections.records_itself(_driver_connection(connection)):
        return
    text = texts.read(sql)
    if text.moves_data:
        place = _place(connection)
        recorder.statement(
            Statement(text.sql, place.dialect, place.namespace, place.catalog, place.schema, place.catalogs)
        )


def _driver_connection(connection: Any) -> Any:
    """The connection of the driver itself, below the pool's proxy and the adapter of an asynchronous driver."""
    pooled = connection.connection
    # Since 1.4.24.
    driver = getattr(pooled, "driver_connection", None) or pooled.connection
    # aiosqlite's connection has sqlite3's inside.
    return (
        getattr(driver, "_connection", driver) if type(driver).__module__.startswith("aiosqlite") else driver
    )


def _place(connection: Any) -> Place:
    dialect = connection.dialect
    place = _places.get(dialect)
    if place is None:
        url = connection.engine.url
        schema = dialect.default_schema_name
        place = places.of_url(url.get_backend_name(), url, schema)
        if schema is not None:
            # Some dialects learn it with the first connection.
            _places[dialect] = place
    return place
