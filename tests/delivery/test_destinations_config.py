"""Several destinations in the configuration: each by its name, with its own options and nobody else's token."""

from __future__ import annotations

import pytest

from openlineage_bridge.cli.options import destinations_of
from openlineage_bridge.config import load
from openlineage_bridge.errors import ConfigError

FILE = """
datahub: {sink: rest, server: "http://one:8080", token: of-one}
destinations:
  two: {sink: rest, server: "http://two:8080", pipeline_name: second, datasets: {schema: never}}
  marquez: {sink: openlineage, url: "http://marquez:5000", api_key: "${KEY}"}
  export: {sink: file, path: out/proposals.json, most_bytes: 1000000}
"""


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """The configuration of a file, with these variables."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATAHUB_GMS_URL", "DATAHUB_GMS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def configured(text: str = FILE, **environ: str):
        (tmp_path / "bridge.yml").write_text(text, encoding="utf-8")
        return load("bridge.yml", {"KEY": "secret", "HOME": str(tmp_path), **environ})

    return configured


@pytest.fixture
def opened(configured):
    sinks = []

    def opened(*arguments, **environ):
        found = destinations_of(configured(*arguments, **environ))
        sinks.extend(found.values())
        return found

    yield opened
    for each in sinks:
        each.close()


def test_by_their_names(opened):
    """That of the translator's section is called as the section."""
    found = opened()

    assert ["datahub", "two", "marquez", "export"] == list(found)
    assert ("http://one:8080", "http://two:8080 (schema=never)") == (
        found["datahub"].destination,
        found["two"].destination,
    )
    assert "http://marquez:5000/api/v1/lineage" == found["marquez"].destination
    assert found["export"].destination.endswith("/out/proposals.json")


def test_a_token_is_for_one_server(opened):
    """A destination without one of its own gets none: not that of another section."""
    found = opened()

    assert ("of-one", None, "secret") == (
        found["datahub"].token,
        found["two"].token,
        found["marquez"].api_key,
    )


def test_from_the_environment(opened):
    """As every other key."""
    prefix = "OPENLINEAGE_BRIDGE__DESTINATIONS__MORE__"
    found = opened("{}", **{f"{prefix}SINK": "openlineage", f"{prefix}URL": "http://more"})

    assert ["more"] == list(found)


def test_no_secret_is_shown(configured):
    """In logs and errors."""
    assert "secret" not in repr(configured())
    assert "of-one" not in repr(configured())


@pytest.mark.parametrize(
    ("destinations", "word"),
    [
        ("{x: {sink: nowhere}}", "destinations.x: no sink called 'nowhere'"),
        ("{x: {}}", "destinations.x: no sink called ''"),
        ("{x: {sink: openlineage}}", "destinations.x: url"),
        ("{x: {sink: rest, server: 'http://x', serverr: y}}", "destinations.x: .*serverr"),
        ("{x: 3}", "destinations"),
        ("{datahub: {sink: openlineage, url: 'http://m'}}", "has this name already"),
    ],
)
def test_mistakes_are_told_with_the_name(opened, destinations, word):
    """Before anything starts."""
    with pytest.raises(ConfigError, match=word):
        opened(f"datahub: {{sink: rest, server: 'http://one'}}\ndestinations: {destinations}")
