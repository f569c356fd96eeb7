"""Switch on: what happens when which Prefect module is imported.

Nothing of Prefect is imported here, and nothing is wrapped in a process that never runs a flow or task.
"""

from __future__ import annotations

import logging
import os
import threading
from types import ModuleType

logger = logging.getLogger("openlineage_bridge")

_lock = threading.Lock()
_active = False


def activate() -> bool:
    """Observe every flow and task run of this process from now on, when an OpenLineage backend is configured.

    Works before and after ``import prefect``; doing it again does nothing. Never raises. Prefect's own
    ``PREFECT_PLUGINS_SAFE_MODE`` switches it off.

    Returns:
        Whether the collector is on.
    """
    global _active  # noqa: PLW0603 - one switch per process
    try:
        with _lock:
            if not _active and not _safe_mode() and _configured():
                _arm()
                _active = True
    except Exception:
        logger.warning("openlineage-bridge could not be switched on; no lineage is emitted", exc_info=True)
    return _active


def _safe_mode() -> bool:
    return os.environ.get("PREFECT_PLUGINS_SAFE_MODE", "").strip().lower() in {
        "1",
        "true",
        "t",
        "yes",
        "y",
        "on",
    }


def _configured() -> bool:
    from openlineage_bridge_capture.settings import configured

    return configured()


def _arm() -> None:
    from openlineage_bridge_capture.imports import when_imported
    from openlineage_bridge_prefect import wrapping

    for module in (*wrapping.ENGINES, *wrapping.CLIENTS):
        when_imported(module, wrapping.wrap_module)
    # `prefect.flows` is what user code imports and the API server does not: drivers stay untouched there.
    when_imported("prefect.flows", _capture)


def _capture(_module: ModuleType) -> None:
    from openlineage_bridge_capture import drivers, recorder
    from openlineage_bridge_prefect.runs import current_run

    recorder.attribute_with(current_run)
    drivers.install()
