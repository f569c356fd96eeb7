"""What translating costs: against acryl-datahub's classes, an orjson round trip, and a job's first run; and memory."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import orjson
import report
import workload

from openlineage_bridge import events
from openlineage_bridge.facts import facts_of, merge
from openlineage_bridge.lineage import lineage_of
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.redaction import redacted
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.translation import (
    Aspect,
    DatasetState,
    JobIdentity,
    JobState,
    Resolution,
    RunState,
    Translator,
    Use,
    load_translator,
)

EVENTS = 60
State = DatasetState | JobState | RunState


class Recorder:
    """A translator that remembers what it was asked, so that the same questions can be asked without a store."""

    def __init__(self, translator: Translator) -> None:
        self._translator = translator
        self.states: list[State] = []

    def resolve(self, dataset: DatasetState) -> Resolution:
        return self._translator.resolve(dataset)

    def job_urn(self, job: JobIdentity) -> str:
        return self._translator.job_urn(job)

    def dataset(self, dataset: DatasetState) -> Iterable[Aspect]:
        self.states.append(dataset)
        return self._translator.dataset(dataset)

    def job(self, job: JobState) -> Iterable[Aspect]:
        self.states.append(job)
        return self._translator.job(job)

    def run(self, run: RunState) -> Iterable[Aspect]:
        self.states.append(run)
        return self._translator.run(run)


def translated(translator: Translator, state: State) -> Iterable[Aspect]:
    """The aspects of a state."""
    match state:
        case DatasetState():
            return translator.dataset(state)
        case JobState():
            return translator.job(state)
        case RunState():
            return translator.run(state)


def fresh(value: Any) -> Any:
    """The same state with facets that were not decoded yet."""
    if isinstance(value, events.Facets):
        return events.Facets(value.raw)
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(fresh(each) for each in value)
    if attrs.has(type(value)):
        return attrs.evolve(
            value, **{f.name: fresh(getattr(value, f.name)) for f in attrs.fields(type(value))}
        )
    return value


def process(store: Store, pipeline: Pipeline, bodies: list[bytes]) -> None:
    """Events through the inbox and the pipeline."""
    with store.transaction():
        store.inbox.put([inspect(body) for body in bodies], receiver="bench", now=0)
    pipeline.drain()


def news() -> None:
    """An event that brings news: everything in it is new."""
    report.heading(
        "Translating an event that brings news (2 inputs, 1 output, 50 columns each, 50 column-lineage pairs)"
    )
    bodies = [workload.body(f"job{number}", 0) for number in range(EVENTS)]
    states = list(states_of(bodies))
    aspects = [aspect for each in states for aspect in translated(load_translator("datahub", {}), each)]
    report.figure("the event", f"{len(bodies[0]):,} bytes")
    report.figure("aspects per event", f"{len(aspects) / EVENTS:.1f}")

    fresh_states = itertools.cycle([[fresh(each) for each in states] for _ in range(8)])
    translators = itertools.cycle(
        [load_translator("datahub", {}) for _ in range(8)]
    )  # names not memoised yet

    def translation() -> None:
        translator = next(translators)
        for state in next(fresh_states):
            for aspect in translated(translator, state):
                events.encode(aspect.value)

    def all_the_way() -> None:
        for body in bodies:
            merge({}, facts_of(events.parse(events.canonical(redacted(body)))))
        translation()

    def floor() -> None:
        for body in bodies:
            orjson.dumps(orjson.loads(body))

    mine, whole, round_trip = report.best(translation), report.best(all_the_way), report.best(floor)
    theirs = report.best(typed(aspects), rounds=3)
    report.figure("ours: facts → aspects → JSON", f"{mine / EVENTS * 1e6:,.0f} µs")
    report.figure(
        "ours, all the way: bytes → event → facts → aspects → JSON", f"{whole / EVENTS * 1e6:,.0f} µs"
    )
    report.figure("acryl-datahub: the same aspects → JSON", f"{theirs / EVENTS * 1e6:,.0f} µs")
    report.figure("orjson: loads + dumps of the event", f"{round_trip / EVENTS * 1e6:,.0f} µs")
    report.ratio(
        "translating: faster than acryl-datahub's classes", theirs / mine, "≥ 30", met=theirs / mine >= 30
    )
    report.ratio(
        "all the way: slower than one orjson round trip",
        whole / round_trip,
        "≤ 15",
        met=whole / round_trip <= 15,
    )


def states_of(bodies: list[bytes]) -> Iterator[State]:
    """What the pipeline asks a translator because of these events."""
    with Store(MEMORY) as store:
        recorder = Recorder(load_translator("datahub", {}))
        process(store, Pipeline(store, recorder), bodies)
    yield from recorder.states


def typed(aspects: list[Aspect]) -> Callable[[], None]:
    """Building and serialising the same aspects with acryl-datahub's classes.

    Each is built by one expression of constructor calls with the values as literals, which no real translator can beat.
    """
    from datahub.emitter.mcp import MetadataChangeProposalWrapper
    from datahub.emitter.serialization_helper import post_json_transform
    from datahub.metadata import schema_classes

    makers = []
    for each in aspects:
        plain = post_json_transform(json.loads(events.encode(each.value)))
        source = _constructors(schema_classes.ASPECT_NAME_MAP[each.name].from_obj(plain))
        makers.append((each.urn, compile(source, each.name, "eval")))
    names = vars(schema_classes)

    def work() -> None:
        for urn, maker in makers:
            proposal = MetadataChangeProposalWrapper(entityUrn=urn, aspect=eval(maker, names))
            json.dumps(proposal.make_mcp().to_obj())

    return work


def _constructors(value: Any) -> str:
    """The expression that builds a typed value again."""
    if hasattr(value, "RECORD_SCHEMA"):
        fields = [field.name for field in value.RECORD_SCHEMA.fields]
        arguments = (f"{name}={_constructors(getattr(value, name))}" for name in fields)
        return f"{type(value).__name__}({', '.join(arguments)})"
    if isinstance(value, list):
        return f"[{', '.join(map(_constructors, value))}]"
    return repr(value)


class Stopwatch(Recorder):
    """A translator that adds up what translating and serialising cost."""

    seconds = 0.0

    def dataset(self, dataset: DatasetState) -> Iterable[Aspect]:
        return self._timed(lambda: self._translator.dataset(dataset))

    def job(self, job: JobState) -> Iterable[Aspect]:
        return self._timed(lambda: self._translator.job(job))

    def run(self, run: RunState) -> Iterable[Aspect]:
        return self._timed(lambda: self._translator.run(run))

    def _timed(self, translation: Callable[[], Iterable[Aspect]]) -> list[Aspect]:
        started = time.process_time()
        aspects = list(translation())
        for aspect in aspects:
            events.encode(aspect.value)
        self.seconds += time.process_time() - started
        return aspects


@attrs.define
class Cost:
    """What one run of a job cost."""

    translating: float
    whole: float
    proposals: int


def cost_of(store: Store, pipeline: Pipeline, stopwatch: Stopwatch, job: str, run: int) -> Cost:
    """Send a run's START and COMPLETE through the pipeline, one by one."""
    bodies = [workload.body(job, run, event_type) for event_type in ("START", "COMPLETE")]
    before, stopwatch.seconds = store.aspects.waiting(), 0.0
    started = time.process_time()
    for body in bodies:
        process(store, pipeline, [body])
    return Cost(stopwatch.seconds, time.process_time() - started, store.aspects.waiting() - before)


