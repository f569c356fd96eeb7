"""Tasks that move data through Prefect's blocks, one block per task; results lie in the same bucket as the data."""

from __future__ import annotations

import asyncio
import functools
import json
import os
from pathlib import Path

import pandas as pd
import snowflake.connector
from prefect import flow, task
from prefect_aws import AwsClientParameters, AwsCredentials, S3Bucket
from prefect_gcp import BigQueryWarehouse, GcpCredentials, GcsBucket
from prefect_snowflake import SnowflakeConnector, SnowflakeCredentials
from prefect_sqlalchemy import (
    AsyncDriver,
    AsyncSqlAlchemyConnector,
    ConnectionComponents,
    SqlAlchemyConnector,
    SyncDriver,
)

PLACE = {
    "host": "127.0.0.1",
    "port": os.environ["POSTGRES_PORT"],
    "username": "postgres",
    "database": "postgres",
}

# The block cannot be told of a host; the account's own is out of reach here.
snowflake.connector.connect = functools.partial(
    snowflake.connector.connect,
    host="127.0.0.1",
    port=int(os.environ["SNOWFLAKE_PORT"]),
    protocol="http",
    session_parameters={"CLIENT_TELEMETRY_ENABLED": False},
)


def s3_bucket(name: str, folder: str = "") -> S3Bucket:
    endpoint = AwsClientParameters(endpoint_url=os.environ["S3"])
    credentials = AwsCredentials(
        aws_access_key_id="a",
        aws_secret_access_key="b",
        region_name="us-east-1",
        aws_client_parameters=endpoint,
    )
    return S3Bucket(bucket_name=name, bucket_folder=folder, credentials=credentials)


def google() -> GcpCredentials:
    return GcpCredentials(service_account_info=json.loads(os.environ["SERVICE_ACCOUNT"]), project="acme")


@task(persist_result=True, result_storage="s3-bucket/results", result_storage_key="result")
def s3_paths() -> str:
    Path("folder").mkdir()
    Path("folder/one.csv").write_text("1")
    bucket = s3_bucket("taxi-lake", "in")
    bucket.upload_from_folder("folder", "folder")
    bucket.write_path("written.csv", b"12")
    bucket.copy_object("written.csv", "copied.csv", to_bucket=s3_bucket("other-lake"))
    return bucket.read_path("written.csv").decode()


@task(persist_result=True, result_storage="s3-bucket/results", result_storage_key="aresult")
async def s3_asynchronous(_: str) -> None:
    await s3_bucket("taxi-lake").aupload_from_path("two.csv", "two.csv")


@task
def gcs_frames() -> None:
    bucket = GcsBucket(bucket="taxi-lake", gcp_credentials=google())
    bucket.upload_from_dataframe(pd.DataFrame({"n": [1]}), "frame.csv", serialization_format="csv")
    bucket.download_object_to_path("frame.csv", "three.csv")


@task
def sql_alchemy() -> None:
    place = ConnectionComponents(driver=SyncDriver.POSTGRESQL_PSYCOPG2, **PLACE)
    with SqlAlchemyConnector(connection_info=place) as database:
        database.execute("CREATE TABLE trips (id int, fare int)")
        rows = [{"id": 1, "fare": 2}, {"id": 2, "fare": 3}]
        database.execute_many("INSERT INTO trips VALUES (:id, :fare)", seq_of_parameters=rows)
        frames = pd.read_sql("SELECT id, fare FROM trips", database.get_engine(), chunksize=1)
        pd.concat(frames).to_sql("copies", database.get_engine(), index=False)


@task
async def sql_alchemy_asynchronous() -> None:
    place = ConnectionComponents(driver=AsyncDriver.POSTGRESQL_ASYNCPG, **PLACE)
    async with AsyncSqlAlchemyConnector(connection_info=place) as database:
        await database.execute("CREATE TABLE sums AS SELECT sum(fare) AS fares FROM trips")


@task
def big_query() -> None:
    with BigQueryWarehouse(gcp_credentials=google()) as warehouse:
        warehouse.execute("INSERT INTO shop.copies SELECT n FROM shop.orders")
        warehouse.fetch_all("SELECT n FROM shop.orders")


@task
def snowflake_connector() -> None:
    credentials = SnowflakeCredentials(account="acme-eu", user="u", password="p")
    with SnowflakeConnector(
        credentials=credentials, database="SHOP", schema="RAW", warehouse="W"
    ) as warehouse:
        warehouse.execute("INSERT INTO copies SELECT n FROM orders")


@flow(name="blocks")
def synchronous() -> None:
    s3_paths()
    gcs_frames()
    sql_alchemy()
    big_query()
    snowflake_connector()


@flow(name="asynchronous blocks")
async def asynchronous() -> None:
    # Its argument is read from the store of results.
    await s3_asynchronous("12")
    await sql_alchemy_asynchronous()


def main() -> None:
    s3_bucket("taxi-lake", "results").save("results")
    Path("two.csv").write_text("2")
    synchronous()
    asyncio.run(asynchronous())


if __name__ == "__main__":
    main()
