"""Who emits, under which namespace, and below which parent when the environment names one."""

from __future__ import annotations

import json
import logging
import os
from typing import Any
from uuid import UUID

import attrs

from openlineage_bridge_capture import versions

logger = logging.getLogger("openlineage_bridge")


VERSION = versions.OURS
PRODUCER = versions.producer("openlineage_bridge_prefect")
"""The ``producer`` of every event and the ``_producer`` of every facet of this collector."""


@attrs.frozen
class RunReference:
    """A run as a parent facet names it.

    Args:
        run_id: The run's UUID.
        namespace: Namespace of its job.
        name: Name of its job.
    """

    run_id: str
    namespace: str
    name: str


def namespace() -> str:
    """The namespace of all jobs: ``OPENLINEAGE_NAMESPACE``, else ``prefect``."""
    return os.environ.get("OPENLINEAGE_NAMESPACE") or "prefect"


def parse_reference(text: str) -> RunReference | None:
    """``namespace/job/runId`` → a reference; None when it is none.

    Split from the right, because a namespace may hold slashes and a job name may not (OpenLineage, parent hand-down).
    """
    parts = text.rsplit("/", 2)
    return _reference(*parts) if len(parts) == 3 else None


def environment_parent() -> RunReference | None:
    """The run that started this process: ``OPENLINEAGE_PARENT_ID``, else the parent in ``OPENLINEAGE_CONTEXT``."""
    return _from_id("OPENLINEAGE_PARENT_ID") or _in_context("parent")


def environment_root() -> RunReference | None:
    """The top of the chain that started this process, told where the parent is told; without one, the parent."""
    named = _from_id("OPENLINEAGE_ROOT_PARENT_ID") or _from_id("OPENLINEAGE_PARENT_ID")
    return named or _in_context("parent", "root") or _in_context("root") or _in_context("parent")


def _from_id(variable: str) -> RunReference | None:
    text = os.environ.get(variable)
    if not text:
        return None
    reference = parse_reference(text)
    if reference is None:
        logger.debug("%s is not namespace/job/runId and is ignored", variable)
    return reference


def _in_context(*path: str) -> RunReference | None:
    """A run in ``OPENLINEAGE_CONTEXT`` (OpenLineage 1.52, parent hand-down), the only way for a name with a slash."""
    text = os.environ.get("OPENLINEAGE_CONTEXT")
    if not text:
        return None
    try:
        found: Any = json.loads(text)
        for key in path:
            found = found[key]
        return _reference(found["job"]["namespace"], found["job"]["name"], found["run"]["runId"])
    except (ValueError, KeyError, TypeError):
        return None


def _reference(namespace: str, name: str, run_id: str) -> RunReference | None:
    try:
        UUID(run_id)
    except ValueError:
        return None
    return RunReference(run_id=run_id, namespace=namespace, name=name) if namespace and name else None
