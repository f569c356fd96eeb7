"""A Prefect flow that takes a month's trips from the bucket to a table of the warehouse, and sums them up there.

Nothing in it speaks of lineage.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from prefect import flow, task
from prefect_aws import S3Bucket
from prefect_sqlalchemy import SqlAlchemyConnector

FARES = """
CREATE TABLE IF NOT EXISTS fares_by_zone (color text, month text, zone text, trips bigint, fares double precision)
"""
SUM_UP = """
INSERT INTO fares_by_zone (color, month, zone, trips, fares)
SELECT color, month, zone, count(*), sum(fare) FROM trips WHERE color = :color AND month = :month
GROUP BY color, month, zone
"""


@task(retries=3, retry_delay_seconds=0.2)
def extract(color: str, month: str) -> Path:
    """Download a month's file."""
    key = f"data/{color}/{color}_tripdata_{month}.parquet"
    path = Path("downloads") / key
    path.parent.mkdir(parents=True, exist_ok=True)
    return Path(S3Bucket.load("taxi-lake").download_object_to_path(key, str(path)))


@task
def load(path: Path, color: str, month: str) -> int:
    """Append the file's trips to the table ``trips``."""
    trips = pd.read_parquet(path).assign(color=color, month=month)
    with SqlAlchemyConnector.load("taxi-warehouse") as warehouse, warehouse.get_connection() as connection:
        trips.to_sql("trips", connection, if_exists="append", index=False, chunksize=200)
    return len(trips)


@task
def sum_up(color: str, month: str) -> None:
    """Add the month to the table ``fares_by_zone``."""
    with SqlAlchemyConnector.load("taxi-warehouse") as warehouse:
        warehouse.execute(FARES)
        warehouse.execute(SUM_UP, parameters={"color": color, "month": month})


@flow
def etl_bucket_to_warehouse(color: str, year: int, month: int) -> int:
    """One month's trips, from the bucket to the warehouse."""
    loaded = load(extract(color, f"{year}-{month:02}"), color, f"{year}-{month:02}")
    sum_up(color, f"{year}-{month:02}")
    return loaded


if __name__ == "__main__":
    print(etl_bucket_to_warehouse("yellow", 2021, 1))
