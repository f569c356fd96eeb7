"""One file per database driver whose statements are captured without user code."""

from __future__ import annotations

from types import ModuleType

from openlineage_bridge_capture.drivers import (
    aiosqlite,
    bigquery,
    configured,
    databricks,
    duckdb,
    psycopg,
    psycopg2,
    pymysql,
    snowflake,
    sqlalchemy,
    trino,
)
from openlineage_bridge_capture.imports import when_imported


def _instrument_sqlite(module: ModuleType) -> None:
    # Ours has subclasses of sqlite3's classes, so it can be imported only after it.
    from openlineage_bridge_capture.drivers import sqlite

    sqlite.instrument(module)


DRIVERS = {
    "aiosqlite": aiosqlite.instrument,
    "databricks.sql.client": databricks.instrument,
    "duckdb": duckdb.instrument,
    "google.cloud.bigquery.client": bigquery.instrument_client,
    "google.cloud.bigquery.dbapi.connection": bigquery.instrument_dbapi,
    "google.cloud.bigquery.job.base": bigquery.instrument_jobs,
    "psycopg": psycopg.instrument,
    "psycopg2": psycopg2.instrument,
    "psycopg2.extras": psycopg2.instrument_extras,
    "pymysql.connections": pymysql.instrument_connections,
    "pymysql.cursors": pymysql.instrument_cursors,
    # The asynchronous one until version 4, and since.
    "snowflake.connector.aio._connection": snowflake.instrument_connections,
    "snowflake.connector.aio._cursor": snowflake.instrument_cursors,
    "snowflake.connector.aio.connection": snowflake.instrument_connections,
    "snowflake.connector.aio.cursor": snowflake.instrument_cursors,
    "snowflake.connector.connection": snowflake.instrument_connections,
    "snowflake.connector.cursor": snowflake.instrument_cursors,
    "sqlite3": _instrument_sqlite,
    "sqlalchemy": sqlalchemy.instrument,
    "trino.client": trino.instrument_client,
    "trino.dbapi": trino.instrument_dbapi,
}
"""What to do with each module once it is there; every function recognises its own work."""


def install() -> None:
    """Arm every driver: each is instrumented when user code imports it. Calling it twice is calling it once."""
    for module, instrument in {**configured.drivers(taken=DRIVERS), **DRIVERS}.items():
        when_imported(module, instrument)
