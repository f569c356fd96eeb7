"""A Dagster code location that builds tables from what ``load_shop`` loaded.

The one line that is about lineage is the sensor at the end.
"""

from __future__ import annotations

import os

import duckdb
from dagster import Definitions, asset, define_asset_job

from openlineage_bridge_dagster import openlineage_sensor

WAREHOUSE = os.environ.get("SHOP_WAREHOUSE", "warehouse.duckdb")


def build(table: str, query: str) -> None:
    """Replace a table of the marts by what a query returns."""
    with duckdb.connect(WAREHOUSE) as warehouse:
        warehouse.execute("CREATE SCHEMA IF NOT EXISTS marts")
        warehouse.execute(f"CREATE OR REPLACE TABLE marts.{table} AS {query}")


@asset(owners=["team:finance"])
def paid_orders() -> None:
    """Orders that were paid, with the customer's country."""
    build(
        "paid_orders",
        """
        SELECT orders.order_id, orders.ordered_on, orders.amount, customers.country
        FROM raw.orders JOIN raw.customers USING (customer_id)
        WHERE orders.status = 'paid'
        """,
    )


@asset(deps=[paid_orders], owners=["team:finance"])
def revenue_by_country() -> None:
    """What every country paid."""
    build(
        "revenue_by_country",
        "SELECT country, sum(amount) AS revenue, count(*) AS orders FROM marts.paid_orders GROUP BY country",
    )


defs = Definitions(
    assets=[paid_orders, revenue_by_country],
    jobs=[define_asset_job("nightly_marts", [paid_orders, revenue_by_country])],
    sensors=[openlineage_sensor()],
)
