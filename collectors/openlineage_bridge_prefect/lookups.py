"""What only the Prefect API knows: parents in other processes, and runs that no local engine drives.

Runs on the emitter's thread. A look-up that fails costs the parent link or the event, never more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from openlineage_bridge_capture import log
from openlineage_bridge_prefect import snapshots
from openlineage_bridge_prefect.attempts import Attempt, attempt_at
from openlineage_bridge_prefect.runs import Run, live
from openlineage_bridge_prefect.snapshots import Snapshot
from openlineage_bridge_prefect.transitions import event_types, resumed

TIMEOUT_SECONDS = 5.0


def parent(run: Run) -> Run | None:
    """The run that encloses this one: known, or looked up once through the task run that started it."""
    if run.parent is None and run.parent_task_run_id is not None:
        task_run_id, run.parent_task_run_id = run.parent_task_run_id, None
        run.parent = _flow_run_around(task_run_id)
    return run.parent


def placed(snapshot: Snapshot) -> Snapshot:
    """The snapshot, with its run and all around it known as the attempts that they are.

    A run that an earlier process had begun (it was suspended, and is resumed) goes on instead of starting again.
    """
    run = snapshot.run
    begun = run.again and _place(run, snapshot.time, snapshot.state[0]).begun
    for around in _around(run):
        if around.again:
            _place(around, snapshot.time, None)
    return attrs.evolve(snapshot, types=resumed(snapshot.types)) if begun else snapshot


def undriven(flow_run_id: UUID, state: Any) -> Snapshot | None:
    """What somebody else than its engine made of a flow run, as a snapshot; None when it cannot be read, or says nothing.

    A run that never started gets its START too, as every run whose first transition is terminal.
    """
    try:
        with _client() as client:
            flow_run = _ask(client, "read_flow_run", flow_run_id)
            flow = _ask(client, "read_flow", flow_run.flow_id)
    except Exception:
        _say("The end of a flow run is not reported: the Prefect API did not tell which flow it belongs to")
        return None
    run = live(flow_run_id) or _run(flow_run, flow)
    # Not start_time: the server sets it on a run that ends without having run.
    begun = flow_run.run_count > 0
    if run.again:
        begun = _place(run, state.timestamp, state.type.value, unknown=Attempt(begun=begun)).begun
    types = event_types(state.type.value, started=begun, finished=False)
    return placed(snapshots.of_flow_run(flow_run, run, state, types)) if types else None


def _around(run: Run) -> Iterator[Run]:
    above = parent(run)
    while above is not None:
        yield above
        above = parent(above)


def _place(run: Run, moment: datetime, entered: str | None, unknown: Attempt = Attempt()) -> Attempt:  # noqa: B008 - a frozen value
    """Look up, once, which attempt of its flow run a run is; ``unknown`` when the API does not tell."""
    run.again = False
    try:
        with _client() as client:
            found = _ask(client, "read_flow_run_states", run.id)
        states = [(state.timestamp, state.type.value) for state in found]
    except Exception:
        _say("A flow run may share its id with an earlier attempt: the Prefect API did not tell its states")
        return unknown
    attempt = attempt_at(states, moment, entered)
    run.attempt = attempt.number
    return attempt


def _flow_run_around(task_run_id: UUID) -> Run | None:
    try:
        with _client() as client:
            task_run = _ask(client, "read_task_run", task_run_id)
            if task_run.flow_run_id is None:
                return None
            flow_run = _ask(client, "read_flow_run", task_run.flow_run_id)
            return _run(flow_run, _ask(client, "read_flow", flow_run.flow_id))
    except Exception:
        _say("The parent of a run is left out: the Prefect API did not tell which run started it")
        return None


def _run(flow_run: Any, flow: Any) -> Run:
    return Run(
        id=flow_run.id,
        kind="FLOW",
        job_name=flow.name,
        flow_name=flow.name,
        parent_task_run_id=flow_run.parent_task_run_id,
        run_count=flow_run.run_count,
        again=True,
    )


def _ask(client: Any, method: str, *arguments: Any) -> Any:
    """What a method of Prefect's client answers; before 3.1 only the asynchronous client has all of them."""
    known = getattr(client, method, None)
    return known(*arguments) if known is not None else asyncio.run(_ask_async(method, *arguments))


async def _ask_async(method: str, *arguments: Any) -> Any:
    from prefect.client.orchestration import get_client

    async with get_client(httpx_settings={"timeout": TIMEOUT_SECONDS}) as client:
        return await getattr(client, method)(*arguments)


def _client() -> Any:
    from prefect.client.orchestration import get_client

    return get_client(httpx_settings={"timeout": TIMEOUT_SECONDS}, sync_client=True)


def _say(message: str) -> None:
    log.once(logging.WARNING, message, exc_info=True)
