"""A code location as a user writes one: two assets on a DuckDB file, an op job, and the sensor."""

from __future__ import annotations

import os

import duckdb
from dagster import Definitions, asset, define_asset_job, in_process_executor, job, op

from openlineage_bridge_capture import Dataset, inputs, outputs
from openlineage_bridge_dagster import openlineage_sensor

FILE = os.environ["SHOP_FILE"]


def run_sql(sql: str, file: str = FILE) -> None:
    with duckdb.connect(file) as connection:
        connection.execute(sql)


@asset(key=["prod", "duckdb", "shop", "main", "raw_orders"], description="Orders as they came.")
def raw_orders() -> None:
    run_sql("CREATE OR REPLACE TABLE raw_orders AS SELECT 1 AS id, 10 AS amount")


@asset(key=["prod", "duckdb", "shop", "main", "orders"], deps=[raw_orders], owners=["team:data"])
def orders() -> None:
    run_sql("CREATE OR REPLACE TABLE orders AS SELECT id, amount FROM raw_orders")


@op
def report() -> None:
    inputs(Dataset("s3://landing", "orders.csv"))
    run_sql("CREATE OR REPLACE TABLE total AS SELECT 10 AS amount", os.environ["REPORT_FILE"])
    outputs(Dataset("s3://reports", "daily.csv"))


@job  # the default executor: the step runs in a process of its own
def reporting() -> None:
    report()


defs = Definitions(
    assets=[raw_orders, orders],
    jobs=[define_asset_job("nightly", [raw_orders, orders], executor_def=in_process_executor), reporting],
    sensors=[openlineage_sensor(namespaces={"duckdb": f"duckdb://{FILE}"}, backfill="all")],
)
