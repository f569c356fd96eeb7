"""Flows and tasks that end otherwise than by returning, and those around them.

With an argument, a flow that ends in the way that it names, as the last thing that the process does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from uuid import UUID

import anyio
import prefect.task_runners
from prefect import allow_failure, flow, runtime, task
from prefect.client.orchestration import PrefectClient, get_client
from prefect.flow_runs import pause_flow_run
from prefect.states import Completed, Failed
from prefect.transactions import transaction

PROCESSES = getattr(prefect.task_runners, "ProcessPoolTaskRunner", None)


@task
def one() -> int:
    return 1


@task
def fails() -> None:
    raise ValueError("as it should")


@task
def takes(value: object) -> object:
    return value


@task
def fails_on_two(number: int) -> int:
    if number == 2:
        raise ValueError("two")
    return number


@task(retries=2)
def always_fails() -> None:
    raise ValueError("each time")


@task(retries=2, retry_condition_fn=lambda *_: False)
def fails_for_good() -> None:
    raise ValueError("not worth another attempt")


@task(timeout_seconds=0.3)
def takes_too_long() -> None:
    threading.Event().wait(30)


def broken_hook(*_: object) -> None:
    raise RuntimeError("a bug in a hook")


@task(on_failure=[broken_hook])
def fails_with_broken_hook() -> None:
    raise ValueError("before the hook")


@task(cache_key_fn=lambda *_: "the same key", persist_result=True, task_run_name="another-name")
def cached_by_key() -> int:
    return 1


@task
async def waits() -> None:
    await asyncio.sleep(30)


@task
def counts() -> Iterator[int]:
    yield from range(10)


@task
async def async_counts() -> AsyncIterator[int]:
    for number in range(10):
        yield number


@task
def undone() -> int:
    return 1


@undone.on_rollback
def undo(_: object) -> None:
    pass


@flow(name="failing child")
def failing_child() -> None:
    raise ValueError("in the child")


@flow(name="plain child")
def plain_child() -> int:
    return one()


@task
def catches_a_failing_flow() -> None:
    with contextlib.suppress(ValueError):
        failing_child()


@flow(name="caught failures", on_completion=[broken_hook])
def caught_failures() -> None:
    blocked = fails.submit()
    takes.submit(blocked).wait()
    takes.submit(allow_failure(blocked)).wait()
    one.submit(wait_for=[one.submit()]).wait()
    for broken in (always_fails, fails_for_good, takes_too_long, fails_with_broken_hook):
        broken(return_state=True)
    cached_by_key()
    cached_by_key()
    catches_a_failing_flow()


@flow(name="generators left early")
def generators_left_early() -> None:
    with contextlib.closing(counts()) as numbers:
        assert next(numbers) == 0
    asyncio.run(leave_async_generator())


async def leave_async_generator() -> None:
    async with contextlib.aclosing(async_counts()) as numbers:
        assert await anext(numbers) == 0


@flow(name="cancels a task")
async def cancels_a_task() -> None:
    with contextlib.suppress(asyncio.TimeoutError, asyncio.CancelledError):
        await asyncio.wait_for(asyncio.ensure_future(waits()), 0.5)


@flow(name="flow that takes too long", timeout_seconds=0.5)
async def flow_takes_too_long() -> None:
    await anyio.sleep(30)


@flow(name="sync flow that takes too long", timeout_seconds=0.5)
def sync_flow_takes_too_long() -> None:
    threading.Event().wait(30)


@flow(name="says completed")
def says_completed() -> object:
    return Completed(message="as told")


@flow(name="says failed")
def says_failed() -> object:
    return Failed(message="as told")


@flow(name="returns failed futures")
def returns_failed_futures() -> object:
    return [one.submit(), fails.submit()]


@flow(name="rolls back")
def rolls_back() -> None:
    with transaction():
        undone()
        raise ValueError("after the task")


@flow(name="named", flow_run_name="renamed", persist_result=True)
def named() -> int:
    return 1


@flow(name="starts a flow in a thread")
def starts_a_flow_in_a_thread() -> None:
    thread = threading.Thread(target=plain_child)
    thread.start()
    thread.join()


@flow(name="paused")
def paused() -> int:
    resumer = threading.Thread(target=asyncio.run, args=(resume(UUID(str(runtime.flow_run.id))),))
    resumer.start()
    pause_flow_run(timeout=30, poll_interval=1)
    resumer.join()
    return one()


@flow(name="paused for ever")
def paused_for_ever() -> None:
    pause_flow_run(timeout=1, poll_interval=1)


async def resume(flow_run_id: UUID) -> None:
    # The synchronous client of the first versions cannot.
    async with get_client() as client:
        while not await is_paused(client, flow_run_id):  # noqa: ASYNC110 - another process says so
            await asyncio.sleep(0.2)
        await client.resume_flow_run(flow_run_id)


async def is_paused(client: PrefectClient, flow_run_id: UUID) -> bool:
    state = (await client.read_flow_run(flow_run_id)).state
    return state is not None and state.is_paused()


@task
def ends_as_told(how: str) -> None:
    ENDS[how]()


@flow(name="ended")
def ended(how: str) -> None:
    try:
        ends_as_told(how)
    finally:
        # Cleaning up takes its time; without it, Prefect before 3.8.8 ends the process while the task's end is on its way.
        threading.Event().wait(1)


@task
async def async_ends() -> None:
    # From another thread: what a callback of the loop raises, the loop would catch.
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    await asyncio.sleep(30)


@flow(name="async ended")
async def async_ended() -> None:
    await async_ends()


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    threading.Event().wait(30)


ENDS: dict[str, Callable[[], None]] = {
    "sigint": lambda: send(signal.SIGINT),
    "sigterm": lambda: send(signal.SIGTERM),
    # Later: nobody writes then any more what was said of the runs before, and a busy machine takes its time.
    "sigkill": lambda: threading.Event().wait(5) or send(signal.SIGKILL),
}


def main() -> None:
    caught_failures()
    generators_left_early()
    asyncio.run(cancels_a_task())
    with contextlib.suppress(Exception):
        asyncio.run(flow_takes_too_long())
    says_completed()
    for failing in (
        sync_flow_takes_too_long,
        says_failed,
        returns_failed_futures,
        rolls_back,
        paused_for_ever,
    ):
        failing(return_state=True)
    named()
    starts_a_flow_in_a_thread()
    paused()
    if PROCESSES is not None:
        processes = flow(name="processes", task_runner=PROCESSES(max_workers=2))(in_processes)
        processes(return_state=True)


def in_processes() -> list[object]:
    return [future.state for future in (*fails_on_two.map([1, 2, 3]), takes.submit(7)) if not future.wait()]


if __name__ == "__main__":
    if sys.argv[1:] == ["async-sigterm"]:
        asyncio.run(async_ended())
    elif len(sys.argv) > 1:
        ended(sys.argv[1])
    else:
        main()