def steady_state() -> None:
    """A job's later runs against its first, through the pipeline and a store in memory."""
    report.heading(
        "A run of a known job with unchanged facets against its first run (START, COMPLETE; store in memory)"
    )
    first, later = [], []
    for number in range(20):
        with Store(MEMORY) as store:
            stopwatch = Stopwatch(load_translator("datahub", {}))
            pipeline = Pipeline(store, stopwatch)
            costs = [cost_of(store, pipeline, stopwatch, f"job{number}", run) for run in range(100)]
            first.append(costs[0])
            later += costs[90:]
    for what, pick in (
        ("translating", lambda cost: cost.translating),
        ("the whole pipeline", lambda cost: cost.whole),
    ):
        report.figure(
            f"{what}: first run, 90th to hundredth", _pair(min(map(pick, first)), min(map(pick, later)))
        )
    report.figure("proposals: first run, hundredth", f"{first[-1].proposals}, {later[-1].proposals}")
    value = min(each.translating for each in first) / min(each.translating for each in later)
    report.ratio("translating: cheaper than the first run", value, "≥ 5", met=value >= 5)
    value = min(each.whole for each in first) / min(each.whole for each in later)
    report.figure("the whole pipeline: cheaper than the first run", f"{value:.2f} ×")


def _pair(first: float, later: float) -> str:
    return f"{first * 1e6:,.0f}, {later * 1e6:,.0f} µs"


