"""Serves the parent flow: a deployment with parameters that runs on the fifth of every month."""

from __future__ import annotations

from parent import load_months

if __name__ == "__main__":
    load_months.serve(
        name="monthly-trips", cron="0 6 5 * *", parameters={"color": "yellow", "year": 2021, "months": [3]}
    )
