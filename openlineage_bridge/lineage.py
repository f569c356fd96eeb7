"""Which edges the inputs, outputs and facets of a run or a declared job state; pure.

The precedence is the specification's (explicit lineage facet, "Precedence Rules"): the ``lineage`` facet, when present,
is the complete picture of the edges between the job's datasets; else ``columnLineage`` of the outputs adds columns;
and every input feeds every output.

Which run speaks for a job is decided here too: its latest completed one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from openlineage_bridge.events import DatasetKey, JobKey

FacetsOf = Mapping[DatasetKey, Mapping[str, Any]]
"""The datasets a run or a declared job uses, each with the facets of that use."""


@attrs.frozen(order=True)
class Column:
    """A column of a dataset; nested fields as the producer writes them."""

    dataset: DatasetKey
    field: str


@attrs.frozen
class ColumnEdge:
    """One output column and the input columns it was made from.

    Args:
        output: The column that was written.
        inputs: Where its values come from, or what decided them; sorted.
        transformation: What was done, e.g. ``DIRECT:AGGREGATION (masking): sum of a day``; None when the producer did
            not say.
        indirect: Whether the inputs only *influence* the output (filter, join, group by) and give it no values.
    """

    output: Column
    inputs: tuple[Column, ...]
    transformation: str | None = None
    indirect: bool = False


@attrs.frozen(order=True)
class Influence:
    """A column that decided a whole output, by a filter, a join or the like, and gave no column of it a value.

    Args:
        output: The dataset that was written.
        source: The column; with an empty field the whole dataset.
        transformation: What was done, e.g. ``INDIRECT:FILTER``; empty when the producer did not say.
    """

    output: DatasetKey
    source: Column
    transformation: str = ""


@attrs.frozen
class Lineage:
    """What a job reads and writes.

    Args:
        inputs: Datasets read, sorted.
        outputs: Datasets written, sorted.
        pairs: ``(input, output)`` edges where they are stated, sorted; None means every input feeds every output.
        columns: Column edges, sorted.
        upstream_jobs: Jobs whose data this job takes directly (``lineage`` facet, inputs of type JOB); sorted.
        influences: What decided whole outputs, apart from what flowed into them; sorted.
    """

    inputs: tuple[DatasetKey, ...] = ()
    outputs: tuple[DatasetKey, ...] = ()
    pairs: tuple[tuple[DatasetKey, DatasetKey], ...] | None = None
    columns: tuple[ColumnEdge, ...] = ()
    upstream_jobs: tuple[JobKey, ...] = ()
    influences: tuple[Influence, ...] = ()


# --- edges ----------------------------------------------------------------------------------------------------------


def lineage_of(
    job: JobKey, inputs: FacetsOf, outputs: FacetsOf, explicit: Mapping[str, Any] | None = None
) -> Lineage:
    """The edges that a run, or a declared job, states.

    Datasets that only a facet names belong to the job's inputs and outputs all the same.

    Args:
        job: The job itself: entries of the ``lineage`` facet that name no job, or this one, are about it.
        inputs: What it reads.
        outputs: What it writes; ``columnLineage`` is looked for among their facets.
        explicit: The ``lineage`` job facet.
    """
    statements = list(_explicit(job, explicit)) if explicit is not None else list(_column_lineage(outputs))
    targets = {each.target for each in statements if each.target}
    sources = {each.source.dataset for each in statements if each.source}
    return Lineage(
        inputs=tuple(sorted({*inputs, *sources})),
        outputs=tuple(sorted({*outputs, *targets})),
        pairs=None if explicit is None else _pairs(statements),
        columns=_columns(statements),
        upstream_jobs=tuple(sorted({each.upstream_job for each in statements if each.upstream_job})),
        influences=_influences(statements),
    )


def dependencies(facet: Any) -> tuple[JobKey, ...]:
    """The jobs that a run waited for or took results from (JobDependenciesRunFacet 1-0-1, ``upstream``); sorted."""
    found = (_job(_mapping(item.get("job"))) for item in _objects(_mapping(facet).get("upstream")))
    return tuple(sorted({job for job in found if job}))


def timeless_dependencies(facet: Any) -> dict[str, Any]:
    """The facet as it says the same of every run of the job: without the runs, each job once, in order."""
    upstream: dict[JobKey, dict[str, Any]] = {}
    for item in _objects(_mapping(facet).get("upstream")):
        if job := _job(_mapping(item.get("job"))):
            upstream[job] = {key: value for key, value in item.items() if key != "run"}
    return {"upstream": [upstream[job] for job in sorted(upstream)]}


@attrs.frozen
class _Statement:
    """One thing that a facet states: from ``source`` (or ``upstream_job``) into ``target``, or into the job itself."""

    target: DatasetKey | None = None
    field: str | None = None
    source: Column | None = None  # an empty field stands for the whole dataset
    upstream_job: JobKey | None = None
    transformation: str | None = None
    indirect: bool = False


def _explicit(job: JobKey, facet: Mapping[str, Any]) -> Iterator[_Statement]:
    """LineageJobFacet 1-0-0. Entries about another job are that job's business and are left to its own events."""
    for entry in _objects(facet.get("entries")):
        if entry.get("type") == "JOB":
            if _job(entry) in (None, job):
                yield from _inputs_of(job, entry, target=None, field=None)
        elif target := _dataset(entry):
            yield _Statement(target=target)
            yield from _inputs_of(job, entry, target, field=None)
            for field, column in _mapping(entry.get("fields")).items():
                yield from _inputs_of(job, _mapping(column), target, field)


