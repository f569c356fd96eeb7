"""Records of Prefect artifacts → an OpenLineage event for each run that created some; pure.

The event has the time of the last of them. That is before the end of the run, where the collector tells the same: so the
collector has the last word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from openlineage.client.event_v2 import Job, RunEvent, RunState
from openlineage.client.event_v2 import Run as OpenLineageRun

from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.recording import Recording
from openlineage_bridge_prefect import artifacts, facets
from openlineage_bridge_prefect.identity import PRODUCER, namespace
from openlineage_bridge_prefect.runs import Run
from openlineage_bridge_prefect.watch.transitions import time_of

Record = Mapping[str, Any]


def by_run(records: Iterable[Record]) -> dict[tuple[str, UUID], list[Record]]:
    """The records of each run, ``(kind, id)``, in the order of their creation; as many of each as the collector tells."""
    found: dict[tuple[str, UUID], list[Record]] = {}
    for record in sorted(records, key=_moment):
        task_run = record.get("task_run_id")
        run = ("TASK", UUID(task_run)) if task_run else ("FLOW", UUID(record["flow_run_id"]))
        of_run = found.setdefault(run, [])
        if len(of_run) < artifacts.MAX_ARTIFACTS:
            of_run.append(record)
    return found


def event(run: Run, page: str | None, records: list[Record]) -> RunEvent:
    """What a run created, and the datasets that it named so.

    Args:
        run: The run.
        page: Its page in Prefect's UI.
        records: Its artifacts, in order; at least one.
    """
    created = tuple(artifacts.of_record(record) for record in records)
    named = describe(
        Recording(
            inputs=artifacts.datasets(created, artifacts.INPUT),
            outputs=artifacts.datasets(created, artifacts.OUTPUT),
        )
    )
    told = {"prefect_artifacts": facets.created_artifacts(created, page)}
    return RunEvent(
        eventType=RunState.OTHER,
        eventTime=_moment(records[-1])[0].isoformat(),
        run=OpenLineageRun(runId=run.run_id, facets={**told, **named.run_facets}),
        job=Job(namespace=namespace(), name=run.job_name, facets=named.job_facets),
        inputs=named.inputs,
        outputs=named.outputs,
        producer=PRODUCER,
    )


def _moment(record: Record) -> tuple[Any, str]:
    return time_of(record["created"]), str(record["id"])
