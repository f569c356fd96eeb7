"""A real Dagster instance on SQLite, and events in a form that reads as a story."""

from __future__ import annotations

import shutil

import pytest
from dagster import DagsterInstance, SkipReason, build_sensor_context
from openlineage.client.serde import Serde

from openlineage_bridge_capture.describe import Description
from openlineage_bridge_dagster import openlineage_sensor
from openlineage_bridge_dagster.assets import RunAssets
from openlineage_bridge_dagster.fold import EVENT_TYPES, fold
from openlineage_bridge_dagster.identity import identify
from openlineage_bridge_dagster.snapshot import job_details


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    """No telemetry, and no OpenLineage settings of the machine."""
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    for name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE_NAMESPACE", "OPENLINEAGE_DISABLED"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory):
    """An instance's folder whose databases exist: making them takes Dagster longer than most tests."""
    home = tmp_path_factory.mktemp("empty")
    with DagsterInstance.local_temp(str(home)) as instance:
        instance.get_runs()
        instance.get_records_for_run("")
    return home


@pytest.fixture
def instance(tmp_path, empty_home):
    """An instance with Dagster's default storage: SQLite, one file for each run."""
    home = tmp_path / "home"
    shutil.copytree(empty_home, home)
    with DagsterInstance.local_temp(str(home)) as instance:
        yield instance


@pytest.fixture
def records(instance):
    """The log of a run, as the tail reads it."""
    return lambda run_id: [
        record.event_log_entry
        for record in instance.get_records_for_run(run_id, of_type=set(EVENT_TYPES)).records
    ]


@pytest.fixture
def folded(instance, records):
    """The OpenLineage events of a run, as JSON objects."""

    def fold_run(run_id, assets: RunAssets | None = None, describe=lambda _: Description(), log=None):
        run = instance.get_run_by_id(run_id)
        identity = identify(run, namespace="dagster", details=job_details(instance, run))
        events = fold(identity, records(run_id) if log is None else log, assets, describe=describe)
        return [Serde.to_dict(event) for event in events]

    return fold_run


@pytest.fixture
def story():
    """Events as ``TYPE job: inputs -> outputs``, the facets left out."""

    def names(datasets):
        return ", ".join(f"{dataset['namespace']}:{dataset['name']}" for dataset in datasets)

    def tell(event):
        line = f"{event['eventType']} {event['job']['name']}"
        return (
            f"{line}: {names(event['inputs'])} -> {names(event['outputs'])}"
            if (event["inputs"] or event["outputs"])
            else line
        )

    return lambda events: [tell(event) for event in events]


class Backend:
    """Acknowledges events, except where ``answers`` holds an exception for the next ones."""

    def __init__(self):
        self.events = []
        self.answers = []

    def __call__(self, event):
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        self.events.append(event)

    def lines(self):
        return [Serde.to_json(event) for event in self.events]


@pytest.fixture
def backend():
    return Backend()


@pytest.fixture
def tick(instance, backend):
    """Evaluates one sensor again and again, keeping the cursor as Dagster does: not when the tick raises."""

    class Ticking:
        def __init__(self):
            self.cursor = None
            self.sensor = openlineage_sensor(send=backend)

        def restart(self, **settings):
            self.sensor = openlineage_sensor(send=backend, **settings)

        def __call__(self, definitions=None):
            with build_sensor_context(
                instance=instance, cursor=self.cursor, definitions=definitions
            ) as context:
                result = self.sensor(context)
                self.cursor = context.cursor
            assert isinstance(result, SkipReason)
            return result.skip_message

    return Ticking()
