"""Databases of other systems that DuckDB attaches, by the names that everyone else has for their tables.

DuckDB shows how a database was attached as its path: a connection string or a file. Where that says enough the tables are those of
the other system; where a secret or the environment holds the rest, they stay nameless.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from openlineage_bridge_capture.drivers import places
from openlineage_bridge_capture.recording import Catalog

_PAIR = re.compile(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s']\S*)")


def _settings(text: str) -> dict[str, str]:
    """Host, port and database of ``key=value`` pairs or a URL, without whatever else is in it."""
    text = re.sub(r"^\w+:(?!//)", "", text.strip())
    if "://" in text:
        url = urlsplit(text)
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        found = {
            "host": unquote(url.hostname or ""),
            "port": str(url.port or ""),
            "dbname": unquote(url.path.lstrip("/")),
        }
        return {**query, **{key: value for key, value in found.items() if value}}
    return {key.lower(): re.sub(r"\\(.)", r"\1", value.strip("'")) for key, value in _PAIR.findall(text)}


def postgres(alias: str, path: str) -> Catalog | None:
    """A PostgreSQL database; libpq's variables may say what the string does not, so it must name host and database."""
    found = _settings(path)
    host, database = found.get("host") or found.get("hostaddr"), found.get("dbname") or found.get("database")
    if not host or not database:
        return None
    place = places.postgres(host, found.get("port"), database, None)
    return Catalog(alias, place.namespace, database, "public")


def mysql(alias: str, path: str) -> Catalog | None:
    """A MySQL server: DuckDB calls its databases schemas, and the one of the string is the first."""
    found = _settings(path)
    host, database = found.get("host"), found.get("database") or found.get("db") or found.get("dbname")
    if not host or not database:
        return None
    return Catalog(alias, f"mysql://{places.authority(host, found.get('port') or 3306)}", "", database)


def sqlite(alias: str, path: str) -> Catalog | None:
    """An SQLite file."""
    namespace = places.sqlite_namespace(path.removeprefix("sqlite:"))
    return Catalog(alias, namespace, "") if namespace != places.IN_MEMORY else None


def motherduck(alias: str, path: str) -> Catalog:
    """A database of MotherDuck; a token in the string is no part of its name."""
    database = path.removeprefix("md:").removeprefix("motherduck:").partition("?")[0]
    return Catalog(alias, f"duckdb://md:{database or alias}", database or alias)


SYSTEMS: Mapping[str, Callable[[str, str], Catalog | None]] = {
    "motherduck": motherduck,
    "mysql": mysql,
    "postgres": postgres,
    "sqlite": sqlite,
}
"""By the type that ``duckdb_databases()`` tells."""
