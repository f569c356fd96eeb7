"""Which versions are at work, for the producer that every event and facet names."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def of(distribution: str) -> str:
    """The installed version; ``unknown`` in a source tree that was copied, whose events are still worth having."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


OURS = of("openlineage-bridge")
REPOSITORY = "https://github.com/openlineage-bridge/openlineage-bridge"


def producer(package: str) -> str:
    """The ``producer`` of what one of our collectors' packages says: its sources at this version."""
    return f"{REPOSITORY}/tree/{OURS}/collectors/{package}"
