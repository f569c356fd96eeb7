"""From snapshots to events, without Prefect: what the builder does when something is missing or broken."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from pathlib import Path
from types import SimpleNamespace

import attr
import pytest
from openlineage.client.serde import Serde

import openlineage_bridge_prefect
from openlineage_bridge_capture.recording import Recording, Statement
from openlineage_bridge_prefect import events, lookups, observer, own_facets
from openlineage_bridge_prefect.runs import Run
from openlineage_bridge_prefect.snapshots import Failure, Snapshot

NOON = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
SCHEMAS = Path(openlineage_bridge_prefect.__file__).parent / "schemas"
CUSTOM = [
    each for each in vars(own_facets).values() if attr.has(each) and each.__module__ == own_facets.__name__
]


def _flow_run(**fields) -> Run:
    return Run(id=uuid.uuid4(), kind="FLOW", job_name="nightly", flow_name="nightly", **fields)


def _snapshot(run: Run, *types: str, **fields) -> Snapshot:
    state = ("RUNNING", "Running", None)
    return Snapshot(run=run, types=types, time=NOON, state=state, run_count=1, details={}, **fields)


def test_a_run_that_ends_at_once_starts_at_the_same_time() -> None:
    """The synthetic START has the time of the end, and the end has the datasets."""
    said = Recording(statements=(Statement("SELECT 1 FROM t", "duckdb", "duckdb:///w.duckdb", "w", "main"),))
    start, fail = events.build(_snapshot(_flow_run(), "START", "FAIL", failure=Failure("no"), recording=said))

    assert start.eventTime == fail.eventTime == NOON.isoformat()
    assert (start.inputs, [dataset.name for dataset in fail.inputs]) == ([], ["w.main.t"])
    assert "errorMessage" not in start.run.facets
    assert fail.run.facets["errorMessage"].message == "no"


def test_a_run_ends_even_when_its_datasets_cannot_be_described(monkeypatch) -> None:
    """The terminal event matters more than its inputs and outputs."""

    def describe(recording):
        raise RuntimeError("a bug")

    monkeypatch.setattr(events, "describe", describe)
    said = Recording(statements=(Statement("SELECT 1", "duckdb", "duckdb:///w.duckdb"),))
    (complete,) = events.build(_snapshot(_flow_run(), "COMPLETE", recording=said))

    assert (complete.eventType.name, complete.inputs) == ("COMPLETE", [])


def test_a_parent_that_cannot_be_looked_up_is_left_out_and_asked_for_once(monkeypatch) -> None:
    """An API that is down costs the link to the parent, not the event, and one look-up."""
    asked = []

    def client():
        asked.append(1)
        raise ConnectionError

    monkeypatch.setattr(lookups, "_client", client)
    run = _flow_run(parent_task_run_id=uuid.uuid4())
    built = [*events.build(_snapshot(run, "START")), *events.build(_snapshot(run, "COMPLETE"))]

    assert [event.eventType.name for event in built] == ["START", "COMPLETE"]
    assert not [event for event in built if "parent" in event.run.facets]
    assert len(asked) == 1


def test_the_root_is_the_top_of_a_long_chain() -> None:
    """However deep a run is nested, root is the outermost and parent the nearest."""
    chain = [_flow_run()]
    for _ in range(5):
        chain.append(_flow_run(parent=chain[-1]))
    (start,) = events.build(_snapshot(chain[-1], "START"))
    parent = start.run.facets["parent"]

    assert (str(chain[-2].id), str(chain[0].id)) == (parent.run.runId, parent.root.run.runId)


def test_a_scheduled_run_has_its_nominal_time() -> None:
    """When the schedule wanted it, not when it ran."""
    (start,) = events.build(_snapshot(_flow_run(), "START", scheduled_for=NOON - dt.timedelta(minutes=3)))

    assert start.run.facets["nominalTime"].nominalStartTime == "2026-05-01T11:57:00+00:00"


def test_an_event_survives_the_clients_serialisation() -> None:
    """Facets are of the client's kind: nothing is lost or refused on the way to the wire."""
    (start,) = events.build(_snapshot(_flow_run(), "START", tags=("b", "a"), description="Loads."))
    wire = json.loads(Serde.to_json(start))

    assert wire["run"]["facets"]["tags"]["tags"][0] == {"key": "a", "value": "true", "source": "PREFECT"}
    assert wire["run"]["facets"]["prefect_flowRun"]["flowName"] == "nightly"
    assert wire["job"]["facets"]["documentation"]["description"] == "Loads."


@pytest.mark.parametrize("facet", CUSTOM, ids=lambda facet: facet.__name__)
def test_custom_facets_have_a_schema(facet) -> None:
    """The schema that a custom facet points to exists and lists the facet's fields, with the required ones."""
    name = facet.__name__
    definition = json.loads((SCHEMAS / f"{name}.json").read_text())["$defs"][name]["allOf"][1]
    fields = [field for field in attr.fields(facet) if not field.name.startswith("_")]

    assert facet._get_schema().endswith(f"/schemas/{name}.json#/$defs/{name}")
    assert [field.name for field in fields] == list(definition["properties"])
    assert [field.name for field in fields if field.default is attr.NOTHING] == definition.get("required", [])


