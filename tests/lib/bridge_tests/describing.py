"""Recordings of PostgreSQL statements, and descriptions as a consumer gets them."""

from __future__ import annotations

import json

from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.serde import Serde

from openlineage_bridge_capture.describe import Description
from openlineage_bridge_capture.recording import Statement

NAMESPACE = "postgres://h:5432"


def statements(*texts: str) -> tuple[Statement, ...]:
    return tuple(Statement(text, "postgres", NAMESPACE, "shop", "public") for text in texts)


def wire(description: Description) -> dict:
    """What a consumer gets of an event with this description."""
    event = RunEvent(
        eventTime="2024-01-01T00:00:00Z",
        eventType=RunState.COMPLETE,
        run=Run("01908e5a-0000-7000-8000-000000000000", facets=description.run_facets),
        job=Job("test", "job", facets=description.job_facets),
        inputs=description.inputs,
        outputs=description.outputs,
    )
    return json.loads(Serde.to_json(event))
