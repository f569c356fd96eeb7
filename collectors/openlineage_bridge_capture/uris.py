"""A URI as people write it → the namespace and name of its dataset, by the OpenLineage naming specification.

What is the same in a statement, a connection or a file that was read is named here by what names it there:
``drivers.places`` for servers, ``files.paths`` for files and object stores.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NoReturn
from urllib.parse import unquote

import attrs

from openlineage_bridge_capture.addresses import Address, UnusableUriError, read
from openlineage_bridge_capture.databases import DATABASES, SPELLINGS, Database
from openlineage_bridge_capture.drivers import places
from openlineage_bridge_capture.files import paths

Identity = tuple[str, str]
"""Namespace and name (OpenLineage, "Naming")."""

FORMS = (
    "s3://bucket/key, /absolute/path or a pathlib.Path, snowflake://account/database/schema/table,"
    " postgresql://host/database#schema.table, bigquery://project/dataset/table, duckdb:///file.duckdb#schema.table,"
    " kafka://broker/topic, or Dataset(namespace, name)"
)
"""Forms that work, for whoever wrote one that does not."""


SERVICES: Mapping[str, int | None] = {
    "kafka": 9092,
    "elasticsearch": 9200,
    "opensearch": 9200,
    "pulsar": 6650,
    "kinesis": None,
}
"""Services whose datasets have one name below ``scheme://host:port``, and the default port (OpenLineage, "Naming": Kafka)."""

