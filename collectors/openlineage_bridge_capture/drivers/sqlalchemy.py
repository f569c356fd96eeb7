"""SQLAlchemy 1.4 and 2: every statement of every engine, synchronous and asynchronous, pandas and the ORM included.

Listeners on the class ``Engine``. ``after_cursor_execute`` comes only after success; the events of transactions tell which statements
were rolled back, on databases that can. A statement is recorded here
unless the driver underneath records it itself, which it does with more knowledge of the connection (attached files, the
current ``search_path``); so nothing is recorded twice. Engines that the orchestrator made for its own state are left out, with
their driver connections: by who made the engine or, for older engines, who uses it first. No catalog is asked here: on a warehouse
that costs money and time, and an unknown driver may open transactions or wait for locks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.drivers import connections, places, texts, transactions
from openlineage_bridge_capture.drivers.places import Place
from openlineage_bridge_capture.drivers.replacing import is_replaced, replacement
from openlineage_bridge_capture.drivers.texts import Text
from openlineage_bridge_capture.drivers.transactions import (
    COMMIT,
    RELEASE,
    ROLLBACK,
    ROLLBACK_TO,
    SAVEPOINT,
    Step,
    Transaction,
)

RECORDED_BELOW = frozenset({"duckdb"})
"""Backends whose wrapper hides the driver's connection, which is captured on its class."""

TRANSACTIONAL = frozenset(
    {
        "cockroachdb",
        "db2",
        "mariadb",
        "mssql",
        "mysql",
        "oracle",
        "postgresql",
        "redshift",
        "snowflake",
        "sqlite",
        "teradatasql",
    }
)
"""Backends whose ROLLBACK undoes; on the others SQLAlchemy speaks of transactions, and what was written stays."""

COMMITS_DEFINITIONS = frozenset({"mariadb", "mysql", "oracle", "snowflake"})
"""Backends on which CREATE, ALTER, DROP and the like commit themselves and what came before (their manuals, "implicit commit")."""

EVENTS = {
    "commit": COMMIT,
    "rollback": ROLLBACK,
    "prepare_twophase": COMMIT,
    "commit_twophase": COMMIT,
    "rollback_twophase": ROLLBACK,
    "savepoint": SAVEPOINT,
    "release_savepoint": RELEASE,
    "rollback_savepoint": ROLLBACK_TO,
}
"""Events of a connection, and what they mean to its transaction. What is prepared is taken for committed."""

_DEFINITION = re.compile(r"\s*(?:create|alter|drop|truncate|rename|undrop)\b", re.IGNORECASE)

_hosts: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""By dialect object, of which every engine has one and its option engines share it: whether it is the orchestrator's."""

_places: WeakKeyDictionary[Any, Place] = WeakKeyDictionary()

_transactions: WeakKeyDictionary[Any, Transaction] = WeakKeyDictionary()
"""By SQLAlchemy's connection, which ends its transaction before its end."""


def instrument(module: ModuleType) -> None:
    """Listen to every engine of this ``sqlalchemy`` module; doing it again changes nothing."""
    dialect = module.engine.Dialect
    original = vars(dialect)["engine_created"].__func__
    if is_replaced(original):
        return
    # The constructor of Engine must stay as it is: create_engine() reads its options from its code.
    dialect.engine_created = classmethod(replacement(original, _remembering))
    module.event.listen(module.engine.Engine, "engine_connect", _engine_connect)
    module.event.listen(module.engine.Engine, "after_cursor_execute", _after_cursor_execute)
    for event, meaning in EVENTS.items():
        module.event.listen(module.engine.Engine, event, _listener(meaning))


def _remembering(original: Callable[..., None]) -> Callable[..., None]:
    def engine_created(cls: Any, engine: Any) -> None:
        connections.guarded("SQLAlchemy", lambda: _remember_maker(engine.dialect))
        original(cls, engine)

    return engine_created


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


def _after_cursor_execute(connection: Any, cursor: Any, statement: str, *_rest: Any) -> None:
    if recorder.active() and not connections.records_itself(cursor):
        connections.guarded("SQLAlchemy", lambda: _record(connection, statement))


def _record(connection: Any, sql: str) -> None:
    dialect = connection.dialect
    if dialect.name in RECORDED_BELOW or _is_hosts(dialect):
        return
    if connections.records_itself(_driver_connection(connection)):
        return
    text = texts.read(sql)
    run = recorder.attributed_run() if text.moves_data else None
    if run is not None:
        execution = recorder.statement(_place(connection).statement(sql), run=run)
        _follow(connection, text, execution)


def _follow(connection: Any, text: Text, execution: recorder.Execution | None) -> None:
    """Remember what was executed until its transaction ends."""
    backend = connection.engine.url.get_backend_name()
    if execution is None or backend not in TRANSACTIONAL or _commits_itself(connection):
        return
    transaction = _transactions.get(connection)
    if transaction is None:
        transaction = _transactions[connection] = transactions.of(connection)
    if backend in COMMITS_DEFINITIONS and _DEFINITION.match(text.sql):
        transaction.commit()
    else:
        transaction.follow(text.steps, execution, autocommit=False)


def _commits_itself(connection: Any) -> bool:
    """Whether the isolation level is AUTOCOMMIT, which does not keep SQLAlchemy from speaking of transactions."""
    level = connection.get_execution_options().get("isolation_level")
    level = level or getattr(connection.dialect, "_on_connect_isolation_level", None)
    return str(level).upper() == "AUTOCOMMIT"


def _listener(meaning: str) -> Callable[..., None]:
    def listen(connection: Any, name: Any = None, *_context: Any) -> None:
        if recorder.active() or connection in _transactions:
            connections.guarded("SQLAlchemy", lambda: _control(connection, meaning, name))

    return listen


def _control(connection: Any, meaning: str, name: Any) -> None:
    transaction = _transactions.get(connection)
    if transaction is None:
        if meaning != SAVEPOINT:
            return
        # A savepoint may come before the first statement.
        transaction = _transactions[connection] = transactions.of(connection)
    if meaning == SAVEPOINT and name is None:
        # The event comes before SQLAlchemy counts and names it; later events have the name.
        number = getattr(connection, "_Connection__savepoint_seq", 0) + 1
        name = f"sa_savepoint_{number}"
    transaction.control(Step(meaning, name if isinstance(name, str) else ""))


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
