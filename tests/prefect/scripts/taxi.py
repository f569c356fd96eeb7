"""Runs flows of ``examples/taxi`` as they are: a month that was loaded before, and the report."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "taxi"))

from etl_web_to_bucket import etl_web_to_bucket
from report import report_fares

if __name__ == "__main__":
    etl_web_to_bucket("yellow", 2021, 1)
    report_fares()
