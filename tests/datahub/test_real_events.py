"""What real producers send becomes aspects that DataHub accepts."""

from __future__ import annotations

from openlineage_bridge.errors import RejectedEvent
from openlineage_bridge.events import DatasetEvent, Facets, JobKey, RunEvent, parse
from openlineage_bridge.lineage import lineage_of
from openlineage_bridge.translation import DatasetState, JobIdentity, JobState, RunState, Use
from openlineage_bridge_datahub import DataHubTranslator


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
