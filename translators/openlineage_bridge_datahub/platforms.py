"""The naming rule of every DataHub platform: one row each, with the connector whose code it follows."""

from __future__ import annotations

import attrs

from openlineage_bridge_datahub import names
from openlineage_bridge_datahub.names import Naming


@attrs.frozen
class Platform:
    """How a platform's connector names datasets.

    Args:
        follows: File of acryl-datahub (below ``datahub/ingestion/source/``) whose rule this is; empty where DataHub has
            no connector and the name is what the producer sent.
        naming: From a location to the name.
        parts: Dotted parts that the connector writes.
        drops_database: It leaves out what stands before them.
        fold: What it does with the case of a part.
        fold_columns: What it does with the case of a column.
        upper_database: It writes the database in upper case.
        default_schema: The schema that `database..table` leaves out.
        default_database: What it writes where the name has no database and nobody says one.
        quotes: Characters that producers put around identifiers and the connector does not write.
        has_instance: It writes a configured platform instance into the name.
        is_path: Its datasets are files: a TABLE symlink to a catalog names them better.
    """

    follows: str
    naming: Naming = names.dotted
    parts: int = 0
    drops_database: bool = False
    fold: names.Fold = names.keep
    fold_columns: names.Fold = names.keep
    upper_database: bool = False
    default_schema: str | None = None
    default_database: str | None = None
    quotes: str = '"`'
    has_instance: bool = True
    is_path: bool = False


