"""Runs the flow of ``examples/taxi/on_dask.py`` on a worker that is a process of its own, then on one that is a thread."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "taxi"))

from blocks import register
from on_dask import web_to_bucket_on_dask
from prefect_dask import DaskTaskRunner

PROCESS = {"n_workers": 1, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
THREADS = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": "127.0.0.1:0"}


def main() -> None:
    register()
    for cluster, color, month in ((PROCESS, "yellow", 4), (THREADS, "green", 6)):
        runner = DaskTaskRunner(cluster_kwargs=cluster)
        web_to_bucket_on_dask.with_options(task_runner=runner)(color, 2021, (month,))


if __name__ == "__main__":
    main()
