"""The contract between the bridge and a translator: what it is given, what it returns, how it is found.

A translator is pure: no clock, no network, no randomness, no state. It is given what OpenLineage *now says* about a
dataset, a job or a run, and returns the aspects that the catalog should hold because of it. The bridge compares them
with what it held before and delivers the difference.

Distributions register translators in the entry point group ``openlineage_bridge.translators`` and sinks in
``openlineage_bridge.sinks``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

import attrs

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.events import DatasetKey, Facets, JobKey, encode
from openlineage_bridge.lineage import Lineage

# --- what a translator is given -------------------------------------------------------------------------------------


@attrs.frozen
class DatasetState:
    """What OpenLineage now says about a dataset, whoever said it.

    Args:
        key: Namespace and name.
        facets: The dataset's own facets: ``schema``, ``documentation``, ``symlinks``, …; never those of one run's use of it.
            ``columnLineage`` and ``lineage`` stand here only when a DatasetEvent stated them.
        times: Of the facets among them that are true of a moment (``dataQualityMetrics``, ``dataQualityAssertions``,
            ``lifecycleStateChange``) the event time, in microseconds since the epoch.
    """

    key: DatasetKey
    facets: Facets
    times: Mapping[str, int] = attrs.field(factory=dict)


@attrs.frozen
class Use:
    """One dataset as an input or output of a run, or of a declared job.

    Args:
        dataset: The dataset, with only those of its facets that may decide its name (``symlinks``, ``catalog``), and in a job's
            lineage ``schema``, which may decide how its columns are written.
        facets: The facets of this use: ``columnLineage``, ``outputStatistics``, ``version``, ``dataQualityAssertions``, …
    """

    dataset: DatasetState
    facets: Facets


@attrs.frozen
class JobIdentity:
    """What is needed to name a job in the catalog: the same for the job and for each of its runs.

    Args:
        key: Namespace and name.
        facets: The job's facets (``jobType``, ``documentation``, ``ownership``, ``sql``, …).
        producer: The ``producer`` URI of the newest event about it; empty when none said.
        parent: The job of the ``parent`` facet of the newest run that has one.
        root: The job of that facet's ``root``.
        engine: The name, in lower case, of the ``processing_engine`` of the newest run that says it; empty when none did.
    """

    key: JobKey
    facets: Facets
    producer: str = ""
    parent: JobKey | None = None
    root: JobKey | None = None
    engine: str = ""


@attrs.frozen
class JobState:
    """What OpenLineage now says about a job.

    Args:
        job: Its identity and facets.
        inputs: Every dataset that its lineage reads, in the order of ``lineage.inputs``, with ``columnLineage`` at most:
            no facets of the use that differ from run to run.
        outputs: Every dataset that its lineage writes.
        lineage: Which edges, down to columns, its inputs, outputs and facets state (``openlineage_bridge.lineage``).
        run_facets: ``processing_engine`` and ``lineage`` of the run that the lineage was taken from; no run facets that
            differ from run to run.
    """

    job: JobIdentity
    inputs: tuple[Use, ...] = ()
    outputs: tuple[Use, ...] = ()
    lineage: Lineage = attrs.field(factory=Lineage)
    run_facets: Facets = attrs.field(factory=Facets)


@attrs.frozen
class RunState:
    """What OpenLineage now says about one run. Times are microseconds since the epoch, UTC.

    Args:
        run_id: A UUID in lower case.
        job: The job it is a run of. A run's aspects may depend on it through its URN and ``jobType`` alone, the only facet that
            is there: no other change of a job makes its runs be translated again.
        facets: The run's facets (``parent``, ``nominalTime``, ``errorMessage``, ``processing_engine``, …).
        started: Time of START, else of the earliest event known; None when no event carried a time.
        ended: Time of the terminal event; None while it runs.
        result: ``COMPLETE``, ``FAIL`` or ``ABORT``; None while it runs. Terminal is final (OpenLineage, "Run Cycle").
        inputs: Datasets read so far.
        outputs: Datasets written so far.
    """

    run_id: str
    job: JobIdentity
    facets: Facets
    started: int | None = None
    ended: int | None = None
    result: str | None = None
    inputs: tuple[Use, ...] = ()
    outputs: tuple[Use, ...] = ()


# --- what it returns ------------------------------------------------------------------------------------------------


@attrs.define
class Aspect:
    """One aspect that the catalog should hold.

    Read-only, though not frozen: an event that brings news makes thirty, and to freeze one costs more than to make it.

    Args:
        urn: The entity.
        entity_type: The catalog's own word, e.g. ``dataJob``.
        name: The aspect, e.g. ``dataJobInputOutput``.
        value: Its content as plain JSON types. It must not depend on anything but the state it was derived from.
        timestamp_ms: For a timeseries aspect its event time in milliseconds; None for a versioned one.
        rank: When several subjects claim the same aspect of the same entity (each task also describes its flow), the
            highest rank is what the catalog holds; ties are broken by content, so the order of arrival never matters.
    """

    urn: str
    entity_type: str
    name: str
    value: Mapping[str, Any]
    timestamp_ms: int | None = None
    rank: int = 0


@attrs.frozen
class Resolution:
    """The catalog's name of a dataset.

    Args:
        urn: None where no acceptable one exists; ``steps`` then says why.
        platform: The catalog's platform id, e.g. ``postgres``.
        rule: The rule that decided, e.g. the connector whose naming it follows.
        steps: How the name came about, one sentence each, in order.
    """

    urn: str | None
    platform: str
    rule: str
    steps: tuple[str, ...]


@runtime_checkable
class Translator(Protocol):
    """From OpenLineage states to catalog aspects. All methods are pure."""

    def resolve(self, dataset: DatasetState) -> Resolution:
        """How this dataset is called in the catalog."""
        ...

    def job_urn(self, job: JobIdentity) -> str:
        """The entity that stands for this job."""
        ...

    def dataset(self, dataset: DatasetState) -> Iterable[Aspect]:
        """Aspects of the dataset itself."""
        ...

    def job(self, job: JobState) -> Iterable[Aspect]:
        """Aspects of the job, its flow, and its lineage."""
        ...

    def run(self, run: RunState) -> Iterable[Aspect]:
        """Aspects of one run."""
        ...


@attrs.frozen
class Proposal:
    """An aspect on its way to a sink, already serialised.

    Args:
        entity_type: e.g. ``dataset``.
        urn: The entity.
        aspect_name: e.g. ``schemaMetadata``.
        body: The aspect as JSON.
        timestamp_ms: For a timeseries aspect its event time; None for a versioned one.
    """

    entity_type: str
    urn: str
    aspect_name: str
    body: bytes
    timestamp_ms: int | None = None

    def to_mcp(self) -> bytes:
        """As one metadata change proposal in JSON, the form that ``translate``, ``export`` and file sinks write."""
        head = encode(
            {
                "aspectName": self.aspect_name,
                "changeType": "UPSERT",
                "entityType": self.entity_type,
                "entityUrn": self.urn,
            }
        )
        return head[:-1] + b',"aspect":{"json":' + self.body + b"}}"


@attrs.frozen
class Delivered:
    """The destination has it."""


@attrs.frozen
class Retry:
    """Not now: the destination is away or busy. It is tried again, for ever.

    Args:
        reason: What it said, or what went wrong on the way to it.
        after: Seconds that it asked to be left alone.
    """

    reason: str
    after: float = 0.0


@attrs.frozen
class Refused:
    """Never: the destination will not take this one. It goes to quarantine."""

    reason: str


Outcome = Delivered | Retry | Refused


class Sink(Protocol):
    """Where proposals are delivered. ``send`` blocks; it is called from one thread at a time."""

    @property
    def destination(self) -> str:
        """Which one it is, e.g. its address: what was delivered is remembered for this destination only."""
        ...

    def send(self, proposals: Sequence[Proposal]) -> list[Outcome]:
        """Deliver in order; one outcome per proposal, in the same order. Raises only on a programming error."""
        ...

    def close(self) -> None:
        """Give back connections and files."""
        ...


# --- what a catalog can be asked ------------------------------------------------------------------------------------


class Standing(StrEnum):
    """How the catalog knows an entity that the translator names."""

    EXISTS = "exists"
    """Somebody else, usually a connector, wrote about it: lineage lands on the entity that people look at."""
    CASING = "casing"
    """Only in another upper or lower case."""
    ELSEWHERE = "elsewhere"
    """Only under a name that holds this one, or that this one holds: a platform instance, a database, an environment."""
    GHOST = "ghost"
    """Only because the bridge wrote about it, and nothing like it is there: no connector has it."""
    ABSENT = "absent"
    """Not at all."""


@attrs.frozen
class Known:
    """What a catalog knows of one entity.

    Args:
        urn: As the translator names it.
        standing: How the catalog knows it.
        instead: Entities that it may be instead, likeliest first; empty where ``standing`` is none of CASING and ELSEWHERE.
    """

    urn: str
    standing: Standing
    instead: tuple[str, ...] = ()


@runtime_checkable
class Catalog(Protocol):
    """A sink that can be asked what its destination knows."""

    def look_up(self, urns: Sequence[str]) -> Iterable[Known]:
        """In the order of ``urns``.

        Raises:
            RetryLater: The destination does not answer.
        """
        ...


@runtime_checkable
class RuleProposer(Protocol):
    """A translator that can say which rule of its configuration would give datasets the names that the catalog has."""

    def propose(self, namespace: str, named: Sequence[tuple[DatasetState, str]]) -> Mapping[str, Any] | None:
        """A rule for ``namespace`` under which each of the datasets gets its URN; None where no simple one does."""
        ...


@attrs.define
class MemorySink:
    """A sink that keeps what it was sent; for tests, of the bridge's users too."""

    sent: list[Proposal] = attrs.field(factory=list)
    destination: str = "memory"

    def send(self, proposals: Sequence[Proposal]) -> list[Outcome]:
        """Keep the proposals."""
        self.sent.extend(proposals)
        return [Delivered()] * len(proposals)

    def close(self) -> None:
        """Nothing to give back."""


# --- how they are found ---------------------------------------------------------------------------------------------

TRANSLATORS = "openlineage_bridge.translators"
SINKS = "openlineage_bridge.sinks"


def load_translator(name: str, options: Mapping[str, Any]) -> Translator:
    """The translator registered under ``name``, configured with its own section of the configuration.

    Raises:
        ConfigError: No installed distribution registers it, or it refuses the options.
    """
    translator: Translator = _load(TRANSLATORS, name, options)
    return translator


def load_sink(name: str, options: Mapping[str, Any]) -> Sink:
    """The sink registered under ``name``, configured with the translator's section of the configuration.

    Raises:
        ConfigError: No installed distribution registers it, or it refuses the options.
    """
    sink: Sink = _load(SINKS, name, options)
    return sink


def _load(group: str, name: str, options: Mapping[str, Any]) -> Any:
    found = {point.name: point for point in entry_points(group=group)}
    if name not in found:
        known = ", ".join(sorted(found)) or "none is installed"
        raise ConfigError(f"no {group.rpartition('.')[2].removesuffix('s')} called {name!r} (known: {known})")
    return found[name].load().from_options(options)
