"""Who says so: the producer URI of every event and facet of this collector, and the versions behind it."""

from __future__ import annotations

from typing import TypeVar

import attrs
from openlineage.client.event_v2 import DatasetEvent, JobEvent, RunEvent

from openlineage_bridge_capture import versions

AnyEvent = TypeVar("AnyEvent", RunEvent, JobEvent, DatasetEvent)


VERSION = versions.OURS
DAGSTER_VERSION = versions.of("dagster")
PRODUCER = versions.producer("openlineage_bridge_dagster")


def signed(event: AnyEvent) -> AnyEvent:
    """The event with this producer on itself and on every facet; the client's default names its own repository."""
    event.producer = PRODUCER
    if isinstance(event, DatasetEvent):
        _sign(event.dataset.facets)
        return event
    if isinstance(event, RunEvent):
        _sign(event.run.facets)
    _sign(event.job.facets)
    for read in event.inputs or []:
        _sign(read.facets)
        _sign(read.inputFacets)
    for written in event.outputs or []:
        _sign(written.facets)
        _sign(written.outputFacets)
    return event


def _sign(facets: object) -> None:
    if isinstance(facets, dict):
        for facet in facets.values():
            if attrs.has(type(facet)) and facet._producer != PRODUCER:  # noqa: SLF001 - as below
                facet._producer = PRODUCER  # noqa: SLF001 - the specification's own name for the field
