"""An OpenLineage dataset's namespace and name, taken apart: scheme, authority, path, name."""

from __future__ import annotations

import re
from urllib.parse import unquote

import attrs

from openlineage_bridge_datahub.rules import NamespaceRule

# Spellings that producers use for the same platform (OpenLineage, "Naming", and what is really emitted).
ALIASES = {
    "postgresql": "postgres",
    "sqlserver": "mssql",
    "awsathena": "athena",
    "s3a": "s3",
    "s3n": "s3",
    "gs": "gcs",
    "abfs": "abs",
    "abfss": "abs",
    "wasb": "abs",
    "wasbs": "abs",
    "adl": "abs",
    "adls": "abs",
    "unitycatalog": "databricks",
    "unity-catalog": "databricks",
    "unity_catalog": "databricks",
    "aws:glue": "glue",
    "cockroach": "cockroachdb",
    "timescale": "timescaledb",
    "maria": "mariadb",
    "opensearch": "elasticsearch",
    "webhdfs": "hdfs",
    "viewfs": "hdfs",
    "hive2": "hive",
}

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-_]*):(?P<slashes>//)?(?P<rest>.*)", re.DOTALL)
_GLUE = re.compile(r"(?:arn:)?aws[a-z0-9-]*:glue:.*")
_ARN = re.compile(r"arn:aws[a-z0-9-]*:(?P<service>[a-z0-9-]+):.*")
_AZURE_HOST = re.compile(r"(?P<account>[^./]+)\.(?:blob|dfs)\.core\.windows\.net(?::\d+)?")
_NOT_A_PLATFORM = re.compile(r"[^A-Za-z0-9._-]+")


@attrs.frozen
class Location:
    """Where a dataset is.

    Args:
        scheme: Before ``://``, or the whole namespace where there is none; lower case.
        platform: The DataHub platform that the scheme suggests.
        authority: Host, bucket, ``container@account``; never part of a table's name.
        path: What the namespace has after the authority, without outer slashes.
        name: The dataset's name.
        rule: The user's rule for the namespace.
    """

    scheme: str
    platform: str
    authority: str
    path: str
    name: str
    rule: NamespaceRule


def locate(namespace: str, name: str, rule: NamespaceRule) -> Location:
    """Take a namespace and a name apart; total."""
    scheme, authority, path = split_namespace(namespace)
    embedded = _URI.fullmatch(name)
    if (
        embedded
        and embedded["slashes"]
        and _platform(embedded["scheme"].lower(), "") == _platform(scheme, authority)
    ):
        # A file or bucket name that repeats its namespace (Great Expectations: `file.localhost`, `file://localhost/x`).
        scheme, authority, path = split_namespace(name)
        authority, name, path = ("" if authority == "localhost" else authority), f"/{path}", ""
    platform = rule.platform or _platform(scheme, authority)
    return Location(scheme, platform, authority, path, name, rule)


def split_namespace(namespace: str) -> tuple[str, str, str]:
    """Scheme, authority and path of a namespace: ``postgres://host:5432`` is ``("postgres", "host:5432", "")``."""
    text = namespace.strip().removeprefix("jdbc:")
    if _GLUE.fullmatch(text):
        return "aws:glue", text, ""
    if arn := _ARN.fullmatch(text):
        return arn["service"], text, ""
    uri = _URI.fullmatch(text)
    if uri is None:
        return text.lower().removesuffix(".localhost"), "", ""
    scheme = uri["scheme"].lower()
    if not uri["slashes"]:
        return scheme, "", uri["rest"].strip("/")
    authority, _, path = uri["rest"].partition("/")
    return scheme, authority, unquote(path).strip("/")


def database_in_path(location: Location) -> str | None:
    """The database that a namespace such as ``postgres://host/metrics`` or ``duckdb:///data/t.duckdb`` names."""
    if location.platform == "sqlite":
        return "main"
    if location.platform == "duckdb":
        file = (location.path or location.authority).rpartition("/")[2]
        return file.partition(".")[0] or None
    return location.path if location.path and "/" not in location.path else None


def is_azure_storage(authority: str) -> bool:
    """Whether a host is Azure Blob or Data Lake storage, also behind ``https://``."""
    return _AZURE_HOST.fullmatch(authority.rpartition("@")[2]) is not None


def _platform(scheme: str, authority: str) -> str:
    if scheme in ("http", "https") and is_azure_storage(authority):
        return "abs"
    # SQLAlchemy's `postgresql+psycopg2`, MongoDB's `mongodb+srv`: the driver is no part of the platform.
    bare = ALIASES.get(scheme, scheme).partition("+")[0]
    return _NOT_A_PLATFORM.sub("-", ALIASES.get(bare, bare)).strip("-")
