"""Every platform's naming rule, by itself and with every key that a namespace rule may carry."""

from __future__ import annotations

import pytest

from openlineage_bridge_datahub.locations import ALIASES
from openlineage_bridge_datahub.platforms import EPHEMERAL, PLATFORMS
from openlineage_bridge_datahub.urns import DatasetNaming

# Platform: namespace, name as a producer may send it, the connector's name, and the same with `lowercase: false`.
NAMED = {
    "postgres": ("postgres://h:5432", "Db.Public.Orders", "Db.Public.Orders", None),
    "cockroachdb": ("cockroachdb://h:26257", "Db.p.Orders", "Db.p.Orders", None),
    "timescaledb": ("timescaledb://h:5432", "Db.p.Orders", "Db.p.Orders", None),
    "redshift": ("redshift://c.eu-west-1:5439", "DEV.Public.Users", "dev.public.users", "DEV.Public.Users"),
    "snowflake": ("snowflake://org-acct", "A.P.T", "a.p.t", "A.P.T"),
    "mssql": ("sqlserver://h:1433", "[Shop].[dbo].Orders", "Shop.dbo.Orders", None),
    "vertica": ("vertica://h:5433", "V.p.T", "V.p.T", None),
    "db2": ("db2://h:50000", "Sample.s.T", "SAMPLE.s.T", None),
    "duckdb": ("duckdb:///data/t.duckdb", "t.main.Orders", "t.main.Orders", None),
    "trino": ("trino://h:8080", "Hive.s.T", "Hive.s.T", None),
    "presto": ("presto://h:8080", "Hive.s.T", "Hive.s.T", None),
    "databricks": ("unitycatalog://h", "Main.s.T", "Main.s.T", None),
    "mysql": ("mysql://h:3306", "Shop.T", "Shop.T", None),
    "mariadb": ("mariadb://h:3306", "Shop.T", "Shop.T", None),
    "tidb": ("tidb://h:4000", "Shop.T", "Shop.T", None),
    "teradata": ("teradata://h:1025", "S.T", "S.T", None),
    "clickhouse": ("clickhouse://h:8123", "a.T", "a.T", None),
    "cassandra": ("cassandra://h:9042", "Ks.T", "Ks.T", None),
    "doris": ("doris://h:9030", "Shop.T", "Shop.T", None),
    "starrocks": ("starrocks://h:9030", "Shop.T", "default_catalog.Shop.T", None),
    "informix": ("informix://h:9088", "Shop.ann.T", "Shop.ann.T", None),
    "hana": ("hana://h:39015", "HDB.SALES.Orders", "sales.Orders", None),
    "druid": ("druid://h:8082", "druid.Events", "Events", None),
    "salesforce": ("salesforce://login", "Account__c", "Account__c", None),
    "fabric-onelake": (
        "abfss://ws@onelake.dfs.fabric.microsoft.com",
        "/Sales.Lakehouse/Files/T",
        "ws/Sales.Lakehouse/Files/T",
        None,
    ),
    "http": ("https://h:8080/api", "/v1/T", "h:8080/api/v1/T", None),
    "ftp": ("ftp://h", "/d/T", "h/d/T", None),
    "sftp": ("sftp://user@h:22", "d/T", "h:22/d/T", None),
    "cos": ("cosn://B", "/d/T", "B/d/T", None),
    "obs": ("obs://B", "/d/T", "B/d/T", None),
    "oci": ("oci://B@tenancy", "/d/T", "B@tenancy/d/T", None),
    "oss": ("oss://B", "/d/T", "B/d/T", None),
    "sqlite": ("sqlite:///d/t.sqlite", "main.T", "main.T", None),
    "athena": ("awsathena://athena.eu-west-1.amazonaws.com", "Cat.Sales.T", "Sales.T", None),
    "oracle": ("oracle://h:1521", "ORCL.HR.Emp", "hr.Emp", None),
    "hive": ("hive://h:9083", "spark_catalog.Sales.T", "sales.t", "Sales.T"),
    "glue": ("arn:aws:glue:us-east-1:1", "table/Sales/T", "Sales.T", None),
    "iceberg": ("iceberg://c", "Sales.T", "Sales.T", None),
    "dremio": ("dremio://h:31010", "Space.Folder.T", "dremio.space.folder.t", "dremio.Space.Folder.T"),
    "bigquery": ("bigquery", "P.Ds.T_20240101", "P.Ds.T", None),
    "spanner": ("spanner://P:i", "Db.T", "P.i.Db.T", None),
    "bigtable": ("bigtable://P/i", "T", "P.i.T", None),
    "pubsub": ("pubsub", "topic:P:T", "P.T", None),
    "s3": ("s3a://B", "/A/T/x.csv/", "B/A/T/x.csv", None),
    "gcs": ("gs://B", "A/T/x.csv", "B/A/T/x.csv", None),
    "abs": ("abfss://C@acct.dfs.core.windows.net", "/A/x.csv", "C/A/x.csv", None),
    "hdfs": ("hdfs://NN:8020", "/A/T", "NN:8020/A/T", None),
    "dbfs": ("dbfs://workspace", "/A/T", "/A/T", None),
    "file": ("file://Host", "/A/T", "Host/A/T", None),
    "kafka": ("kafka://b1:9092,b2:9092", "Prod.T", "Prod.T", None),
    "pulsar": ("pulsar://h:6650", "P/d/T", "persistent://P/d/T", None),
    "elasticsearch": ("elasticsearch://h:9200", "T", "T", None),
    "mongodb": ("mongodb://m1:27017,m2:27017", "Shop.T.v1", "Shop.T.v1", None),
    "kinesis": ("kinesis://kinesis.eu-west-1.amazonaws.com", "S", "eu-west-1.S", None),
    "dynamodb": ("dynamodb://dynamodb.us-east-1.amazonaws.com", "T", "us-east-1.T", None),
    "azurecosmos": ("azurecosmos://h/dbs/d", "colls/T", "colls/T", None),
    "azurekusto": ("azurekusto://h.kusto.windows.net", "d/T", "d/T", None),
    "box": ("box://h:1/e", "k/T", "k/T", None),
    "crate": ("crate://h:5432", "d.doc.T", "d.doc.T", None),
    "derby": ("derby:metastore", "d.T", "d.T", None),
    "fabric-warehouse": ("fabric-warehouse://e:1433", "d.s.T", "d.s.T", None),
    "filenet": ("filenet://h:1/r", "k/T", "k/T", None),
    "milvus": ("milvus://h:19530", "d.T", "d.T", None),
    "mssharepoint": ("mssharepoint://h:1/s", "k/T", "k/T", None),
    "oceanbase": ("oceanbase://h:2881", "d.T", "d.T", None),
    "dagster": ("dagster", "A/T", "A.T", None),
    "spark": ("spark://h:10001", "d.T", "d.T", None),
}

