"""From bytes to a RunEvent, JobEvent or DatasetEvent: total and lenient; facets stay raw until someone reads them.

``parse`` refuses only what is not JSON and what names no job and no dataset. Everything else that real producers get
wrong (no zone in ``eventTime``, a ``runId`` that is no UUID, a facet that is no object, no ``schemaURL``, …) is read as
well as it can be, and reported in the event's ``warnings``.

This is the one place where JSON from outside is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import attrs
import msgspec

from openlineage_bridge.errors import RejectedEvent
from openlineage_bridge.shape import MOST_LEVELS, exceeds

RUN_IDS = UUID("6b1f5a0e-6f0a-5b0c-9a58-0d6a3c1d2f47")
"""Namespace of the run ids that stand in for ids that are no UUID."""

EVENT_TYPES = frozenset({"START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NO_TIME = -(1 << 63)
"""Stands for the time of an event that has none that can be read: older than every other."""


class JobKey(NamedTuple):
    """A job's identity (OpenLineage, "Naming")."""

    namespace: str
    name: str


class DatasetKey(NamedTuple):
    """A dataset's identity (OpenLineage, "Naming")."""

    namespace: str
    name: str


class Facets(Mapping[str, Any]):
    """Facets by key, decoded when read; ``raw`` holds their JSON.

    A facet that is not a JSON object, and one that was removed (``_deleted``), is not there.
    """

    __slots__ = ("_decoded", "raw")

    def __init__(self, raw: Mapping[str, bytes] | None = None) -> None:
        self.raw: Mapping[str, bytes] = raw or {}
        self._decoded: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        if key not in self._decoded:
            self._decoded[key] = msgspec.json.decode(self.raw[key])
        return self._decoded[key]

    def get(self, key: str, default: Any = None) -> Any:
        """The facet, or ``default``; unlike the inherited method, without an exception for one that is not there."""
        return self[key] if key in self.raw else default

    def __contains__(self, key: object) -> bool:
        return key in self.raw

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"Facets({sorted(self.raw)})"


# --- the three events -----------------------------------------------------------------------------------------------


@attrs.frozen
class EventDataset:
    """A dataset as one event mentions it.

    Args:
        key: Namespace and name.
        facets: ``facets`` of the dataset, each as raw JSON.
        use_facets: ``inputFacets`` or ``outputFacets``, each as raw JSON.
    """

    key: DatasetKey
    facets: Mapping[str, bytes] = attrs.field(factory=dict)
    use_facets: Mapping[str, bytes] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class BaseEvent:
    """What the three events share.

    Args:
        time: ``eventTime`` in microseconds since the epoch, UTC; ``NO_TIME`` when the event has none that can be read, so that
            it can fill gaps but never win over an event with a time.
        producer: URI of the code that made the event; empty when absent.
        warnings: What was read leniently, one sentence each.
    """

    time: int
    producer: str = ""
    warnings: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class RunEvent(BaseEvent):
    """Something happened to a run of a job."""

    run_id: str
    job: JobKey
    event_type: str = "OTHER"
    run_facets: Mapping[str, bytes] = attrs.field(factory=dict)
    job_facets: Mapping[str, bytes] = attrs.field(factory=dict)
    inputs: tuple[EventDataset, ...] = ()
    outputs: tuple[EventDataset, ...] = ()


@attrs.frozen(kw_only=True)
class JobEvent(BaseEvent):
    """A job is declared, without a run."""

    job: JobKey
    job_facets: Mapping[str, bytes] = attrs.field(factory=dict)
    inputs: tuple[EventDataset, ...] = ()
    outputs: tuple[EventDataset, ...] = ()


@attrs.frozen(kw_only=True)
class DatasetEvent(BaseEvent):
    """A dataset is described, without a job or a run."""

    dataset: EventDataset


Event = RunEvent | JobEvent | DatasetEvent


# --- the wire envelope ----------------------------------------------------------------------------------------------

RawFacets = dict[str, msgspec.Raw]


class _Run(msgspec.Struct):
    runId: str | None = None  # noqa: N815  - the wire's own names
    facets: RawFacets | None = None


class _Job(msgspec.Struct):
    namespace: str | None = None
    name: str | None = None
    facets: RawFacets | None = None


class _Dataset(msgspec.Struct):
    namespace: str | None = None
    name: str | None = None
    facets: RawFacets | None = None
    inputFacets: RawFacets | None = None  # noqa: N815
    outputFacets: RawFacets | None = None  # noqa: N815


class _Envelope(msgspec.Struct):
    eventTime: str | None = None  # noqa: N815
    eventType: str | None = None  # noqa: N815
    producer: str | None = None
    schemaURL: str | None = None  # noqa: N815
    run: _Run | None = None
    job: _Job | None = None
    dataset: _Dataset | None = None
    inputs: list[_Dataset] | None = None
    outputs: list[_Dataset] | None = None


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_ANY = msgspec.json.Decoder()
_RAW = msgspec.json.Decoder(msgspec.Raw)
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_SORTED = msgspec.json.Encoder(order="sorted")
_UNREADABLE = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)


