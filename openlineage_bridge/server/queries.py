"""What the server asks the store for: read-only, and never in the way of the writer."""

from __future__ import annotations

from typing import Any, Protocol

from openlineage_bridge.store.graph import Graph, Node


class Queries(Protocol):
    """Answers about what the store holds now.

    Every method may be called from several worker threads at the same time, and may raise ``StorageError``.
    """

    def check(self) -> None:
        """See that the store answers, at next to no cost: orchestrators ask every few seconds."""
        ...

    def status(self) -> dict[str, Any]:
        """Figures by name, for people and for metrics.

        ``openlineage_bridge.server.metrics`` exports those that it has a gauge for: numbers, and mappings from a label
        of a bounded set to a number (``quarantine_events`` by stage). Others are shown to people only.
        """
        ...

    def graph(self, node: str, depth: int) -> Graph | None:
        """The lineage around a node, ``depth`` edges up and down; None when there is no such node."""
        ...

    def search(self, text: str, limit: int) -> list[Node]:
        """Jobs and datasets whose name or namespace contains the text; for an empty text the newest."""
        ...
