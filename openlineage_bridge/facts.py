"""From an event to facts, and how facts merge; pure.

OpenLineage is cumulative: several events of a run each tell a part. A *fact* is what was last said about one facet of
one subject: ``(subject, facet) → (raw JSON, event time)``. The newest event time wins; a tie is broken by the digest of
the content; a facet that is absent says nothing; a facet with ``_deleted: true`` removes. The facts are therefore the
same whatever the order of arrival and however often an event arrives: a last-writer-wins map, which is commutative,
associative and idempotent.

Whose fact a facet is: what a run did to a dataset belongs to that run's *use* of it (an input or an output); what the
dataset *is* belongs to the dataset, whoever said it.

Beside the facets the envelope itself becomes facts, under names that no facet can have:

=============== ======= ==============================================================================
``@START`` …    run     an event of that type happened (``@RUNNING``, ``@COMPLETE``, ``@FAIL``, ``@ABORT``, ``@OTHER``)
``@used``       use     the run mentioned this dataset as an input or output
``@producer``   job     who made the newest event about it
``@parent``     job     the parent and root *jobs* of the newest run, or JobEvent, that named them
``@engine``     job     what processed the newest run that said so (``processing_engine``)
``@declared``   job     the inputs and outputs of the newest JobEvent
``@time …``     dataset when a DatasetEvent stated that facet (``MOMENTARY``)
``@lineage``    run     its events had the ``lineage`` facet; ``@lineage [type, namespace, name]`` is one entry of it
=============== ======= ==============================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, TypeGuard

from openlineage_bridge.events import (
    DatasetEvent,
    DatasetKey,
    Event,
    EventDataset,
    JobEvent,
    JobKey,
    RunEvent,
    decode,
    digest,
    encode,
)

USE_FACETS = frozenset(
    {
        "columnLineage",
        "dataQualityAssertions",
        "dataQualityMetrics",
        "lifecycleStateChange",
        "lineage",
        "subset",
        "version",
    }
)
"""Dataset facets that tell what *a run did*, wherever the producer put them; all others tell what the dataset *is*.

``dataQualityAssertions`` and ``subset`` are input and output facets in the specification, and real producers send
them among the dataset's facets as often.
"""

MOMENTARY = frozenset({"dataQualityAssertions", "dataQualityMetrics", "lifecycleStateChange"})
"""Facets that are true of a moment: where a DatasetEvent states one, its event time is a fact as well."""

PARENT_OF_JOB = "openlineageBridge_parent"
"""Job facet of a JobEvent that names the job's parent as the ``parent`` facet of runs does; the specification has none."""

RUN_STATES = ("START", "RUNNING", "COMPLETE", "FAIL", "ABORT", "OTHER")
TERMINAL = ("COMPLETE", "FAIL", "ABORT")
MOMENT = "@time "
REMOVED = b""
"""The body of a fact whose facet was removed."""


class RunKey(NamedTuple):
    """A run's identity: run ids are unique by the specification, but not among all that real producers send."""

    job: JobKey
    run_id: str


Subject = JobKey | RunKey | DatasetKey


class Kind(StrEnum):
    """What a subject is; the same names are used in the store."""

    JOB = "job"
    RUN = "run"
    DATASET = "dataset"


class Role(StrEnum):
    """How a run uses a dataset; SELF marks facts of the subject itself."""

    SELF = ""
    INPUT = "input"
    OUTPUT = "output"


class FactKey(NamedTuple):
    """What a fact is about.

    Args:
        kind: What the subject is (job and dataset keys look alike).
        subject: The run, job or dataset.
        role: For a use of a dataset by a run: as its input or output.
        dataset: The dataset that is used; None for facts of the subject itself.
        facet: Facet key, or one of the names with ``@``.
    """

    kind: Kind
    subject: Subject
    role: Role
    dataset: DatasetKey | None
    facet: str


class Fact(NamedTuple):
    """What was last said: compare two by ``(time, digest)``, the greater one stands.

    Args:
        time: Event time, microseconds since the epoch; 0 when unknown.
        digest: Of the body.
        body: Raw JSON; empty when the facet was removed.
    """

    time: int
    digest: bytes
    body: bytes

    @property
    def removed(self) -> bool:
        """Whether the facet was removed by ``_deleted: true``."""
        return self.body == REMOVED