# --- bytes in -------------------------------------------------------------------------------------------------------


def canonical(body: bytes) -> bytes:
    """The same JSON with sorted keys and without white space: equal for bodies that say the same.

    Raises:
        RejectedEvent: The body is not JSON, or nested deeper than any event is.
    """
    if exceeds(body):
        raise RejectedEvent(f"the JSON is nested more than {MOST_LEVELS} levels deep")
    try:
        return _SORTED.encode(_ANY.decode(body.removeprefix(b"\xef\xbb\xbf")))
    except _UNREADABLE as error:
        raise RejectedEvent(f"not JSON: {_first_line(error)}") from None


def digest(data: bytes) -> bytes:
    """Sixteen bytes that stand for the content."""
    return blake2b(data, digest_size=16).digest()


def split(body: bytes) -> list[bytes]:
    """The events of a body that holds one event or an array of them, each as its own bytes.

    Raises:
        RejectedEvent: The body is not JSON.
    """
    body = body.removeprefix(b"\xef\xbb\xbf").strip()
    try:
        if body.startswith(b"["):
            return [bytes(item) for item in _ARRAY.decode(body)]
        return [bytes(_RAW.decode(body))]
    except _UNREADABLE as error:
        raise RejectedEvent(f"not JSON: {_first_line(error)}") from None


def encode(value: Any) -> bytes:
    """Plain JSON types as JSON with sorted keys."""
    return _SORTED.encode(value)


def decode(body: bytes) -> Any:
    """JSON that this program wrote itself, or a facet that was kept."""
    return _ANY.decode(body)


def parse(body: bytes) -> Event:
    """The event in ``body``.

    Raises:
        RejectedEvent: It is not a JSON object, or it identifies no job and no dataset; the text says what is missing.
    """
    warnings: list[str] = []
    try:
        envelope = _ENVELOPE.decode(body)
    except _UNREADABLE:
        envelope = _repaired(body, warnings)
    return _event(envelope, warnings)


def _event(envelope: _Envelope, warnings: list[str]) -> Event:
    """Choose the kind: by the last part of ``schemaURL``, else by shape (OpenLineage core, ``oneOf``)."""
    declared = (envelope.schemaURL or "").rpartition("/")[2]
    time, producer = _time(envelope.eventTime, warnings), envelope.producer or ""
    if envelope.dataset is not None and (declared == "DatasetEvent" or not _names_a_job(envelope.job)):
        dataset = _dataset(envelope.dataset, None, warnings)
        if dataset is None:
            raise RejectedEvent(
                "no identity: dataset.namespace and dataset.name must be texts that are not empty"
            )
        return DatasetEvent(time=time, producer=producer, dataset=dataset, warnings=tuple(warnings))
    event = JobEvent(
        time=time,
        producer=producer,
        job=_job_key(envelope.job),
        job_facets=_facets(envelope.job.facets if envelope.job else None, "job.facets", warnings),
        inputs=_datasets_of(envelope.inputs, "inputFacets", warnings),
        outputs=_datasets_of(envelope.outputs, "outputFacets", warnings),
    )
    if declared != "JobEvent" and envelope.run is not None:
        return _run_event(envelope.run, envelope.eventType, event, warnings)
    return attrs.evolve(event, warnings=tuple(warnings))


def _run_event(
    run: _Run, event_type: str | None, event: JobEvent, warnings: list[str]
) -> RunEvent | JobEvent:
    """The event of a run; without a run id, what it says about the job is kept."""
    run_id = _run_id(run.runId, event.job, warnings)
    if run_id is None:
        return attrs.evolve(event, warnings=tuple(warnings))
    return RunEvent(
        time=event.time,
        producer=event.producer,
        run_id=run_id,
        job=event.job,
        event_type=_event_type(event_type, warnings),
        run_facets=_facets(run.facets, "run.facets", warnings),
        job_facets=event.job_facets,
        inputs=event.inputs,
        outputs=event.outputs,
        warnings=tuple(warnings),
    )


def _datasets_of(datasets: list[_Dataset] | None, use: str, warnings: list[str]) -> tuple[EventDataset, ...]:
    named = (_dataset(each, getattr(each, use), warnings) for each in datasets or ())
    return tuple(each for each in named if each is not None)


def _names_a_job(job: _Job | None) -> bool:
    return job is not None and bool(job.namespace and job.name)


def _job_key(job: _Job | None) -> JobKey:
    if job is None:
        raise RejectedEvent("no identity: the event has neither a job nor a dataset")
    missing = [f"job.{field}" for field in ("namespace", "name") if not getattr(job, field)]
    if missing:
        raise RejectedEvent(f"no identity: {' and '.join(missing)} must be a text that is not empty")
    return JobKey(str(job.namespace), str(job.name))