BY_RULE_ONLY = {
    "adls": ("abfss://C@acct.dfs.core.windows.net", "/A/T", "C/A/T"),
    "delta-lake": ("file", "/A/T", "A/T"),
}
"""Platforms that no namespace suggests: a rule says them."""

WITHOUT_INSTANCE = {"bigquery", "dagster"}

# The schemes of the OpenLineage naming specification (website/docs/spec/naming.md, August 2026).
SPECIFIED = [
    "awsathena",
    "azurecosmos",
    "azurekusto",
    "sqlserver",
    "bigquery",
    "cassandra",
    "crate",
    "db2",
    "hive",
    "milvus",
    "mssql",
    "mysql",
    "oceanbase",
    "oracle",
    "postgres",
    "redshift",
    "snowflake",
    "spanner",
    "teradata",
    "trino",
    "unitycatalog",
    "abfss",
    "wasbs",
    "dbfs",
    "gs",
    "hdfs",
    "s3",
    "file",
    "kafka",
    "pubsub",
    "inmemory",
    "fabric-warehouse",
    "box",
    "filenet",
    "mssharepoint",
]


def urn_of(namespace, name, **rule):
    return DatasetNaming(rules=[{"match": namespace, **rule}]).resolve(namespace, name).urn


def urn(platform, name, env="PROD"):
    return f"urn:li:dataset:(urn:li:dataPlatform:{platform},{name},{env})"