PLATFORMS: dict[str, Platform] = {
    # --- databases: database.schema.table
    "postgres": Platform("sql/postgres/source.py", parts=3),
    "cockroachdb": Platform("sql/cockroachdb.py", parts=3),
    "timescaledb": Platform("sql/timescaledb.py", parts=3),
    "redshift": Platform("redshift/redshift.py", parts=3, fold=names.lower),
    "snowflake": Platform(
        "snowflake/snowflake_utils.py", parts=3, fold=names.lower, fold_columns=names.lower
    ),
    "mssql": Platform("sql/mssql/source.py", parts=3, quotes='"`[]', default_schema="dbo"),
    "vertica": Platform("sql/vertica.py", parts=3),
    "db2": Platform("sql/db2.py", parts=3, upper_database=True),
    "duckdb": Platform("sql/sql_common.py", parts=3),
    "trino": Platform("sql/trino.py", parts=3),
    "presto": Platform("sql/presto.py", parts=3),
    "databricks": Platform("unity/source.py", parts=3),
    "starrocks": Platform("sql/starrocks.py", parts=3, default_database="default_catalog"),
    "informix": Platform("informix/mapping.py", parts=3),
    # --- databases: database.table, or what the connector leaves of more
    "mysql": Platform("sql/mysql.py", parts=2),
    "mariadb": Platform("sql/mariadb.py", parts=2),
    "tidb": Platform("sql/tidb.py", parts=2),
    "teradata": Platform("sql/teradata.py", parts=2),
    "clickhouse": Platform("sql/clickhouse.py", parts=2),
    "cassandra": Platform("cassandra/cassandra.py", parts=2),
    "sqlite": Platform("sql/sql_common.py", parts=2),
    "doris": Platform("sql/doris/doris_source.py", parts=2),
    "hana": Platform("sql/hana/hana.py", parts=2, drops_database=True, fold=names.upper_to_lower),
    "druid": Platform("sql/druid.py", parts=1, drops_database=True),
    "athena": Platform("sql/athena.py", parts=2, drops_database=True),
    "oracle": Platform(
        "sql/oracle.py",
        parts=2,
        drops_database=True,
        fold=names.upper_to_lower,
        fold_columns=names.upper_to_lower,
    ),
    # --- catalogs
    "hive": Platform("sql/hive/hive_source.py", names.hive, parts=2, fold=names.lower),
    "glue": Platform("aws/glue.py", names.glue, parts=2),
    # At least these: a namespace may have any number of levels.
    "iceberg": Platform("iceberg/iceberg.py", parts=2),
    "dremio": Platform("dremio/dremio_source.py", names.dremio, fold=names.lower),
    # --- Google Cloud
    "bigquery": Platform("bigquery_v2/bigquery_audit.py", names.bigquery, parts=3, has_instance=False),
    "spanner": Platform("dataplex/dataplex_mappers.py", names.spanner),
    "bigtable": Platform("dataplex/dataplex_mappers.py", names.bigtable),
    "pubsub": Platform("dataplex/dataplex_mappers.py", names.pubsub),
    # --- files and objects
    "s3": Platform("s3/source.py", names.object_path, is_path=True),
    "gcs": Platform("gcs/gcs_source.py", names.object_path, is_path=True),
    "abs": Platform("abs/source.py", names.object_path, is_path=True),
    "adls": Platform("sql/hive/storage_lineage.py", names.object_path, is_path=True),
    "delta-lake": Platform("delta_lake/source.py", names.object_path, is_path=True),
    "hdfs": Platform("sql/hive/storage_lineage.py", names.hdfs_path, is_path=True),
    "dbfs": Platform("sql/hive/storage_lineage.py", names.rooted_path, is_path=True),
    "file": Platform("sql/hive/storage_lineage.py", names.file_path, is_path=True),
    "fabric-onelake": Platform("fabric/common/urn_generator.py", names.onelake, is_path=True),
    # --- messages and documents
    "kafka": Platform("kafka/kafka.py", names.as_sent),
    "pulsar": Platform("pulsar.py", names.pulsar),
    "elasticsearch": Platform("elastic_search.py", names.elasticsearch),
    "mongodb": Platform("mongodb.py", names.collection, parts=2),
    "kinesis": Platform("kinesis/kinesis_firehose.py", names.in_region),
    "dynamodb": Platform("dynamodb/dynamodb.py", names.dynamodb),
    "salesforce": Platform("salesforce.py", names.as_sent),
    # --- orchestrators' own: acryl-datahub-dagster-plugin's client/dagster_generator.py, not a source
    "dagster": Platform("", names.asset_key, has_instance=False),
    # --- in the OpenLineage naming specification, or sent by its producers, but without a DataHub connector
    "azurecosmos": Platform("", names.as_sent),
    "azurekusto": Platform("", names.as_sent),
    "box": Platform("", names.as_sent),
    "crate": Platform("", names.as_sent),
    "derby": Platform("", names.as_sent),
    "fabric-warehouse": Platform("", names.as_sent),
    "filenet": Platform("", names.as_sent),
    "milvus": Platform("", names.as_sent),
    "mssharepoint": Platform("", names.as_sent),
    "oceanbase": Platform("", names.as_sent),
    "spark": Platform("", names.as_sent),
    # --- files and objects of those
    "http": Platform("", names.url_path, is_path=True),
    "ftp": Platform("", names.url_path, is_path=True),
    "sftp": Platform("", names.url_path, is_path=True),
    "cos": Platform("", names.url_path, is_path=True),
    "obs": Platform("", names.url_path, is_path=True),
    "oci": Platform("", names.url_path, is_path=True),
    "oss": Platform("", names.url_path, is_path=True),
}

UNKNOWN = Platform("", names.unknown)
"""A platform without a row: its name is what the producer sent."""

CATALOGS = ("glue", "databricks", "iceberg", "hive")
"""Of several TABLE symlinks the one on the earliest of these wins, then the first in alphabetical order."""

CATALOG_FRAMEWORKS = {"iceberg": "iceberg"}
"""``catalog.framework`` → platform of a TABLE symlink whose namespace is a warehouse folder or a REST address."""

EPHEMERAL = frozenset({"inmemory"})
"""Platforms whose datasets do not outlive their run (OpenLineage, "Naming": in memory): they have no URN."""
