"""URIs as people write them: the names that the specification gives, no credentials, and a reason where there is no name."""

from __future__ import annotations

import logging
import string
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from openlineage_bridge_capture import Dataset, inputs, outputs, recorder
from openlineage_bridge_capture.databases import DATABASES, SPELLINGS
from openlineage_bridge_capture.drivers import places
from openlineage_bridge_capture.uris import AZURE, FILES, RULES, SERVICES, identity

NAMED = [
    # Tables in the path.
    ("snowflake://acct/db/schema/table", "snowflake://acct", "DB.SCHEMA.TABLE"),
    ('snowflake://acct/DB/S/"my Table"', "snowflake://acct", "DB.S.my Table"),
    ("postgres://h:6543/db/s/t", "postgres://h:6543", "db.s.t"),
    ("postgres://H.Acme.io/db.s.t", "postgres://h.acme.io:5432", "db.s.t"),
    ("mysql://h/shop/orders", "mysql://h:3306", "shop.orders"),
    ("mssql://h/db/dbo/t", "mssql://h:1433", "db.dbo.t"),
    ("oracle://scott:tiger@h/xe/hr/emp", "oracle://h:1521", "xe.HR.EMP"),
    ("trino://h/cat/sch/t", "trino://h:8080", "cat.sch.t"),
    ("presto://h/cat/sch/t", "presto://h:8080", "cat.sch.t"),
    ("hive://h/db/t", "hive://h:10000", "db.t"),
    ("teradata://h/db/t", "teradata://h:1025", "db.t"),
    ("db2://h/db/s/t", "db2://h:50000", "db.S.T"),
    ("crate://h/db/s/t", "crate://h:4200", "db.s.t"),
    ("cassandra://h/keyspace/t", "cassandra://h:9042", "keyspace.t"),
    ("clickhouse+http://u:p@h/db/t", "clickhouse://h:8123", "db.t"),
    ("oceanbase://h/db/t", "oceanbase://h:2881", "db.t"),
    ("unitycatalog://h/cat/s/t", "unitycatalog://h", "cat.s.t"),
    ("databricks://token:dapi@h.cloud.databricks.com/main/s/t", "databricks://h.cloud.databricks.com", "main.s.t"),
    # SQLAlchemy's URL and the table behind it.
    ("postgresql+psycopg://user:secret@host/db?options=x#schema.table", "postgres://host:5432", "db.schema.table"),
    ("postgresql://u:p@h/db#orders", "postgres://h:5432", "db.public.orders"),
    ("postgresql://h/db#other.s.t", "postgres://h:5432", "other.s.t"),
    ("postgresql://h/db?table=s.t", "postgres://h:5432", "db.s.t"),
    ("postgresql://[::1]/db#s.t", "postgres://[::1]:5432", "db.s.t"),
    ("mysql+pymysql://u:p@h/shop#orders", "mysql://h:3306", "shop.orders"),
    ("mssql+pyodbc://u:p@h/db?driver=x#orders", "mssql://h:1433", "db.dbo.orders"),
    ("snowflake://u:p@acct.snowflakecomputing.com/db/s?warehouse=w#orders", "snowflake://acct", "DB.S.ORDERS"),
    ("snowflake://u:p@acct/db#orders", "snowflake://acct", "DB.PUBLIC.ORDERS"),
    ("trino://u@h:443/cat/sch#t", "trino://h:443", "cat.sch.t"),
    ("oracle+oracledb://s:t@h/?service_name=xe#hr.emp", "oracle://h:1521", "xe.HR.EMP"),
    ("databricks://token:x@h.com?http_path=/x&catalog=main&schema=s#t", "databricks://h.com", "main.s.t"),
    (
        "redshift+psycopg2://u:p@cluster.abc123.us-west-2.redshift.amazonaws.com/dev#public.t",
        "redshift://cluster.us-west-2:5439",
        "dev.public.t",
    ),
    ("jdbc:postgresql://h/db?user=u&password=p#s.t", "postgres://h:5432", "db.s.t"),
    ("jdbc:sqlserver://h:1433;databaseName=d;password=secret#dbo.t", "mssql://h:1433", "d.dbo.t"),
    # BigQuery, Spanner, Athena.
    ("bigquery://project/dataset/table", "bigquery", "project.dataset.table"),
    ("bigquery://project.dataset.table", "bigquery", "project.dataset.table"),
    ("bigquery://project/dataset#table", "bigquery", "project.dataset.table"),
    ("bigquery:project.dataset.table", "bigquery", "project.dataset.table"),
    ("spanner://p:i/db/s/t", "spanner://p:i", "db.s.t"),
    ("spanner+spanner:///projects/p/instances/i/databases/d#t", "spanner://p:i", "d.t"),
    (
        "awsathena+rest://k:s@athena.us-east-1.amazonaws.com:443/sch?s3_staging_dir=s3://x#t",
        "awsathena://athena.us-east-1.amazonaws.com",
        "AwsDataCatalog.sch.t",
    ),
    # Files of tables.
    ("duckdb:////data/w.duckdb#raw.orders", "duckdb:///data/w.duckdb", "w.raw.orders"),
    ("duckdb:///no/such/w.duckdb::orders", "duckdb:///no/such/w.duckdb", "w.main.orders"),
    ("/no/such/w.duckdb::raw.orders", "duckdb:///no/such/w.duckdb", "w.raw.orders"),
    ("duckdb:///md:mine#s.t", "duckdb://md:mine", "md:mine.s.t"),
    ("sqlite:////data/shop.db?table=orders", "sqlite:///data/shop.db", "main.orders"),
    ("/data/shop.sqlite#orders", "sqlite:///data/shop.sqlite", "main.orders"),
    # Object stores.
    ("s3://bucket/a/b.csv", "s3://bucket", "a/b.csv"),
    ("s3a://bucket/dir/", "s3://bucket", "dir"),
    ("s3n://key:se/cret@bucket/a", "s3://bucket", "a"),
    ("s3://bucket/a?versionId=1", "s3://bucket", "a"),
    ("s3://bucket", "s3://bucket", "/"),
    ("arn:aws:s3:::bucket/a", "s3://bucket", "a"),
    ("simplecache::s3://bucket/a", "s3://bucket", "a"),
    ("gs://b/a#1", "gs://b", "a#1"),
    ("gcs://b/a", "gs://b", "a"),
    ("abfs://c@a.dfs.core.windows.net/x", "abfss://c@a.dfs.core.windows.net", "x"),
    ("az://c@a.dfs.core.windows.net/x", "abfss://c@a.dfs.core.windows.net", "x"),
    ("az://a.dfs.core.windows.net/c/x/y", "abfss://c@a.dfs.core.windows.net", "x/y"),
    ("wasb://c@a.blob.core.windows.net/x", "wasbs://c@a.blob.core.windows.net", "x"),
    ("https://a.blob.core.windows.net/c/x?sig=secret", "wasbs://c@a.blob.core.windows.net", "x"),
    ("hdfs://nn:8020/a/b", "hdfs://nn:8020", "a/b"),
    ("dbfs:/mnt/x", "dbfs", "/mnt/x"),
    ("dbfs://adb-1/x", "dbfs://adb-1", "/x"),
    # Files.
    ("/srv/in.csv", "file", "/srv/in.csv"),
    ("file:///srv/a%20b.csv", "file", "/srv/a b.csv"),
    ("file:/srv/x", "file", "/srv/x"),
    ("file://localhost/x", "file", "/x"),
    ("file://host/x", "file://host", "/x"),
    # Everything else.
    ("kafka://b:9093/topic", "kafka://b:9093", "topic"),
    ("kafka://u:p@b1,b2:9093/topic", "kafka://b1:9092", "topic"),
    ("pubsub://project/topic", "pubsub", "topic:project:topic"),
    ("pubsub://projects/p/subscriptions/s", "pubsub", "subscription:p:s"),
    ("arn:aws-cn:glue:cn-north-1:123456789012:table/db/t", "arn:aws-cn:glue:cn-north-1:123456789012", "table/db/t"),
    ("azurecosmos://h/dbs/d/colls/c", "azurecosmos://h/dbs/d", "colls/c"),
    ("azurekusto://h.kusto.windows.net/db/t", "azurekusto://h.kusto.windows.net", "db/t"),
    ("mongodb+srv://u:p@h/db.coll.sub", "mongodb://h:27017", "db.coll.sub"),
    ("https://h:8443/x/y?token=secret", "https://h:8443", "x/y"),
    ("sftp://ann:s3cret@host/in", "sftp://host", "in"),
]  # fmt: skip


