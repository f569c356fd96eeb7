"""What a process that a task starts has to know of it: dbt, Spark or another collector then names it as its parent.

Two ways lead there. ``parent_environment()`` gives the variables to whoever starts a process by himself. With
``OPENLINEAGE_BRIDGE_EXPORT_PARENT=true`` every process that ``subprocess`` (and so ``asyncio``) starts inside a run gets
them, each that of the run whose code starts it; ``os.environ``, which all threads share, is never changed.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import subprocess
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from openlineage_bridge_capture import log
from openlineage_bridge_prefect import runs
from openlineage_bridge_prefect.identity import RunReference, environment_root, namespace

EXPORT_KEY = "OPENLINEAGE_BRIDGE_EXPORT_PARENT"
"""Switch: processes that are started inside a run get its variables without being asked."""

PARENT_KEY = "OPENLINEAGE_PARENT_ID"
ROOT_KEY = "OPENLINEAGE_ROOT_PARENT_ID"
CONTEXT_KEY = "OPENLINEAGE_CONTEXT"
"""``namespace/job/runId`` twice, and both as JSON (OpenLineage, parent hand-down; the last since 1.52)."""

MARKER = "__openlineage_bridge__"

ENVIRONMENT = 10
"""Position of ``env`` among the arguments of ``Popen`` after ``self``."""


def parent_environment() -> dict[str, str]:
    """The environment variables that make the run whose code executes here the parent of a process.

    For Spark, the value of ``OPENLINEAGE_CONTEXT`` is also that of the setting ``spark.openlineage.context``. The ids are
    left out where a namespace or name holds a slash: their readers split at slashes and fail at a further one.

    Returns:
        ``OPENLINEAGE_CONTEXT``, ``OPENLINEAGE_PARENT_ID`` and ``OPENLINEAGE_ROOT_PARENT_ID``; empty outside a run.
    """
    run = _current()
    if run is None:
        return {}
    parent, root = _reference(run), environment_root() or _reference(_top(run))
    return {CONTEXT_KEY: _context(parent, root), **_id(PARENT_KEY, parent), **_id(ROOT_KEY, root)}


def export_to_children() -> None:
    """From now on, processes started inside a run get its variables, if ``OPENLINEAGE_BRIDGE_EXPORT_PARENT`` says so."""
    original = subprocess.Popen.__init__
    if os.environ.get(EXPORT_KEY, "").strip().lower() not in {"1", "true", "yes", "on"}:
        return
    if not hasattr(original, MARKER):
        subprocess.Popen.__init__ = _exporting(original)  # type: ignore[method-assign]  # that is what wrapping is


def _exporting(original: Any) -> Any:
    """``Popen.__init__`` that adds to ``env``; whatever goes wrong with that, the process starts as it would have."""

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it is one
        try:
            if len(args) <= ENVIRONMENT and (own := parent_environment()):
                kwargs["env"] = with_parent(kwargs.get("env"), own)
        except Exception:
            log.once(logging.INFO, "A process was not told which run started it", exc_info=True)
        original(self, *args, **kwargs)

    setattr(__init__, MARKER, True)
    return __init__


def with_parent(given: Mapping[Any, Any] | None, own: Mapping[str, str]) -> dict[Any, Any]:
    """An environment for a process, with the run's own variables.

    What somebody set for this very process stays: a parent other than the one that this process itself has.

    Args:
        given: What the process was to get; None for what this process has.
        own: The variables of the run.
    """
    merged = dict(os.environ if given is None else given)
    named = (PARENT_KEY, CONTEXT_KEY)
    if any(merged.get(name) not in (None, os.environ.get(name)) for name in named):
        return merged
    for name in (*named, ROOT_KEY):
        merged.pop(name, None)
    return {**merged, **own}


def _current() -> runs.Run | None:
    """The innermost run whose code executes here, with its ancestors as far as this process knows them."""
    run_id = runs.current_run()
    return runs.live(UUID(run_id)) if run_id is not None else None


def _top(run: runs.Run) -> runs.Run:
    while run.parent is not None:
        run = run.parent
    return run


def _reference(run: runs.Run) -> RunReference:
    return RunReference(run.run_id, namespace(), run.job_name)


def _id(variable: str, run: RunReference) -> dict[str, str]:
    if "/" in run.namespace or "/" in run.name:
        return {}
    return {variable: f"{run.namespace}/{run.name}/{run.run_id}"}


def _context(parent: RunReference, root: RunReference) -> str:
    # dbt's integration reads the root inside the parent; its documentation has it beside.
    above = _facet(root)
    return json.dumps({"parent": {**_facet(parent), "root": above}, "root": above})


def _facet(run: RunReference) -> dict[str, Any]:
    return {"run": {"runId": run.run_id}, "job": {"namespace": run.namespace, "name": run.name}}
