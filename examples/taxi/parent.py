"""The flow that is deployed: two subflows for each month that it is asked for."""

from __future__ import annotations

from etl_bucket_to_warehouse import etl_bucket_to_warehouse
from etl_web_to_bucket import etl_web_to_bucket
from prefect import flow


@flow
def load_months(color: str = "yellow", year: int = 2021, months: tuple[int, ...] = (1, 2)) -> int:
    """Load the trips of several months; how many there are."""
    loaded = 0
    for month in months:
        etl_web_to_bucket(color, year, month)
        loaded += etl_bucket_to_warehouse(color, year, month)
    return loaded


if __name__ == "__main__":
    print(load_months())