def _inputs_of(
    job: JobKey, holder: Mapping[str, Any], target: DatasetKey | None, field: str | None
) -> Iterator[_Statement]:
    for item in _objects(holder.get("inputs")):
        if item.get("type") == "JOB":
            upstream = _job(item)
            if upstream not in (None, job):
                yield _Statement(target=target, upstream_job=upstream)
        elif dataset := _dataset(item):
            source = Column(dataset, item["field"] if isinstance(item.get("field"), str) else "")
            for transformation, indirect in _transformations(item):
                yield _Statement(target, field, source, None, transformation, indirect)


def _column_lineage(outputs: FacetsOf) -> Iterator[_Statement]:
    """ColumnLineageDatasetFacet 1-2-0, on the outputs."""
    for target, facets in outputs.items():
        facet = _mapping(facets.get("columnLineage"))
        for field, column in _mapping(facet.get("fields")).items():
            for item in _objects(_mapping(column).get("inputFields")):
                yield from _input_field(target, field, item, _mapping(column))
        for item in _objects(facet.get("dataset")):
            yield from _input_field(target, None, item, {})


def _input_field(
    target: DatasetKey, field: str | None, item: Mapping[str, Any], column: Mapping[str, Any]
) -> Iterator[_Statement]:
    dataset, name = _dataset(item), item.get("field")
    if dataset and isinstance(name, str) and name:
        for transformation, indirect in _transformations(item):
            yield _Statement(
                target=target,
                field=field,
                source=Column(dataset, name),
                transformation=transformation or _deprecated(column),
                indirect=indirect,
            )


def _transformations(item: Mapping[str, Any]) -> Iterator[tuple[str | None, bool]]:
    """What was done with one input field as a text, what gave values apart from what only decided: is it indirect?"""
    steps = _objects(item.get("transformations"))
    for indirect in (False, True):
        alike = [each for each in steps if (each.get("type") == "INDIRECT") == indirect]
        if alike or not (steps or indirect):
            yield ", ".join(sorted({_step(each) for each in alike} - {""})) or None, indirect


def _step(step: Mapping[str, Any]) -> str:
    """``DIRECT:TRANSFORMATION (masking): sha256 of the address``."""
    text = ":".join(filter(None, (_str(step, "type"), _str(step, "subtype"))))
    if step.get("masking") is True:
        text = f"{text} (masking)".strip()
    return ": ".join(filter(None, (text, _str(step, "description").strip())))


def _deprecated(column: Mapping[str, Any]) -> str | None:
    """Type and description as ColumnLineageDatasetFacet had them before 1-1-0, for the column as a whole."""
    words = (_str(column, "transformationType"), _str(column, "transformationDescription").strip())
    return ": ".join(filter(None, words)) or None


def _pairs(statements: Iterable[_Statement]) -> tuple[tuple[DatasetKey, DatasetKey], ...]:
    return tuple(
        sorted({(each.source.dataset, each.target) for each in statements if each.source and each.target})
    )


def _influences(statements: Iterable[_Statement]) -> tuple[Influence, ...]:
    return tuple(
        sorted(
            {
                Influence(each.target, each.source, each.transformation or "")
                for each in statements
                if each.target and each.source and not each.field and each.indirect
            }
        )
    )


def _columns(statements: Iterable[_Statement]) -> tuple[ColumnEdge, ...]:
    """One edge per output column, transformation and directness."""
    grouped: dict[tuple[Column, str, bool], set[Column]] = {}
    for each in statements:
        if each.target and each.field and each.source and each.source.field:
            group = (Column(each.target, each.field), each.transformation or "", each.indirect)
            grouped.setdefault(group, set()).add(each.source)
    return tuple(
        ColumnEdge(output, tuple(sorted(sources)), transformation or None, indirect)
        for (output, transformation, indirect), sources in sorted(grouped.items(), key=lambda each: each[0])
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _str(item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    return value if isinstance(value, str) else ""


def _dataset(item: Mapping[str, Any]) -> DatasetKey | None:
    namespace, name = _str(item, "namespace"), _str(item, "name")
    return DatasetKey(namespace, name) if namespace and name else None


def _job(item: Mapping[str, Any]) -> JobKey | None:
    namespace, name = _str(item, "namespace"), _str(item, "name")
    return JobKey(namespace, name) if namespace and name else None


# --- which runs speak for a job -------------------------------------------------------------------------------------


@attrs.frozen(order=True)
class Candidate:
    """A run that read or wrote something, as one of those that may speak for its job; the greatest is the newest.

    Args:
        time: Of its completion, else of the last thing heard of it.
        run_id: Breaks ties, so that the choice never depends on the order of arrival.
        completed: Whether it ended with COMPLETE.
        publishing: Whether it speaks while it runs: a streaming job, or a run that reported RUNNING and has not ended.
    """

    time: int
    run_id: str
    completed: bool = False
    publishing: bool = False


def speakers(
    candidates: Sequence[Candidate], declared: int | None, window: int = 1
) -> tuple[Candidate, ...] | None:
    """The runs whose inputs and outputs are the job's, newest first; None when its newest JobEvent speaks instead.

    The latest completed runs speak (``window`` of them; a run that reports while it runs counts as well). A job without
    one shows what its latest run has said so far. A failed or empty run erases nothing.

    Args:
        candidates: The runs of the job that read or wrote something.
        declared: Event time of the newest JobEvent that stated inputs or outputs; None when there is none.
        window: How many runs are united.
    """
    settled = sorted((each for each in candidates if each.completed or each.publishing), reverse=True)
    if declared is not None and (not settled or declared >= settled[0].time):
        return None
    return tuple(settled[:window] if settled else sorted(candidates, reverse=True)[:1])
