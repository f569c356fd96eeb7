"""What only the Prefect API knows: parents in other processes, and runs that no local engine drives.

Runs on the emitter's thread. A look-up that fails costs the parent link or the event, never more.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from openlineage_bridge_capture import log
from openlineage_bridge_prefect import snapshots
from openlineage_bridge_prefect.runs import Run
from openlineage_bridge_prefect.snapshots import Snapshot
from openlineage_bridge_prefect.transitions import event_types

TIMEOUT_SECONDS = 5.0


def parent(run: Run) -> Run | None:
    """The run that encloses this one: known, or looked up once through the task run that started it."""
    if run.parent is None and run.parent_task_run_id is not None:
        task_run_id, run.parent_task_run_id = run.parent_task_run_id, None
        run.parent = _flow_run_around(task_run_id)
    return run.parent


def undriven(flow_run_id: UUID, state: Any) -> Snapshot | None:
    """The end of a flow run that somebody else than its engine reported, as a snapshot; None when it cannot be read.

    A run that never started gets its START too, as every run whose first transition is terminal.
    """
    try:
        with _client() as client:
            flow_run = client.read_flow_run(flow_run_id)
            flow = client.read_flow(flow_run.flow_id)
    except Exception:
        _say("The end of a flow run is not reported: the Prefect API did not tell which flow it belongs to")
        return None
    run = _run(flow_run, flow)
    # Not start_time: the server sets it on a run that ends without having run.
    types = event_types(state.type.value, started=flow_run.run_count > 0, finished=False)
    return snapshots.of_flow_run(flow_run, run, state, types)


def _flow_run_around(task_run_id: UUID) -> Run | None:
    try:
        with _client() as client:
            task_run = client.read_task_run(task_run_id)
            if task_run.flow_run_id is None:
                return None
            flow_run = client.read_flow_run(task_run.flow_run_id)
            return _run(flow_run, client.read_flow(flow_run.flow_id))
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
    )


def _client() -> Any:
    from prefect.client.orchestration import get_client

    return get_client(httpx_settings={"timeout": TIMEOUT_SECONDS}, sync_client=True)


def _say(message: str) -> None:
    log.once(logging.WARNING, message, exc_info=True)
