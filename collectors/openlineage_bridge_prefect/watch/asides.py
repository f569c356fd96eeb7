"""What the API knows less well than the process does, said so that the process has the last word.

A run's facets merge by event time. What the process knows better (a failure with its traceback, parameters as Python
objects) would tie with what the API tells at the very same time, and a tie says nothing about which is better. So the
API's word rides in an OTHER event one microsecond earlier: it stands until a collector says more.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import attr
from openlineage.client.event_v2 import RunEvent, RunState
from openlineage.client.facet_v2 import RunFacet

from openlineage_bridge_prefect import facets, parameters
from openlineage_bridge_prefect.identity import PRODUCER
from openlineage_bridge_prefect.snapshots import Failure, Snapshot

MOMENT = timedelta(microseconds=1)
"""The finest step of Prefect's times and of event times."""


@attr.define
class RemovedFacet(RunFacet):
    """Takes a facet of the run back (``_deleted``, as job and dataset facets have it in the specification)."""

    _deleted: bool = attr.field(default=True)


def before(event: RunEvent, run_facets: Mapping[str, RunFacet], time: datetime) -> RunEvent:
    """An aside to an event: these facets, a moment before ``time``, about the same run of the same job."""
    return RunEvent(
        eventType=RunState.OTHER,
        eventTime=(time - MOMENT).isoformat(),
        run=attr.evolve(event.run, facets=dict(run_facets)),
        job=attr.evolve(event.job, facets={}),
        inputs=[],
        outputs=[],
        producer=PRODUCER,
    )


def parameters_of(snapshot: Snapshot, record: Mapping[str, Any]) -> dict[str, RunFacet]:
    """The parameters of a flow run that starts, as the API's JSON has them."""
    values = parameters.copies(record.get("parameters"))
    if "START" not in snapshot.types or not values:
        return {}
    return {"executionParameters": facets.execution_parameters(values)}


def failure_of(snapshot: Snapshot) -> dict[str, RunFacet]:
    """The failure of a run that fails, as its state's message has it."""
    if "FAIL" not in snapshot.types:
        return {}
    _, name, message = snapshot.state
    return {"errorMessage": facets.error(Failure(message or name or "failed"))}


def taken_back() -> dict[str, RunFacet]:
    """An error that turned out not to be one."""
    return {"errorMessage": RemovedFacet(producer=PRODUCER)}
