"""A Prefect flow that takes a month's trips from the web to a bucket.

Nothing in it speaks of lineage.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pandas as pd
from prefect import flow, task
from prefect.tasks import task_input_hash
from prefect_aws import S3Bucket

SOURCE = os.environ.get("TAXI_SOURCE", "http://127.0.0.1:8010")


@task(retries=3, retry_delay_seconds=0.2, cache_key_fn=task_input_hash, cache_expiration=timedelta(days=1))
def fetch(url: str) -> pd.DataFrame:
    """Read a file from the web; the same file is fetched once a day."""
    return pd.read_csv(url)


@task
def clean(trips: pd.DataFrame) -> pd.DataFrame:
    """Drop the trips without passengers, and let times be times."""
    trips = trips[trips["passenger_count"] > 0]
    return trips.assign(
        pickup_at=pd.to_datetime(trips["pickup_at"]), dropoff_at=pd.to_datetime(trips["dropoff_at"])
    )


@task
def write_local(trips: pd.DataFrame, color: str, name: str) -> Path:
    """Write the trips as a local parquet file."""
    path = Path("data") / color / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    trips.to_parquet(path, compression="gzip")
    return path


@task
def write_bucket(path: Path) -> None:
    """Upload the file under the same path."""
    S3Bucket.load("taxi-lake").upload_from_path(from_path=path, to_path=path.as_posix())


@flow
def etl_web_to_bucket(color: str, year: int, month: int) -> None:
    """One month's trips, from the web to the bucket."""
    name = f"{color}_tripdata_{year}-{month:02}"
    trips = clean(fetch(f"{SOURCE}/{name}.csv"))
    write_bucket(write_local(trips, color, name))


if __name__ == "__main__":
    etl_web_to_bucket("yellow", 2021, 1)
