"""Switches a collector on when the library that it observes is first imported; cheap, and never in the way.

``openlineage-bridge autoload enable`` copies this file into a site-packages folder, beside the ``.pth`` file that calls
``arm`` whenever that interpreter starts; ``openlineage-bridge run`` puts this file's own folder on the PYTHONPATH. It
outlives the package that it belongs to, so it asks nothing of it but what a target says.
"""

from __future__ import annotations

import os
import sys

_waiting: dict[str, str] = {}
_loaded: dict[str, str] = {}


def arm(targets: str) -> None:
    """Wait for the import of each module in ``module=package.module:function …``, and call the function just before it.

    ``OPENLINEAGE_BRIDGE_AUTOLOAD=0`` switches that off. A module that was imported before is not waited for.
    """
    if os.environ.get("OPENLINEAGE_BRIDGE_AUTOLOAD", "").strip().lower() in ("0", "false", "no", "off"):
        return
    pairs = (each.partition("=") for each in targets.split())
    _waiting.update({name: target for name, _, target in pairs if name not in sys.modules})
    # Collectors are not imported now: most processes of an interpreter never import what is waited for.
    if _waiting and not any(isinstance(each, Finder) for each in sys.meta_path):
        sys.meta_path.insert(0, Finder())


def report() -> dict[str, str]:
    """What became of each target: ``waiting``, ``on``, ``off`` (the collector declined), or why it could not be loaded."""
    return {**dict.fromkeys(_waiting, "waiting"), **_loaded}


class Finder:
    """A finder that finds nothing: being asked for a module is how it learns of the import."""

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """Switch the collector on that waits for ``name``, once a backend is configured; the module is found by others."""
        if name in _waiting and _perhaps_configured() and (target := _waiting.pop(name, None)):
            _loaded[name] = _load(target)


def _perhaps_configured() -> bool:
    """Whether it is worth importing a collector, which looks more closely: is there any setting of an OpenLineage client?

    Asked at the import and not at the start, because a notebook sets its variables in a cell.
    """
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    if any(
        name.startswith(("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE__")) for name in os.environ
    ):
        return True
    places = ("openlineage.yml", os.path.expanduser("~/.openlineage/openlineage.yml"))  # noqa: PTH111  # pathlib is slow to import
    return any(map(os.path.isfile, places))


def _load(target: str) -> str:
    from importlib import import_module

    module, _, function = target.partition(":")
    try:
        on = getattr(import_module(module), function)()
    except Exception as error:
        _say(f"{target} cannot be loaded, no lineage is emitted: {error!r}")
        return repr(error)
    return "on" if on else "off"


def _say(problem: str) -> None:
    import logging

    logging.getLogger("openlineage_bridge").warning(
        "openlineage-bridge: %s. Install openlineage-bridge for %s, or switch this off with "
        "OPENLINEAGE_BRIDGE_AUTOLOAD=0 (for good: `openlineage-bridge autoload disable`).",
        problem,
        sys.executable,
    )
