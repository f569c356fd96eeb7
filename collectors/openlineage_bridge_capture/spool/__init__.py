"""A durable OpenLineage transport: events go to a local file at once and to the receiver in the background.

Any Python producer can use it, by its class path in ``openlineage.yml`` or the environment::

    transport:
      type: openlineage_bridge_capture.spool.SpoolTransport
      url: http://localhost:5000

* ``config``     the settings a user gives, above those of the client's ``http`` transport
* ``encoding``   from an event to one line of JSON
* ``folders``    where a destination's files lie, who owns which, what is set aside
* ``segments``   the files of one writer: appended to by its owner, read and deleted by whoever sends them
* ``receiver``   the HTTP side: batches, gzip, and what each answer means
* ``sender``     the background thread: turns, back-off, adoption of what dead processes left
* ``transport``  the OpenLineage ``Transport`` that ties them together
* ``default``    what our collectors use where the user configured plain HTTP
* ``commands``   ``openlineage-bridge spool status | flush``; ``python -m openlineage_bridge_capture.spool`` is the same
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openlineage_bridge_capture.spool.config import SpoolConfig
    from openlineage_bridge_capture.spool.folders import SpoolError, SpoolFullError
    from openlineage_bridge_capture.spool.transport import SpoolTransport

__all__ = ["SpoolConfig", "SpoolError", "SpoolFullError", "SpoolTransport"]

_MODULES = {
    "SpoolConfig": "config",
    "SpoolError": "folders",
    "SpoolFullError": "folders",
    "SpoolTransport": "transport",
}
"""Where a name is defined; imported when it is first asked for, because the client's modules take half a second."""


def __getattr__(name: str) -> object:
    """One of the names of this package.

    Raises:
        AttributeError: There is none of this name.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
