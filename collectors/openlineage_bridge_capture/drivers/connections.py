"""Whose connection it is: one that records itself, and one that carries the orchestrator's own traffic.

SQLAlchemy sits on top of drivers that are captured too. A connection that ``records_itself`` is left to its driver, so no
statement can be counted twice. The orchestrators keep their own state with SQLAlchemy, in the process and context of the
user's run; what an engine that they made does is not the user's lineage, whichever layer sees it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any
from weakref import WeakSet

from openlineage_bridge_capture import log

HOSTS = frozenset({"dagster", "dagster_mysql", "dagster_postgres", "prefect"})
"""Packages whose engines hold an orchestrator's state. ``prefect_sqlalchemy`` and the like hold the user's."""

BETWEEN = frozenset({"sqlalchemy", "contextlib", "openlineage_bridge_capture"})
"""Packages that call on behalf of somebody else."""

_RECORDS = "__openlineage_records__"
_hosts_own: WeakSet[Any] = WeakSet()


def mark_recording(kind: type) -> None:
    """Say that the driver captures what connections, or cursors, of this class execute."""
    setattr(kind, _RECORDS, True)


def records_itself(subject: object) -> bool:
    """Whether what a driver's connection, or cursor, executes is captured by its own module."""
    return bool(getattr(type(subject), _RECORDS, False))


def mark_hosts_own(connection: object) -> None:
    """Say that this connection carries the orchestrator's own traffic."""
    _hosts_own.add(connection)


def is_hosts_own(connection: object) -> bool:
    """Whether this connection carries the orchestrator's own traffic."""
    return bool(_hosts_own) and connection in _hosts_own


def host_is_calling() -> bool:
    """Whether the innermost code that is not SQLAlchemy's or ours is the orchestrator's."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the documented way to one's caller
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in BETWEEN:
            return package in HOSTS
        frame = frame.f_back
    return False


def complain(driver: str) -> None:
    """Say once that recording failed: whatever goes wrong there is ours, not the user's."""
    log.once(
        logging.WARNING, "Could not record a statement of %s; its lineage is missing", driver, exc_info=True
    )


def guarded(driver: str, record: Callable[[], None]) -> None:
    """Do what recording takes, without ever raising."""
    try:
        record()
    except Exception:
        complain(driver)
