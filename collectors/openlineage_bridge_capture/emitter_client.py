"""What the OpenLineage client does to each event alike, done once: it costs more than building and writing the event.

``OpenLineageClient.emit`` looks through the whole environment for variables to tell, and makes its own tags anew, for each
event. Where none are wanted, and where its tags are the same for each event, both are remembered here; an event that has
tags of its own, and a client that was told which tags or variables to add, take the client's own way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from openlineage.client.client import OpenLineageClient
from openlineage.client.event_v2 import Job, Run, RunEvent

from openlineage_bridge_capture.spool.encoding import fixed

TAGS = "tags"
"""Name of the job facet and of the run facet that the client adds to."""


def hasten(client: OpenLineageClient) -> OpenLineageClient:
    """The client, with less to do for each event; the events are the same."""
    facets, tags = client.config.facets, client.config.tags
    if not facets.environment_variables:
        _replace(client, "_collect_environment_variables", dict)
    if not tags.job and not tags.run:
        original = client.update_event_tags_facets
        _replace(client, "update_event_tags_facets", _with_known_tags(original))
    return client


def _replace(client: OpenLineageClient, method: str, replacement: Callable[..., Any]) -> None:
    """For this client alone; one of another version that has no such method is left as it is."""
    if hasattr(client, method):
        setattr(client, method, replacement)


def _with_known_tags(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Adds what the client adds to an event without tags."""
    job, run = _added_tags(original)

    def update(event: Any) -> Any:
        if type(event) is not RunEvent or not event.run.facets or not event.job.facets:
            return original(event)
        if TAGS in event.run.facets or TAGS in event.job.facets:
            return original(event)
        event.run.facets.update(run)
        event.job.facets.update(job)
        return event

    return update


def _added_tags(original: Callable[[Any], Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The job facets and the run facets that an event without any has afterwards."""
    # Neither the id nor the time is told to anybody.
    probe = RunEvent(eventTime="2000-01-01T00:00:00Z", run=Run(str(UUID(int=0))), job=Job("probe", "probe"))
    original(probe)
    found = probe.job.facets or {}, probe.run.facets or {}
    for facet in (*found[0].values(), *found[1].values()):
        fixed(facet)
    return found
