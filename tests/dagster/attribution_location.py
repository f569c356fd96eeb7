"""A job whose steps run statements in every way Dagster offers; the owner is in the name of each table."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import re
import sqlite3
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
from dagster import (
    AssetSpec,
    Definitions,
    DynamicOut,
    DynamicOutput,
    In,
    IOManager,
    IOManagerDefinition,
    MaterializeResult,
    Nothing,
    Out,
    Output,
    RetryPolicy,
    define_asset_job,
    in_process_executor,
    job,
    multi_asset,
    multiprocess_executor,
    op,
)

import openlineage_bridge_dagster  # noqa: F401  # arms capture
from openlineage_bridge_capture import carried, recorder


def makes(owner: str, *numbers: int, driver: str = "sqlite3") -> None:
    """Make tables of this owner, in a database of its own."""
    owner = re.sub(r"\W", "_", owner)
    connecting = (
        sqlite3.connect(f"{owner}.sqlite") if driver == "sqlite3" else duckdb.connect(f"{owner}.duckdb")
    )
    with contextlib.closing(connecting) as connection:
        for number in numbers:
            connection.execute(f"CREATE TABLE {owner}_{number} AS SELECT 1 AS id")


class Storing(IOManager):
    """Stores and loads with SQL, on behalf of the step."""

    def handle_output(self, context: Any, obj: Any) -> None:
        name = f"{context.name}_{context.mapping_key}" if context.mapping_key else context.name
        makes(f"{context.step_key}_stores_{name}", 0)
        _file(context).write_text(str(obj))

    def load_input(self, context: Any) -> Any:
        makes(f"{context.step_context.step.key}_loads_{context.upstream_output.step_key}", 0)
        return int(_file(context.upstream_output).read_text())


def _file(output: Any) -> Path:
    return Path(f"{output.run_id}-{output.step_key}-{output.name}-{output.mapping_key}")


@op
def plain(context) -> int:
    makes(context.op_handle.name, *range(20))
    return 1


@op(out={"left": Out(int), "right": Out(int)})
def generator(context):
    makes("generator", *range(10))
    yield Output(1, "left")
    makes("generator", *range(10, 20), driver="duckdb")
    yield Output(2, "right")
    makes("generator", 20)


@op
async def coroutine(left: int) -> int:
    for number in range(20):
        makes("coroutine", number)
        await asyncio.sleep(0)
    await asyncio.to_thread(makes, "coroutine", 20)
    return left


@op(out={"left": Out(int), "right": Out(int)})
async def async_generator():
    makes("async_generator", *range(10))
    yield Output(1, "left")
    await asyncio.sleep(0)
    makes("async_generator", *range(10, 20))
    yield Output(2, "right")


@op(out=DynamicOut(int))
def fans_out(context):
    for number in range(int(context.run.tags["mapped"])):
        makes("fans_out", number)
        yield DynamicOutput(number, mapping_key=f"k{number}")


@op
def mapped(context, number: int) -> int:
    driver = ("sqlite3", "duckdb")[number % 2]
    makes(context.get_step_execution_context().step.key, *range(20), driver=driver)
    return number


@op
def collects(numbers: list[int]) -> None:
    makes("collects", *range(20))


@op(retry_policy=RetryPolicy(max_retries=1))
def twice(context) -> None:
    makes(f"twice_{context.retry_number}", *range(10))
    if context.retry_number == 0:
        raise RuntimeError("again")


@op
def inner() -> None:
    makes("inner", *range(10))


@job
def within() -> None:
    inner()


@op(ins={"after": In(Nothing)})
def nests(context) -> None:
    makes("nests", *range(5))
    within.execute_in_process(instance=context.instance)
    makes("nests", *range(5, 10))


def count_in_child() -> int:
    """How many statements a forked process could attribute to no step; -1 if it recorded them for one."""
    makes("nobody", 1, 2, 3)
    return recorder.unattributed() if not recorder._tapes else -1


@op
def hands_out(context) -> None:
    thread = threading.Thread(target=carried(makes), args=("hands_out", *range(5)))
    thread.start()
    thread.join()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        pool.submit(carried(makes, across_processes=True), "hands_out", *range(5, 10)).result(60)
        counted = pool.submit(count_in_child).result(60)
    context.log.info("nobody's: %d", counted)


@multi_asset(specs=[AssetSpec("orders"), AssetSpec("customers")])
def tables():
    for key in ("orders", "customers"):
        makes(f"tables_{key}", *range(10))
        yield MaterializeResult(asset_key=key)


def _everything() -> None:
    _some()
    nests(plain())
    async_generator()
    hands_out()


def _some() -> None:
    left, _ = generator()
    coroutine(left)
    collects(fans_out().map(mapped).collect())
    twice()


storing = IOManagerDefinition.hardcoded_io_manager(Storing())
in_one_process = job(
    name="in_one_process",
    tags={"mapped": "30"},
    executor_def=in_process_executor,
    resource_defs={"io_manager": storing},
)(_everything)
in_many_processes = job(
    name="in_many_processes",
    tags={"mapped": "3"},
    executor_def=multiprocess_executor.configured(
        {
            "max_concurrent": 3,
            "start_method": {"forkserver": {"preload_modules": ["duckdb", "openlineage_bridge_dagster"]}},
        }
    ),
    resource_defs={"io_manager": storing},
)(_some)
all_assets = define_asset_job("all_assets", executor_def=in_process_executor)

defs = Definitions(assets=[tables], jobs=[in_one_process, in_many_processes, all_assets])
