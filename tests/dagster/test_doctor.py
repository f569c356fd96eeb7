"""``openlineage-bridge doctor dagster``: what stands in the way of lineage is said, with the one thing to do."""

from __future__ import annotations

import shutil
from importlib import import_module

import pytest
from dagster import DagsterInstance

from openlineage_bridge_capture import statefile
from openlineage_bridge_capture.findings import Finding
from openlineage_bridge_dagster import doctor, selfcheck
from openlineage_bridge_dagster.doctor import findings
from openlineage_bridge_dagster.opening import state_path

SENSOR = {"name": "s", "location": "l", "running": True, "said": "1 events delivered.", "error": None}
INSTANCE = {"storage": "SqliteEventLogStorage", "daemon": True, "sensors": [SENSOR]}


@pytest.fixture(autouse=True)
def _somewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def home(tmp_path, empty_home, monkeypatch):
    folder = tmp_path / "home"
    shutil.copytree(empty_home, folder)
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return folder


def remote_origins():
    """The module of that name, which had another before Dagster 1.11."""
    try:
        return import_module("dagster._core.remote_origin")
    except ModuleNotFoundError:
        return import_module("dagster._core.remote_representation.origin")


def states(found):
    return [(each["check"], each["state"]) for each in found]


def observed(monkeypatch, **facts):
    """Findings up to the backend, from what the probe would say."""
    facts = {"armed": True, "home": "/home", "instance": INSTANCE, "tailed": False, **facts}
    monkeypatch.setattr(doctor.checks, "probe", lambda *_: facts)
    found = findings()
    names = [each["check"] for each in found]
    return found[1 : names.index("capture") + 1]


def test_a_real_look_in_a_process_of_its_own(home):
    """An instance that nothing observes, and no backend: each with what to do."""
    found = findings()

    assert states(found)[:6] == [
        ("dagster", "ok"),
        ("instance", "ok"),
        ("sensor", "note"),
        ("tailer", "note"),
        ("observer", "problem"),
        ("capture", "ok"),
    ]
    problems = {each["check"]: each["do"] for each in found if each["state"] == "problem"}
    assert "openlineage-bridge dagster tail" == problems["observer"]
    assert problems["backend"].startswith("export OPENLINEAGE_URL=")


def test_a_real_sensor_and_tailer_are_seen(home, backend, monkeypatch):
    """A sensor by its cursor, whatever its name, once Dagster has kept its state; a tailer by its lock."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    from openlineage_bridge_dagster.cursor import Cursor

    origins = remote_origins()
    location = origins.InProcessCodeLocationOrigin(LoadableTargetOrigin(), location_name="shop")
    origin = origins.RemoteInstigatorOrigin(
        origins.RemoteRepositoryOrigin(location, "__repository__"), "any_name"
    )
    data = SensorInstigatorData(cursor=Cursor(1.0, 1.0, 1.0).to_json())
    with DagsterInstance.get() as instance:
        instance.add_instigator_state(
            InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)
        )
    with statefile.held(state_path(str(home), "tail")):
        report = selfcheck.report()

    [sensor] = report["instance"]["sensors"]
    assert ("any_name", "shop", True) == (sensor["name"], sensor["location"], sensor["running"])
    assert (True, True, False) == (report["armed"], report["tailed"], report["instance"]["daemon"])


def test_a_sensor_that_ticks_is_enough(monkeypatch):
    assert ["ok", "ok", "note", "ok"] == [each["state"] for each in observed(monkeypatch)]


def test_a_tailer_is_enough(monkeypatch):
    found = observed(monkeypatch, instance={**INSTANCE, "sensors": []}, tailed=True)

    assert [("sensor", "note"), ("tailer", "ok")] == states(found)[1:3]
    assert "problem" not in [each["state"] for each in found]


@pytest.mark.parametrize(
    ("sensor", "daemon", "says", "do"),
    [
        ({"running": False}, True, "stopped", "dagster sensor start s"),
        ({}, False, "daemon is not running", "dagster-daemon run"),
        ({"error": "DeliveryError: refused"}, True, "refused", "openlineage-bridge dagster tail"),
        ({"said": "OpenLineage is not configured: OPENLINEAGE_URL"}, True, "skips", "export OPENLINEAGE_URL"),
    ],
)
def test_a_sensor_that_does_not_work_says_why(monkeypatch, sensor, daemon, says, do):
    instance = {**INSTANCE, "daemon": daemon, "sensors": [{**SENSOR, **sensor}]}
    found = observed(monkeypatch, instance=instance)

    assert says in found[1]["says"]
    [problem] = [each for each in found if each["state"] == "problem"]
    assert problem["do"].startswith(do)


@pytest.mark.parametrize(
    ("instance", "says"), [(None, "DAGSTER_HOME is not set"), ("OperationalError: away", "away")]
)
def test_an_instance_that_cannot_be_looked_at(monkeypatch, instance, says):
    found = observed(monkeypatch, instance=instance)

    assert ("instance", "problem") == states(found)[0]
    assert says in found[0]["says"]


def test_a_dagster_that_is_different(monkeypatch):
    """Lineage flows all the same, from the log."""
    assert ("capture", "note") == states(observed(monkeypatch, armed=False))[-1]


@pytest.mark.parametrize(("found", "state"), [("1.9.13", "problem"), ("1.10.0", "ok"), ("2.0.0", "problem")])
def test_versions(monkeypatch, found, state):
    monkeypatch.setattr(doctor.checks, "version", lambda _name: found)
    monkeypatch.setattr(doctor.checks, "probe", lambda *_: Finding("import", "problem", "not looked at"))

    assert state == findings()[0]["state"]
