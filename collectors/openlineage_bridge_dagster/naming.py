"""From an asset key to the dataset it stands for: one pure function, so that every reader and writer says the same name."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import attrs

from openlineage_bridge_capture import Dataset
from openlineage_bridge_dagster.sources import DATASET_URN_KEY, dataset_of_urn

log = logging.getLogger(__name__)

AssetPath = tuple[str, ...]
"""The components of an asset key."""

Metadata = Mapping[str, Any]
"""Metadata of an asset or a materialization, with plain Python values."""

DatasetOf = Callable[[AssetPath, Metadata], Dataset | None]
"""A user's own rule: asset key and definition metadata to dataset, or None to leave it to the rules below."""

ASSET_NAMESPACE = "dagster"
ASSET_SYMLINK_TYPE = "DAGSTER_ASSET"

# Platforms of the key convention whose names join with dots below a namespace that only configuration knows
# (OpenLineage, "Naming"). The platform itself stands in while nothing is configured.
TABLE_PLATFORMS = frozenset(
    {
        "athena",
        "bigquery",
        "cassandra",
        "clickhouse",
        "databricks",
        "db2",
        "dremio",
        "duckdb",
        "glue",
        "hive",
        "kafka",
        "mssql",
        "mysql",
        "oracle",
        "postgres",
        "presto",
        "redshift",
        "snowflake",
        "spanner",
        "sqlite",
        "teradata",
        "trino",
    }
)
# Object stores: the bucket is the namespace, the rest a path.
OBJECT_STORES = {
    "s3": "s3",
    "s3a": "s3",
    "s3n": "s3",
    "gs": "gs",
    "gcs": "gs",
    "abfs": "abfss",
    "abfss": "abfss",
}
ALIASES = {"postgresql": "postgres", "sqlserver": "mssql", "awsathena": "athena"}


@attrs.frozen
class AssetNaming:
    """How asset keys become OpenLineage datasets. The first rule that answers wins.

    1. ``dataset_of``, the user's function; definition metadata ``datahub_urn``;
    2. the key convention ``[env, platform, database, schema, table]`` of DataHub's plugin (three components or more,
       the second a known platform); object stores as ``[env, s3, bucket, path, …]``;
    3. definition metadata: ``dagster/uri``, then ``dagster/table_name`` with a ``dagster/storage_kind`` that is a platform;
    4. the same keys, and ``datahub_urn``, on the asset's last materialization;
    5. the asset key itself, in the namespace ``dagster``.

    Args:
        namespaces: OpenLineage namespace by platform, e.g. ``{"duckdb": "duckdb:///data/w.duckdb"}``: the key says no
            host or account. With it, a table that is named by an asset key and the same table seen in captured SQL
            are one dataset, provided that the key spells database, schema and table as the database does.
        dataset_of: The user's own rule.
    """

    namespaces: Mapping[str, str] = attrs.field(factory=dict)
    dataset_of: DatasetOf | None = None

    def dataset(
        self, key: Sequence[str], definition: Metadata, materialized: Metadata | None = None
    ) -> Dataset:
        """The dataset of an asset: never empty, since the asset key is always a name."""
        return self.physical(key, definition, materialized) or asset_dataset(key)

    def physical(
        self, key: Sequence[str], definition: Metadata, materialized: Metadata | None = None
    ) -> Dataset | None:
        """The dataset by rules 1 to 4, or None where only the asset key names it."""
        return (
            self._by_user(tuple(key), definition)
            or _by_urn(definition)
            or self._by_key(tuple(key))
            or self._by_address(definition)
            or _by_urn(materialized or {})
            or self._by_address(materialized or {})
        )

    def _by_user(self, key: AssetPath, definition: Metadata) -> Dataset | None:
        if self.dataset_of is None:
            return None
        try:
            return self.dataset_of(key, definition)
        except Exception:
            log.exception(
                "The naming function failed for asset %s; the built-in rules name it", "/".join(key)
            )
            return None

    def _by_key(self, key: AssetPath) -> Dataset | None:
        if len(key) < 3:
            return None
        platform, rest = _platform(key[1]), key[2:]
        if platform in OBJECT_STORES and len(rest) >= 2:
            return Dataset(f"{OBJECT_STORES[platform]}://{rest[0]}", "/".join(rest[1:]))
        if platform in TABLE_PLATFORMS or platform in self.namespaces:
            return Dataset(self.namespaces.get(platform, platform), ".".join(rest))
        return None

    def _by_address(self, metadata: Metadata) -> Dataset | None:
        uri, table = metadata.get("dagster/uri"), _table_name(metadata)
        kind = metadata.get("dagster/storage_kind")
        if isinstance(uri, str) and (dataset := _by_uri(uri)):
            return dataset
        if table and isinstance(kind, str) and (platform := _platform(kind)) in TABLE_PLATFORMS:
            return self._by_table(platform, table)
        return None

    def _by_table(self, platform: str, table: str) -> Dataset:
        if platform == "duckdb" and (inside := _duckdb_address(table)):
            return inside
        return Dataset(self.namespaces.get(platform, platform), _held(platform, table))