Facts = dict[FactKey, Fact]


def merge(facts: Facts, more: Iterable[tuple[FactKey, Fact]]) -> Facts:
    """Take the newer of each: changes and returns ``facts``."""
    for key, fact in more:
        known = facts.get(key)
        if known is None or newer(fact, known):
            facts[key] = fact
    return facts


def newer(fact: Fact, known: Fact) -> bool:
    """Whether ``fact`` replaces ``known``: later event time, or, at the same time, greater digest."""
    return (fact.time, fact.digest) > (known.time, known.digest)


def facts_of(event: Event) -> Iterator[tuple[FactKey, Fact]]:
    """Everything one event says."""
    match event:
        case RunEvent():
            yield from _run_facts(event)
        case JobEvent():
            yield from _job_facts(event)
        case DatasetEvent():
            yield from _facets(Kind.DATASET, event.dataset.key, event.dataset.facets, event.time)
            yield from _facets(Kind.DATASET, event.dataset.key, event.dataset.use_facets, event.time)
            yield from _moments(event)


def _moments(event: DatasetEvent) -> Iterator[tuple[FactKey, Fact]]:
    for facet in sorted(MOMENTARY & {*event.dataset.facets, *event.dataset.use_facets}):
        yield _fact(
            Kind.DATASET, event.dataset.key, f"{MOMENT}{facet}", encode({"time": event.time}), event.time
        )


def _run_facts(event: RunEvent) -> Iterator[tuple[FactKey, Fact]]:
    run = RunKey(event.job, event.run_id)
    yield _fact(Kind.RUN, run, f"@{event.event_type}", _EMPTY, event.time)
    yield from _facets(Kind.RUN, run, event.run_facets, event.time)
    yield from _lineage_facts(run, event)
    yield from _about_job(event, {key: raw for key, raw in event.job_facets.items() if key != "lineage"})
    parent = _parent_jobs(event.run_facets.get("parent") or event.run_facets.get("parentRun"))
    if parent:
        yield _fact(Kind.JOB, event.job, "@parent", parent, event.time)
    if engine := _engine(event.run_facets.get("processing_engine")):
        yield _fact(Kind.JOB, event.job, "@engine", engine, event.time)
    for role, datasets in ((Role.INPUT, event.inputs), (Role.OUTPUT, event.outputs)):
        for dataset in datasets:
            yield from _use_facts(run, role, dataset, event.time)


def _lineage_facts(run: RunKey, event: RunEvent) -> Iterator[tuple[FactKey, Fact]]:
    """The ``lineage`` job facet, entry by entry: over a run it accumulates (explicit lineage facet, rule 4)."""
    facet = _explicit(event)
    if facet is None:
        return
    yield _fact(Kind.RUN, run, "@lineage", _EMPTY, event.time)
    entries = facet.get("entries")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            target = encode([entry.get(field) for field in ("type", "namespace", "name")]).decode()
            yield _fact(Kind.RUN, run, f"@lineage {target}", encode(entry), event.time)


def accumulated_lineage(marks: Mapping[str, bytes]) -> bytes | None:
    """The ``lineage`` facet that the marks of a run add up to; None when none of its events had one."""
    if "@lineage" not in marks:
        return None
    return encode(
        {"entries": [decode(body) for mark, body in sorted(marks.items()) if mark.startswith("@lineage ")]}
    )


def _use_facts(run: RunKey, role: Role, dataset: EventDataset, time: int) -> Iterator[tuple[FactKey, Fact]]:
    yield _fact(Kind.RUN, run, "@used", _EMPTY, time, role=role, dataset=dataset.key)
    is_, did = split_facets(dataset)
    for facet, raw in did.items():
        yield _fact(Kind.RUN, run, facet, raw, time, role=role, dataset=dataset.key)
    yield from _facets(Kind.DATASET, dataset.key, is_, time)


