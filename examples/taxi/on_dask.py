"""The same tasks on the workers of a Dask cluster, processes of their own: all months at the same time."""

from __future__ import annotations

from etl_web_to_bucket import SOURCE, clean, fetch, write_bucket, write_local
from prefect import flow
from prefect_dask import DaskTaskRunner

CLUSTER = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}


@flow(task_runner=DaskTaskRunner(cluster_kwargs=CLUSTER))
def web_to_bucket_on_dask(color: str = "yellow", year: int = 2021, months: tuple[int, ...] = (1, 2)) -> None:
    """Several months' trips, from the web to the bucket."""
    uploads = []
    for month in months:
        name = f"{color}_tripdata_{year}-{month:02}"
        trips = clean.submit(fetch.submit(f"{SOURCE}/{name}.csv"))
        uploads.append(write_bucket.submit(write_local.submit(trips, color, name)))
    for upload in uploads:
        upload.result()


if __name__ == "__main__":
    web_to_bucket_on_dask()
