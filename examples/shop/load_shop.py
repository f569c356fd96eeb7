"""A Prefect flow that loads the shop's files into a DuckDB database.

Nothing in it speaks of lineage: what it reads and writes is captured from the SQL that it runs.
"""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
from prefect import flow, task

WAREHOUSE = os.environ.get("SHOP_WAREHOUSE", "warehouse.duckdb")
DATA = Path(__file__).with_name("data")


@task(retries=1)
def load(table: str) -> int:
    """Replace a raw table by the file of the same name."""
    with duckdb.connect(WAREHOUSE) as warehouse:
        warehouse.execute("CREATE SCHEMA IF NOT EXISTS raw")
        warehouse.execute(
            f"CREATE OR REPLACE TABLE raw.{table} AS SELECT * FROM read_csv('{DATA / table}.csv')"
        )
        return warehouse.execute(f"SELECT count(*) FROM raw.{table}").fetchone()[0]


@flow
def load_shop() -> dict[str, int]:
    """Load every file of the shop."""
    return {table: load.with_options(name=f"load_{table}")(table) for table in ("customers", "orders")}


if __name__ == "__main__":
    print(load_shop())
