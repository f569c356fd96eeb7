"""Ops that say by metadata what they read and write, and the sensor of DataHub's plugin: only the import is another."""

from __future__ import annotations

from dagster import Definitions, In, Out, job, op

from openlineage_bridge_dagster.datahub import (
    DatahubClientConfig,
    DatahubDagsterSourceConfig,
    DatasetUrn,
    make_datahub_sensor,
)

ORDERS = DatasetUrn("snowflake", "shop.raw.orders").urn()
TOTALS = DatasetUrn("snowflake", "shop.marts.totals").urn()


@op
def fetch() -> list[int]:
    """Amounts of some orders."""
    return [12, 30, 8]


@op(
    ins={"amounts": In(metadata={"datahub.inputs": [ORDERS]})},
    out=Out(metadata={"datahub.outputs": [TOTALS]}),
)
def total(amounts: list[int]) -> int:
    """Their sum."""
    return sum(amounts)


@job
def daily_totals() -> None:
    """Totals of the day."""
    total(fetch())


config = DatahubDagsterSourceConfig(
    datahub_client_config=DatahubClientConfig(server="http://localhost:8080"),
    dagster_url="http://localhost:3000",
)
defs = Definitions(jobs=[daily_totals], sensors=[make_datahub_sensor(config=config)])
