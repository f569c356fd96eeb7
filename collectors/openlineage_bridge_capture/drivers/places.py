"""Where the unqualified names of a connection are: namespace, catalog and schema by OpenLineage's naming specification.

One table for SQLAlchemy URLs (``PLATFORMS``) and one function for each database whose driver is captured directly, so that
the same table has the same name whichever way it is reached.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import unquote

import attrs

from openlineage_bridge_capture.recorder import MAX_SQL_LENGTH
from openlineage_bridge_capture.recording import Catalog, Statement

IN_MEMORY = "inmemory://"
"""Namespace of what only this process can see (OpenLineage, "Naming")."""

_LOCAL = "localhost"
_REDSHIFT_HOST = re.compile(
    r"(?P<cluster>[^.]+)\.[^.]+\.(?P<region>[^.]+)\.redshift\.amazonaws\.com(?:\.cn)?"
)

_SNOWFLAKE_SUFFIXES = (".snowflakecomputing.com", ".snowflakecomputing.cn", ".privatelink", ".global")


@attrs.frozen(cache_hash=True)
class Place:
    """What a connection adds to a name to make it a dataset's.

    Args:
        dialect: sqlglot's name of the dialect; empty for one it does not know.
        namespace: OpenLineage namespace of the tables.
        catalog: Catalog (database) of an unqualified name; None where names have none.
        schema: Schema of an unqualified name; None while it is not known.
        catalogs: Databases that the connection reaches beside its own.
    """

    dialect: str
    namespace: str
    catalog: str | None = None
    schema: str | None = None
    catalogs: tuple[Catalog, ...] = ()

    def statement(self, sql: str, ephemeral: tuple[str, ...] = (), directory: str | None = None) -> Statement:
        """A text that was executed here; the same object each time, which the recorder finds fastest.

        Args:
            sql: The text.
            ephemeral: Names in it that are no tables of any database.
            directory: Where relative paths in it start.
        """
        # One full of data is only going to be counted, and is not worth a place in the cache.
        make = _statement if len(sql) <= MAX_SQL_LENGTH else _statement.__wrapped__
        return make(self, sql, ephemeral, directory)


@functools.lru_cache(maxsize=512)
def _statement(place: Place, sql: str, ephemeral: tuple[str, ...], directory: str | None) -> Statement:
    return Statement(
        sql,
        place.dialect,
        place.namespace,
        place.catalog,
        place.schema,
        place.catalogs,
        ephemeral,
        directory,
    )


class Url(Protocol):
    """What is needed of ``sqlalchemy.engine.URL``; user and password are never looked at."""

    @property
    def host(self) -> str | None: ...  # noqa: D102  # SQLAlchemy's own words
    @property
    def port(self) -> int | None: ...  # noqa: D102
    @property
    def database(self) -> str | None: ...  # noqa: D102
    @property
    def query(self) -> Mapping[str, object]: ...  # noqa: D102


def postgres(host: str | None, port: int | str | None, database: str | None, schema: str | None) -> Place:
    """A PostgreSQL database; of a Unix socket the directory is no part of the name, because it is this machine's."""
    return Place("postgres", f"postgres://{authority(host, port or 5432)}", database or None, schema)


def sqlite(database: str | bytes | os.PathLike[str] | None, *, uri: bool = False) -> Place:
    """An SQLite file by its absolute path, symbolic links unresolved; ``:memory:`` and unnamed ones are in memory.

    Args:
        database: As ``sqlite3.connect`` takes it.
        uri: Whether ``file:…`` is an SQLite URI.
    """
    text = os.fsdecode(database) if database is not None else ""
    return Place("sqlite", sqlite_namespace(text, uri=uri), None, "main")


def sqlite_namespace(path: str, *, uri: bool = False) -> str:
    """``sqlite:///`` and the absolute path, by analogy to DuckDB's: the specification has no entry for SQLite."""
    if uri and path.startswith("file:"):
        path, _, options = path.removeprefix("file:").partition("#")[0].partition("?")
        if "mode=memory" in options or "vfs=memdb" in options:
            return IN_MEMORY
        path = unquote(path.removeprefix("//localhost") if path.startswith("//localhost/") else path)
        path = path.removeprefix("//") if path.startswith("///") else path
    if not path or path == ":memory:":
        return IN_MEMORY
    return f"sqlite://{os.path.abspath(path)}"  # noqa: PTH100  # as DuckDB's paths: no symlinks resolved


def mysql(host: str | None, port: int | str | None, database: str | None) -> Place:
    """A MySQL or MariaDB server; its databases are what others call schemas."""
    return Place("mysql", f"mysql://{authority(host, port or 3306)}", None, database or None)


def snowflake(account: str | None, database: str | None, schema: str | None) -> Place:
    """A Snowflake account by its identifier or host name (OpenLineage, "Naming": ``org-account`` or ``locator.region.cloud``).

    The network path to it (``privatelink``, ``global``) is no part of the name. Database and schema are as Snowflake holds
    them: upper case, unless they were quoted when they were made.
    """
    name = (account or "").lower()
    for suffix in _SNOWFLAKE_SUFFIXES:
        name = name.removesuffix(suffix)
    return Place("snowflake", f"snowflake://{name}", database, schema or "PUBLIC")


def bigquery(project: str | None, dataset: str | None) -> Place:
    """A project, and the dataset of names that have none; the namespace is the same for all (OpenLineage, "Naming")."""
    return Place("bigquery", "bigquery", project or None, dataset or None)


