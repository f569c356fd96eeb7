"""Platforms that DataHub's server does not know by itself: with a name and a kind they are no ghosts in its pages."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from openlineage_bridge.translation import Aspect
from openlineage_bridge_datahub.encoding import platform_urn

ENTITY = "dataPlatform"


@attrs.frozen
class Info:
    """What DataHub shows of a platform.

    Args:
        name: As it is shown.
        kind: DataHub's PlatformType.
        delimiter: Between the parts of a dataset's name.
    """

    name: str
    kind: str
    delimiter: str = "."


UNKNOWN_TO_DATAHUB = {
    "adls": Info("Azure Data Lake Storage", "FILE_SYSTEM", "/"),
    "dbfs": Info("Databricks File System", "FILE_SYSTEM", "/"),
    "duckdb": Info("DuckDB", "RELATIONAL_DB"),
    "oceanbase": Info("OceanBase", "RELATIONAL_DB"),
    "milvus": Info("Milvus", "OTHERS"),
    "openlineage": Info("OpenLineage", "OTHERS"),
}
"""Platforms that are missing in the list that a DataHub server begins with."""


def platform_aspects(platform: str) -> Iterator[Aspect]:
    """``dataPlatformInfo`` of a platform that the server lacks; nothing for any other."""
    if info := UNKNOWN_TO_DATAHUB.get(platform):
        value = {
            "name": platform,
            "displayName": info.name,
            "type": info.kind,
            "datasetNameDelimiter": info.delimiter,
        }
        yield Aspect(platform_urn(platform), ENTITY, "dataPlatformInfo", value)
