"""From a location to the name that the platform's DataHub connector gives it: one function per shape of name."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from openlineage_bridge_datahub.locations import Location, aws_place, database_in_path, is_azure_storage
from openlineage_bridge_datahub.path_specs import table_folder

if TYPE_CHECKING:
    from openlineage_bridge_datahub.platforms import Platform

Fold = Callable[[str], str]
Steps = list[str]
Naming = Callable[[Location, "Platform", Steps], str | None]
"""None means that DataHub has no dataset for it; the last step says why."""


# --- folding --------------------------------------------------------------------------------------------------------


def keep(part: str) -> str:
    """The case as sent."""
    return part


def lower(part: str) -> str:
    """Lower case."""
    return part.lower()


def upper_to_lower(part: str) -> str:
    """An all-upper identifier in lower case, any other as it is: SQLAlchemy's ``normalize_name`` for Oracle."""
    return part.lower() if part.isupper() else part


# --- tables ---------------------------------------------------------------------------------------------------------


def dotted(location: Location, platform: Platform, steps: Steps) -> str:
    """``[database.[schema.]]table``, as long as the platform's connector writes it."""
    parts = _parts(location.name, platform, steps)
    parts = _with_database(parts, location, platform, steps)
    wanted = platform.parts + 1 if location.rule.include_database else platform.parts
    if platform.drops_database and len(parts) > wanted > 0:
        steps.append(
            f"The connector writes {platform.parts} parts, so {'.'.join(parts[:-wanted])!r} is left out."
        )
        parts = parts[-wanted:]
    if platform.upper_database and len(parts) == platform.parts:
        parts = [parts[0].upper(), *parts[1:]]
    return ".".join(parts)


def hive(location: Location, platform: Platform, steps: Steps) -> str:
    """``database.table``, without the prefix of Spark's own catalog."""
    name = dotted(location, platform, steps)
    if name.lower().startswith("spark_catalog.") and name.count(".") > 1:
        steps.append("`spark_catalog` is Spark's name for the metastore itself and is left out.")
        name = name.partition(".")[2]
    return name


def glue(location: Location, platform: Platform, steps: Steps) -> str:
    """``table/database/table`` or ``database.table`` as ``database.table``."""
    name = location.name.strip("/")
    if "/" in name:
        name = name.removeprefix("table/").replace("/", ".")
        steps.append("`table/{database}/{table}` is written with a dot.")
    return ".".join(_with_database(_parts(name, platform, steps), location, platform, steps))


def dremio(location: Location, platform: Platform, steps: Steps) -> str:
    """``dremio.space.folder.table``: the connector puts its own name in front."""
    steps.append("The connector writes `dremio` in front.")
    return prefixed("dremio", dotted(location, platform, steps))


# Parts are separated by dots outside of quotes.
_QUOTE_PAIRS = (('"', '"'), ("`", "`"), ("[", "]"))


@lru_cache(maxsize=8)
def _splitter(quotes: str) -> re.Pattern[str]:
    quoted = [
        rf"{re.escape(opening)}[^{re.escape(closing)}]*{re.escape(closing)}"
        for opening, closing in _QUOTE_PAIRS
        if opening in quotes
    ]
    return re.compile("|".join([*quoted, r"[^.]", r"\."]))


def _split(name: str, quotes: str) -> list[str]:
    if not any(quote in name for quote in quotes):  # nearly every name
        return name.split(".")
    parts = [""]
    for piece in _splitter(quotes).findall(name):
        if piece == ".":
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def _parts(name: str, platform: Platform, steps: Steps) -> list[str]:
    parts = _split(name.strip(), platform.quotes)
    bare = [_unquoted(part, platform.quotes) for part in parts]
    if bare != parts:
        steps.append("Quotes around an identifier are dropped.")
    if platform.default_schema and len(bare) == platform.parts and not bare[-2]:
        steps.append(f"`database..table` is in the schema {platform.default_schema!r}.")
        bare[-2] = platform.default_schema
    known = [part for part in bare if part not in ("", "None")]
    if known != bare and known:
        steps.append("Empty parts and a literal `None` are dropped.")
    return known or bare


