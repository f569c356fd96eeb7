"""The containers of a dataset (database, schema, catalog, …), the very ones that the platform's connector makes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import attrs

from openlineage_bridge.events import Facets
from openlineage_bridge.translation import Aspect
from openlineage_bridge_datahub.encoding import is_too_long, platform_instance_urn, platform_urn
from openlineage_bridge_datahub.facets import facet_of, objects
from openlineage_bridge_datahub.urns import NamedDataset

ENTITY = "container"


@attrs.frozen
class Levels:
    """How a connector keys its containers: a part of the dataset's name each, from the outside in.

    Args:
        fields: Fields of the key (acryl-datahub, ``emitter/mcp_builder.py``) with the subtype that is shown.
        env_for_instance: The environment stands for the instance where there is none (``backcompat_env_as_instance``).
        joined: The one level is everything before the table (Iceberg's namespaces).
    """

    fields: tuple[tuple[str, str], ...]
    env_for_instance: bool = True
    joined: bool = False


_DATABASE = Levels((("database", "Database"),))
_SCHEMA = Levels((("database", "Database"), ("schema", "Schema")))

LEVELS: dict[str, Levels] = {
    "postgres": _SCHEMA,
    "cockroachdb": _SCHEMA,
    "timescaledb": _SCHEMA,
    "redshift": _SCHEMA,
    "snowflake": _SCHEMA,
    "mssql": _SCHEMA,
    "vertica": _SCHEMA,
    "db2": _SCHEMA,
    "duckdb": _SCHEMA,
    "trino": _SCHEMA,
    "presto": _SCHEMA,
    "mysql": _DATABASE,
    "mariadb": _DATABASE,
    "tidb": _DATABASE,
    "teradata": _DATABASE,
    "clickhouse": _DATABASE,
    "hive": _DATABASE,
    "athena": _DATABASE,
    "glue": _DATABASE,
    "mongodb": Levels((("database", "Database"),), env_for_instance=False),
    "cassandra": Levels((("keyspace", "Keyspace"),), env_for_instance=False),
    "bigquery": Levels((("project_id", "Project"), ("dataset_id", "Dataset"))),
    "databricks": Levels((("catalog", "Catalog"), ("unity_schema", "Schema")), env_for_instance=False),
    "iceberg": Levels((("namespace", "Namespace"),), env_for_instance=False, joined=True),
}
"""Platform → the keys that its connector gives its containers."""

SUBTYPES = {"DATABASE": "Database", "SCHEMA": "Schema", "CATALOG": "Catalog", "NAMESPACE": "Namespace"}
"""``hierarchy[].type`` → DataHub's subtype, where it is not just the capitalised word."""


@attrs.frozen
class Container:
    """One container.

    Args:
        urn: ``urn:li:container:…``.
        name: As it is shown.
        subtype: ``Database``, ``Schema``, …
        key: What the URN is the digest of.
    """

    urn: str
    name: str
    subtype: str
    key: Mapping[str, str]


def containers(facets: Facets, named: NamedDataset) -> list[Container]:
    """From the outside in, where a ``hierarchy`` or ``catalog`` facet says that there are any."""
    stated = _stated(facets)
    if not stated and not facet_of(facets, "catalog"):
        return []
    levels = LEVELS.get(named.platform)
    parts = _parts(named)
    if levels is not None and levels.joined and len(parts) > 1:
        return _keyed(levels, [".".join(parts[:-1])], named)
    if levels is not None and len(parts) == len(levels.fields) + 1:
        return _keyed(levels, parts[:-1], named)
    return _generic(stated, named)


def _keyed(levels: Levels, names: Sequence[str], named: NamedDataset) -> list[Container]:
    """Keyed as the platform's connector does."""
    key = _root(named, env_for_instance=levels.env_for_instance)
    found = []
    for (field, subtype), name in zip(levels.fields, names, strict=True):
        key = {**key, field: name}
        found.append(Container(container_urn(key), name, subtype, key))
    return found


def _generic(stated: Sequence[tuple[str, str]], named: NamedDataset) -> list[Container]:
    """Keyed by the types and names that the facet states, where no connector's key is known."""
    key = _root(named, env_for_instance=True)
    found = []
    for kind, name in stated:
        key = {**key, kind.lower(): name}
        subtype = SUBTYPES.get(kind.upper(), kind.replace("_", " ").capitalize())
        found.append(Container(container_urn(key), name, subtype, key))
    return found


def _root(named: NamedDataset, *, env_for_instance: bool) -> dict[str, str]:
    instance = named.instance or (named.env if env_for_instance else None)
    return {"platform": named.platform, **({"instance": instance} if instance else {})}


def container_urn(key: Mapping[str, str]) -> str:
    """``urn:li:container:…`` of a key: acryl-datahub's ``datahub_guid``."""
    text = json.dumps(key, separators=(",", ":"), sort_keys=True)
    return f"urn:li:container:{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}"


def _stated(facets: Facets) -> list[tuple[str, str]]:
    """Type and name of the levels above the dataset (HierarchyDatasetFacet 1-0-0), which is itself the last."""
    levels = [
        (each["type"], each["name"])
        for each in objects(facet_of(facets, "hierarchy").get("hierarchy"))
        if isinstance(each.get("type"), str)
        and isinstance(each.get("name"), str)
        and each["type"].strip()
        and each["name"].strip()
    ]
    return levels[:-1]


def _parts(named: NamedDataset) -> list[str]:
    """The dotted parts of the name without the instance."""
    name = unquote(named.name) if "%" in named.name else named.name
    return name.removeprefix(f"{named.instance}." if named.instance else "").split(".")


# --- aspects --------------------------------------------------------------------------------------------------------


def container_aspects(found: Sequence[Container], named: NamedDataset) -> Iterator[Aspect]:
    """The containers themselves, each in the one around it."""
    for depth, each in enumerate(found):
        properties = {"name": each.name, "customProperties": dict(each.key), "env": named.env}
        yield Aspect(each.urn, ENTITY, "containerProperties", properties)
        yield Aspect(each.urn, ENTITY, "subTypes", {"typeNames": [each.subtype]})
        yield Aspect(each.urn, ENTITY, "dataPlatformInstance", _platform(named))
        if depth:
            yield Aspect(each.urn, ENTITY, "container", {"container": found[depth - 1].urn})
        yield Aspect(each.urn, ENTITY, "browsePathsV2", browse_path(found[:depth], named))


def browse_path(above: Sequence[Container], named: NamedDataset) -> dict[str, Any]:
    """``browsePathsV2``: instance, then containers."""
    instance = platform_instance_urn(named.platform, named.instance) if named.instance else None
    urns = [urn for urn in (instance, *(each.urn for each in above)) if urn and not is_too_long(urn)]
    return {"path": [{"id": urn, "urn": urn} for urn in urns]}


def _platform(named: NamedDataset) -> dict[str, Any]:
    value = {"platform": platform_urn(named.platform)}
    if named.instance:
        value["instance"] = platform_instance_urn(named.platform, named.instance)
    return value
