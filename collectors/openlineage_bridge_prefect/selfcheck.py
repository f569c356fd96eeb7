"""What a process that imported Prefect says of itself, for ``doctor``: settings, and which methods are wrapped."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from openlineage_bridge_prefect import activation, wrapping


def report() -> dict[str, Any]:
    """Switch the collector on in this process, import what it wraps, and tell how that went.

    Returns:
        ``plugins``: Prefect's own settings for plugins (None before 3.4.24), ``active``: whether the collector is on,
        ``observed``: the wrapped methods, ``problems``: what the self-check found, a sentence each.
    """
    active = activation.activate()
    return {
        "plugins": plugin_settings(),
        "active": active,
        "observed": list(_observed()) if active else [],
        "problems": list(wrapping.problems()),
    }


def plugin_settings() -> dict[str, Any] | None:
    """``enabled``, ``allow``, ``deny`` and ``safe_mode`` as Prefect reads them, from wherever they were set."""
    found = activation.plugin_settings()
    if found is None:
        return None
    return {
        "enabled": bool(found.enabled),
        "allow": sorted(found.allow or ()),
        "deny": sorted(found.deny or ()),
        "safe_mode": bool(found.safe_mode),
    }


def _observed() -> Iterator[str]:
    for module_name in (*wrapping.ENGINES, *wrapping.CLIENTS):
        module = importlib.import_module(module_name)
        for class_name, method in wrapping.methods_of(module_name):
            if hasattr(getattr(getattr(module, class_name, None), method, None), wrapping.MARKER):
                yield f"{module_name}.{class_name}.{method}"
