"""Flows and tasks of every kind that Prefect knows, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator

from prefect import flow, runtime, tags, task
from prefect.cache_policies import INPUTS
from prefect.client.orchestration import get_client
from prefect.exceptions import CancelledRun, UpstreamTaskError
from prefect.states import Cancelled, Crashed, Failed

ATTEMPTS: list[str] = []


@task
def one() -> int:
    """The first number."""
    return 1


@task
def plus(left: int, right: int) -> int:
    return left + right


@task
def calls_another() -> int:
    return one()


@task
def calls_a_flow() -> int:
    return child_flow()


@task
def generates() -> Iterator[int]:
    yield 1
    yield 2


@task
async def async_one() -> int:
    return 1


@task
async def async_generates() -> AsyncIterator[int]:
    yield 1


@task
def takes(number: int) -> int:
    return number


@task(retries=1)
def fails_once() -> None:
    ATTEMPTS.append("task")
    if ATTEMPTS.count("task") == 1:
        raise RuntimeError("first attempt")


@task(retries=1, retry_delay_seconds=1)
def fails_once_and_waits() -> None:
    ATTEMPTS.append("waiting task")
    if ATTEMPTS.count("waiting task") == 1:
        raise RuntimeError("first attempt")


@task
def fails(password: str) -> None:
    raise ValueError(f"cannot connect to postgres://ann:{password}@db.acme.io/shop")


@task(timeout_seconds=0.2)
async def times_out() -> None:
    await asyncio.sleep(30)


@task
def returns_failed() -> object:
    return Failed(message="said so")


@task(cache_policy=INPUTS, persist_result=True)
def cached(number: int) -> int:
    return number


@task
def exits() -> None:
    sys.exit(3)


@flow
def child_flow() -> int:
    return one()


@flow(name="sync flow", description="Everything synchronous.")
def sync_flow(number: int = 1, token: str = "t0p", options: dict[str, int] | None = None) -> None:
    assert plus(one(), number) == 2
    assert sum(future.result() for future in plus.map([0, 0], [1, 1])) == 2
    assert plus(one.submit(), 1) == 2
    assert calls_another() == 1
    assert calls_a_flow() == 1
    assert child_flow() == 1
    assert [takes(number) for number in generates()] == [1, 2]
    fails_once()
    fails_once_and_waits()


@task(name="flow in a task")
def flow_in_a_task() -> int:
    return child_flow()


@task
async def async_takes(number: int) -> int:
    return number


@task
async def async_calls_another() -> int:
    return await async_one()


@flow(name="generating")
def generating() -> Iterator[int]:
    for number in generates():
        yield takes(number)


@flow(name="async generating")
async def async_generating() -> AsyncIterator[int]:
    async for number in async_generates():
        yield await async_takes(number)


@flow(name="async flow")
async def async_flow() -> None:
    assert await asyncio.gather(async_one(), async_one()) == [1, 1]
    assert [number async for number in async_generates()] == [1]
    assert [future.result() for future in async_takes.map([1, 2])] == [1, 2]
    assert async_takes.submit(3).result() == 3
    assert await async_calls_another() == 1
    assert [number async for number in async_generating()] == [1]
    await async_child()


@flow(name="async child")
async def async_child() -> int:
    return await async_one()


@flow(name="failing flow")
def failing_flow() -> None:
    with contextlib.suppress(Exception):
        asyncio.run(times_out())
    returns_failed(return_state=True)
    blocked = fails.submit("hunter2")
    with contextlib.suppress(UpstreamTaskError, Exception):
        plus.submit(blocked, 1).result()
    blocked.result()


@flow(name="retried flow", retries=1)
def retried_flow() -> None:
    one()
    ATTEMPTS.append("flow")
    if ATTEMPTS.count("flow") == 1:
        raise RuntimeError("first attempt")


@flow(name="retried flow that waits", retries=1, retry_delay_seconds=1)
def retried_flow_that_waits() -> None:
    ATTEMPTS.append("waiting flow")
    if ATTEMPTS.count("waiting flow") == 1:
        raise RuntimeError("first attempt")


@flow(name="cancelled flow")
def cancelled_flow() -> object:
    return Cancelled()


@flow(name="strict flow")
def strict_flow(number: int) -> None:
    raise AssertionError("the parameters do not validate")


@flow(name="cached flow")
def cached_flow() -> None:
    assert cached(7) == 7
    assert cached(7) == 7


@flow(name="crashing flow")
def crashing_flow() -> None:
    exits()


@flow(name="abandoned")
def abandoned() -> None:
    raise AssertionError("nobody runs it")


@flow(name="abandons")
def abandons() -> None:
    with get_client(sync_client=True) as client:
        starter = client.create_task_run(one, flow_run_id=runtime.flow_run.id, dynamic_key="starter")
        flow_run = client.create_flow_run(abandoned, parent_task_run_id=starter.id)
        client.set_flow_run_state(flow_run.id, Cancelled(), force=True)
    asyncio.run(abandons_async())


async def abandons_async() -> None:
    async with get_client() as client:
        flow_run = await client.create_flow_run(abandoned)
        await client.set_flow_run_state(str(flow_run.id), Crashed(message="its machine is gone"), force=True)


def main() -> None:
    assert one() == 1
    sync_flow(options={})
    # After a flow: Prefect files it under that flow.
    assert one() == 1
    flow_in_a_task()
    assert list(generating()) == [1, 2]
    asyncio.run(async_flow())
    with contextlib.suppress(ValueError):
        failing_flow()
    with tags("nightly"):
        retried_flow()
    retried_flow_that_waits()
    with contextlib.suppress(CancelledRun):
        cancelled_flow()
    with contextlib.suppress(Exception):
        strict_flow("seven")
    cached_flow()
    abandons()
    crashing_flow()


if __name__ == "__main__":
    main()
