"""Tasks that run in the background, and, with the argument ``serve``, the task worker that runs them."""

from __future__ import annotations

import sys
import threading

from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.futures import PrefectFuture
from prefect.task_worker import serve

ATTEMPTS: list[str] = []
ASKED: list[PrefectFuture[int]] = []


@task
def doubles(number: int) -> int:
    return 2 * number


@task
async def async_doubles(number: int) -> int:
    return 2 * number


@task
def breaks() -> None:
    raise ValueError("in the background")


@task(retries=1)
def fails_once() -> None:
    ATTEMPTS.append("task")
    if len(ATTEMPTS) == 1:
        raise RuntimeError("first attempt")


@task
def calls_another(number: int) -> int:
    return doubles(number)


@task
def calls_a_flow() -> int:
    return called()


@task
def delegates() -> None:
    wait_for(doubles.delay(3))


@flow(name="called from the background")
def called() -> int:
    return doubles(1)


@task
def asks_in_a_task() -> None:
    wait_for(doubles.delay(4))


@flow(name="asks and waits")
def asks_and_waits() -> None:
    wait_for(doubles.delay(5), *doubles.map([6, 7], deferred=True))
    eight = doubles.delay(8)
    # A task worker waits for a result that is not there yet as Prefect's ``wait`` does.
    wait_for(eight)
    wait_for(doubles.apply_async(kwargs={"number": eight}))
    asks_in_a_task()


@flow(name="asks and leaves")
def asks_and_leaves() -> None:
    ASKED.append(doubles.delay(9))


def wait_for(*futures: PrefectFuture[object]) -> None:
    """Until they have ended; Prefect's own ``wait`` misses an end now and then."""
    for future in futures:
        while not has_ended(future):
            threading.Event().wait(0.2)


def has_ended(future: PrefectFuture[object]) -> bool:
    with get_client(sync_client=True) as client:
        state = client.read_task_run(future.task_run_id).state
    return state is not None and state.is_final()


def main() -> None:
    asks_and_leaves()
    asked = [doubles.delay(1), async_doubles.delay(1), calls_another.delay(2)]
    asked += [each.delay() for each in (breaks, fails_once, calls_a_flow, delegates)]
    asks_and_waits()
    wait_for(*ASKED, *asked)


SERVED = (doubles, async_doubles, breaks, fails_once, calls_another, calls_a_flow, delegates)

if __name__ == "__main__":
    serve(*SERVED) if "serve" in sys.argv else main()
