"""Events of pipelines that run again and again: a flow with tasks, each of which reads, writes, and says what of what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

START = datetime(2026, 9, 1, tzinfo=UTC)
COLUMNS = 10


def run_id(job: int, run: int) -> str:
    """The run's UUID."""
    return str(UUID(int=(job << 64) + run + 1, version=4))


def runs(jobs: int, times: int, *, every: float = 60.0) -> Iterator[tuple[float, bytes]]:
    """Each of the jobs run so many times, as ``(seconds since the first, event)``: START, and COMPLETE five seconds later."""
    for time in range(times):
        for job in range(jobs):
            at = (time * jobs + job) * every / jobs
            yield at, _event(job, time, at, "START")
            yield at + 5, _event(job, time, at + 5, "COMPLETE")


def _event(job: int, run: int, at: float, kind: str) -> bytes:
    parent = {
        "run": {"runId": run_id(10_000, run)},
        "job": {"namespace": "prefect", "name": f"flow{job // 10}"},
    }
    event = {
        "eventTime": (START + timedelta(seconds=at)).isoformat(),
        "eventType": kind,
        "producer": "https://example.com/loads",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run_id(job, run), "facets": {"parent": parent}},
        "job": {
            "namespace": "prefect",
            "name": f"flow{job // 10}.é task, {job}",
            "facets": {
                "jobType": {"processingType": "BATCH", "integration": "PREFECT", "jobType": "TASK"},
                "ownership": {"owners": [{"name": f"team:{job % 3}", "type": "DATAOWNER"}]},
                "tags": {"tags": [{"key": "tier", "value": str(job % 2)}]},
                "sql": {"query": f"INSERT INTO t{job} SELECT * FROM s{job}"},
            },
        },
        "inputs": [_dataset(f"s{job}"), _dataset("shared")],
        "outputs": [_dataset(f"t{job}")] if kind == "COMPLETE" else [],
    }
    for output in event["outputs"]:
        source = {"namespace": "postgres://db:5432", "name": f"shop.public.s{job}"}
        fields = {f"c{n}": {"inputFields": [{**source, "field": f"c{n}"}]} for n in range(COLUMNS)}
        output["facets"]["columnLineage"] = {"fields": fields}
        output["outputFacets"] = {"outputStatistics": {"rowCount": run}}
    return json.dumps(event, ensure_ascii=False).encode()


def _dataset(table: str) -> dict:
    fields = [{"name": f"c{n}", "type": "BIGINT"} for n in range(COLUMNS)]
    return {
        "namespace": "postgres://db:5432",
        "name": f"shop.public.{table}",
        "facets": {"schema": {"fields": fields}, "tags": {"tags": [{"key": "pii", "value": "true"}]}},
    }
