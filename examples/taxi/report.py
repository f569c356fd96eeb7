"""A Prefect flow that takes what the warehouse has summed up into a DuckDB file, and from there to parquet.

Nothing in it speaks of lineage.
"""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pandas as pd
from prefect import flow, task
from prefect_sqlalchemy import SqlAlchemyConnector

MARTS = os.environ.get("TAXI_MARTS", "marts.duckdb")
DEAREST = "SELECT zone, sum(fares) / sum(trips) AS fare FROM fares_by_zone GROUP BY zone ORDER BY fare DESC"


@task
def copy_fares() -> int:
    """Copy the fares into DuckDB, chunk by chunk."""
    rows = 0
    with SqlAlchemyConnector.load("taxi-warehouse") as warehouse, duckdb.connect(MARTS) as marts:
        marts.execute("CREATE OR REPLACE TABLE fares_by_zone (zone VARCHAR, trips BIGINT, fares DOUBLE)")
        query = "SELECT zone, trips, fares FROM fares_by_zone"
        for fares in pd.read_sql(query, warehouse.get_engine(), chunksize=100):
            marts.execute("INSERT INTO fares_by_zone SELECT zone, trips, fares FROM fares")
            rows += len(fares)
    return rows


@task
def write_dearest() -> Path:
    """Write what a trip costs, zone by zone."""
    path = Path("dearest_zones.parquet").absolute()
    with duckdb.connect(MARTS) as marts:
        marts.execute(f"COPY ({DEAREST}) TO '{path}' (FORMAT parquet)")
    return path


@flow
def report_fares() -> Path:
    """Report what the warehouse knows."""
    copy_fares()
    return write_dearest()


if __name__ == "__main__":
    print(report_fares())
