"""``validate`` tells where an event is not what the specification says, and by which rule; and checks a configuration."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from openlineage_bridge import specification
from openlineage_bridge.specification import FORMATS, kind_of, violations

SPEC = "https://openlineage.io/spec"
CORE = f"{SPEC}/2-0-2/OpenLineage.json#/$defs"
FACET = {"_producer": "https://example.com/p", "_schemaURL": f"{SPEC}/facets/1-0-0/X.json#/$defs/X"}
GOOD = {
    "eventTime": "2026-01-01T00:00:00.123456789Z",
    "eventType": "COMPLETE",
    "producer": "https://example.com/p",
    "schemaURL": f"{CORE}/RunEvent",
    "run": {"runId": "00000000-0000-4000-8000-000000000001", "facets": {}},
    "job": {"namespace": "ns", "name": "job", "facets": {"sql": {**FACET, "query": "select 1"}}},
    "inputs": [{"namespace": "n", "name": "t", "facets": {"schema": {**FACET, "fields": [{"name": "a"}]}}}],
    "outputs": [],
}


def changed(path: str, value) -> dict:
    """The good event with another value at a place, or without it where the value is ``...``."""
    event = json.loads(json.dumps(GOOD))
    *above, last = path.split(".")
    at = event
    for step in above:
        at = at[int(step) if step.isdigit() else step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return event


BROKEN = {
    "no producer": ("producer", ..., "$", f"{CORE}/BaseEvent/required"),
    "a time without a zone": ("eventTime", "2026-01-01T00:00:00", "$.eventTime", f"{CORE}/BaseEvent/properties/eventTime/format"),
    "another state": ("eventType", "DONE", "$.eventType", f"{CORE}/RunEvent/allOf/1/properties/eventType/enum"),
    "a run id that is no UUID": ("run.runId", "run_1", "$.run.runId", f"{CORE}/Run/properties/runId/format"),
    "a job without a name": ("job.name", ..., "$.job", f"{CORE}/Job/required"),
    "inputs that are no array": ("inputs", {}, "$.inputs", f"{CORE}/RunEvent/allOf/1/properties/inputs/type"),
    "a dataset without a namespace": ("inputs.0.namespace", ..., "$.inputs[0]", f"{CORE}/Dataset/required"),
    "a custom facet without a producer": (
        "run.facets.my_facet",
        {"_schemaURL": "https://example.com/s"},
        "$.run.facets.my_facet",
        f"{CORE}/BaseFacet/required",
    ),
    "SQL without a query": (
        "job.facets.sql",
        FACET,
        "$.job.facets.sql",
        f"{SPEC}/facets/1-1-0/SQLJobFacet.json#/$defs/SQLJobFacet/allOf/1/required",
    ),
    "a field without a name": (
        "inputs.0.facets.schema",
        {**FACET, "fields": [{"name": "a"}, {"type": "int"}]},
        "$.inputs[0].facets.schema.fields[1]",
        f"{SPEC}/facets/1-2-0/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacetFields/required",
    ),
    "a count that is a text": (
        "inputs.0.inputFacets",
        {"inputStatistics": {**FACET, "rowCount": "7"}},
        "$.inputs[0].inputFacets.inputStatistics.rowCount",
        f"{SPEC}/facets/1-0-0/InputStatisticsInputDatasetFacet.json#/$defs/InputStatisticsInputDatasetFacet/allOf/1/properties/rowCount/type",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_violation(case):
    """One thing wrong is one violation: its JSON path, and the rule as an address that leads to it."""
    place, value, path, rule = BROKEN[case]

    assert [(path, rule)] == [(each.path, each.rule) for each in violations(changed(place, value))]


def test_rules_are_in_the_schemas():
    """The address of each rule above points at what is written there."""
    for _, _, _, rule in BROKEN.values():
        document, pointer = rule.split("#")
        found = specification._documents()[document]
        for step in pointer.strip("/").split("/"):
            found = found[int(step) if step.isdigit() else step]
        assert found


def test_what_is_allowed():
    """A good event, a deleted facet, a custom one, nanoseconds, further keys."""
    assert [] == violations(GOOD)
    assert [] == violations(changed("job.facets.sql", {**FACET, "_deleted": True}))
    assert [] == violations(changed("run.facets.my_facet", {**FACET, "anything": [1]}))
    assert [] == violations(changed("dataset", {"any": "thing"}))


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"schemaURL": f"{CORE}/JobEvent", "run": {}}, "JobEvent"),
        ({"run": {}, "job": {}}, "RunEvent"),
        ({"dataset": {}}, "DatasetEvent"),
        ({"job": {}}, "JobEvent"),
        ({"schemaURL": "x/Other", "run": {}}, "RunEvent"),
    ],
)
def test_kind(event, kind):
    """By what the event declares, else by its shape."""
    assert kind == kind_of(event)


@pytest.mark.parametrize(
    "value", [None, 5, "text", [], {}, {"job": 5, "inputs": 5}, {"inputs": [5, {"facets": 5}]}]
)
def test_anything(value):
    """Whatever is not an event is a violation, never an error."""
    assert violations(value)


def test_schemas_are_schemas():
    """Those that are shipped, and as many as the specification has."""
    for document in specification._documents().values():
        Draft202012Validator.check_schema(document)

    assert 39 == len(specification._documents())


@given(st.datetimes(timezones=st.just(UTC)), st.sampled_from(["Z", "+00:00", "-23:59"]))
def test_times(moment: datetime, zone):
    """What Python writes of a moment is a date-time; without the zone it is none."""
    text = moment.replace(tzinfo=None).isoformat()

    assert FORMATS.conforms(text + zone, "date-time")
    assert not FORMATS.conforms(text, "date-time")


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(write):
    """A good event, one that breaks a rule, one that the bridge refuses, and something else."""
    return write(
        json.dumps(GOOD).encode(),
        json.dumps(changed("run.runId", "run_1")).encode(),
        json.dumps(changed("job.name", "")).encode(),
        b"nonsense",
    )


@pytest.mark.parametrize(("how", "code"), [([], 3), (["--strict"], 3)])
def test_text(run, mixed, how, code):
    """One line a finding on stdout: file, line, JSON path, what, and the rule; the sums on stderr."""
    said = run("validate", mixed, *how)

    assert [
        f"{mixed}:2: $.run.runId: 'run_1' is not a 'uuid' ({CORE}/Run/properties/runId/format)",
        f"{mixed}:3: $: refused: no identity: job.name must be a text that is not empty",
        f"{mixed}:4: $: refused: not JSON: JSON is malformed: invalid character (byte 4)",
    ] == said.out.splitlines()
    assert "4 events from 1 file: 3 not as the specification says (3 violations), 2 of them" in said.err
    assert code == said.code


def test_lenient_and_strict(run, write):
    """The same is told; only strictly a violation that the bridge reads leniently makes the exit code 3."""
    path = write(json.dumps(changed("run.runId", "run_1")).encode())
    lenient, strict = run("validate", path), run("validate", path, "--strict")

    assert (0, 3) == (lenient.code, strict.code)
    assert lenient.out == strict.out


def test_for_programs(run, mixed):
    """One array, or one object a line, with the same keys."""
    told = run("validate", mixed, "--format", "json").json

    assert told == run("validate", mixed, "--format", "jsonl").lines
    assert [{"where", "path", "rule", "message", "refused"}] * 3 == [{*each} for each in told]
    assert [False, True, True] == [each["refused"] for each in told]


def test_good_events(run, write):
    """Nothing on stdout, code 0."""
    said = run("validate", "--strict", write(json.dumps(GOOD).encode()))

    assert (0, "") == (said.code, said.out)


def test_real_events(run, shared_data):
    """None of them would be refused, and those that are known not to conform are told."""
    said = run("validate", "--format", "jsonl", shared_data / "events")
    places = {each["where"] for each in said.lines}

    assert 0 == said.code
    assert {f"{shared_data}/events/nonconforming.jsonl:{number}" for number in range(1, 7)} <= places


def test_configuration(run, tmp_path):
    """Without a path the configuration is checked: what `serve` would say is said now."""
    (tmp_path / "good.yml").write_text(
        "store: bridge.db\ndatahub: {sink: rest, server: 'http://localhost:8080'}\n"
    )
    (tmp_path / "bad.yml").write_text("datahub: {sink: rest, sever: 'http://localhost:8080'}\n")
    good, bad = run("validate", "--config", "good.yml"), run("validate", "--config", "bad.yml")

    assert (0, "", True) == (good.code, good.out, "the configuration is in order" in good.err)
    assert (2, True) == (bad.code, "sever" in bad.err)
