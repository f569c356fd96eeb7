"""The event that the benchmarks are about: two inputs, one output, fifty columns each, fifty column-lineage pairs."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid5

COLUMNS = 50
RUNS = UUID("7d9ad9f5-7a5e-5f6c-8f0e-1d3b4a5c6d7e")
PRODUCER = "https://example.com/bench/1.0"
SCHEMA = "https://openlineage.io/spec/facets/1-0-0/Facet.json#/$defs/Facet"
NAMESPACE = "postgres://db.example.com:5432"


def facet(**fields: Any) -> dict[str, Any]:
    """A facet with the two fields that every facet has."""
    return {"_producer": PRODUCER, "_schemaURL": SCHEMA, **fields}


def run_event(job: str, run: int, event_type: str = "COMPLETE") -> dict[str, Any]:
    """The event of run number ``run`` of ``job``: everything but run id and times is the same for every run."""
    tables = [f"shop.{job}.{table}" for table in ("orders", "customers", "revenue")]
    moment = f"2026-01-{1 + run // 1440:02d}T{run // 60 % 24:02d}:{run % 60:02d}"
    return {
        "eventType": event_type,
        "eventTime": f"{moment}:{'00' if event_type == 'START' else '30'}.000000Z",
        "producer": PRODUCER,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {
            "runId": str(uuid5(RUNS, f"{job} {run}")),
            "facets": {
                "parent": facet(
                    run={"runId": str(uuid5(RUNS, f"parent {job} {run}"))},
                    job={"namespace": "bench", "name": f"nightly_{job}"},
                ),
                "processing_engine": facet(version="3.8.8", name="prefect", openlineageAdapterVersion="1.0"),
            },
        },
        "job": {
            "namespace": "bench",
            "name": f"nightly_{job}.build",
            "facets": {
                "jobType": facet(processingType="BATCH", integration="PREFECT", jobType="TASK"),
                "sql": facet(
                    query=f"insert into {tables[2]} select * from {tables[0]} join {tables[1]}",
                    dialect="postgres",
                ),
            },
        },
        "inputs": [_table(tables[0]), _table(tables[1])],
        "outputs": [_table(tables[2], sources=tables[:2])],
    }


def body(job: str, run: int, event_type: str = "COMPLETE") -> bytes:
    """The event as a client sends it."""
    return json.dumps(run_event(job, run, event_type), separators=(",", ":")).encode()


def _table(name: str, sources: list[str] | None = None) -> dict[str, Any]:
    fields = [{"name": f"column_{n}", "type": "varchar", "description": ""} for n in range(COLUMNS)]
    facets = {"schema": facet(fields=fields)}
    if sources:
        facets["columnLineage"] = facet(
            fields={f"column_{n}": _column(sources[n % 2], n) for n in range(COLUMNS)}
        )
    return {"namespace": NAMESPACE, "name": name, "facets": facets}


def _column(source: str, number: int) -> dict[str, Any]:
    step = {"type": "DIRECT", "subtype": "IDENTITY", "description": "", "masking": False}
    field = {"namespace": NAMESPACE, "name": source, "field": f"column_{number}", "transformations": [step]}
    return {"inputFields": [field]}
