"""Events of a small world: few jobs, runs, datasets and moments, so that generated events meet each other."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
RUN_IDS = tuple(f"00000000-0000-4000-8000-00000000000{digit}" for digit in range(3))
JOBS = (("ns", "flow"), ("ns", "flow.load"), ("other", "sql"))
DATASETS = (
    ("postgres://h:5432", "db.s.a"),
    ("postgresql://h:5432", "db.s.a"),
    ("s3://bucket", "x/y"),
    ("hive://h:9083", "db.t"),
    ("file", "/tmp/t"),
)
EVENT_TYPES = ("START", "RUNNING", "COMPLETE", "FAIL", "ABORT", "OTHER", None)


def at(second: int) -> str:
    """A moment of the world, as an ``eventTime``."""
    return (NEW_YEAR + timedelta(seconds=second)).isoformat()


def named(pair: tuple[str, str]) -> dict:
    """An identity as events write it."""
    return {"namespace": pair[0], "name": pair[1]}


def run_event(job="flow", run=0, second=0, event_type="COMPLETE", inputs=(), outputs=(), **parts) -> dict:
    """A RunEvent of job ``ns/<job>``; datasets are names in ``db://h``, or dicts."""
    return {
        "eventTime": at(second),
        "eventType": event_type,
        "producer": parts.get("producer", "https://example.com/producer"),
        "run": {
            "runId": RUN_IDS[run] if isinstance(run, int) and run < len(RUN_IDS) else _run_id(run),
            "facets": parts.get("run_facets", {}),
        },
        "job": {"namespace": "ns", "name": job, "facets": parts.get("job_facets", {})},
        "inputs": [_dataset(each) for each in inputs],
        "outputs": [_dataset(each) for each in outputs],
    }


def job_event(job="flow", second=0, inputs=(), outputs=(), **job_facets) -> dict:
    """A JobEvent of job ``ns/<job>``."""
    event = run_event(job, 0, second, None, inputs, outputs, job_facets=job_facets)
    del event["run"], event["eventType"]
    return event


def dataset_event(dataset, second=0) -> dict:
    """A DatasetEvent."""
    return {"eventTime": at(second), "producer": "https://example.com/p", "dataset": _dataset(dataset)}


def _run_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def _dataset(dataset) -> dict:
    return dataset if isinstance(dataset, dict) else {"namespace": "db://h", "name": dataset}


def encoded(event: dict) -> bytes:
    """An event as a producer sends it."""
    return json.dumps(event).encode()


# --- generated ------------------------------------------------------------------------------------------------------


def _some(**optional) -> st.SearchStrategy[dict]:
    """An object in which each key may be absent, or say that it is gone."""
    gone = st.just({"_deleted": True})
    return st.fixed_dictionaries({}, optional={key: value | gone for key, value in optional.items()})


_names = st.sampled_from(DATASETS).map(named)
_jobs = st.sampled_from(JOBS).map(named)
_versions = st.integers(0, 1)
_text = st.fixed_dictionaries({"description": st.sampled_from(["", "a", "b"])})
_fields = st.lists(st.sampled_from([{"name": "c", "type": "int"}, {"name": "d"}]), max_size=2)
_symlinks = st.lists(_names.map(lambda name: name | {"type": "TABLE"}), min_size=1, max_size=1)
_input_fields = st.lists(_names.map(lambda name: name | {"field": "c"}), max_size=2)
_column_lineage = st.fixed_dictionaries(
    {
        "fields": st.dictionaries(
            st.sampled_from(["c", "d"]), st.fixed_dictionaries({"inputFields": _input_fields}), max_size=2
        )
    }
)
_is = {
    "schema": st.fixed_dictionaries({"fields": _fields}),
    "symlinks": st.fixed_dictionaries({"identifiers": _symlinks}),
    "documentation": _text,
}
_did = {"columnLineage": _column_lineage, "version": st.fixed_dictionaries({"datasetVersion": st.just("1")})}
_statistics = _some(outputStatistics=st.fixed_dictionaries({"rowCount": _versions}))
_used = st.tuples(_names, _some(**_is, **_did), _statistics)
_inputs = st.lists(
    _used.map(lambda parts: parts[0] | {"facets": parts[1], "inputFacets": parts[2]}), max_size=2
)
_outputs = st.lists(
    _used.map(lambda parts: parts[0] | {"facets": parts[1], "outputFacets": parts[2]}), max_size=2
)
_lineage_inputs = st.lists(
    _names.map(lambda name: name | {"type": "DATASET"}) | _jobs.map(lambda name: name | {"type": "JOB"}),
    max_size=2,
)
_entries = st.lists(
    st.builds(
        lambda name, inputs: name | {"inputs": inputs},
        _names.map(lambda name: name | {"type": "DATASET"}) | st.just({"type": "JOB"}),
        _lineage_inputs,
    ),
    max_size=2,
)
_job_facets = _some(
    jobType=st.fixed_dictionaries({"processingType": st.sampled_from(["BATCH", "STREAMING"])}),
    documentation=_text,
    lineage=st.fixed_dictionaries({"entries": _entries}),
)
_run_facets = _some(
    parent=st.fixed_dictionaries(
        {
            "run": st.just({"runId": RUN_IDS[0]}),
            "job": _jobs,
            "root": st.fixed_dictionaries({"job": _jobs}),
        }
    ),
    errorMessage=st.fixed_dictionaries({"message": st.sampled_from(["x", "y"])}),
    processing_engine=st.fixed_dictionaries({"version": st.sampled_from(["1", "2"])}),
    jobDependencies=st.fixed_dictionaries(
        {
            "upstream": st.lists(
                st.builds(
                    lambda job, run: {"job": job, "run": {"runId": run}}, _jobs, st.sampled_from(RUN_IDS)
                ),
                max_size=2,
            )
        }
    ),
)
_envelope = {
    "eventTime": st.integers(0, 4).map(at) | st.just(""),
    "producer": st.sampled_from(["https://example.com/airflow", "https://example.com/dagster"]),
}
run_events = st.fixed_dictionaries(
    _envelope
    | {
        "eventType": st.sampled_from(EVENT_TYPES),
        "run": st.fixed_dictionaries({"runId": st.sampled_from(RUN_IDS), "facets": _run_facets}),
        "job": st.builds(lambda name, facets: name | {"facets": facets}, _jobs, _job_facets),
        "inputs": _inputs,
        "outputs": _outputs,
    }
)
job_events = st.fixed_dictionaries(
    _envelope
    | {
        "job": st.builds(lambda name, facets: name | {"facets": facets}, _jobs, _job_facets),
        "inputs": _inputs,
        "outputs": _outputs,
    }
)
dataset_events = st.fixed_dictionaries(
    _envelope
    | {"dataset": st.builds(lambda name, facets: name | {"facets": facets}, _names, _some(**_is, **_did))}
)
events = st.one_of(run_events, run_events, run_events, job_events, dataset_events)
histories = st.lists(events, min_size=1, max_size=6)


@st.composite
def told_anyhow(draw, history: list) -> list[list]:
    """The same history in any order, with any repetition, split into batches anyhow."""
    again = draw(st.lists(st.sampled_from(history), max_size=3))
    order = draw(st.permutations([*history, *again]))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(order) - 1)), max_size=3)))
    return [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]