def _unquoted(part: str, quotes: str) -> str:
    for opening, closing in _QUOTE_PAIRS:
        if opening in quotes and len(part) > 2 and part.startswith(opening) and part.endswith(closing):
            return part[1:-1]
    return part


def _with_database(parts: list[str], location: Location, platform: Platform, steps: Steps) -> list[str]:
    """The parts, with the database in front where exactly that is missing."""
    keeps_all = location.rule.include_database or not platform.drops_database
    wanted = platform.parts + (platform.drops_database and keeps_all)
    # What a namespace calls its database is the part that such a connector leaves out.
    database = location.rule.database or (database_in_path(location) if keeps_all else None)
    database = database or platform.default_database
    if len(parts) != wanted - 1 or not database or _lost_its_schema(location.name):
        return parts
    steps.append(f"The name has one part fewer than the connector writes: database {database!r} is added.")
    return [database, *parts]


def _lost_its_schema(name: str) -> bool:
    """Whether a literal ``None`` stands behind the first part: ``dev.None.users`` has its database."""
    return "None" in name.split(".")[1:]


# --- files and objects ----------------------------------------------------------------------------------------------


def object_path(location: Location, _: Platform, steps: Steps) -> str:
    """``bucket/key`` without outer slashes; the account of an Azure container is dropped."""
    bucket, keys = location.authority, [location.path, location.name]
    if "@" in bucket:
        bucket = bucket.partition("@")[0]
        steps.append("The container is kept and the storage account dropped.")
    elif is_azure_storage(bucket):
        bucket = ""
        steps.append("The storage account is dropped; the path begins with the container.")
    return _table_folder(_joined(bucket, *keys), location, steps)


def hdfs_path(location: Location, _: Platform, steps: Steps) -> str:
    """``host:port/path``, or ``/path`` in estates that DataHub's Spark agent filled."""
    if location.rule.path_style == "no_authority":
        steps.append("path_style no_authority: the name is the path alone.")
        name = "/" + _joined(location.path, location.name)
        spoken = _joined(location.authority, name)
        if table_folder(name, location.rule.path_specs) is None:  # the specs may name the host
            name = _table_folder(spoken, location, steps).removeprefix(location.authority)
    elif location.authority:
        name = _joined(location.authority, location.path, location.name)
    else:
        name = "/" + _joined(location.path, location.name)
    return _table_folder(re.sub("/+", "/", name), location, steps)


def file_path(location: Location, _: Platform, steps: Steps) -> str:
    """``/path`` on this machine, ``host/path`` on another."""
    if re.match(r"[A-Za-z]:[\\/]", location.name):
        return location.name
    name = _joined(location.authority, location.path, location.name)
    return _table_folder(re.sub("/+", "/", name if location.authority else f"/{name}"), location, steps)


def url_path(location: Location, _: Platform, steps: Steps) -> str:
    """``host/path``: what no connector names keeps its host, or two servers would share a dataset."""
    is_bucket = location.platform == "oci"  # `bucket@namespace`; elsewhere it is who logs in
    host = location.authority if is_bucket else location.authority.rpartition("@")[2]
    steps.append("Host or bucket stays in front of the path.")
    return _table_folder(_joined(host, location.path, location.name), location, steps)


def unknown(location: Location, platform: Platform, steps: Steps) -> str:
    """The name as sent; that of a path with what it is the path on."""
    if location.name.startswith("/") and location.authority:
        return url_path(location, platform, steps)
    return as_sent(location, platform, steps)


