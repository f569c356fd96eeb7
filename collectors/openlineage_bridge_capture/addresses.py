"""The text of a URI → scheme, host, path, options and table, without user and password, wherever these stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

import attrs


class UnusableUriError(ValueError):
    """The text names no dataset; the reason says which forms do, and does not repeat the text: it may hold a password."""


_URI = re.compile(
    r"(?:jdbc:)?(?P<scheme>[a-z][a-z0-9._-]+)(?:\+[\w.+-]+)?:(?P<slashes>//)?(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_CREDENTIALS = re.compile(r"(?P<user>[^:/?#@]*)(?::(?P<password>[^@]*))?@(?P<rest>.*)", re.DOTALL)
"""As SQLAlchemy reads them: the password may hold a slash, a question mark and a hash, and ends at the first ``@``."""

_PARTS = re.compile(
    r"(?P<authority>[^/?#;]*)(?P<path>[^?#;]*)(?P<properties>(?:;[^?#]*)?)(?:\?(?P<query>[^#]*))?(?:\#(?P<table>.*))?",
    re.DOTALL,
)
_FILES_OF_TABLES = frozenset({"duckdb", "sqlite", "sqlite3"})
"""Where ``::`` stands between the file and a table in it."""

_PORT = re.compile(r"(?P<host>.*):(?P<port>\d+)", re.DOTALL)


@attrs.frozen
class Address:
    """A URI, taken apart; ``sqlalchemy.engine.URL`` as far as ``drivers.places`` looks at one.

    Args:
        scheme: Lower case, without a driver.
        user: What stands before an ``@``: a container of Azure Storage, or somebody's name.
        authority: Host and port as they stand there, of several brokers too.
        host: None where there is none.
        port: None where there is none.
        path: Percent-decoded, with the slash it begins with.
        query: Options, SQL Server's properties included, whatever they are.
        table: What the fragment names, or the option ``table``, or what follows ``::``; percent-decoded.
        text: The URI without user, password and driver, not decoded.
    """

    scheme: str
    user: str
    authority: str
    host: str | None
    port: int | None
    path: str
    query: Mapping[str, str]
    table: str
    text: str

    @property
    def segments(self) -> list[str]:
        """The parts of the path that are not empty."""
        return [part for part in self.path.split("/") if part]

    @property
    def database(self) -> str | None:
        """The path as SQLAlchemy has it, or what SQL Server's JDBC properties name; None where there is none."""
        return "/".join(self.segments) or self.query.get("databasename") or None


def read(text: str) -> Address:
    """Take a URI apart.

    Raises:
        UnusableUriError: It is none, or nobody can tell where its password ends.
    """
    found = _URI.fullmatch(text)
    if found is None:
        raise UnusableUriError("not a URI, which begins with scheme://, and no absolute path")
    scheme = found["scheme"].lower()
    user, rest = _without_credentials(scheme, found["rest"])
    parts = _PARTS.fullmatch(rest)
    if parts is None:
        raise UnusableUriError(f"what follows {scheme}: is no address")
    path, _, table = parts["path"].partition("::") if scheme in _FILES_OF_TABLES else (parts["path"], "", "")
    query = _options(parts["query"]) | _properties(parts["properties"])
    host, port = _host(parts["authority"])
    return Address(
        scheme=scheme,
        user=user,
        authority=parts["authority"],
        host=host or query.get("host"),
        port=port,
        path=unquote(path),
        query=query,
        table=unquote(parts["table"] or "") or query.get("table", "") or unquote(table),
        text=f"{scheme}:{found['slashes'] or ''}{rest}",
    )


def _without_credentials(scheme: str, rest: str) -> tuple[str, str]:
    found = _CREDENTIALS.fullmatch(rest)
    if found is None:
        return "", rest
    if found["password"] is not None and "@" in found["rest"]:
        raise UnusableUriError(
            f"with an @ in the password or behind it, nobody can tell where the host of a {scheme} URI begins; write it as %40"
        )
    return found["user"], found["rest"]


def _host(authority: str) -> tuple[str | None, int | None]:
    """Host and port of the first of several servers; an IPv6 address without its brackets."""
    first = authority.partition(",")[0]
    found = None if first.endswith("]") else _PORT.fullmatch(first)
    host = unquote(found["host"] if found else first).removeprefix("[").removesuffix("]")
    return host.removesuffix(":") or None, int(found["port"]) if found else None


def _options(query: str | None) -> dict[str, str]:
    return {key.lower(): value for key, value in parse_qsl(query or "")}


def _properties(text: str) -> dict[str, str]:
    """``;databaseName=shop;encrypt=true`` of SQL Server's JDBC driver."""
    pairs = (each.partition("=") for each in text.split(";") if each)
    return {key.strip().lower(): value for key, _, value in pairs}
