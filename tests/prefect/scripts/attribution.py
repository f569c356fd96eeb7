"""Statements of many tasks that interleave in every way Prefect offers; the owner is in the name of each table."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import duckdb
import sqlalchemy
from prefect import flow, task
from prefect.context import get_run_context
from prefect.task_runners import ProcessPoolTaskRunner

from openlineage_bridge_capture import carried, recorder

STATEMENTS = 20
DRIVERS = ("sqlite3", "duckdb", "sqlalchemy")

Run = Callable[[int], Any]


@contextlib.contextmanager
def opened(driver: str, owner: str) -> Iterator[Run]:
    """What makes the table of a number in a database of this owner's, with this driver."""
    statement = f"CREATE TABLE {owner}_%d AS SELECT 1 AS id"
    if driver == "sqlite3":
        with contextlib.closing(sqlite3.connect(f"{owner}.sqlite", isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            yield lambda number: connection.execute(statement % number)
    elif driver == "duckdb":
        with duckdb.connect(f"{owner}.duckdb") as connection, connection.cursor() as cursor:
            yield lambda number: cursor.execute(statement % number)
    else:
        engine = sqlalchemy.create_engine(f"sqlite:///{owner}.sqlite")
        with engine.begin() as connection:
            yield lambda number: connection.execute(sqlalchemy.text(statement % number))
        engine.dispose()


def some(owner: str, driver: str = "sqlite3", count: int = STATEMENTS, start: int = 0) -> None:
    """Make tables of this owner."""
    with opened(driver, owner) as run:
        for number in range(start, start + count):
            run(number)


def driver_of(number: int) -> str:
    """The drivers take turns."""
    return DRIVERS[number % len(DRIVERS)]


def me() -> str:
    """The name of the table that the current run is to read: its own id."""
    context = get_run_context()
    run = getattr(context, "task_run", None) or context.flow_run
    return f"r{run.id.hex}"


@task
def in_thread(number: int) -> None:
    some(me(), driver_of(number))


@task
async def in_loop(number: int) -> None:
    with opened(driver_of(number), me()) as run:
        for each in range(STATEMENTS):
            run(each)
            await asyncio.sleep(0)


@task
async def to_thread(number: int) -> None:
    await asyncio.gather(
        *(asyncio.to_thread(some, me(), "sqlite3", STATEMENTS // 2, half) for half in (0, 10))
    )


@task
def leaf(owner_of_parent: str) -> None:
    assert owner_of_parent != me()
    some(me())


@task
def nested(number: int) -> None:
    some(me(), count=10)
    leaf(me())
    below()
    some(me(), count=10, start=10)


@flow
def below() -> None:
    some(me())
    leaf(me())


@task
def steps(count: int) -> Iterator[int]:
    own = me()
    with opened("sqlite3", own) as run:
        for number in range(count):
            run(number)
            if number == 1:
                leaf(own)
            yield number
        run(count)


@task
async def async_steps(count: int) -> AsyncIterator[int]:
    own = me()
    with opened("sqlite3", own) as run:
        for number in range(count):
            run(number)
            await asyncio.sleep(0)
            yield number
        run(count)


@task
def of_steps() -> Iterator[int]:
    """A generator task that consumes another one."""
    own = me()
    with opened("sqlite3", own) as run:
        for number in steps(3):
            run(number)
            yield number


@flow
def flow_steps() -> Iterator[int]:
    own = me()
    with opened("sqlite3", own) as run:
        for number in range(3):
            run(number)
            yield number


@task
def by_hand(number: int) -> None:
    """Bare threads and executors, carried."""
    own = me()
    thread = threading.Thread(target=carried(some), args=(own, "sqlite3", 5))
    thread.start()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(carried(lambda start: some(own, "sqlite3", 5, start)), (5, 10, 15)))
    thread.join()


@task
def by_processes(number: int) -> None:
    own = me()
    for start, method in ((0, "fork"), (5, "spawn")):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
            pool.submit(carried(some, across_processes=True), own, "sqlite3", 5, start).result()


def count_in_child() -> int:
    """How many statements this process could attribute to no run, and how many runs it keeps recordings of."""
    some("nobody", count=3, start=STATEMENTS)
    return recorder.unattributed() if not recorder._tapes else -1


@task
def not_carried() -> None:
    """Work that nobody carries, in threads and processes: it is nobody's."""
    thread = threading.Thread(target=some, args=("nobody",))
    thread.start()
    thread.join()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        print("in a forked child:", pool.submit(count_in_child).result())  # noqa: T201  # read by the test
    some(me(), count=1)


@flow
def threads() -> None:
    in_thread.map(range(12)).wait()
    nested.map(range(2)).wait()
    by_hand.submit(0).wait()
    some(me())


@flow
async def loop() -> None:
    await asyncio.gather(*map(in_loop, range(12)), *map(to_thread, range(6)))
    own = me()
    with opened("sqlite3", own) as run:
        async for number in async_steps(3):
            run(number)
        await asyncio.gather(consume(own, 10), consume(own, 20))


async def consume(own: str, start: int) -> None:
    """Two of these interleave, each with a generator task of its own."""
    with opened("sqlite3", own) as run:
        async for number in async_steps(3):
            run(start + number)
            await asyncio.sleep(0)


@flow
def generators() -> None:
    own = me()
    with opened("sqlite3", own) as run:
        for left, right in zip(steps(5), steps(4), strict=False):
            run(left * 10 + right)
            leaf(own)
        for number in of_steps():
            run(100 + number)
        for number in flow_steps():
            run(200 + number)
        for number in steps(5):
            run(300 + number)
            break
        run(400)
        leaf(own)
    steps.submit(3).result()


@flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def processes() -> None:
    in_thread.map(range(8)).wait()
    some(me())


@flow
def by_children() -> None:
    by_processes(0)
    not_carried()


def main() -> None:
    """Everything, one flow after the other; with an argument only that flow."""
    chosen = sys.argv[1:] or ["threads", "loop", "generators", "processes", "by_children"]
    for name in chosen:
        outcome = globals()[name]()
        if asyncio.iscoroutine(outcome):
            asyncio.run(outcome)
    print("unattributed:", recorder.unattributed())  # noqa: T201  # read by the test


if __name__ == "__main__":
    main()
