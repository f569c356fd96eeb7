"""How many proposals events become: beside what was told before, as the bridge does it, and each event on its own."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from openlineage_bridge.delivery import deliver
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.aspects import holdings
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.translation import MemorySink
from openlineage_bridge_datahub import DataHubTranslator


class Bridge:
    """The bridge in memory, for the time of a ``with`` block."""

    def __enter__(self) -> Self:
        self._store = Store(MEMORY)
        self._pipeline = Pipeline(self._store, DataHubTranslator())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.close()

    def hear(self, bodies: list[bytes]) -> None:
        with self._store.transaction():
            self._store.inbox.put(map(inspect, bodies), receiver="bench", now=1)
        self._pipeline.drain()

    def delivered(self) -> int:
        """How many proposals a catalog lacks now; it has them then."""
        sink = MemorySink()
        deliver(self._store, sink)
        return len(sink.sent)

    def held(self) -> int:
        """How many proposals say everything."""
        return sum(1 for _ in holdings(self._store.connection))


def per_event(bodies: list[bytes]) -> int:
    """Each event translated on its own, as a converter without a memory does it."""
    count = 0
    for body in bodies:
        with Bridge() as bridge:
            bridge.hear([body])
            count += bridge.held()
    return count