def names_table(key: Sequence[str]) -> bool:
    """Whether the key convention names a table or an object on a platform that OpenLineage names."""
    return len(key) >= 3 and _platform(key[1]) in TABLE_PLATFORMS | OBJECT_STORES.keys()


def _by_urn(metadata: Metadata) -> Dataset | None:
    urn = metadata.get(DATASET_URN_KEY)
    return dataset_of_urn(urn) if urn else None


def asset_dataset(key: Sequence[str]) -> Dataset:
    """The asset itself as a dataset: namespace ``dagster``, name ``a/b/c``."""
    return Dataset(ASSET_NAMESPACE, "/".join(key))


def parse_namespaces(text: str | None) -> dict[str, str]:
    """The mapping of ``OPENLINEAGE_BRIDGE_DAGSTER_NAMESPACES``: a JSON object, platform to namespace.

    Raises:
        ValueError: The text is not a JSON object of strings.
    """
    if not text:
        return {}
    data = json.loads(text)
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise ValueError('expected a JSON object such as {"duckdb": "duckdb:///data/w.duckdb"}')
    return {_platform(platform): namespace for platform, namespace in data.items()}


def _platform(text: str) -> str:
    lowered = text.lower()
    return ALIASES.get(lowered, lowered)


def _table_name(metadata: Metadata) -> str | None:
    name = metadata.get("dagster/table_name") or metadata.get("dagster/relation_identifier")
    return name if isinstance(name, str) else None


def _held(platform: str, table: str) -> str:
    """As the database holds the name: Snowflake in upper case, unless it is quoted, so that captured SQL names the same."""
    return table.upper() if platform == "snowflake" and '"' not in table else table


def _by_uri(uri: str) -> Dataset | None:
    """As captured code names it, so that what it is seen to write is the same dataset."""
    try:
        return Dataset.from_uri(uri)
    except ValueError as error:
        log.debug("A dagster/uri names no dataset: %s", error)
        return None


# DuckDB's IO manager says the file for the database: ``/data/w.duckdb.public.orders`` (dagster 1.8 to 1.13).
_DUCKDB_TABLE = re.compile(r"(?P<file>.*(?:/|\.duckdb|\.db)[^/]*)\.(?P<schema>[^./]+)\.(?P<table>[^./]+)")


def _duckdb_address(table: str) -> Dataset | None:
    match = _DUCKDB_TABLE.fullmatch(table)
    if match is None or "://" in table or not match["file"].startswith("/"):
        return None
    catalog = PurePath(match["file"]).stem
    return Dataset(f"duckdb://{match['file']}", f"{catalog}.{match['schema']}.{match['table']}")
