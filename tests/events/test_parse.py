"""Bytes become an event or a refusal that says what is missing; everything else is read leniently."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from openlineage_bridge.errors import RejectedEvent
from openlineage_bridge.events import (
    NO_TIME,
    DatasetEvent,
    DatasetKey,
    EventDataset,
    JobEvent,
    JobKey,
    RunEvent,
    canonical,
    digest,
    parse,
    run_uuid,
    split,
)

CORE = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/"
RUN_ID = "3f5e83fa-3480-44ff-99c5-ff943904e5e8"
JOB = {"namespace": "ns", "name": "flow"}
TABLE = {"namespace": "db://h", "name": "a"}
AT = "2024-01-01T00:00:00Z"
NOON = 1_704_110_400_000_000
RUN_EVENT = {
    "eventTime": AT,
    "eventType": "START",
    "producer": "https://example.com/p",
    "schemaURL": CORE + "RunEvent",
    "run": {"runId": RUN_ID},
    "job": JOB,
}


def read(event: object):
    return parse(json.dumps(event).encode())


# --- which of the three ---------------------------------------------------------------------------------------------

KINDS = [
    (RUN_EVENT, RunEvent),
    (RUN_EVENT | {"schemaURL": None}, RunEvent),
    (RUN_EVENT | {"schemaURL": "nonsense"}, RunEvent),
    ({"job": JOB}, JobEvent),
    ({"job": JOB, "run": None}, JobEvent),
    (RUN_EVENT | {"schemaURL": CORE + "JobEvent"}, JobEvent),
    ({"job": JOB, "run": {}}, JobEvent),  # OpenLineage proxy/fluentd, event_no_run_id.json
    ({"job": JOB, "run": "nonsense"}, JobEvent),
    ({"dataset": TABLE}, DatasetEvent),
    ({"dataset": TABLE, "job": None, "run": None}, DatasetEvent),
    ({"dataset": TABLE, "job": JOB, "schemaURL": CORE + "DatasetEvent"}, DatasetEvent),
    (RUN_EVENT | {"dataset": TABLE, "schemaURL": None}, RunEvent),  # spec/tests/example_full_event.json
    ({"dataset": TABLE, "job": JOB}, JobEvent),
]


@pytest.mark.parametrize(("event", "kind"), KINDS)
def test_kind(event, kind):
    """The last part of ``schemaURL`` decides, else the shape."""
    assert kind is type(read(event))


@pytest.mark.parametrize("beside", [{"run": {"runId": RUN_ID}}, {"job": {}}, {"job": {"name": "x"}}])
def test_dataset_beside_half_an_event(beside):
    """An event that identifies a dataset is about it when it identifies no job (core schema: not [job, run])."""
    assert DatasetEvent is type(read({"dataset": TABLE} | beside))


def test_everything_of_a_run_event():
    """Each part of the envelope stands in its field, facets as their bytes."""
    event = {
        **RUN_EVENT,
        "run": {"runId": RUN_ID, "facets": {"nominalTime": {"nominalStartTime": AT}}},
        "job": JOB | {"facets": {"sql": {"query": "select 1"}}},
        "inputs": [TABLE | {"facets": {"schema": {}}, "inputFacets": {"subset": {"x": 1}}}],
        "outputs": [TABLE | {"outputFacets": {"outputStatistics": {"rowCount": 3}}}],
    }
    expected = RunEvent(
        time=NOON - 12 * 3600 * 1_000_000,
        producer="https://example.com/p",
        run_id=RUN_ID,
        job=JobKey("ns", "flow"),
        event_type="START",
        run_facets={"nominalTime": b'{"nominalStartTime":"2024-01-01T00:00:00Z"}'},
        job_facets={"sql": b'{"query":"select 1"}'},
        inputs=(EventDataset(DatasetKey("db://h", "a"), {"schema": b"{}"}, {"subset": b'{"x":1}'}),),
        outputs=(EventDataset(DatasetKey("db://h", "a"), {}, {"outputStatistics": b'{"rowCount":3}'}),),
    )

    assert expected == parse(canonical(json.dumps(event).encode()))


# --- lenient readings -----------------------------------------------------------------------------------------------

UNTIMED = "the event can fill gaps but never wins over another"
LENIENT = [
    # what is wrong, what it says of it
    ({"schemaURL": None}, ()),
    ({"eventType": None}, ()),
    ({"producer": "producer"}, ()),
    ({"inputs": None, "outputs": None}, ()),
    ({"run": {"runId": RUN_ID, "facets": None}}, ()),
    ({"job": JOB | {"facets": {"sql": {"query": "select 1"}}}}, ()),  # no _producer, no _schemaURL
    ({"job": JOB | {"facets": {"sql": {"_deleted": None}}}}, ()),
    ({"outputs": [TABLE | {"outputFacets": {"outputStatistics": {"rowCount": "wrong"}}}]}, ()),
    ({"outputs": [TABLE | {"facets": {"ownership": {"owners": [{}]}}}]}, ()),
    ({"outputs": [{"namespace": "file.localhost", "name": "file:///tmp/x"}]}, ()),
    ({"eventType": "start"}, ()),
    ({"run": {"runId": RUN_ID.upper()}}, ()),
    ({"unknown": [1, {"a": None}]}, ()),
    ({"eventTime": None}, (f"no eventTime: {UNTIMED}",)),
    ({"eventTime": "yesterday"}, (f"eventTime 'yesterday' cannot be read: {UNTIMED}",)),
    (
        {"eventTime": 5},
        ("eventTime is int, not a text, and is left out", f"no eventTime: {UNTIMED}"),
    ),
    ({"eventTime": "2024-01-01T00:00:00"}, ("eventTime '2024-01-01T00:00:00' has no zone and is read as UTC",)),
    ({"eventType": "DONE"}, ("eventType 'DONE' is unknown and read as OTHER",)),
    (
        {"run": {"runId": "run_id"}},
        (f"runId 'run_id' is no UUID: {run_uuid('run_id', JobKey('ns', 'flow'))} stands for it",),
    ),
    ({"run": {"runId": 7}}, ("run.runId is int, not a text, and is left out", "a run without runId: read as a statement about its job")),
    ({"run": {}}, ("a run without runId: read as a statement about its job",)),
    ({"run": []}, ("run is list, not an object, and is left out",)),
    ({"inputs": {}}, ("inputs is dict, not an array, and is left out",)),
    ({"inputs": [5]}, ("inputs[0] is int, not an object, and is left out",)),
    ({"inputs": [{}]}, ("a dataset without namespace and name is left out",)),
    ({"inputs": [{"namespace": "n", "name": ""}]}, ("a dataset without namespace and name is left out",)),
    ({"job": JOB | {"facets": []}}, ("job.facets is list, not an object, and is left out",)),
    ({"job": JOB | {"facets": {"sql": "x"}}}, ("job.facets: facet 'sql' is not an object and says nothing",)),
    ({"job": JOB | {"facets": {"sql": None}}}, ("job.facets: facet 'sql' is not an object and says nothing",)),
    ({"outputs": [TABLE | {"facets": {"schema": 1}}]}, ("dataset facets: facet 'schema' is not an object and says nothing",)),
    ({"producer": {}}, ("producer is dict, not a text, and is left out",)),
]  # fmt: skip


@pytest.mark.parametrize(("change", "warnings"), LENIENT)
def test_lenient(change, warnings):
    """What real producers get wrong is read as well as it can be, and said."""
    event = read(RUN_EVENT | change)

    assert (JobKey("ns", "flow"), warnings) == (event.job, event.warnings)


@pytest.mark.parametrize("facet", ["null", "5", '"x"', "[]", "true"])
def test_facet_that_is_no_object_says_nothing(facet):
    """Neither do its neighbours suffer."""
    body = b'{"job":{"namespace":"n","name":"j","facets":{"bad": %s ,"good":{}}}}' % facet.encode()

    assert {"good": b"{}"} == parse(body).job_facets


def test_run_id_that_is_no_uuid_is_the_same_every_time():
    """The stand-in depends on the job and the text, and on nothing else."""
    job, other = JobKey("ns", "flow"), JobKey("ns", "other")

    assert "d29f641a-e56e-54e8-96bf-b36566cdb357" == run_uuid("run_id", job)
    assert 3 == len({run_uuid("run_id", job), run_uuid("run_id", other), run_uuid("run_ie", job)})


# --- refusals -------------------------------------------------------------------------------------------------------

REFUSED = [
    (b"", "not JSON: "),
    (b"\xff", "not JSON: "),
    (b"{", "not JSON: "),
    (b"{} {}", "not JSON: "),
    (b'{"job":{"namespace":"n","name":NaN}}', "not JSON: "),
    (b"[" * 100_000, "not JSON: "),
    (b"null", "an event is a JSON object, not NoneType"),
    (b"5", "an event is a JSON object, not int"),
    (b"[]", "an event is a JSON object, not list"),
    (b'"x"', "an event is a JSON object, not str"),
    (b"{}", "no identity: the event has neither a job nor a dataset"),
    (b'{"job":null}', "no identity: the event has neither a job nor a dataset"),
    (b'{"job":"x"}', "no identity: the event has neither a job nor a dataset"),
    (b'{"job":{}}', "no identity: job.namespace and job.name must be a text that is not empty"),
    (b'{"job":{"namespace":"n","name":""}}', "no identity: job.name must be a text that is not empty"),
    (b'{"job":{"namespace":5,"name":"j"}}', "no identity: job.namespace must be a text that is not empty"),
    (
        b'{"dataset":{"namespace":"n"}}',
        "no identity: dataset.namespace and dataset.name must be texts that are not empty",
    ),
]


@pytest.mark.parametrize(("body", "reason"), REFUSED)
def test_refused(body, reason):
    """Only what is not JSON, or names no job and no dataset; the text says which."""
    with pytest.raises(RejectedEvent) as refusal:
        parse(body)

    assert reason == str(refusal.value)[: len(reason)]


# --- times ----------------------------------------------------------------------------------------------------------

TIMES = [
    ("2024-01-01T12:00:00Z", NOON),
    ("2024-01-01T12:00:00", NOON),
    ("2024-01-01T12:00:00+00:00", NOON),
    ("2024-01-01T14:00:00+02:00", NOON),
    ("2024-01-01T06:30:00-05:30", NOON),
    ("2024-01-01 12:00:00Z", NOON),
    ("2024-01-01T12:00:00.000001Z", NOON + 1),
    ("2024-01-01T12:00:00.123456789Z", NOON + 123_456),
    ("2024-01-01T12:00:00.5Z", NOON + 500_000),
    ("1970-01-01T00:00:00Z", 0),
    ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
    ("0001-01-01T00:00:00+14:00", -62_135_647_200_000_000),
    ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ("9999-12-31T23:59:59.999999-14:00", 253_402_351_199_999_999),
    ("", NO_TIME),
    ("yesterday", NO_TIME),
    ("1704110400", NO_TIME),
    ("10000-01-01T00:00:00Z", NO_TIME),
    ("2024-02-30T00:00:00Z", NO_TIME),
]


@pytest.mark.parametrize(("text", "microseconds"), TIMES)
def test_time(text, microseconds):
    """``eventTime`` is microseconds since the epoch, UTC; ``NO_TIME`` when it cannot be read."""
    assert microseconds == read(RUN_EVENT | {"eventTime": text}).time


@pytest.mark.parametrize("text", ["2024-01-01T12:00:00z", "2024-01-01T11:59:60Z"])
def test_time_of_rfc_3339(text):
    """A lower-case z and a leap second are valid date-times."""
    assert NOON == read(RUN_EVENT | {"eventTime": text}).time


# --- properties -----------------------------------------------------------------------------------------------------

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_parts = st.recursive(
    _values,
    lambda inner: (
        st.dictionaries(
            st.sampled_from(["namespace", "name", "facets", "inputFacets", "outputFacets", "runId"]),
            inner,
            max_size=4,
        )
        | st.lists(inner, max_size=2)
    ),
    max_leaves=6,
)
_almost_events = st.dictionaries(
    st.sampled_from(
        ["eventTime", "eventType", "producer", "schemaURL", "run", "job", "dataset", "inputs", "outputs"]
    ),
    st.one_of(_parts, st.just(JOB), st.just([TABLE])),
)


def read_or_refused(body: bytes) -> None:
    for reading, kinds in ((canonical, bytes), (split, list), (parse, RunEvent | JobEvent | DatasetEvent)):
        try:
            found = reading(body)
        except RejectedEvent as refusal:
            found, kinds = str(refusal), str  # noqa: PLW2901  - a refusal is the other thing that may come
        assert isinstance(found, kinds)


@given(st.binary())
@example(b'{"job":{"namespace":"n","name":"\\ud800"}}')
@example(b'{"job":{"namespace":"n","name":"j"},"eventTime":1e400}')
@example(b'{"job":{"namespace":"n","name":"j"},"eventTime":' + b"9" * 5000 + b"}")
@example(b'{"a":' * 990 + b"1" + b"}" * 990)
def test_any_bytes(body):
    """No bytes lead to another exception than RejectedEvent."""
    read_or_refused(body)


@given(_almost_events | _values)
def test_any_json(value):
    """No JSON does either."""
    read_or_refused(json.dumps(value).encode())


@pytest.mark.parametrize("depth", range(300, 1000, 25))
@pytest.mark.parametrize("time", [b'"x"', b"5"])
def test_any_depth(time, depth):
    """Nor does any depth, on the straight way and through the repair of an envelope."""
    facet = b'{"a":' * depth + b"1" + b"}" * depth
    read_or_refused(b'{"eventTime":%s,"job":{"namespace":"n","name":"j","facets":{"f":%s}}}' % (time, facet))


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def _shuffled(value, data):
    """The same JSON with its keys in another order."""
    if isinstance(value, dict):
        return {key: _shuffled(value[key], data) for key in data.draw(st.permutations(list(value)))}
    return [_shuffled(item, data) for item in value] if isinstance(value, list) else value


@given(_json, st.data())
def test_key_order_and_white_space_do_not_matter(value, data):
    """Bodies that say the same have the same digest."""
    one = json.dumps(value, separators=(",", ":")).encode()
    other = (
        b"\xef\xbb\xbf" + json.dumps(_shuffled(value, data), indent=3, ensure_ascii=False).encode() + b"\r\n"
    )

    assert digest(canonical(one)) == digest(canonical(other))
    assert canonical(one) == canonical(canonical(one))


@given(_json, _json)
def test_other_content_has_another_digest(one, other):
    """And bodies that say something else have another, integers and texts included."""
    bodies = [canonical(json.dumps(each).encode()) for each in (one, other)]
    equal = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert equal == (bodies[0] == bodies[1])


@given(st.lists(_json, max_size=4))
def test_split_takes_an_array_apart(items):
    """Each item comes as its own bytes."""
    assert items == [json.loads(part) for part in split(json.dumps(items, indent=1).encode())]