def test_every_platform_is_in_the_tables():
    """A new platform needs a name that shows its rule."""
    assert set(PLATFORMS) == set(NAMED) | set(BY_RULE_ONLY)


def test_every_scheme_of_the_naming_specification_has_a_row():
    """What the specification names has a rule here, if only that the name stays as it is."""
    platforms = {ALIASES.get(scheme, scheme) for scheme in SPECIFIED}

    assert platforms - set(PLATFORMS) == EPHEMERAL


@pytest.mark.parametrize("platform", NAMED)
def test_the_keys_that_hold_on_every_platform(platform):
    """Instance, environment and case mean the same wherever a connector knows them."""
    namespace, name, expected, as_sent = NAMED[platform]
    prefix = "" if platform in WITHOUT_INSTANCE else "Inst."
    wanted = [
        ({}, urn(platform, expected)),
        ({"env": "DEV"}, urn(platform, expected, "DEV")),
        ({"platform_instance": "Inst"}, urn(platform, f"{prefix}{expected}")),
        ({"platform_instance_ignored": "Inst"}, urn(platform, expected)),
        ({"lowercase": True}, urn(platform, expected.lower())),
        ({"lowercase": False}, urn(platform, as_sent or expected)),
        ({"lowercase": True, "platform_instance": "Inst"}, urn(platform, f"{prefix}{expected.lower()}")),
        (
            {"lowercase_instance": True, "platform_instance": "Inst"},
            urn(platform, f"{prefix}{expected}".lower()),
        ),
        (
            {"env": "UAT", "platform_instance": "Inst", "lowercase": False},
            urn(platform, f"{prefix}{as_sent or expected}", "UAT"),
        ),
        ({"catalog_prefix": "Cat1"}, urn(platform, f"Cat1.{expected}")),
    ]

    actual = [(rule, urn_of(namespace, name, **rule)) for rule, _ in wanted]

    assert wanted == actual


@pytest.mark.parametrize("platform", BY_RULE_ONLY)
def test_a_platform_that_only_a_rule_names(platform):
    """`platform` brings the other platform's naming rule with it."""
    namespace, name, expected = BY_RULE_ONLY[platform]

    assert urn(platform, expected) == urn_of(namespace, name, platform=platform)
    assert urn(platform, f"i.{expected}") == urn_of(namespace, name, platform=platform, platform_instance="i")


@pytest.mark.parametrize(
    ("namespace", "short", "database", "expected"),
    [
        ("postgres://h", "public.t", "Metrics", "Metrics.public.t"),
        ("redshift://h", "public.t", "DEV", "dev.public.t"),
        ("snowflake://o-a", "P.T", "A", "a.p.t"),
        ("sqlserver://h", "dbo.T", "pool1", "pool1.dbo.T"),
        ("vertica://h", "p.T", "v", "v.p.T"),
        ("db2://h", "s.T", "sample", "SAMPLE.s.T"),
        ("duckdb:///d/file.duckdb", "main.T", "other", "other.main.T"),
        ("trino://h", "s.T", "hive", "hive.s.T"),
        ("databricks://h", "s.T", "main", "main.s.T"),
        ("mysql://h", "T", "shop", "shop.T"),
        ("mariadb://h", "T", "shop", "shop.T"),
        ("teradata://h", "T", "SALES", "SALES.T"),
        ("clickhouse://h", "T", "a", "a.T"),
        ("cassandra://h", "T", "ks", "ks.T"),
        ("awsathena://h", "T", "sales", "sales.T"),
        ("oracle://h", "EMP", "HR", "hr.emp"),
        ("hive://h", "T", "Sales", "sales.t"),
        ("arn:aws:glue:us-east-1:1", "T", "sales", "sales.T"),
        ("iceberg://c", "T", "sales", "sales.T"),
        ("bigquery", "ds.T", "p", "p.ds.T"),
        ("mongodb://h", "T", "shop", "shop.T"),
    ],
)
def test_a_configured_database_completes_a_short_name(namespace, short, database, expected):
    """The database is added where exactly one part is missing, and a complete name is left alone."""
    actual = urn_of(namespace, short, database=database)

    assert actual is not None
    assert expected == actual.split(",")[1]
    assert urn_of(namespace, expected, database="another") == urn_of(namespace, expected)


