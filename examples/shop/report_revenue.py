"""A Prefect flow that reports what the marts hold, and whose last task fails on purpose.

The report is a file that no SQL writes, so the task says itself what it wrote.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import duckdb
from prefect import flow, task

from openlineage_bridge_capture import Dataset, outputs

WAREHOUSE = os.environ.get("SHOP_WAREHOUSE", "warehouse.duckdb")
REPORT = Path(os.environ.get("SHOP_REPORT", "revenue.csv")).absolute()


@task
def write_report() -> Path:
    """Write the revenue of every country to a file."""
    with duckdb.connect(WAREHOUSE, read_only=True) as warehouse:
        result = warehouse.execute(
            "SELECT country, revenue FROM marts.revenue_by_country ORDER BY revenue DESC"
        )
        rows = result.fetchall()
    with REPORT.open("w", newline="") as file:
        csv.writer(file).writerows([("country", "revenue"), *rows])
    outputs(Dataset("file", str(REPORT)))
    return REPORT


@task
def send_to_partner(report: Path) -> None:
    """Fail, as deliveries to partners do."""
    raise ConnectionError(f"the partner's server did not take {report.name}")


@flow
def report_revenue() -> str:
    """Report the revenue; a partner that is away is no reason to fail."""
    report = write_report()
    delivery = send_to_partner(report, return_state=True)
    return f"{report}: {delivery.name}"


if __name__ == "__main__":
    print(report_revenue())