def trino(host: str | None, port: int | str | None, catalog: str | None, schema: str | None) -> Place:
    """A Trino cluster by its coordinator's address."""
    name = (host or "").partition("/")[0]
    return Place("trino", f"trino://{authority(name, port or 8080)}", catalog or None, schema or None)


def databricks(host: str | None, catalog: str | None, schema: str | None) -> Place:
    """A Databricks workspace by its host name, as dbt's OpenLineage integration names it."""
    name = (host or "").lower().removeprefix("https://").rstrip("/")
    return Place("databricks", f"databricks://{name}", catalog or None, schema or "default")


def authority(host: str | None, port: int | str | None) -> str:
    """``host:port``: lower case, IPv6 addresses in brackets, a Unix socket or no host at all as ``localhost``."""
    name = (host or _LOCAL).partition(",")[0].lower()
    if name.startswith(("/", "@")):
        name = _LOCAL
    if ":" in name and not name.startswith("["):
        name = f"[{name}]"
    return f"{name}:{str(port).partition(',')[0]}" if port else name


@attrs.frozen
class Platform:
    """How a SQLAlchemy backend's URL becomes a place.

    Args:
        dialect: sqlglot's name of the dialect.
        scheme: Of the namespace.
        port: The server's default.
        parts: How many parts a table's name has: 3 with the database, 2 with the schema only.
    """

    dialect: str
    scheme: str
    port: int | None
    parts: int = 3

    def place(self, url: Url, schema: str | None) -> Place:
        """The place of a URL; ``schema`` is what the dialect knows to be the default one."""
        namespace = f"{self.scheme}://{authority(url.host, url.port or self.port)}"
        if self.parts == 2:
            return Place(self.dialect, namespace, None, schema or url.database or None)
        return Place(self.dialect, namespace, url.database or None, schema)


def _sqlite(url: Url, _schema: str | None) -> Place:
    database = url.database or ""
    return sqlite(database, uri=database.startswith("file:") and url.query.get("uri") == "true")


def _redshift(url: Url, schema: str | None) -> Place:
    """Cluster and region from the endpoint's host name (OpenLineage, "Naming", Redshift)."""
    found = _REDSHIFT_HOST.fullmatch((url.host or "").lower())
    host = f"{found['cluster']}.{found['region']}" if found else url.host
    return Place("redshift", f"redshift://{authority(host, url.port or 5439)}", url.database or None, schema)


def _oracle(url: Url, schema: str | None) -> Place:
    service = url.query.get("service_name") or url.database
    namespace = f"oracle://{authority(url.host, url.port or 1521)}"
    return Place("oracle", namespace, str(service) if service else None, schema)


def _snowflake(url: Url, schema: str | None) -> Place:
    catalog, named = _split(url.database)
    return snowflake(url.host, _upper(catalog), _upper(named) or _upper(schema))


def _bigquery(url: Url, _schema: str | None) -> Place:
    return bigquery(url.host, url.database)


def _mysql(url: Url, schema: str | None) -> Place:
    return mysql(url.host, url.port, schema or url.database)


def _trino(url: Url, schema: str | None) -> Place:
    catalog, named = _split(url.database)
    return trino(url.host, url.port, catalog, named or schema)


def _databricks(url: Url, schema: str | None) -> Place:
    catalog, named = url.query.get("catalog"), url.query.get("schema")
    return databricks(url.host, str(catalog) if catalog else None, str(named or schema or ""))


def _split(database: str | None) -> tuple[str | None, str | None]:
    """``catalog/schema``, as the URLs of Snowflake and Trino have it."""
    catalog, _, schema = (database or "").partition("/")
    return catalog or None, schema or None


def _upper(name: str | None) -> str | None:
    return name.upper() if name else None


PLATFORMS: Mapping[str, Callable[[Url, str | None], Place]] = {
    "postgresql": Platform("postgres", "postgres", 5432).place,
    "cockroachdb": Platform("postgres", "postgres", 26257).place,
    "redshift": _redshift,
    "mysql": _mysql,
    "mariadb": _mysql,
    "mssql": Platform("tsql", "mssql", 1433).place,
    "oracle": _oracle,
    "sqlite": _sqlite,
    "snowflake": _snowflake,
    "bigquery": _bigquery,
    "trino": _trino,
    "databricks": _databricks,
    "clickhouse": Platform("clickhouse", "clickhouse", 8123, parts=2).place,
    "clickhousedb": Platform("clickhouse", "clickhouse", 8123, parts=2).place,
    "crate": Platform("", "crate", 4200).place,
    "teradatasql": Platform("teradata", "teradata", 1025, parts=2).place,
    "hive": Platform("hive", "hive", 10000, parts=2).place,
}
"""By ``URL.get_backend_name()``: OpenLineage, "Naming"; for ClickHouse and Databricks what other producers emit."""


def of_url(backend: str, url: Url, schema: str | None = None) -> Place:
    """The place of a SQLAlchemy URL; a backend that is not in ``PLATFORMS`` is named by its own scheme.

    Args:
        backend: ``URL.get_backend_name()``.
        url: The engine's URL.
        schema: ``Dialect.default_schema_name``.
    """
    found = PLATFORMS.get(backend)
    return found(url, schema) if found else Platform("", backend, None).place(url, schema)
