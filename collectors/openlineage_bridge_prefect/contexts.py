"""Prefect's contexts around the executing code, also where a generator's run has left its own behind.

Prefect enters the contexts of a generator task or flow at its first step and leaves them at its last. In between they
stay in the consumer's context, so that Prefect itself takes the loop body for the task's, and of two generators that are
consumed in turn (``zip``) the first for the second. ``generators`` watches each step and says here which contexts are
meant. Prefect's own are not touched.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Any
from uuid import UUID

Contexts = tuple[Any, Any]
"""The contexts around some code: the enclosing task's and the enclosing flow's, either None."""

Key = tuple[UUID | None, UUID | None]
"""Ids of the task run and the flow run that contexts are about: contexts hold parameters, which are not ours to keep."""

Meanings = Mapping[Key, Contexts]
"""By what Prefect entered last: the contexts of the code that really executes, where these are others."""

MAX_MEANINGS = 100
"""Contexts left behind that are kept in mind at a time: the latest ones, among them the one in effect."""

_meanings: ContextVar[Meanings] = ContextVar(
    "openlineage_bridge_prefect_meanings", default=MappingProxyType({})
)


def around(own: UUID | None = None) -> Contexts:
    """The contexts around the executing code, those of run ``own`` left out.

    A task context of another flow run than the current one belongs to the caller of a subflow: the subflow is nearer.
    """
    entered, meant = _entered(own), _meanings.get()
    task, flow = meant.get(_key(entered), entered) if meant else entered
    if task is not None and flow is not None and task.task_run.flow_run_id != flow.flow_run.id:
        task = None
    return task, flow


def meanings() -> Meanings:
    """What holds here; to be handed to ``mean`` when this code goes on."""
    return _meanings.get()


def mean(executing: Contexts, others: Meanings) -> None:
    """From here on what Prefect has entered now stands for ``executing``, and all else for what it does in ``others``."""
    entered = _key(_entered(None))
    meant = {key: contexts for key, contexts in others.items() if key != entered}
    if entered != _key(executing):
        meant[entered] = executing
    if len(meant) > MAX_MEANINGS:
        del meant[next(iter(meant))]
    _meanings.set(meant)


def _key(contexts: Contexts) -> Key:
    task, flow = contexts
    return (task.task_run.id if task is not None else None, flow.flow_run.id if flow is not None else None)


def _entered(own: UUID | None) -> Contexts:
    """The contexts that Prefect entered last, those of run ``own`` left out."""
    prefect = sys.modules.get("prefect.context")
    if prefect is None:
        return None, None
    flow = _outside(prefect.FlowRunContext.get(), "flow_run", own)
    return _outside(prefect.TaskRunContext.get(), "task_run", own), flow


def _outside(context: Any, attribute: str, own: UUID | None) -> Any:
    """The nearest context that is about a run, and about another one than ``own``.

    Prefect enters a task's own context before the first transition; the token of the context variable remembers what
    was there before.
    """
    while context is not None:
        run = getattr(context, attribute, None)
        # Comparing ids takes a call of Python code, and mostly it is the same object.
        if run is not None and run.id is not own and run.id != own:
            return context
        # Where pydantic keeps it; asked for as an attribute, it is looked for everywhere else before.
        kept = getattr(context, "__pydantic_private__", None) or {}
        before = getattr(kept.get("_token"), "old_value", None)
        context = None if before is Token.MISSING else before
    return None