FILES = frozenset({"s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "az", "adl", "wasb", "wasbs", "hdfs", "file", "http", "https"})  # fmt: skip
"""Object stores and file systems, whose names are paths (OpenLineage, "Naming": S3, GCS, ABFSS, WASBS, HDFS, files)."""

AZURE = frozenset({"abfs", "abfss", "az", "adl", "wasb", "wasbs"})
"""Azure's, where the account is a part of the namespace that some forms leave to the environment."""

_DATABASE_FILE = re.compile(r"(?P<file>/.+\.(?P<kind>duckdb|ddb|sqlite3?))(?:::|#)(?P<table>.+)", re.DOTALL)
_QUERY = re.compile(r"\?[^/?#]*=.*", re.DOTALL)
_NAME = re.compile(r'"((?:[^"]|"")+)"|`([^`]+)`|\[([^\]]+)\]|([^.]+)')
"""A part of a dotted name: quoted as in standard SQL, MySQL or SQL Server, or plain."""

_SPANNER = re.compile(
    r"/projects/(?P<project>[^/]+)/instances/(?P<instance>[^/]+)/databases/(?P<database>[^/]+)"
)
_PUBSUB = re.compile(r"(?P<project>[^/]+)/(?:(?P<kind>topics|subscriptions)/)?(?P<name>[^/]+)")
_GLUE = re.compile(r"(?P<namespace>arn:aws[\w-]*:glue:[\w-]+:\d+):(?P<name>table/[^/]+/[^/]+)")
_URN = re.compile(r"urn:li:dataset:\(urn:li:dataPlatform:[^,()]+,[^,()]+,[^,()]+\)")
_S3 = re.compile(r"arn:aws[\w-]*:s3:::(?P<key>.+)", re.DOTALL)


def identity(uri: str | PurePath) -> Identity:
    """Namespace and name of the dataset that a URI means.

    User, password and options never become part of it. The same result comes of the same text, with two exceptions: a
    relative path starts from the current folder, and ``sqlite:///a/b.db`` is the absolute path, unless only the folder
    ``a`` of the current one exists (SQLAlchemy's reading).

    Raises:
        ValueError: It names no dataset, or not all of one; the reason never repeats the URI, which may hold a password.
    """
    try:
        return _identity(uri)
    except OSError as error:
        raise UnusableUriError("a relative path, and the current folder is gone") from error


def _identity(uri: str | PurePath) -> Identity:
    if isinstance(uri, PurePath):
        return paths.identity(str(Path(uri).absolute()))
    # What fsspec reads through a cache or out of an archive is the last of a chain: zip://a.csv::s3://bucket/b.zip
    last = uri.strip().rpartition("::")[2]
    text = last if "://" in last else uri.strip()
    if found := _DATABASE_FILE.fullmatch(text):
        scheme = "sqlite" if found["kind"].startswith("sqlite") else "duckdb"
        return _identity(f"{scheme}://{found['file']}#{found['table']}")
    if text.startswith("/") and not text.startswith("//"):
        return paths.identity(text)
    if text.startswith("arn:"):
        return _of_arn(text)
    try:
        address = read(text)
    except UnusableUriError as error:
        _refuse(str(error))
    scheme = SPELLINGS.get(address.scheme, address.scheme)
    namespace, name = RULES.get(scheme, _of_service)(attrs.evolve(address, scheme=scheme))
    if not namespace or not name:
        _refuse(f"a {scheme} URI without a name")
    return namespace, name


def _refuse(why: str, form: str | None = None) -> NoReturn:
    raise UnusableUriError(f"{why}; write it as {form}" if form else f"{why}; forms that work: {FORMS}")


def names(text: str) -> list[str]:
    """The parts of a dotted name; quoted ones keep their quotes off and their dots in."""
    return [name for name, _ in _quoted_names(text)]


def _quoted_names(text: str) -> list[tuple[str, bool]]:
    found = (each.groups() for each in _NAME.finditer(text))
    return [
        (next(part for part in parts if part is not None).replace('""', '"'), parts[-1] is None)
        for parts in found
    ]


# --- tables of servers


def _of_database(address: Address) -> Identity:
    row = DATABASES[address.scheme]
    if "odbc_connect" in address.query:
        _refuse("an ODBC connection string does not say plainly whose table it is", row.form)
    if not (address.host or address.authority) and address.scheme in ("snowflake", "databricks"):
        _refuse(f"a {address.scheme} URI without a host", row.form)
    place = _place(row, address)
    parts = _behind_connection(row, address, place) if address.table else _in_path(row, address.segments)
    if len(parts) != row.parts or not all(parts):
        _refuse(f"a table of {address.scheme} has {row.parts} names, and {len(parts)} are there", row.form)
    return place.namespace, ".".join(parts)


def _place(row: Database, address: Address) -> places.Place:
    backend = row.backend or address.scheme
    if backend in places.PLATFORMS:
        return places.of_url(backend, address, None)
    return places.Platform("", address.scheme, row.port, row.parts).place(address, None)


def _in_path(row: Database, segments: Sequence[str]) -> list[str]:
    """``database/schema/table``, ``database.schema.table`` or a mixture."""
    found = [each for segment in segments for each in _quoted_names(segment)]
    return [_folded(row, name, position, quoted) for position, (name, quoted) in enumerate(found)]


def _behind_connection(row: Database, address: Address, place: places.Place) -> list[str]:
    """The names that stand behind a connection's URL, completed by its database and schema as far as they lack."""
    found = _quoted_names(address.table)
    lacking = row.parts - len(found)
    schema = place.schema or row.schema
    before = [schema] if row.parts == 2 else [place.catalog, schema]
    own = [
        _folded(row, name, max(lacking, 0) + place_, quoted) for place_, (name, quoted) in enumerate(found)
    ]
    return [*(each for each in before[: max(lacking, 0)] if each), *own]


def _folded(row: Database, name: str, position: int, quoted: bool) -> str:
    return name if quoted or row.upper is None or position < row.upper else name.upper()


def _of_bigquery(address: Address) -> Identity:
    """OpenLineage, "Naming", BigQuery: the project is the first part, and there is no host."""
    parts = [part for text in (address.authority, *address.segments, address.table) for part in names(text)]
    if len(parts) != 3:
        _refuse(
            f"a table of BigQuery has 3 names, and {len(parts)} are there", "bigquery://project/dataset/table"
        )
    return places.bigquery(parts[0], parts[1]).namespace, ".".join(parts)


def _of_athena(address: Address) -> Identity:
    """OpenLineage, "Naming", Athena: the regional endpoint, and the catalog before the database."""
    parts = [part for text in (*address.segments, address.table) for part in names(text)]
    catalog = [] if len(parts) == 3 else [address.query.get("catalog_name", "AwsDataCatalog")]
    parts = catalog + parts
    if len(parts) != 3 or not address.host:
        _refuse(
            "a table of Athena has a region, database and name",
            "awsathena://athena.{region}.amazonaws.com/database/table",
        )
    return f"awsathena://{address.host.lower()}", ".".join(parts)


def _of_spanner(address: Address) -> Identity:
    """OpenLineage, "Naming", Spanner: ``{project}:{instance}``; SQLAlchemy has them in the path."""
    found = _SPANNER.fullmatch(address.path) if not address.authority else None
    where = f"{found['project']}:{found['instance']}" if found else address.authority
    segments = [found["database"]] if found else address.segments
    parts = [part for text in (*segments, address.table) for part in names(text)]
    if ":" not in where or len(parts) not in (2, 3):
        _refuse(
            "a table of Spanner has project, instance, database and name",
            "spanner://project:instance/database/schema/table",
        )
    return f"spanner://{where}", ".".join(parts)


def _of_mongodb(address: Address) -> Identity:
    """Not in the specification: scheme, host and port, ``{database}.{collection}``."""
    parts = [*address.segments, *([address.table] if address.table else [])]
    parts = parts if len(parts) > 1 else [part for text in parts for part in text.split(".", 1)]
    if len(parts) != 2 or not address.host:
        _refuse(
            "a collection of MongoDB has a host, a database and a name", "mongodb://host/database/collection"
        )
    return f"mongodb://{places.authority(address.host, address.port or 27017)}", ".".join(parts)


# --- databases in files


def _of_duckdb(address: Address) -> Identity:
    """As ``drivers.duckdb``: the file is the namespace, the name that DuckDB gives its catalog the first part."""
    path = _database_file(address, "duckdb:///file.duckdb#schema.table")
    parts = names(address.table)
    catalog = os.path.basename(path).partition(".")[0]  # noqa: PTH119  # it may be MotherDuck's
    full = [*[catalog, "main"][: 3 - len(parts)], *parts]
    if len(full) != 3 or not all(full):
        _refuse("no table of the file is named", "duckdb:///file.duckdb#schema.table")
    return f"duckdb://{path}", ".".join(full)


def _of_sqlite(address: Address) -> Identity:
    """As ``drivers.sqlite``: the file is the namespace, ``main`` the schema."""
    path = _database_file(address, "sqlite:///file.db#table")
    parts = names(address.table)
    if len(parts) not in (1, 2):
        _refuse("no table of the file is named", "sqlite:///file.db#table")
    return places.sqlite_namespace(path), ".".join(["main"][: 2 - len(parts)] + parts)


def _database_file(address: Address, form: str) -> str:
    """The absolute path; see ``identity`` for what three slashes mean."""
    path = f"{address.authority}{address.path}"
    if not path.strip("/") or ":memory:" in path:
        _refuse("a database in memory is nobody else's dataset", form)
    if path.removeprefix("/").startswith("md:"):
        return path.removeprefix("/")
    if path.startswith("/") and not path.startswith("//") and _is_relative(path):
        path = path.removeprefix("/")
    return os.path.abspath(f"/{path.lstrip('/')}" if path.startswith("/") else path)  # noqa: PTH100  # symlinks stay


def _is_relative(path: str) -> bool:
    # Unlike pathlib's, these answer for whatever no file can be called.
    if os.path.exists(path):  # noqa: PTH110
        return False
    below = os.path.dirname(path).strip("/")  # noqa: PTH120
    return not below or (os.path.isdir(below) and not os.path.isdir(f"/{below}"))  # noqa: PTH112


# --- files, objects, services


def _of_file(address: Address) -> Identity:
    """``files.paths`` names it; here the forms that only people write are made those that programs use."""
    text = _QUERY.sub("", address.text)
    scheme, host = address.scheme, address.authority
    if scheme in AZURE:
        return _of_azure(address, text)
    if scheme == "file":
        if host and host.lower() != "localhost":
            return f"file://{host.lower()}", unquote(paths.identity(address.path)[1])
        return paths.identity(address.path) if address.path.strip("/") else _refuse("a file has a path")
    if not host:
        _refuse(f"a {scheme} URI without a host or bucket")
    return paths.identity(text)


def _of_azure(address: Address, text: str) -> Identity:
    host = address.authority
    if address.user:
        return paths.identity(text.replace("://", f"://{address.user}@", 1))
    if host.endswith(".core.windows.net") and address.segments:
        container, _, rest = address.path.strip("/").partition("/")
        return paths.identity(f"{address.scheme}://{container}@{host}/{rest}")
    account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    if account is None or not host:
        _refuse("the storage account is missing", "abfss://container@account.dfs.core.windows.net/path")
    return paths.identity(paths.azure(text, account))


def _of_dbfs(address: Address) -> Identity:
    """OpenLineage, "Naming", DBFS; ``dbfs`` alone is what Spark says of its own workspace."""
    host = address.authority.lower()
    return f"dbfs://{host}" if host else "dbfs", f"/{'/'.join(address.segments)}"


def _of_pubsub(address: Address) -> Identity:
    """OpenLineage, "Naming", PubSub: ``topic:{project}:{topic}`` or ``subscription:{project}:{subscription}``."""
    found = _PUBSUB.fullmatch(f"{address.authority}{address.path}".removeprefix("projects/"))
    if found is None:
        _refuse("a topic of PubSub has a project and a name", "pubsub://project/topic")
    kind = "subscription" if found["kind"] == "subscriptions" else "topic"
    return "pubsub", f"{kind}:{found['project']}:{found['name']}"


def _of_cosmos(address: Address) -> Identity:
    """OpenLineage, "Naming", Azure Cosmos DB."""
    found = re.fullmatch(r"(/dbs/[^/]+)/(colls/[^/]+)", address.path)
    if found is None or not address.host:
        _refuse(
            "a collection of Cosmos DB has a host, a database and a name", "azurecosmos://host/dbs/db/colls/c"
        )
    return f"azurecosmos://{address.host.lower()}{found[1]}", found[2]


def _of_kusto(address: Address) -> Identity:
    """OpenLineage, "Naming", Azure Data Explorer."""
    if len(address.segments) != 2 or not address.host:
        _refuse("a table of Data Explorer has a cluster, a database and a name", "azurekusto://host/db/table")
    host = address.host.lower().removesuffix(".kusto.windows.net")
    return f"azurekusto://{host}.kusto.windows.net", "/".join(address.segments)


def _of_service(address: Address) -> Identity:
    """Everything else as the specification names what it has no row for: scheme, host and port, and the path."""
    if "://" not in address.text or not address.host:
        _refuse(f"nothing is known of {address.scheme}: URIs without a host")
    port = address.port or SERVICES.get(address.scheme)
    name = "/".join(address.segments) or address.table
    if not name:
        _refuse(f"a {address.scheme} URI without a name behind the host")
    return f"{address.scheme}://{places.authority(address.host, port)}", name


def _of_arn(text: str) -> Identity:
    """OpenLineage, "Naming", AWS Glue: the ARN up to the account is the namespace."""
    if found := _GLUE.fullmatch(text):
        return found["namespace"], found["name"]
    if found := _S3.fullmatch(text):
        return paths.identity(f"s3://{found['key']}")
    return _refuse("this ARN is of no dataset", "arn:aws:glue:{region}:{account}:table/{database}/{table}")


def _of_urn(address: Address) -> Identity:
    """A dataset by its URN in DataHub, for whoever knows no other name of it; not in the specification."""
    text = address.text.strip()
    if _URN.fullmatch(text) is None:
        _refuse("this URN is of no dataset", "urn:li:dataset:(urn:li:dataPlatform:{platform},{name},{env})")
    return "datahub", text


def _of_nothing(address: Address) -> Identity:
    return _refuse(f"a URI of the scheme {address.scheme} is not the name that a source of data has")


RULES: Mapping[str, Callable[[Address], Identity]] = {
    **dict.fromkeys(DATABASES, _of_database),
    **dict.fromkeys(FILES, _of_file),
    "bigquery": _of_bigquery,
    "awsathena": _of_athena,
    "spanner": _of_spanner,
    "mongodb": _of_mongodb,
    "duckdb": _of_duckdb,
    "sqlite": _of_sqlite,
    "dbfs": _of_dbfs,
    "pubsub": _of_pubsub,
    "azurecosmos": _of_cosmos,
    "azurekusto": _of_kusto,
    "urn": _of_urn,
    # What is in memory is nobody else's dataset.
    "inmemory": _of_nothing,
    "memory": _of_nothing,
    "data": _of_nothing,
}
"""By scheme; one that is not here is a service."""
