"""Platforms that DataHub's server does not know by itself: with a name and a kind they are no ghosts in its pages."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from openlineage_bridge.translation import Aspect
from openlineage_bridge_datahub.encoding import platform_urn
from openlineage_bridge_datahub.platforms import PLATFORMS

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


DESCRIBED = {
    "adls": Info("Azure Data Lake Storage", "FILE_SYSTEM", "/"),
    "azurecosmos": Info("Azure Cosmos DB", "KEY_VALUE_STORE"),
    "azurekusto": Info("Azure Data Explorer", "OLAP_DATASTORE"),
    "box": Info("Box", "FILE_SYSTEM", "/"),
    "cos": Info("Tencent Cloud Object Storage", "OBJECT_STORE", "/"),
    "crate": Info("CrateDB", "RELATIONAL_DB"),
    "dbfs": Info("Databricks File System", "FILE_SYSTEM", "/"),
    "derby": Info("Apache Derby", "RELATIONAL_DB"),
    "duckdb": Info("DuckDB", "RELATIONAL_DB"),
    "fabric-warehouse": Info("Fabric Warehouse", "RELATIONAL_DB"),
    "filenet": Info("FileNet", "FILE_SYSTEM", "/"),
    "ftp": Info("FTP", "FILE_SYSTEM", "/"),
    "http": Info("Web", "OTHERS", "/"),
    "milvus": Info("Milvus", "OTHERS"),
    "mssharepoint": Info("SharePoint", "FILE_SYSTEM", "/"),
    "obs": Info("Huawei Cloud Object Storage", "OBJECT_STORE", "/"),
    "oceanbase": Info("OceanBase", "RELATIONAL_DB"),
    "oci": Info("Oracle Cloud Object Storage", "OBJECT_STORE", "/"),
    "openlineage": Info("OpenLineage", "OTHERS"),
    "oss": Info("Alibaba Cloud Object Storage", "OBJECT_STORE", "/"),
    "sftp": Info("SFTP", "FILE_SYSTEM", "/"),
    "sqlite": Info("SQLite", "RELATIONAL_DB"),
}
"""Platforms that DataHub's server does not have of itself and for which no connector brings one along."""

KNOWN_TO_DATAHUB = frozenset(
    "OpenApi abinitio adlsGen1 adlsGen2 airflow ambry athena azure-data-factory bigquery cassandra clickhouse cockroachdb "  # noqa: SIM905 - a table
    "controlm couchbase csv dagster databricks datahub dataplex db2 dbt delta-lake doris dremio druid dynamodb "
    "elasticsearch excel external fabric-onelake feast file fivetran flink gcs glue google_sheets grafana "
    "great-expectations hana hdfs hex hive hudi iceberg informatica kafka kafka-connect kusto looker mariadb metabase "
    "microsoft-teams mlflow mode mongodb mssql mysql neo4j nifi notion oracle pinot postgres powerbi prefect preset presto "
    "presto-on-hive pulsar qlik-sense redash redshift s3 sac sagemaker salesforce sigma slack snaplogic snowflake snowplow "
    "spark streamlit superset tableau teradata trino unknown vertexai vertica voldemort".split()
)
"""Platforms that a DataHub server begins with (its ``bootstrap_mcps/data-platforms.yaml``): with a logo that must stay."""


def platform_aspects(platform: str) -> Iterator[Aspect]:
    """``dataPlatformInfo`` of a platform that neither the server nor a connector knows; nothing for any other.

    A namespace that is no platform, as Marquez has them, is shown by its own name.
    """
    if info := _info(platform):
        value = {
            "name": platform,
            "displayName": info.name,
            "type": info.kind,
            "datasetNameDelimiter": info.delimiter,
        }
        yield Aspect(platform_urn(platform), ENTITY, "dataPlatformInfo", value)


def _info(platform: str) -> Info | None:
    if platform in DESCRIBED:
        return DESCRIBED[platform]
    has_connector = platform in PLATFORMS and PLATFORMS[platform].follows
    return None if has_connector or platform in KNOWN_TO_DATAHUB else Info(platform, "OTHERS")