@pytest.mark.parametrize(("uri", "namespace", "name"), NAMED, ids=[each[0] for each in NAMED])
def test_what_a_uri_names(uri, namespace, name):
    assert (namespace, name) == identity(uri)


REFUSED = [
    ("", "absolute path"),
    ("data/orders.csv", "pathlib.Path"),
    ("orders", "scheme://"),
    ("postgres://h/db/t", "postgres://host/database/schema/table"),
    ("postgresql://h#t", "3 names"),
    ("mssql+pyodbc:///?odbc_connect=PWD%3Dsecret#dbo.t", "mssql://host/database/schema/table"),
    ("snowflake:///db/s/t", "without a host"),
    ("trino://h/cat#t", "3 names"),
    ("bigquery://project/table", "3 names"),
    ("duckdb:///w.duckdb", "no table"),
    ("duckdb:///:memory:#t", "in memory"),
    ("sqlite://#t", "in memory"),
    ("inmemory://x", "inmemory"),
    ("az://container/x", "abfss://container@account"),
    ("arn:aws:sqs:us-east-1:123456789012:q", "ARN"),
    ("kafka://broker", "without a name"),
    ("urn:li:dataJob:(urn:li:dataFlow:(prefect,f,PROD),t)", "urn:li:dataset:("),
    ("postgresql://u:p@ss@h/db/s/t", "%40"),
]


