"""Who emits, under which namespace, and below which parent when the environment names one."""

from __future__ import annotations

import logging
import os
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
    if len(parts) != 3 or not all(parts):
        return None
    try:
        UUID(parts[2])
    except ValueError:
        return None
    return RunReference(run_id=parts[2], namespace=parts[0], name=parts[1])


def environment_parent() -> RunReference | None:
    """The run that started this process, from ``OPENLINEAGE_PARENT_ID``."""
    return _from_environment("OPENLINEAGE_PARENT_ID")


def environment_root() -> RunReference | None:
    """The top of the chain that started this process: ``OPENLINEAGE_ROOT_PARENT_ID``, else the parent."""
    return _from_environment("OPENLINEAGE_ROOT_PARENT_ID") or environment_parent()


def _from_environment(variable: str) -> RunReference | None:
    text = os.environ.get(variable)
    if not text:
        return None
    reference = parse_reference(text)
    if reference is None:
        logger.debug("%s is not namespace/job/runId and is ignored", variable)
    return reference