# --- memory ---------------------------------------------------------------------------------------------------------

MEMORY_EVENTS, STEP = 300_000, 50_000
"""Events whose memory is looked at, and how often; the names that are remembered are forgotten at 50,000."""

SETTLED = 3
"""The look after which memory may grow no more: the remembered names were forgotten and learned again twice."""


def memory(count: int = MEMORY_EVENTS) -> None:
    """What parsing, facts and the translator remember of everything that they ever saw: each event is unlike all before."""
    report.heading(f"Memory over {count:,} events, each of a job, a run and a table of its own")
    translator, resident = load_translator("datahub", {}), []
    for number in range(1, count + 1):
        for state in _states_of_event(_small_event(number)):
            for aspect in translated(translator, state):
                events.encode(aspect.value)
        if number % STEP == 0:
            resident.append(_resident())
    settled = resident[SETTLED - 1]
    report.figure(f"MiB every {STEP:,} events", " ".join(str(each >> 20) for each in resident))
    grown = max(resident[SETTLED - 1 :]) / settled
    report.ratio(f"the most from then on against after {SETTLED * STEP:,}", grown, "≤ 1.1", met=grown <= 1.1)


def _small_event(number: int) -> bytes:
    schema = {"fields": [{"name": f"column_{number}", "type": "int"}]}
    table = {
        "namespace": workload.NAMESPACE,
        "name": f"shop.public.table_{number}",
        "facets": {"schema": schema},
    }
    return events.encode(
        {
            "eventTime": "2026-01-01T00:00:00Z",
            "eventType": "COMPLETE",
            "producer": workload.PRODUCER,
            "run": {"runId": f"00000000-0000-4000-8000-{number:012}"},
            "job": {"namespace": "bench", "name": f"flow_{number}.task"},
            "inputs": [table],
        }
    )


def _states_of_event(body: bytes) -> tuple[DatasetState, JobState, RunState]:
    """What an event alone says of its table, its job and its run."""
    event = events.parse(events.canonical(redacted(body)))
    assert isinstance(event, events.RunEvent)
    merge({}, facts_of(event))
    [table] = event.inputs
    dataset = DatasetState(table.key, events.Facets(table.facets))
    job, use = JobIdentity(event.job, events.Facets(), event.producer), Use(dataset, events.Facets())
    lineage = lineage_of(event.job, {table.key: {}}, {})
    run = RunState(event.run_id, job, events.Facets(), event.time, event.time, "COMPLETE", (use,))
    return dataset, JobState(job, (use,), (), lineage), run


def _resident() -> int:
    """Bytes of memory that this process has; Linux."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:  # `memory 1000000`: by itself, over as many events as wanted
        memory(*map(int, sys.argv[2:]))
    else:
        news()
        steady_state()
        memory()
