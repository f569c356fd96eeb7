"""What real producers send becomes aspects that DataHub accepts."""

from __future__ import annotations

import json
import random

import pytest

from openlineage_bridge.errors import RejectedEvent
from openlineage_bridge.events import DatasetEvent, Facets, JobKey, RunEvent, parse
from openlineage_bridge.lineage import lineage_of
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.aspects import holdings
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.translation import DatasetState, JobIdentity, JobState, RunState, Use
from openlineage_bridge_datahub import DataHubTranslator
from openlineage_bridge_datahub.facets import MAPPED


def uses_of(datasets):
    return tuple(
        Use(DatasetState(each.key, Facets(each.facets)), Facets({**each.facets, **each.use_facets}))
        for each in datasets
    )


def relative(facets, *way):
    found = facets.get("parent")
    for key in (*way, "job"):
        found = found.get(key) if isinstance(found, dict) else None
    return JobKey(str(found.get("namespace")), str(found.get("name"))) if isinstance(found, dict) else None


def aspects_of(translator, event):
    """The aspects of an event as if nothing else were known."""
    if isinstance(event, DatasetEvent):
        return list(translator.dataset(DatasetState(event.dataset.key, Facets(event.dataset.facets))))
    run_facets = Facets(event.run_facets) if isinstance(event, RunEvent) else Facets()
    identity = JobIdentity(
        event.job,
        Facets(event.job_facets),
        event.producer,
        relative(run_facets),
        relative(run_facets, "root"),
    )
    inputs, outputs = uses_of(event.inputs), uses_of(event.outputs)
    lineage = lineage_of(
        event.job,
        {use.dataset.key: use.facets for use in inputs},
        {use.dataset.key: use.facets for use in outputs},
        identity.facets.get("lineage"),
    )
    aspects = list(translator.job(JobState(identity, inputs, outputs, lineage, run_facets)))
    for use in (*inputs, *outputs):
        aspects += translator.dataset(use.dataset)
    if isinstance(event, RunEvent):
        ended = event.time if event.event_type in ("COMPLETE", "FAIL", "ABORT") else None
        state = RunState(
            event.run_id, identity, run_facets, event.time, ended, ended and event.event_type, inputs, outputs
        )
        aspects += translator.run(state)
    return aspects


def test_datahub_accepts_what_becomes_of_every_real_event(shared_data, accepted):
    """All events that lie beside the checkout, each for itself, give aspects without a fault."""
    translator, events, aspects = DataHubTranslator(), 0, 0
    for file in sorted((shared_data / "events").glob("*.jsonl")):
        for line in file.read_bytes().splitlines():
            try:
                event = parse(line)
            except RejectedEvent:
                continue
            events += 1
            aspects += len(accepted(aspects_of(translator, event)))

    assert events > 430
    assert aspects > 5 * events


# --- all of them together -------------------------------------------------------------------------------------------


@pytest.fixture
def real_events(shared_data):
    """Every event, the nonconforming ones too, in the order of the files."""
    files = sorted((shared_data / "events").glob("*.jsonl"))
    return [line for file in files for line in file.read_bytes().splitlines() if line.strip()]


def held(bodies, step=500, **options):
    """What DataHub should hold after these events, taken in batches of ``step``."""
    with Store(MEMORY) as store:
        pipeline = Pipeline(store, DataHubTranslator.from_options(options))
        for start in range(0, len(bodies), step):
            with store.transaction():
                store.inbox.put(map(inspect, bodies[start : start + step]), receiver="test", now=0)
            while pipeline.step(step):
                pass
        assert {each.stage for each in store.quarantine.entries()} <= {"receive"}
        return list(holdings(store.connection))


AS_THE_ENDPOINT = {
    "job_urns": "endpoint",
    "namespaces": [{"match": "*", "platform_instance": "eu", "domain": "d"}],
}
EVERYTHING = {"datasets": {"siblings": True, "dropped": "remove"}}


@pytest.mark.system
@pytest.mark.parametrize("options", [{}, AS_THE_ENDPOINT, EVERYTHING])
def test_datahub_accepts_what_the_bridge_holds_after_all_of_them(real_events, oracle, options):
    """Merged, derived and serialised: every aspect goes through DataHub's classes and rules."""
    found = held(real_events, **options)
    problems = [
        problem
        for each in found
        for problem in oracle.judge(
            each.entity_type, each.urn, each.aspect_name, json.loads(each.body), each.timestamp_ms
        )
    ]

    assert [] == problems
    assert {"operation", "assertionInfo", "assertionRunEvent", "queryProperties", "container"} <= {
        each.aspect_name for each in found
    }


@pytest.mark.system
@pytest.mark.parametrize("seed", range(3))
def test_order_repetition_and_batches_change_nothing(real_events, seed):
    """Shuffled, some of them again, and taken in batches of any size: DataHub holds the same."""
    chance = random.Random(seed)
    bodies = [*real_events, *chance.choices(real_events, k=100)]
    chance.shuffle(bodies)

    assert held(real_events) == held(bodies, step=chance.choice([1, 7, 50, 1000]))


# --- no facet is lost -----------------------------------------------------------------------------------------------

PAIRS = {"tags": "tag.", "executionParameters": "parameter.", "environmentVariables": "env."}


def said(aspects):
    """All keys of custom properties, and what the ones of uses name."""
    return {
        key
        for each in aspects
        for key in (each.value.get("customProperties") or {})
        if isinstance(each.value, dict)
    }


def lost(kind, facets, keys):
    """Facets that say something, are not mapped, and stand in no property."""
    for name in facets:
        content = {
            key: value for key, value in facets[name].items() if not key.startswith("_") and value is not None
        }
        prefix = PAIRS.get(name, name)
        if (
            content
            and (kind, name) not in MAPPED
            and not any(key.startswith(prefix) or f".{name}" in key for key in keys)
        ):
            yield kind, name


def test_no_facet_is_lost(real_events):
    """Each facet key of each event is translated, or stands in the custom properties of run, job or dataset."""
    translator, found = DataHubTranslator(), []
    for body in real_events:
        try:
            event = parse(body)
        except RejectedEvent:
            continue
        keys = said(aspects_of(translator, event))
        if isinstance(event, DatasetEvent):
            found += lost("dataset", Facets(event.dataset.facets), keys)
            continue
        found += lost("job", Facets(event.job_facets), keys)
        if isinstance(event, RunEvent):
            found += lost("run", Facets(event.run_facets), keys)
        for kind, datasets in (("input", event.inputs), ("output", event.outputs)):
            for each in datasets:
                if translator.resolve(DatasetState(each.key, Facets(each.facets))).urn:
                    found += lost("dataset", Facets(each.facets), keys)
                    if isinstance(event, RunEvent):
                        found += lost(kind, Facets(each.use_facets), keys)

    assert [] == found
