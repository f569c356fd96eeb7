"""Everything that is watched: databases, files, object stores, and on request threads."""

from __future__ import annotations

from openlineage_bridge_capture import drivers, files, stores, threads


def install() -> None:
    """Arm all of it; each library is instrumented when user code imports it. Calling it twice is calling it once."""
    drivers.install()
    files.install()
    stores.install()
    threads.install()