@pytest.mark.parametrize(("uri", "reason"), REFUSED, ids=[each[0] for each in REFUSED])
def test_what_names_no_dataset_is_refused_with_what_to_write(uri, reason):
    with pytest.raises(ValueError, match=r"write it as|forms that work") as refused:
        identity(uri)
    assert reason in str(refused.value)
    assert "secret" not in str(refused.value)


def test_the_account_of_azures_short_form_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acct")
    assert ("abfss://c@acct.dfs.core.windows.net", "x") == identity("az://c/x")


def test_paths_are_files_and_relative_ones_start_from_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ("file", str(tmp_path / "a#b?.csv")) == identity(Path("a#b?.csv"))
    assert ("file", "/srv/a.csv") == identity(PurePosixPath("/srv/a.csv"))


def test_three_slashes_are_absolute_unless_only_the_relative_folder_exists(tmp_path, monkeypatch):
    """The specification's namespaces have three, and so have SQLAlchemy's relative paths."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert (f"sqlite://{tmp_path}/data/shop.db", "main.t") == identity("sqlite:///data/shop.db#t")
    assert (f"duckdb://{tmp_path}/w.duckdb", "w.main.t") == identity("duckdb:///w.duckdb#t")
    assert (f"duckdb://{tmp_path}/x.duckdb", "x.main.t") == identity(f"duckdb://{tmp_path}/x.duckdb#t")
    assert (f"duckdb://{tmp_path}/data/w.duckdb", "w.main.t") == identity("duckdb:data/w.duckdb#t")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u:p@h:6543/db",
        "mysql+pymysql://u:p@h/db",
        "mssql+pyodbc://u:p@h/db?driver=x",
        "snowflake://u:p@acct/db/s?warehouse=w",
        "trino://u@h/cat/sch",
        "redshift+psycopg2://u:p@c.abc.eu-west-1.redshift.amazonaws.com/dev",
        "oracle+oracledb://u:p@h/?service_name=xe",
        "sqlite:////data/shop.db",
    ],
)
def test_the_namespace_is_that_of_the_tables_seen_through_sqlalchemy(url):
    made = make_url(url)
    place = places.of_url(made.get_backend_name(), made, "s")
    assert place.namespace == identity(f"{url}#s.t")[0]


def test_the_example_of_every_database_is_a_form_that_works():
    for scheme, row in DATABASES.items():
        namespace, name = identity(row.form)
        assert row.parts == len(name.split("."))
        # CockroachDB speaks PostgreSQL's protocol, and is named so.
        assert namespace.startswith("postgres:" if scheme == "cockroachdb" else f"{scheme}://")


def test_what_was_named_names_itself():
    """A namespace and a name, put together again, are the same dataset."""
    for uri, namespace, name in NAMED:
        if "://" in namespace and not namespace.startswith(("duckdb", "sqlite", "file")):
            again = f"{namespace}/{name.removeprefix('/')}"
            quoted = again.replace("my Table", '"my Table"')
            assert (namespace, name) == identity(quoted), uri


SCHEMES = sorted(
    {*RULES, *SPELLINGS, *SERVICES, *FILES, "jdbc:postgresql", "postgresql+psycopg", "unheard-of"}
)
WORD = st.text(string.ascii_letters + string.digits + "._-%", min_size=1, max_size=8)


def found_or_reason(text: str) -> tuple[str, ...]:
    """Namespace and name, or why there are none."""
    try:
        return identity(text)
    except ValueError as reason:
        return (str(reason),)


@given(
    st.one_of(
        st.text(),
        st.builds("{}:{}".format, st.sampled_from(SCHEMES), st.text()),
        st.builds("{}://{}".format, st.sampled_from(SCHEMES), st.text("abc/:@?#;.,[]\\\"'`%= \0\u00e9")),
    )
)
def test_every_text_has_a_name_or_a_reason(text):
    found = found_or_reason(text)
    assert all(found)


PASSWORD = "PASSW0RD"


@given(
    st.sampled_from(SCHEMES),
    st.text(string.ascii_letters, max_size=5),
    st.text(string.ascii_letters + "/?#:;%.,", max_size=5),
    WORD,
    st.lists(WORD, max_size=4),
    st.sampled_from(
        ["", f"?password={PASSWORD}", f"?odbc_connect=PWD%3D{PASSWORD}", f";password={PASSWORD}"]
    ),
    st.sampled_from(["", "#s.t", "#t", "@x"]),
)
def test_a_password_is_in_no_name_and_no_reason(scheme, user, noise, host, path, options, table):
    # SQL Server's way to say options, which in the name of a file are a part of it.
    assume(not (scheme in FILES and options.startswith(";")))
    uri = f"{scheme}://{user}:{noise}{PASSWORD}@{host}/{'/'.join(path)}{options}{table}"
    assert PASSWORD not in " ".join(found_or_reason(uri))


@given(st.sampled_from(sorted(AZURE)), WORD)
def test_a_container_of_azure_stays(scheme, container):
    namespace, _ = identity(f"{scheme}://{container}@acct.dfs.core.windows.net/x")
    assert f"{container}@acct.dfs.core.windows.net" in namespace


def test_a_dataset_from_a_uri_carries_the_facets():
    made = Dataset.from_uri("s3://bucket/key", {"dataSource": {"uri": "x"}})
    assert ("s3://bucket", "key", {"dataSource": {"uri": "x"}}) == (made.namespace, made.name, made.facets)
    with pytest.raises(ValueError, match="forms that work"):
        Dataset.from_uri("nothing")


def test_tasks_may_name_uris_paths_and_datasets_and_what_is_none_is_said_without_its_password(host, caplog):
    with caplog.at_level(logging.WARNING, logger="openlineage_bridge"), host.running("r"):
        inputs("s3://b/in", Dataset("s3://b", "other"), Path("/srv/x"))
        outputs("postgresql+psycopg://user:secret@db/shop?options=x#public.orders")
        inputs("postgresql://user:secret@db/shop#", "nothing://", None, 3)
    done = recorder.take("r")
    assert [("s3://b", "in"), ("s3://b", "other"), ("file", "/srv/x")] == [
        each.identity for each in done.inputs
    ]
    assert [("postgres://db:5432", "shop.public.orders")] == [each.identity for each in done.outputs]
    said = [each.getMessage() for each in caplog.records]
    assert 1 == len(said)
    assert "left one out" in said[0]
    assert "secret" not in said[0]
