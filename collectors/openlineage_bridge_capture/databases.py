"""Database systems by the scheme of their URIs: how many names a table has, and what a connection takes for the lacking ones."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen
class Database:
    """How the tables of a database system are named.

    Args:
        form: A URI of it, in full.
        parts: Names that a full name has.
        schema: Schema of a table that is named without one: what a new connection has.
        backend: Its name in ``places.PLATFORMS``, where that is not the scheme.
        port: The server's default, for those that are not there.
        upper: From which part on names that are not quoted are folded to upper case; None where they are kept.
    """

    form: str
    parts: int = 3
    schema: str | None = None
    backend: str | None = None
    port: int | None = None
    upper: int | None = None


DATABASES: Mapping[str, Database] = {
    # OpenLineage, "Naming": Postgres.
    "postgres": Database("postgres://host/database/schema/table", schema="public", backend="postgresql"),
    # Not in the specification; it speaks PostgreSQL's protocol, so Postgres's row.
    "cockroachdb": Database("cockroachdb://host/database/schema/table", schema="public"),
    # Redshift: {cluster}.{region} from the endpoint's host.
    "redshift": Database("redshift://host/database/schema/table", schema="public"),
    # MySQL; MariaDB has no row and is named as MySQL, whose protocol it speaks.
    "mysql": Database("mysql://host/database/table", parts=2),
    # MSSQL.
    "mssql": Database("mssql://host/database/schema/table", schema="dbo"),
    # Oracle: the service or SID is the first part.
    "oracle": Database("oracle://host/service/schema/table", upper=1),
    # Snowflake: {DB}.{SCHEMA}.{TABLE}.
    "snowflake": Database("snowflake://account/database/schema/table", schema="PUBLIC", upper=0),
    # Trino; Presto as Java's JDBC extractor names it.
    "trino": Database("trino://host/catalog/schema/table"),
    "presto": Database("presto://host/catalog/schema/table", port=8080),
    # Not in the specification: as dbt's integration names it.
    "databricks": Database("databricks://host/catalog/schema/table", schema="default"),
    # Unity Catalog.
    "unitycatalog": Database("unitycatalog://host/catalog/schema/table"),
    # Not in the specification: as Java's JDBC extractor and dbt name it.
    "clickhouse": Database("clickhouse://host/database/table", parts=2),
    # CrateDB.
    "crate": Database("crate://host/database/schema/table", schema="doc"),
    # Teradata.
    "teradata": Database("teradata://host/database/table", parts=2, backend="teradatasql"),
    # Hive.
    "hive": Database("hive://host/database/table", parts=2),
    # DB2.
    "db2": Database("db2://host/database/schema/table", port=50000, upper=1),
    # Cassandra: {keyspace}.{table}.
    "cassandra": Database("cassandra://host/keyspace/table", parts=2, port=9042),
    # OceanBase.
    "oceanbase": Database("oceanbase://host/database/table", parts=2, port=2881),
    # Milvus: {database}.{collection}.
    "milvus": Database("milvus://host/database/collection", parts=2, port=19530),
    # Not in the specification: as dbt's integration names it.
    "dremio": Database("dremio://host/space/schema/table", port=31010),
    # Fabric Warehouse.
    "fabric-warehouse": Database("fabric-warehouse://endpoint/database/schema/table", schema="dbo"),
    # Not in the specification, which would have scheme, host and port.
    "vertica": Database("vertica://host/database/schema/table", schema="public", port=5433),
}
"""By the scheme of the namespace; each row's comment names the row of the specification (OpenLineage, "Naming")."""

SPELLINGS: Mapping[str, str] = {
    "postgresql": "postgres",
    "cockroach": "cockroachdb",
    "mariadb": "mysql",
    "sqlserver": "mssql",
    "clickhousedb": "clickhouse",
    "teradatasql": "teradata",
    "ibm_db_sa": "db2",
    "athena": "awsathena",
    "bq": "bigquery",
    "sqlite3": "sqlite",
}
"""Other spellings of a scheme: SQLAlchemy's dialects, JDBC's subprotocols, people's habits."""
