"""Switch on: capture inside ops and assets, from the moment that Dagster is there; nothing of Dagster is imported here."""

from __future__ import annotations

import logging
import os
from functools import wraps
from types import ModuleType
from typing import Any

logger = logging.getLogger("openlineage_bridge")

EXECUTION = "dagster._core.execution.plan.execute_step"
"""The module that runs the body of a step; ``import dagster`` imports it."""


def activate() -> bool:
    """Record what ops and assets do from now on in this process, before and after ``import dagster``.

    Doing it again does nothing. It respects ``OPENLINEAGE_DISABLED=true``. Never raises.

    Returns:
        Whether it is on.
    """
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    try:
        from openlineage_bridge_capture.imports import when_imported

        when_imported(EXECUTION, _prepare)
    except Exception:
        logger.warning("What ops read and wrote is not captured in this process", exc_info=True)
        return False
    return True


def _prepare(execution: ModuleType) -> None:
    """Watch the libraries now, before user code imports them; Dagster itself is still in the middle of its own import."""
    from openlineage_bridge_capture import libraries

    libraries.install()
    _arm_at_the_first_step(execution)


def _arm_at_the_first_step(execution: Any) -> None:
    original = execution.enter_execution_context
    if getattr(original, "openlineage_bridge", False):
        return

    @wraps(original)
    def enter_execution_context(step_context: Any) -> Any:
        """Whatever this step is, Dagster is complete by now: put the real thing in place, and go on with it."""
        if execution.enter_execution_context is not enter_execution_context:
            return original(step_context)  # armed around this one meanwhile
        from openlineage_bridge_dagster import instrumentation

        execution.enter_execution_context = original
        instrumentation.arm()
        return execution.enter_execution_context(step_context)

    execution.enter_execution_context = enter_execution_context
