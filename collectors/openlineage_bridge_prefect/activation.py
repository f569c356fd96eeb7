"""Switch on: what happens when which Prefect module is imported.

Nothing of Prefect is imported here, and nothing is wrapped in a process that never runs a flow or task.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from types import ModuleType
from typing import Any

logger = logging.getLogger("openlineage_bridge")

_lock = threading.Lock()
_active = False


def activate() -> bool:
    """Observe every flow and task run of this process from now on, when an OpenLineage backend is configured.

    Works before and after ``import prefect``; doing it again does nothing. Never raises. Prefect's own safe mode for
    plugins switches it off.

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


SAFE_MODE = ("PREFECT_PLUGINS_SAFE_MODE", "PREFECT_EXPERIMENTS_PLUGINS_SAFE_MODE")
"""The variables of Prefect's safe mode: since 3.7, and while plugins were an experiment (3.4.24 to 3.6)."""


def _safe_mode() -> bool:
    if any(
        os.environ.get(name, "").strip().lower() in {"1", "true", "t", "yes", "y", "on"} for name in SAFE_MODE
    ):
        return True
    # A profile or file may say it too; before `import prefect` there are no settings yet, and they are not ours to load.
    found = plugin_settings() if "prefect.settings" in sys.modules else None
    return found is not None and bool(found.safe_mode)


def plugin_settings() -> Any:
    """Prefect's settings for plugins, from variables, profile or file; None where this Prefect has none, or none yet."""
    try:
        from prefect.settings import get_current_settings

        current: Any = get_current_settings()
    except Exception:
        return None
    own = getattr(current, "plugins", None)
    return own if own is not None else getattr(getattr(current, "experiments", None), "plugins", None)


def _configured() -> bool:
    from openlineage_bridge_capture.settings import configured

    return configured()


def _arm() -> None:
    from openlineage_bridge_capture.imports import when_imported
    from openlineage_bridge_prefect import artifact_clients, wrapping

    for module in (*wrapping.ENGINES, *wrapping.CLIENTS):
        when_imported(module, wrapping.wrap_module)
    when_imported("prefect.client.orchestration", artifact_clients.instrument)
    # `prefect.flows` is what user code imports and the API server does not: drivers stay untouched there.
    when_imported("prefect.flows", _capture)


def _capture(_module: ModuleType) -> None:
    from openlineage_bridge_capture import libraries, recorder
    from openlineage_bridge_capture.imports import when_imported
    from openlineage_bridge_prefect import parents, result_storage
    from openlineage_bridge_prefect.runs import current_run

    recorder.attribute_with(current_run)
    libraries.install()
    parents.export_to_children()
    when_imported("prefect.results", result_storage.instrument)