@pytest.mark.parametrize(
    ("namespace", "name", "rule", "expected"),
    [
        ("hive://h", "hive.orders", {"catalog_prefix": "hive"}, "hive.hive.orders"),
        ("hive://h", "hive.sales.orders", {"catalog_prefix": "hive"}, "hive.sales.orders"),
        (
            "hive://h",
            "sales.orders",
            {"catalog_prefix": "hive", "platform_instance": "eu"},
            "eu.hive.sales.orders",
        ),
        (
            "oracle://h",
            "ORCL.HR.EMP",
            {"include_database": True, "platform_instance": "p"},
            "p.orcl.hr.emp",
        ),
        ("oracle://h/ORCL", "HR.EMP", {}, "hr.emp"),
        ("oracle://h/ORCL", "HR.EMP", {"include_database": True}, "orcl.hr.emp"),
        ("oracle://h", "ORCL.HR.EMP", {"include_database": True, "lowercase": True}, "orcl.hr.emp"),
        ("spanner://p:i", "d.t", {"location": "eu", "platform_instance": "x"}, "x.p.regional-eu.i.d.t"),
        ("bigquery", "p.d.20240101", {"bigquery_shard_suffix": "_yyyymmdd"}, "p.d.d_yyyymmdd"),
        ("kinesis://h", "s", {"location": "eu-west-1"}, "eu-west-1.s"),
        ("jdbc:postgresql://h:5432/metrics", "public.t", {}, "metrics.public.t"),
        (
            "abfss://c@acct.dfs.core.windows.net",
            "/d/orders/1.csv",
            {"path_specs": ["abfss://c@acct.dfs.core.windows.net/d/{table}/*.csv"]},
            "c/d/orders",
        ),
        (
            "hdfs://nn:8020",
            "/d/orders/dt=1/x.orc",
            {"path_specs": ["hdfs://nn:8020/d/{table}/*/*.orc"]},
            "nn:8020/d/orders",
        ),
        (
            "hdfs://nn:8020",
            "/d/orders/x.orc",
            {"path_specs": ["hdfs://nn:8020/d/{table}/*.orc"], "path_style": "no_authority"},
            "/d/orders",
        ),
        ("dbfs://ws", "/mnt/o/x.csv", {"path_specs": ["dbfs:/mnt/{table}/*.csv"]}, "/mnt/o"),
        ("file", "/data/o/x.csv", {"path_specs": ["file:///data/{table}/*.csv"]}, "/data/o"),
        ("file", "/data/o/x.csv", {"path_specs": ["/data/{table}/*.csv"]}, "/data/o"),
        (
            "gs://b",
            "d/o/dt=1/x.csv",
            {
                "path_specs": ["gs://b/d/{table}/{partition_key[0]}={partition[0]}/*.csv"],
                "platform_instance": "g",
            },
            "g.b/d/o",
        ),
        (
            "s3://b",
            "d/o/x.csv",
            {"platform": "delta-lake", "path_specs": ["s3://b/d/{table}/*.csv"]},
            "b/d/o",
        ),
    ],
)
def test_keys_of_particular_platforms_together(namespace, name, rule, expected):
    """A key means what its connector's setting means, also beside others."""
    actual = urn_of(namespace, name, **rule)

    assert actual is not None
    assert expected == actual.split(",")[1]


def test_a_table_is_in_the_environment_of_its_data():
    """The rule of the path says the environment, where the catalog's namespace has no rule."""
    glue = {
        "symlinks": {"identifiers": [{"namespace": "arn:aws:glue:x:1", "name": "table/s/o", "type": "TABLE"}]}
    }
    path, catalog = {"match": "s3://b", "env": "DEV"}, {"match": "arn:aws:glue", "platform_instance": "acct"}

    assert urn("glue", "s.o", "DEV") == DatasetNaming(rules=[path]).resolve("s3://b", "k", glue).urn
    assert urn("glue", "acct.s.o") == DatasetNaming(rules=[path, catalog]).resolve("s3://b", "k", glue).urn
