"""Tasks and flows that read and write: SQL without user code, datasets said explicitly, Prefect assets."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import duckdb
from prefect import flow, task
from prefect.assets import Asset, AssetProperties, add_asset_metadata, materialize
from prefect.cache_policies import INPUTS
from prefect.task_runners import ProcessPoolTaskRunner

from openlineage_bridge_capture import Dataset, inputs, outputs

LAKE = "s3://lake"


@task
def extract(path: str) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE raw AS SELECT 1 AS id, 9.5 AS amount")


@task
def transform(path: str) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE orders AS SELECT id, amount FROM raw")


@task
def fails_half_way(path: str) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE half AS SELECT id FROM orders")
        connection.execute("INSERT INTO no_such_table SELECT id FROM raw")


@flow(name="sql")
def sql(path: str) -> None:
    extract(path)
    transform(path)
    with duckdb.connect(path) as connection:
        connection.execute("SELECT count(*) FROM orders").fetchall()
    with contextlib.suppress(duckdb.Error):
        fails_half_way(path)


@task
def copies(name: str) -> None:
    inputs(Dataset(LAKE, f"in/{name}"))
    outputs(Dataset(LAKE, f"out/{name}"))


@task
async def copies_async(name: str) -> None:
    inputs(Dataset(LAKE, f"in/{name}"))
    await asyncio.sleep(0.01)
    outputs(Dataset(LAKE, f"out/{name}"))


@task
def nests(name: str) -> None:
    inputs(Dataset(LAKE, f"outer/{name}"))
    copies(name)
    outputs(Dataset(LAKE, f"outer/{name}/done"))


@flow(name="inner")
def inner() -> None:
    outputs(Dataset(LAKE, "inner"))


@task
def calls_inner() -> None:
    inner()
    inputs(Dataset(LAKE, "after inner"))


@task(retries=1)
def second_time(seen: list[int]) -> None:
    seen.append(1)
    inputs(Dataset(LAKE, f"attempt/{len(seen)}"))
    if len(seen) == 1:
        raise RuntimeError("first attempt")


@flow(name="explicit")
def explicit() -> None:
    copies.map(["a", "b"]).wait()
    nests("c")
    calls_inner()
    second_time([])
    outputs(Dataset(LAKE, "the flow's own"))


@flow(name="async explicit")
async def async_explicit() -> None:
    await asyncio.gather(copies_async("d"), copies_async("e"))


@task
def copies_elsewhere(name: str) -> None:
    outputs(Dataset(LAKE, f"pool/{name}"))


@flow(name="pool", task_runner=ProcessPoolTaskRunner(max_workers=1))
def pool() -> None:
    copies_elsewhere.map(["f", "g"]).wait()


ORDERS = Asset(
    key="postgres://db.acme.io/shop/public/orders",
    properties=AssetProperties(
        name="Orders", description="Every order.", owners=["ann"], url="https://acme.io/orders"
    ),
)


@materialize("s3://lake/staged.parquet", asset_deps=["s3://lake/landing.csv"])
def stage() -> dict[str, int]:
    return {"rows": 3}


@materialize(ORDERS, by="dbt")
def publish(staged: dict[str, int]) -> None:
    add_asset_metadata(ORDERS, {"row_count": staged["rows"], "bytes": 120})


@task(asset_deps=["file:///srv/report.xlsx"])
def reads_an_asset() -> None:
    pass


@materialize("s3://lake/once", cache_policy=INPUTS, persist_result=True)
def once(number: int) -> int:
    return number


@materialize("s3://lake/never")
def fails_to_materialize() -> None:
    raise RuntimeError("nothing was written")


@flow(name="assets")
def assets() -> None:
    publish(stage())
    reads_an_asset()
    once(1)
    once(1)
    with contextlib.suppress(RuntimeError):
        fails_to_materialize()


def main() -> None:
    sql(str(Path(sys.argv[1])))
    explicit()
    asyncio.run(async_explicit())
    pool()
    assets()


if __name__ == "__main__":
    main()