def _job_facts(event: JobEvent) -> Iterator[tuple[FactKey, Fact]]:
    apart = ("lineage", PARENT_OF_JOB)
    yield from _about_job(event, {key: raw for key, raw in event.job_facets.items() if key not in apart})
    if parent := _parent_jobs(event.job_facets.get(PARENT_OF_JOB)):
        yield _fact(Kind.JOB, event.job, "@parent", parent, event.time)
    for dataset in (*event.inputs, *event.outputs):
        yield from _facets(Kind.DATASET, dataset.key, split_facets(dataset)[0], event.time)
    if event.inputs or event.outputs or _explicit(event):
        yield _fact(Kind.JOB, event.job, "@declared", _declaration(event), event.time)


def _about_job(event: RunEvent | JobEvent, facets: Mapping[str, bytes]) -> Iterator[tuple[FactKey, Fact]]:
    yield from _facets(Kind.JOB, event.job, facets, event.time)
    yield _fact(Kind.JOB, event.job, "@producer", encode(event.producer), event.time)


def split_facets(dataset: EventDataset) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What the dataset is, and what was done to it."""
    is_ = {key: raw for key, raw in dataset.facets.items() if key not in USE_FACETS}
    did = {key: raw for key, raw in dataset.facets.items() if key in USE_FACETS}
    return is_, did | dict(dataset.use_facets)


def _facets(
    kind: Kind, subject: Subject, facets: Mapping[str, bytes], time: int
) -> Iterator[tuple[FactKey, Fact]]:
    for facet, raw in facets.items():
        yield _fact(kind, subject, facet, raw, time)


def _fact(
    kind: Kind,
    subject: Subject,
    facet: str,
    body: bytes,
    time: int,
    *,
    role: Role = Role.SELF,
    dataset: DatasetKey | None = None,
) -> tuple[FactKey, Fact]:
    if b'"_deleted":true' in body and decode(body).get("_deleted") is True:
        body = REMOVED
    return FactKey(kind, subject, role, dataset, facet), Fact(time, _digest(body), body)


_EMPTY = b"{}"
_EMPTY_DIGEST = digest(_EMPTY)


def _digest(body: bytes) -> bytes:
    return _EMPTY_DIGEST if body is _EMPTY else digest(body)


def _parent_jobs(raw: bytes | None) -> bytes | None:
    """The parent and root jobs alone: unlike the facet, the same for every run of a schedule."""
    if raw is None:
        return None
    facet = decode(raw)
    parent = job_reference(facet)
    if parent is None:
        return None
    return encode({"parent": parent, "root": job_reference(facet.get("root"))})


def _engine(raw: bytes | None) -> bytes | None:
    """The name of the engine alone, in lower case (ProcessingEngineRunFacet 1-1-1); None where none is named."""
    name = decode(raw).get("name") if raw else None
    return encode(name.strip().lower()) if isinstance(name, str) and name.strip() else None


def job_reference(holder: Any) -> JobKey | None:
    """The job that a ``parent`` facet, or its ``root``, names; None when it names none properly."""
    job = holder.get("job") if isinstance(holder, dict) else None
    if not isinstance(job, dict):
        return None
    namespace, name = job.get("namespace"), job.get("name")
    return JobKey(namespace, name) if _is_text(namespace) and _is_text(name) else None


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and value != ""


def _declaration(event: JobEvent) -> bytes:
    """A JobEvent's lineage as one fact: JobEvents replace, they do not accumulate (explicit lineage facet, rule 4)."""
    uses = {
        role: [
            {
                "namespace": each.key.namespace,
                "name": each.key.name,
                "facets": _decoded(split_facets(each)[1]),
            }
            for each in datasets
        ]
        for role, datasets in (("inputs", event.inputs), ("outputs", event.outputs))
    }
    explicit = _explicit(event)
    return encode(uses | ({"lineage": explicit} if explicit else {}))


def _explicit(event: RunEvent | JobEvent) -> Any:
    """The ``lineage`` facet, unless it is removed or absent."""
    raw = event.job_facets.get("lineage")
    facet = decode(raw) if raw else None
    return facet if facet and facet.get("_deleted") is not True else None


def _decoded(facets: Mapping[str, bytes]) -> dict[str, Any]:
    return {key: decode(raw) for key, raw in facets.items()}
