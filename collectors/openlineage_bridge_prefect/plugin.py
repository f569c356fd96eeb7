"""What the ``prefect.plugins`` entry point loads: a module with Prefect's ``setup_environment`` hook.

Prefect calls it at ``import prefect`` in every process (script, worker, runner child, pool worker, server), when
``PREFECT_PLUGINS_ENABLED=1``, and waits for it: so it registers what is to happen later and returns. From 3.4.24 to 3.6,
where plugins were an experiment, the variable is ``PREFECT_EXPERIMENTS_PLUGINS_ENABLED``; the entry point is the same.
"""

from __future__ import annotations

from typing import Any

import pluggy

from openlineage_bridge_prefect.activation import activate

PREFECT_PLUGIN_API_REQUIRES = ">=0.1,<1"
"""Versions of Prefect's plugin interface that this module fits; Prefect reads it."""

# Prefect keeps this marker's name for plugins of all versions; `prefect.plugins.register_hook` is the same object but
# lives in another module before 3.7.
_hook = pluggy.HookimplMarker("prefect-experimental")


@_hook
def setup_environment(*, ctx: Any) -> None:  # noqa: ARG001 - Prefect calls it by this name
    """Prefect's start-up hook: switch the collector on, change nothing in the environment.

    Keyword-only as in Prefect's specification of the hook: pluggy refuses a positional ``ctx``.
    """
    activate()
