"""The sensor as a component of ``dg``: from a ``defs.yaml`` to a sensor, by dg's own loading."""

from __future__ import annotations

import sys

import dagster
import pytest
from dagster import DefaultSensorStatus

pytestmark = pytest.mark.skipif(
    not hasattr(dagster, "Component"), reason="components are part of dagster since 1.11"
)


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads a project with one component, by the text of its ``defs.yaml``."""

    def load_project(text):
        project = tmp_path / "a_project"
        folder = project / "src" / "a_project" / "defs" / "lineage"
        folder.mkdir(parents=True)
        (project / "pyproject.toml").write_text(
            '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "a_project"\n'
        )
        for package in (folder.parents[1], folder.parent):
            (package / "__init__.py").touch()
        (folder / "defs.yaml").write_text(text)
        monkeypatch.syspath_prepend(str(project / "src"))
        definitions = dagster.load_from_defs_folder(path_within_project=folder)
        return definitions.get_repository_def()

    yield load_project
    for name in [each for each in sys.modules if each.partition(".")[0] == "a_project"]:
        del sys.modules[name]


def test_a_line_of_yaml_is_enough(load):
    """The sensor with its defaults, running."""
    repository = load("type: openlineage_bridge_dagster.OpenLineageComponent\n")

    [sensor] = repository.sensor_defs
    assert ("openlineage_sensor", 5) == (sensor.name, sensor.minimum_interval_seconds)
    assert DefaultSensorStatus.RUNNING is sensor.default_status


def test_its_attributes_are_the_sensors_settings(load, monkeypatch):
    """With values of the environment, as in any ``defs.yaml``."""
    monkeypatch.setenv("THE_UI", "https://dagster.example.com")
    repository = load(
        "type: openlineage_bridge_dagster.OpenLineageComponent\n"
        "attributes:\n"
        "  name: lineage\n"
        "  dagster_url: '{{ env.THE_UI }}'\n"
        "  namespaces: {duckdb: 'duckdb:///data/w.duckdb'}\n"
        "  backfill: all\n"
        "  only_this_location: true\n"
        "  minimum_interval_seconds: 30\n"
        "  running: false\n"
    )

    [sensor] = repository.sensor_defs
    assert ("lineage", 30) == (sensor.name, sensor.minimum_interval_seconds)
    assert DefaultSensorStatus.STOPPED is sensor.default_status


def test_a_setting_that_is_none_is_refused(load):
    with pytest.raises(Exception, match="Error while loading component"):
        load("type: openlineage_bridge_dagster.OpenLineageComponent\nattributes: {nonsense: 1}\n")
