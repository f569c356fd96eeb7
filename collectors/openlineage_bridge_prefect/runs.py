"""Which run is this, who encloses it, and how far its run cycle has got.

A ``Run`` lives as long as the Prefect engine that drives it: the engine holds it, and the table of live runs is weak.
So nothing has to be cleaned up, whichever way a run ends.
"""

from __future__ import annotations

import os
from typing import Any, Literal
from uuid import UUID
from weakref import WeakValueDictionary

import attrs

from openlineage_bridge_prefect import attempts, contexts

Kind = Literal["FLOW", "TASK"]

ENGINE_ATTRIBUTE = "_openlineage_bridge_run"


@attrs.define(eq=False)
class Run:
    """A flow or task run as OpenLineage sees it.

    Args:
        id: Prefect's own UUID.
        kind: Flow run or task run.
        job_name: ``flow.name``, ``flow.name.task.name``, or ``task.name`` of a task without a flow; never the task key,
            which changes when the task's source line moves.
        flow_name: Name of the flow, None for a task without one.
        parent: The enclosing run, once known.
        parent_task_run_id: Task run through which another process started this one; to be looked up.
        outermost: A flow run whose parent no engine of this process drives, or a task run without a parent: the process
            may be done when the run is. Not the tasks of a process pool, which come by the thousand.
        state_id: Id of the last state seen, because an engine may announce a state twice.
        started: START was emitted.
        finished: A terminal event was emitted.
        run_count: How often the run entered RUNNING, as Prefect counts.
        paused: The run waits within its process; that it is resumed, and so enters RUNNING, the server says to itself.
        attempt: How often the flow run had ended before and was run again.
        again: Prefect may have run it before; which attempt it is, and whether that goes on with what an earlier process
            began, is to be looked up.
        key: The id as text, which what a run says is full of.
    """

    id: UUID
    kind: Kind
    job_name: str
    flow_name: str | None = None
    parent: Run | None = None
    parent_task_run_id: UUID | None = None
    outermost: bool = True
    state_id: UUID | None = None
    started: bool = False
    finished: bool = False
    run_count: int = 0
    paused: bool = False
    attempt: int = 0
    again: bool = False
    key: str = attrs.field(init=False)

    @key.default
    def _id_as_text(self) -> str:
        return str(self.id)

    @property
    def run_id(self) -> str:
        """The ``runId``: Prefect's own UUID, or one derived from it for a flow run that had ended and runs again."""
        return str(attempts.run_id(self.id, self.attempt)) if self.attempt else self.key


_live: WeakValueDictionary[UUID, Run] = WeakValueDictionary()

_parents: set[UUID] = set()
"""Runs that were live when this process was forked: their engines, and so their reports, are the parent's."""


def live(run_id: UUID) -> Run | None:
    """The run that an engine of this process drives; None when none does."""
    return _live.get(run_id)


def run_of(engine: Any, kind: Kind) -> Run:
    """The run that an engine drives; made at its first transition, while the contexts around it are the caller's."""
    run = engine.__dict__.get(ENGINE_ATTRIBUTE)
    if run is None:
        run = _flow_run(engine) if kind == "FLOW" else _task_run(engine)
        engine.__dict__[ENGINE_ATTRIBUTE] = run
        _live[run.id] = run
    return run  # type: ignore[no-any-return]  # what an engine's attributes hold is Any


def current_run() -> str | None:
    """Id of the innermost run whose code is executing here; what statements and datasets are attributed to.

    None in a process that was forked inside the run, although Prefect's contexts came along: what is recorded there
    would never reach the engine that reports the run.
    """
    task, flow = contexts.around()
    run = task.task_run.id if task is not None else flow.flow_run.id if flow is not None else None
    return None if run is None or run in _parents else str(run)


def _flow_run(engine: Any) -> Run:
    flow_run = engine.flow_run
    parent = _enclosing(flow_run.id)
    return Run(
        id=flow_run.id,
        kind="FLOW",
        job_name=engine.flow.name,
        flow_name=engine.flow.name,
        parent=parent,
        parent_task_run_id=None if parent else getattr(flow_run, "parent_task_run_id", None),
        outermost=parent is None or live(parent.id) is None,
        state_id=getattr(flow_run.state, "id", None),
        run_count=getattr(flow_run, "run_count", 0) or 0,
        again=_ran_before(flow_run),
    )


def _ran_before(flow_run: Any) -> bool:
    """Whether the record of a flow run, read before it was run, tells of an earlier attempt.

    One that ended before it ran has no run count, but the time of its end as its start.
    """
    return bool(getattr(flow_run, "run_count", 0)) or getattr(flow_run, "start_time", None) is not None


def _task_run(engine: Any) -> Run:
    task_run = engine.task_run
    parent = _enclosing(task_run.id)
    flow_name = parent.flow_name if parent is not None else None
    return Run(
        id=task_run.id,
        kind="TASK",
        job_name=f"{flow_name}.{engine.task.name}" if flow_name else engine.task.name,
        flow_name=flow_name,
        parent=parent,
        outermost=parent is None,
        state_id=getattr(task_run.state, "id", None),
    )


def _enclosing(own: UUID) -> Run | None:
    """The run around the one with id ``own``: the enclosing task run of the same flow run, else the flow run."""
    task, flow = contexts.around(own)
    if task is not None:
        return _live.get(task.task_run.id) or _remote_task_run(task, flow)
    if flow is not None:
        return _live.get(flow.flow_run.id) or _remote_flow_run(flow)
    return None


def _remote_flow_run(context: Any) -> Run:
    """A flow run that another process drives: this one is a worker of its process pool, or of Dask, or of Ray."""
    flow_run = context.flow_run
    name = context.flow.name if context.flow is not None else flow_run.name
    return Run(
        id=flow_run.id,
        kind="FLOW",
        job_name=name,
        flow_name=name,
        parent_task_run_id=getattr(flow_run, "parent_task_run_id", None),
        again=_ran_before(flow_run),
    )


def _remote_task_run(context: Any, flow_context: Any) -> Run:
    """A task run that another process drives."""
    flow = _live.get(flow_context.flow_run.id) or _remote_flow_run(flow_context) if flow_context else None
    name = context.task.name
    return Run(
        id=context.task_run.id,
        kind="TASK",
        job_name=f"{flow.flow_name}.{name}" if flow else name,
        flow_name=flow.flow_name if flow else None,
        parent=flow,
    )


def _start_afresh_in_child() -> None:
    _parents.update(_live)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh_in_child)
