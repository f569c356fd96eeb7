"""What Prometheus is told: bounded sets of labels, never the name of a job or a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from openlineage_bridge.errors import BridgeError
from openlineage_bridge.receivers.http import Answer
from openlineage_bridge.server.queries import Queries

# Figure of Queries.status() → its label, if it is a mapping, and what it means.
GAUGES: dict[str, tuple[str | None, str]] = {
    "inbox_events": (None, "Events that were acknowledged and are not processed yet"),
    "inbox_bytes": (None, "Bytes of those events"),
    "inbox_oldest_age_seconds": (None, "Age of the oldest of them"),
    "outbox_aspects": (None, "Aspects that the catalog still lacks"),
    "delivery_lag_seconds": (None, "Age of the oldest of those aspects"),
    "quarantine_events": (
        "stage",
        "What was refused or could not be processed, by the stage where it failed",
    ),
    "disk_free_bytes": (None, "Free space where the store is"),
    "stores_set_aside": (None, "Damaged stores that were set aside and still lie beside the store"),
}
# Figure of a destination → what it means.
DESTINATION_GAUGES = {
    "waiting": "What a destination still lacks: aspects, or events where it takes these",
    "lag_seconds": "Age of the oldest of it",
    "failures": "Attempts in a row that the destination would not have; 0 while it takes what it is given",
}
ACK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)


@attrs.frozen(eq=False)  # the registry keeps collectors by identity
class _Figures(Collector):
    """Gauges that are read from the store when someone asks."""

    queries: Queries

    def collect(self) -> Iterable[GaugeMetricFamily]:
        try:
            figures = self.queries.status()
        except BridgeError:
            return  # readiness says so; the counters are still worth having
        for name, (label, meaning) in GAUGES.items():
            if name in figures:
                yield _gauge(f"olbridge_{name}", label, meaning, figures[name])
        destinations = figures.get("destinations", {})
        for name, meaning in DESTINATION_GAUGES.items():
            by_destination = {label: each[name] for label, each in destinations.items()}
            yield _gauge(f"olbridge_destination_{name}", "destination", meaning, by_destination)


def _gauge(name: str, label: str | None, meaning: str, figure: Any) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=[label] if label else [])
    by_label: Mapping[str, float] = figure if label else {"": figure}
    for key, value in by_label.items():
        family.add_metric([key] if label else [], value)
    return family


class _Answered(dict[int, Counter]):
    """The counter of each status that was answered."""

    def __init__(self, answers: Counter) -> None:
        super().__init__()
        self._answers = answers

    def __missing__(self, status: int) -> Counter:
        return self.setdefault(status, self._answers.labels(str(status)))


class Metrics:
    """The receiver's counters, and the store's figures, in a registry of their own.

    Args:
        queries: Where the figures come from.
    """

    def __init__(self, queries: Queries) -> None:
        self.registry = CollectorRegistry()
        self._received = self._counter("events_received", "Events in requests that were answered", "receiver")
        self._rejected = self._counter(
            "events_rejected", "Events and bodies that were refused for good", "reason"
        )
        self._duplicates = self._counter("events_duplicate", "Events that had been there already")
        self._answers = self._counter("http_answers", "Answers to requests that brought events", "status")
        self._ack = Histogram(
            "olbridge_ack_seconds",
            "From the first byte of a body to the answer",
            buckets=ACK_BUCKETS,
            registry=self.registry,
        )
        # Looking a label up costs more than counting.
        self._answered = _Answered(self._answers)
        self._received_http = self._received.labels("http")
        self._received_follow = self._received.labels("follow")
        self.registry.register(_Figures(queries))

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"olbridge_{name}", meaning, labels, registry=self.registry)

    def count(self, answer: Answer, seconds: float) -> None:
        """Count what one request brought, and how long its sender waited."""
        self._answered[answer.status].inc()
        self._received_http.inc(answer.received)
        if answer.duplicates:
            self._duplicates.inc(answer.duplicates)
        for reason in answer.rejected:
            self._rejected.labels(reason).inc()
        self._ack.observe(seconds)

    def count_followed(self, events: int) -> None:
        """Count what was taken from the files that are followed."""
        self._received_follow.inc(events)

    async def show(self, _request: Request) -> Response:
        """``/metrics`` in Prometheus' text format."""
        text = await run_in_threadpool(generate_latest, self.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)