def test_the_observer_never_raises() -> None:
    """Engines, states and results that are nothing it knows are let through in silence."""
    for nonsense in (None, object(), "engine"):
        assert observer.before(nonsense, "FLOW") is None
        observer.after(nonsense, None, nonsense)
        observer.after(nonsense, _flow_run(), nonsense)
        observer.signalled(nonsense, None, ValueError())
        observer.proposed(nonsense, nonsense)
        observer.settle(None, nonsense)
        observer.settle(_flow_run(outermost=False, finished=True), nonsense)


class _State(SimpleNamespace):
    """As much of a Prefect state as the observer reads."""

    def __init__(self, kind: str, **fields) -> None:
        super().__init__(
            id=uuid.uuid4(), type=SimpleNamespace(value=kind), name=kind.title(), message=None, data=None
        )
        self.timestamp = NOON
        self.__dict__.update(fields)


class _FlowEngine(SimpleNamespace):
    """As much of a flow engine as the observer reads."""

    def __init__(self) -> None:
        super().__init__(
            flow=SimpleNamespace(name="nightly", description=None),
            flow_run=SimpleNamespace(id=uuid.uuid4(), state=_State("PENDING"), tags=[], run_count=0),
            parameters={},
        )


class _Emitter:
    """Builds at once and keeps the events; notes that it was asked to flush."""

    def __init__(self) -> None:
        self.types = []
        self.flushed = 0

    def emit(self, build) -> None:
        self.types.extend(event.eventType.name for event in build())

    def flush(self, timeout) -> bool:
        self.flushed += 1
        return True


@pytest.fixture
def emitted(monkeypatch) -> _Emitter:
    emitter = _Emitter()
    monkeypatch.setattr(observer, "emitter", lambda: emitter)
    return emitter


def test_a_state_that_is_announced_twice_is_one_event(emitted) -> None:
    """Prefect sets the state of a run with invalid parameters twice; nothing follows the end."""
    engine, failed = _FlowEngine(), _State("FAILED", message="bad parameters")
    for state in (failed, failed, _State("RUNNING")):
        observer.after(engine, observer.before(engine, "FLOW"), state)

    assert emitted.types == ["START", "FAIL"]


def test_a_state_the_run_had_before_is_no_transition(emitted) -> None:
    """The API answers a proposal with the old state: nothing happened."""
    engine = _FlowEngine()
    observer.after(engine, observer.before(engine, "FLOW"), engine.flow_run.state)

    assert emitted.types == []


def test_a_pause_that_comes_as_an_exception_is_reported(emitted) -> None:
    """Prefect raises ``Pause`` with the state that the API chose; other exceptions are not ours to report."""
    engine = _FlowEngine()
    run = observer.before(engine, "FLOW")
    observer.after(engine, run, _State("RUNNING"))
    pause = type("Pause", (BaseException,), {"state": _State("PAUSED")})()
    for signal in (pause, KeyboardInterrupt(), ValueError()):
        observer.signalled(engine, run, signal)

    assert emitted.types == ["START", "OTHER"]


@pytest.mark.parametrize(
    ("kind", "error", "expected"),
    [
        ("COMPLETED", None, 2),
        ("FAILED", ValueError(), 2),
        ("FAILED", type("FlowPauseTimeout", (Exception,), {})(), 1),
        ("FAILED", None, 1),
        ("CRASHED", KeyboardInterrupt(), 1),
    ],
)
def test_a_run_that_was_paused_and_went_on_ran_twice(emitted, kind, error, expected) -> None:
    """That it is resumed the server says to itself; what comes after the pause shows whether it was."""
    engine = _FlowEngine()
    run = observer.before(engine, "FLOW")
    observer.after(engine, run, _State("RUNNING"))
    run.paused = True
    observer.after(engine, run, _State(kind, data=error))

    assert expected == run.run_count


def test_only_the_end_of_an_outermost_run_waits_for_its_events(emitted) -> None:
    """A flush per task would cost each of them a round trip; one that crashed may be the last that the process says."""
    engine, completed = _FlowEngine(), _State("COMPLETED")
    run = observer.before(engine, "FLOW")
    observer.settle(run, _State("RUNNING"))
    assert emitted.flushed == 0
    observer.after(engine, run, completed)
    observer.settle(run, completed)
    assert emitted.flushed == 1
    inner = _flow_run(parent=run, outermost=False, finished=True)
    observer.settle(inner, completed)
    assert emitted.flushed == 1
    observer.settle(inner, _State("CRASHED"))
    assert emitted.flushed == 2
