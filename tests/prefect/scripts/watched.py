"""What a watcher can see, in one flow; with an argument, a flow that hangs and writes its process id to that file."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

from prefect import flow, tags, task
from prefect.assets import Asset, AssetProperties, add_asset_metadata, materialize
from prefect.cache_policies import INPUTS
from prefect.states import Cancelled

ORDERS = Asset(
    key="s3://raw/orders.csv",
    properties=AssetProperties(
        name="orders", description="As they came.", owners=["ann"], url="http://wiki/orders"
    ),
)
TABLE = Asset(key="postgres://db.acme.io/shop/public/orders")
ATTEMPTS: list[str] = []


@task
def one() -> int:
    """A description that only the process knows."""
    return 1


@task(task_run_name="plus {right}")
def plus(left: int, right: int) -> int:
    return left + right


@task
def calls_a_flow() -> int:
    return child(2)


@task
def calls_a_task() -> int:
    return one()


@task(retries=1)
def fails_once() -> None:
    ATTEMPTS.append("task")
    if len(ATTEMPTS) == 1:
        raise RuntimeError("first attempt")


@task
def fails() -> None:
    raise ValueError("cannot connect to postgres://ann:hunter2@db.acme.io/shop")


@task(cache_policy=INPUTS, persist_result=True)
def cached(number: int) -> int:
    return number


@materialize(TABLE, asset_deps=[ORDERS], by="dbt")
def load() -> dict[str, int]:
    add_asset_metadata(TABLE, {"rows": 7, "password": "hunter2"})
    return {"rows": 7}


@flow(name="watched child")
def child(number: int) -> int:
    return plus(one(), number)


@flow(name="watched cancelled")
def cancelled() -> object:
    return Cancelled()


@flow(name="watched strict")
def strict(number: int) -> None:
    raise AssertionError("the parameters do not validate")


@flow(name="watched", description="A description that only the process knows.", retries=1)
def watched(number: int, token: str) -> None:
    ATTEMPTS.append("flow")
    if ATTEMPTS.count("flow") == 1:
        raise RuntimeError("first attempt")
    sum(future.result() for future in plus.map([one.submit(), 2], [number, 4]))
    calls_a_flow()
    calls_a_task()
    fails_once()
    fails(return_state=True)
    load()
    assert cached(number) == cached(number)
    cancelled(return_state=True)
    with contextlib.suppress(Exception):
        strict("seven")


@task
def hangs(pid_file: str) -> None:
    Path(f"{pid_file}.new").write_text(str(os.getpid()))
    Path(f"{pid_file}.new").rename(pid_file)
    threading.Event().wait(120)


@flow(name="watched hanging")
def hanging(pid_file: str) -> None:
    hangs(pid_file)


def main() -> None:
    if len(sys.argv) > 1:
        hanging(sys.argv[1])
    one()
    with tags("nightly"):
        watched(3, "t0p")


if __name__ == "__main__":
    main()
