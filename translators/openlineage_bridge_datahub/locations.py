"""An OpenLineage dataset's namespace and name, taken apart: scheme, authority, path, name."""

from __future__ import annotations

import re
from functools import lru_cache
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
    "az": "abs",
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
    "cosn": "cos",
    "sap": "hana",
    "https": "http",
    "ftps": "ftp",
}

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-_]*):(?P<slashes>//)?(?P<rest>.*)", re.DOTALL)
_GLUE = re.compile(r"(?:arn:)?aws[a-z0-9-]*:glue:.*")
_ARN = re.compile(r"arn:aws[a-z0-9-]*:(?P<service>[a-z0-9-]+):[^:]*:[^:]*:?(?P<resource>.*)")
# Object stores behind their web addresses: the scheme of their own, and the bucket where it stands in the host.
_HOSTED = (
    ("s3", re.compile(r"(?:(?P<bucket>.+)\.)?s3[.-](?:[a-z0-9-]+\.)*amazonaws\.com(?:\.cn)?(?::\d+)?")),
    ("gs", re.compile(r"(?:(?P<bucket>.+)\.)?storage\.(?:googleapis|cloud\.google)\.com(?::\d+)?")),
)
_AZURE_HOST = re.compile(r"(?P<account>[^./]+)\.(?:blob|dfs)\.core\.windows\.net(?::\d+)?")
_ONELAKE_HOST = re.compile(r"onelake\.(?:blob|dfs)\.fabric\.microsoft\.com(?::\d+)?")
_AWS_REGION = re.compile(r"(?:^|[./:])([a-z]{2}(?:-[a-z]+)+-\d)(?:[./:]|$)")
_AWS_ACCOUNT = re.compile(r"arn:.*:(\d{12})(?::|$)")
# What JDBC addresses of SQL Server carry behind their host.
_SETTING = re.compile(r";\s*database(?:name)?\s*=\s*(?P<database>[^;]+)", re.IGNORECASE)
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
    is_address = embedded is not None and bool(embedded["slashes"] or embedded["rest"].startswith("/"))
    if is_address and embedded and _platform(embedded["scheme"].lower(), "") == _platform(scheme, authority):
        # A file or bucket name that repeats its namespace (Great Expectations: `file.localhost`, `file://localhost/x`).
        scheme, authority, path = split_namespace(name)
        name, path = f"/{path}", ""
    if scheme == "file" and authority == "localhost":
        authority = ""
    return Location(scheme, rule.platform or _platform(scheme, authority), authority, path, name, rule)


@lru_cache(maxsize=4096)
def split_namespace(namespace: str) -> tuple[str, str, str]:
    """Scheme, authority and path of a namespace: ``postgres://host:5432`` is ``("postgres", "host:5432", "")``."""
    text = namespace.strip().removeprefix("jdbc:")
    if _GLUE.fullmatch(text):
        return "aws:glue", text, ""
    if arn := _ARN.fullmatch(text):
        return arn["service"], arn["resource"] if arn["service"] == "s3" else text, ""
    uri = _URI.fullmatch(text)
    if uri is None:
        return text.lower().removesuffix(".localhost"), "", ""
    scheme = uri["scheme"].lower()
    if not uri["slashes"]:
        return scheme, "", uri["rest"].strip("/")
    authority, _, path = uri["rest"].partition("/")
    return *_unhosted(scheme, authority), unquote(path).strip("/")


def _unhosted(scheme: str, authority: str) -> tuple[str, str]:
    """``https://bucket.s3.amazonaws.com`` is ``s3://bucket``; where the path begins with the bucket no authority is left."""
    if scheme in ("http", "https"):
        for store, host in _HOSTED:
            if found := host.fullmatch(authority.lower()):
                return store, found["bucket"] or ""
    return scheme, authority


def database_in_path(location: Location) -> str | None:
    """The database that a namespace such as ``postgres://host/metrics`` or ``duckdb:///data/t.duckdb`` names."""
    if location.platform == "sqlite":
        return "main"
    if location.platform == "duckdb":
        file = (location.path or location.authority).rpartition("/")[2]
        return file.partition(".")[0] or None
    if location.platform == "mssql" and (setting := _SETTING.search(location.authority)):
        return setting["database"].strip()
    return location.path if location.path and "/" not in location.path else None


def aws_place(location: Location) -> tuple[str | None, str | None]:
    """Region and account that the namespace, an endpoint or an ARN, names."""
    region, account = (each.search(location.authority) for each in (_AWS_REGION, _AWS_ACCOUNT))
    return (region[1] if region else None), (account[1] if account else None)


def is_azure_storage(authority: str) -> bool:
    """Whether a host is Azure Blob or Data Lake storage, also behind ``https://``."""
    return _AZURE_HOST.fullmatch(authority.rpartition("@")[2]) is not None


@lru_cache(maxsize=4096)
def _platform(scheme: str, authority: str) -> str:
    if _ONELAKE_HOST.fullmatch(authority.rpartition("@")[2]):
        return "fabric-onelake"
    if scheme in ("http", "https") and is_azure_storage(authority):
        return "abs"
    # SQLAlchemy's `postgresql+psycopg2`, MongoDB's `mongodb+srv`: the driver is no part of the platform.
    bare = ALIASES.get(scheme, scheme).partition("+")[0]
    return _NOT_A_PLATFORM.sub("-", ALIASES.get(bare, bare)).strip("-")