def _dataset(dataset: _Dataset, use: RawFacets | None, warnings: list[str]) -> EventDataset | None:
    if not dataset.namespace or not dataset.name:
        warnings.append("a dataset without namespace and name is left out")
        return None
    return EventDataset(
        key=DatasetKey(dataset.namespace, dataset.name),
        facets=_facets(dataset.facets, "dataset facets", warnings),
        use_facets=_facets(use, "input or output facets", warnings),
    )


def _facets(facets: RawFacets | None, where: str, warnings: list[str]) -> Mapping[str, bytes]:
    if not facets:
        return {}
    kept = {}
    for key, raw in facets.items():
        body = bytes(raw)
        if key.startswith("@"):  # the bridge's own marks are called so
            warnings.append(f"{where}: facet {key!r} has a name that no facet can have and is left out")
        elif body.startswith(b"{"):
            kept[key] = body
        else:
            warnings.append(f"{where}: facet {key!r} is not an object and says nothing")
    return kept


def _event_type(event_type: str | None, warnings: list[str]) -> str:
    if event_type is None:
        return "OTHER"
    if event_type.upper() in EVENT_TYPES:
        return event_type.upper()
    warnings.append(f"eventType {event_type!r} is unknown and read as OTHER")
    return "OTHER"


def _run_id(run_id: str | None, job: JobKey, warnings: list[str]) -> str | None:
    if not run_id:
        warnings.append("a run without runId: read as a statement about its job")
        return None
    parsed = run_uuid(run_id, job)
    if parsed != run_id.lower():
        warnings.append(f"runId {run_id!r} is no UUID: {parsed} stands for it")
    return parsed


@lru_cache(maxsize=4096)
def run_uuid(run_id: str, job: JobKey) -> str:
    """The run id in lower case; for one that is no UUID, a UUID derived from it and its job, the same every time."""
    try:
        return str(UUID(run_id))
    except ValueError:
        return str(uuid5(RUN_IDS, f"{job.namespace}\0{job.name}\0{run_id}"))


def _time(text: str | None, warnings: list[str]) -> int:
    if not text:
        warnings.append("no eventTime: the event can fill gaps but never wins over another")
        return NO_TIME
    moment = _moment(text)
    if moment is None:
        warnings.append(
            f"eventTime {text!r} cannot be read: the event can fill gaps but never wins over another"
        )
        return NO_TIME
    if moment.tzinfo is None:
        warnings.append(f"eventTime {text!r} has no zone and is read as UTC")
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // timedelta(microseconds=1)


def _moment(text: str) -> datetime | None:
    """RFC 3339, in the forms that Python's own parser does not know: a small ``z``, and a leap second."""
    text = text.replace("z", "Z")
    leap = ":60" in text
    try:
        moment = datetime.fromisoformat(text.replace(":60", ":59") if leap else text)
    except ValueError:
        return None
    return moment + timedelta(seconds=1) if leap else moment


# --- repair ---------------------------------------------------------------------------------------------------------


def _repaired(body: bytes, warnings: list[str]) -> _Envelope:
    """Decode an envelope whose fields have the wrong types, without the parts that cannot be understood."""
    try:
        data = _ANY.decode(body)
    except _UNREADABLE as error:
        raise RejectedEvent(f"not JSON: {_first_line(error)}") from None
    if not isinstance(data, dict):
        raise RejectedEvent(f"an event is a JSON object, not {type(data).__name__}")
    kept: dict[str, Any] = {
        key: _text(data, key, warnings) for key in ("eventTime", "eventType", "producer", "schemaURL")
    }
    for key, texts in (("run", ("runId",)), ("job", ("namespace", "name"))):
        if data.get(key) is not None:
            kept[key] = _object(data[key], key, texts, warnings)
    if data.get("dataset") is not None:
        kept["dataset"] = _object(data["dataset"], "dataset", ("namespace", "name"), warnings)
    for key in ("inputs", "outputs"):
        kept[key] = _datasets(data.get(key), key, warnings)
    return _ENVELOPE.decode(_SORTED.encode(kept))


def _text(data: Mapping[str, Any], key: str, warnings: list[str], where: str = "") -> str | None:
    value = data.get(key)
    if value is None or isinstance(value, str):
        return value
    warnings.append(f"{where}{key} is {type(value).__name__}, not a text, and is left out")
    return None


def _object(value: Any, where: str, texts: tuple[str, ...], warnings: list[str]) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        warnings.append(f"{where} is {type(value).__name__}, not an object, and is left out")
        return None
    kept: dict[str, Any] = {key: _text(value, key, warnings, f"{where}.") for key in texts}
    for key in ("facets", "inputFacets", "outputFacets"):
        if isinstance(value.get(key), dict):
            kept[key] = value[key]
        elif value.get(key) is not None:
            warnings.append(f"{where}.{key} is {type(value[key]).__name__}, not an object, and is left out")
    return kept


def _datasets(value: Any, where: str, warnings: list[str]) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        warnings.append(f"{where} is {type(value).__name__}, not an array, and is left out")
        return []
    kept = (
        _object(item, f"{where}[{index}]", ("namespace", "name"), warnings)
        for index, item in enumerate(value)
    )
    return [item for item in kept if item is not None]


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
