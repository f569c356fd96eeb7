"""One file per database driver whose statements are captured without user code."""

from __future__ import annotations

from openlineage_bridge_capture.drivers import duckdb
from openlineage_bridge_capture.imports import when_imported

DRIVERS = {
    "duckdb": duckdb.instrument,
}
"""What to do with each module once it is there; every function recognises its own work."""


def install() -> None:
    """Arm every driver: each is instrumented when user code imports it. Calling it twice is calling it once."""
    for module, instrument in DRIVERS.items():
        when_imported(module, instrument)