def onelake(location: Location, _: Platform, steps: Steps) -> str:
    """``workspace.item.schema.table`` of a table in Fabric's OneLake, in ids; any other path as it is."""
    workspace = location.authority.partition("@")[0] if "@" in location.authority else ""
    path = _joined(workspace, location.path, location.name)
    found = _ONELAKE_TABLE.fullmatch(path)
    if found is None:
        steps.append("The connector names tables by the ids of workspace and item; this path stays as it is.")
        return _table_folder(path, location, steps)
    return ".".join((found["workspace"], found["item"], found["schema"] or "dbo", found["table"]))


_GUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ONELAKE_TABLE = re.compile(
    rf"(?P<workspace>{_GUID})/(?P<item>{_GUID})/Tables/(?:(?P<schema>[^/]+)/)?(?P<table>[^/]+)"
)


def rooted_path(location: Location, _: Platform, steps: Steps) -> str:
    """``/path``; the workspace is dropped (DBFS)."""
    return _table_folder(re.sub("/+", "/", f"/{_joined(location.path, location.name)}"), location, steps)


def _joined(*parts: str) -> str:
    return "/".join(stripped for part in parts if (stripped := part.strip("/")))


def _table_folder(path: str, location: Location, steps: Steps) -> str:
    folder = table_folder(path, location.rule.path_specs)
    if folder is None:
        return path
    steps.append("A path spec marks the folder that is the table; everything below it is cut off.")
    return folder


# --- messages and documents -----------------------------------------------------------------------------------------


def asset_key(location: Location, _: Platform, __: Steps) -> str:
    """``a.b.c`` of the asset ``a/b/c``, as DataHub's Dagster plugin joins the components of its key."""
    return location.name.strip().replace("/", ".")


def as_sent(location: Location, _: Platform, __: Steps) -> str:
    """The name as it is: topics, collections, platforms without a rule of their own."""
    return location.name.strip()


def pulsar(location: Location, _: Platform, steps: Steps) -> str:
    """``persistent://tenant/namespace/topic``."""
    name = location.name.strip("/")
    if "://" in name:
        return name
    steps.append(
        "A topic without `persistent://` is a persistent one, in public/default where no more is said."
    )
    return f"persistent://{name if name.count('/') >= 2 else f'public/default/{name}'}"


def pubsub(location: Location, _: Platform, steps: Steps) -> str | None:
    """``project.topic``; a subscription is no dataset."""
    kind, _colon, rest = location.name.partition(":")
    if kind == "subscription":
        steps.append("DataHub has no dataset for a subscription; only its topic has one.")
        return None
    return (rest if kind == "topic" else location.name).replace(":", ".")


def collection(location: Location, _: Platform, steps: Steps) -> str:
    """``database.collection``; the collection's own name may hold dots."""
    name, database = location.name.strip(), location.rule.database or database_in_path(location)
    if "." in name or not database:
        return name
    steps.append(f"The name has no database: {database!r} is added.")
    return f"{database}.{name}"


def in_region(location: Location, _: Platform, steps: Steps) -> str:
    """``region.name`` (Kinesis); the region from the rule, else from the endpoint or the ARN."""
    region, name = location.rule.location or aws_place(location)[0], location.name.strip()
    name = re.sub("^(?:stream|table)/", "", name)
    if region is None:
        steps.append("The connector writes the region: set `location` in the namespace's rule.")
        return name
    return prefixed(region, name)


def dynamodb(location: Location, platform: Platform, steps: Steps) -> str:
    """``account.region.table``: the account is the connector's instance where none is configured."""
    name, account = in_region(location, platform, steps), aws_place(location)[1]
    if account is None or location.rule.platform_instance:
        return name
    steps.append("Without a configured instance the connector takes the account for it.")
    return f"{account}.{name}"


_BACKING_INDEX = re.compile(r"\.ds-(?P<stream>.+)-\d{4}\.\d{2}\.\d{2}-\d{6}")


