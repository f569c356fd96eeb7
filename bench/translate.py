"""What translating costs: against acryl-datahub's classes, an orjson round trip, and a job's first run."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import orjson
import report
import workload

from openlineage_bridge import events
from openlineage_bridge.facts import facts_of, merge
from openlineage_bridge.pipeline import Pipeline
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

    def ours() -> None:
        for body in bodies:
            merge({}, facts_of(events.parse(events.canonical(body))))
        translator = next(translators)
        for state in next(fresh_states):
            for aspect in translated(translator, state):
                events.encode(aspect.value)

    def floor() -> None:
        for body in bodies:
            orjson.dumps(orjson.loads(body))

    mine, typed, round_trip = (
        report.best(ours),
        report.best(typed_serialisation(aspects), rounds=3),
        report.best(floor),
    )
    report.figure("ours: bytes → facts → aspects → JSON", f"{mine / EVENTS * 1e6:,.0f} µs")
    report.figure("acryl-datahub: the same aspects, ready-made, → JSON", f"{typed / EVENTS * 1e6:,.0f} µs")
    report.figure("orjson: loads + dumps of the event", f"{round_trip / EVENTS * 1e6:,.0f} µs")
    report.ratio("faster than acryl-datahub's classes", typed / mine, "≥ 30", met=typed / mine >= 30)
    report.ratio("slower than one orjson round trip", mine / round_trip, "≤ 15", met=mine / round_trip <= 15)


def states_of(bodies: list[bytes]) -> Iterator[State]:
    """What the pipeline asks a translator because of these events."""
    with Store(MEMORY) as store:
        recorder = Recorder(load_translator("datahub", {}))
        process(store, Pipeline(store, recorder), bodies)
    yield from recorder.states


def typed_serialisation(aspects: list[Aspect]) -> Any:
    """Serialising the same aspects as acryl-datahub's objects; building them is left out, in their favour."""
    from datahub.emitter.mcp import MetadataChangeProposalWrapper
    from datahub.emitter.serialization_helper import post_json_transform
    from datahub.metadata.schema_classes import ASPECT_NAME_MAP

    proposals = [
        MetadataChangeProposalWrapper(
            entityUrn=each.urn,
            aspect=ASPECT_NAME_MAP[each.name].from_obj(
                post_json_transform(json.loads(events.encode(each.value)))
            ),
        )
        for each in aspects
    ]

    def work() -> None:
        for proposal in proposals:
            json.dumps(proposal.make_mcp().to_obj())

    return work


def steady_state() -> None:
    """A job's hundredth run against its first, through the pipeline and a store in memory."""
    report.heading(
        "A run of a known job with unchanged facets, through the pipeline (START and COMPLETE, store in memory)"
    )
    first, hundredth, sent_first, sent_hundredth = [], [], 0, 0
    for number in range(20):
        with Store(MEMORY) as store:
            pipeline = Pipeline(store, load_translator("datahub", {}))
            for run in range(100):
                bodies = [workload.body(f"job{number}", run, each) for each in ("START", "COMPLETE")]
                before = store.aspects.waiting()
                seconds = report.best(lambda: process(store, pipeline, bodies), rounds=1)  # noqa: B023  - called at once
                if run == 0:
                    first.append(seconds)
                    sent_first = store.aspects.waiting() - before
                elif run > 89:
                    hundredth.append(seconds)
                    sent_hundredth = store.aspects.waiting() - before
    report.figure("first run: proposals to deliver", str(sent_first))
    report.figure("hundredth run: proposals to deliver", str(sent_hundredth))
    report.figure("first run", f"{min(first) * 1e6:,.0f} µs")
    report.figure("90th to hundredth run", f"{min(hundredth) * 1e6:,.0f} µs")
    value = min(first) / min(hundredth)
    report.ratio("cheaper than the first", value, "≥ 5", met=value >= 5)


if __name__ == "__main__":
    news()
    steady_state()
