"""What Python imports at its start from the PYTHONPATH of ``openlineage-bridge run``: arms the loader, then makes room.

The folder leaves ``sys.path`` again (children have it from the environment), and the module of this name that the program
would have had without us is executed in our place.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

_FOLDER = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # pathlib is slow to import


def _arm() -> None:
    try:
        import_module("_openlineage_bridge_autoload").arm(
            os.environ.get("OPENLINEAGE_BRIDGE_AUTOLOAD_TARGETS", "")
        )
    except Exception as error:
        sys.stderr.write(f"openlineage-bridge: the collectors are not loaded: {error!r}\n")


def _make_room() -> None:
    sys.path[:] = [each for each in sys.path if each != _FOLDER]
    spec = PathFinder.find_spec("sitecustomize")
    if spec is None or spec.loader is None:
        return
    theirs = module_from_spec(spec)
    sys.modules["sitecustomize"] = theirs
    spec.loader.exec_module(theirs)


_arm()
_make_room()
