"""Which collectors there are, and what each waits for: the entry points of the group ``openlineage_bridge.autoload``.

The name of an entry point is the module whose import is waited for, its value the function that switches the collector
on *before* that module is executed (so it must not import it). A further collector joins by declaring one.
"""

from __future__ import annotations

from importlib.metadata import entry_points

GROUP = "openlineage_bridge.autoload"

VARIABLE = "OPENLINEAGE_BRIDGE_AUTOLOAD_TARGETS"
"""Carries the targets from ``openlineage-bridge run`` to the programs that it starts."""


def installed() -> str:
    """The targets of this interpreter in one line, as the loader's ``arm`` reads them: ``module=package.module:function …``."""
    return " ".join(
        f"{name}={value}" for name, value in sorted({(e.name, e.value) for e in entry_points(group=GROUP)})
    )
