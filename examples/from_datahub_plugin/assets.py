"""Assets named by DataHub's key convention, one with its query as metadata, one that names what it reads by URN."""

from __future__ import annotations

from dagster import AssetIn, AssetKey, Definitions, MaterializeResult, asset, define_asset_job

from openlineage_bridge_dagster.datahub import (
    DatahubClientConfig,
    DatahubDagsterSourceConfig,
    DatasetUrn,
    make_datahub_sensor,
)

MARTS = ["prod", "snowflake", "shop", "marts"]


@asset(
    key_prefix=MARTS,
    group_name="marts",
    ins={
        "orders": AssetIn(
            AssetKey(["orders"]), metadata={"datahub.inputs": [DatasetUrn("snowflake", "shop.raw.fx").urn()]}
        )
    },
)
def revenue(orders: list[int]) -> int:
    """Revenue, from the orders of the day and the exchange rates."""
    return sum(orders)


@asset
def orders() -> list[int]:
    """Orders of the day; the key is too short to name a table."""
    return [12, 30, 8]


@asset(key_prefix=MARTS, group_name="marts", deps=[revenue])
def revenue_by_country() -> MaterializeResult[None]:
    """Built in the warehouse by a statement."""
    query = (
        "create or replace table shop.marts.revenue_by_country as select * from shop.marts.revenue_by_order"
    )
    return MaterializeResult(metadata={"Query": query})


config = DatahubDagsterSourceConfig(
    datahub_client_config=DatahubClientConfig(server="http://localhost:8080"),
    dagster_url="http://localhost:3000",
)
defs = Definitions(
    assets=[orders, revenue, revenue_by_country],
    jobs=[define_asset_job("nightly")],
    sensors=[make_datahub_sensor(config=config)],
)
