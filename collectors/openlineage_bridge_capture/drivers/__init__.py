"""One file per database driver whose statements are captured without user code."""

from __future__ import annotations

from types import ModuleType

from openlineage_bridge_capture.drivers import aiosqlite, duckdb, psycopg, psycopg2, sqlalchemy
from openlineage_bridge_capture.imports import when_imported


def _instrument_sqlite(module: ModuleType) -> None:
    # Ours has subclasses of sqlite3's classes, so it can be imported only after it.
    from openlineage_bridge_capture.drivers import sqlite

    sqlite.instrument(module)


DRIVERS = {
    "aiosqlite": aiosqlite.instrument,
    "duckdb": duckdb.instrument,
    "psycopg": psycopg.instrument,
    "psycopg2": psycopg2.instrument,
    "psycopg2.extras": psycopg2.instrument_extras,
    "sqlite3": _instrument_sqlite,
    "sqlalchemy": sqlalchemy.instrument,
}
"""What to do with each module once it is there; every function recognises its own work."""


def install() -> None:
    """Arm every driver: each is instrumented when user code imports it. Calling it twice is calling it once."""
    for module, instrument in DRIVERS.items():
        when_imported(module, instrument)