def elasticsearch(location: Location, _: Platform, steps: Steps) -> str:
    """Index or data stream; a backing index is its data stream."""
    backing = _BACKING_INDEX.fullmatch(location.name)
    if backing is None:
        return location.name
    steps.append("A backing index belongs to its data stream.")
    return backing["stream"]


# --- Google Cloud ---------------------------------------------------------------------------------------------------

# bigquery_v2/bigquery_audit.py: the default of `sharded_table_pattern`, the wildcard and the time decorator.
_SHARD = re.compile(r"((.+\D)[_$]?)?(\d\d\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]))$", re.IGNORECASE)
_WILDCARD = re.compile(r"((_(\d+)?)\*$)|\*$")
_SNAPSHOT = re.compile(r"^(.+)@(-?\d{1,13})(-(-?\d{1,13})?)?$")


def bigquery(location: Location, platform: Platform, steps: Steps) -> str:
    """``project.dataset.table`` without shard, wildcard, partition and time decorator."""
    parts = _split(location.name.strip(), platform.quotes)
    # A domain-scoped project (`example.com:p`) contains dots itself; `p:ds.t` is how legacy SQL writes a plain one.
    pieces = location.name.replace("`", "").strip()
    project, colon, rest = pieces.partition(":")
    if colon and "." not in project:
        parts = [project, *rest.split(".", 1)]
    elif colon:
        parts = pieces.rsplit(".", 2)
    else:
        parts = [*parts[:2], ".".join(parts[2:])] if len(parts) > 3 else parts
    parts = [_unquoted(part, platform.quotes) for part in parts]
    parts = _with_database(parts, location, platform, steps)
    table = _unsharded(parts[-1], parts[-2] if len(parts) > 1 else "", location.rule.bigquery_shard_suffix)
    if table != parts[-1]:
        steps.append(
            f"Shards, wildcards, partitions and decorators are one table: {parts[-1]!r} is {table!r}."
        )
    return ".".join([*parts[:-1], table])


def _unsharded(table: str, dataset: str, suffix: str) -> str:
    """``BigqueryTableIdentifier.get_table_name`` of the table's own part."""
    is_sharded = _SHARD.match(table) is not None or _WILDCARD.search(table) is not None
    name = _WILDCARD.sub("", table)
    if snapshot := _SNAPSHOT.match(name):
        name = snapshot[1]
    name = name.partition("$")[0]
    if shard := _SHARD.match(name):
        name = name[: -len(shard[3])].rstrip("_")
    return (name or dataset) + (suffix if is_sharded else "")


def spanner(location: Location, _: Platform, steps: Steps) -> str:
    """``project.regional-<location>.instance.database.table``."""
    project, instance = _project_and_instance(location)
    region = location.rule.location
    if not region:
        steps.append(
            "The connector writes the region: set `location` in the namespace's rule, or lineage will not join."
        )
    place = f"regional-{region}" if region else ""
    return ".".join(filter(None, (project, place, instance, location.name.replace("/", "."))))


def bigtable(location: Location, _: Platform, __: Steps) -> str:
    """``project.instance.table``."""
    return ".".join(filter(None, (*_project_and_instance(location), location.name)))


def _project_and_instance(location: Location) -> tuple[str, str]:
    """From ``project:instance`` (the specification) or ``project/instance`` (Spark)."""
    project, _, instance = location.authority.partition(":")
    return project, instance or location.path


def prefixed(prefix: str | None, name: str, parts: int = 0) -> str:
    """``prefix.name``, unless the name begins with it already.

    Args:
        prefix: What stands in front; nothing when it is None.
        name: What it stands in front of.
        parts: Dotted parts of a complete name without the prefix, where that is known: a database may be called as its
            catalog is.
    """
    has_it = prefix and name.startswith(f"{prefix}.") and (not parts or name.count(".") >= parts)
    return name if not prefix or has_it else f"{prefix}.{name}"


def folded(name: str, fold: Fold) -> str:
    """Every dotted part folded by itself."""
    return ".".join(map(fold, name.split(".")))
