"""Whether a backend is configured, and one bounded emission on the caller's thread."""

from __future__ import annotations

import json
import time

import pytest
from bridge_tests.emitting import event

from openlineage_bridge_capture import client
from openlineage_bridge_capture.settings import configured

pytestmark = pytest.mark.usefixtures("unconfigured")

EVENT = event("job")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OPENLINEAGE_URL": "http://h:1"}, True),
        ({"OPENLINEAGE_URL": ""}, False),
        ({"OPENLINEAGE_URL": "http://h:1", "OPENLINEAGE_DISABLED": "True "}, False),
        ({"OPENLINEAGE__TRANSPORT__TYPE": "file"}, True),
        ({"OPENLINEAGE__TRANSPORT__URL": "http://h:1"}, False),
        ({"OPENLINEAGE__TRANSPORT": json.dumps({"type": "console"})}, True),
        ({"OPENLINEAGE__TRANSPORT": "{no json"}, False),
        ({"OPENLINEAGE_CONFIG": "nowhere.yml"}, False),
        ({"OPENLINEAGE_NAMESPACE": "prod"}, False),
    ],
)
def test_the_environment_configures_a_backend(monkeypatch, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert expected == configured()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("transport:\n  type: http\n  url: http://h:1\n", True),
        ("tags:\n  job:\n    team: a\n", False),
        ("", False),
        (": : :", False),
    ],
)
def test_a_file_configures_a_backend_when_it_names_a_transport(tmp_path, text, expected):
    (tmp_path / "openlineage.yml").write_text(text)
    assert expected == configured()


def test_the_file_in_the_home_folder_and_the_named_one_count_too(tmp_path, monkeypatch):
    text = "transport: {type: file, log_file_path: x}"
    (tmp_path / ".openlineage").mkdir()
    (tmp_path / ".openlineage" / "openlineage.yml").write_text(text)
    assert configured()
    (tmp_path / ".openlineage" / "openlineage.yml").unlink()
    (tmp_path / "other.yml").write_text(text)
    monkeypatch.setenv("OPENLINEAGE_CONFIG", str(tmp_path / "other.yml"))
    assert configured()


def test_send_delivers_now_to_the_endpoint_and_with_the_key_of_the_environment(monkeypatch, backend):
    server = backend("ok")
    monkeypatch.setenv("OPENLINEAGE_URL", server.url)
    monkeypatch.setenv("OPENLINEAGE_ENDPOINT", "my/lineage")
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "secret")
    client.send(EVENT)
    assert [
        (path, headers["Authorization"], event["job"]["name"]) for path, headers, event in server.received
    ] == [("/my/lineage", "Bearer secret", "job")]


def test_send_follows_a_changed_environment(monkeypatch, backend):
    first, second = backend("ok"), backend("ok")
    for server in (first, second):
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        client.send(EVENT)
    assert (len(first.received), len(second.received)) == (1, 1)


def test_send_through_a_configured_file_transport(tmp_path, monkeypatch):
    target = tmp_path / "events.jsonl"
    monkeypatch.setenv(
        "OPENLINEAGE__TRANSPORT",
        json.dumps({"type": "file", "log_file_path": str(target), "append": True}),
    )
    client.send(EVENT)
    assert json.loads(target.read_text())["job"]["name"] == "job"


def test_send_through_the_spool_transport_has_got_through_once_the_event_is_in_its_file(
    monkeypatch, backend, tmp_path
):
    """Chosen by name; a caller with a cursor may move on though the receiver is away, and the event follows."""
    server = backend("503")
    section = {"type": "openlineage_bridge_capture.spool.SpoolTransport", "url": server.url}
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps(section))
    client.send(EVENT)
    [waiting] = (tmp_path / "spool").rglob("0*.jsonl")
    assert "job" == json.loads(waiting.read_text())["job"]["name"]
    server.mode = "ok"
    sending = client.spool_of(client._current_sender())
    assert sending.flush(10)
    assert ["job"] == server.jobs
    assert sending.close(5)


def test_send_is_not_spooled_by_default(monkeypatch, backend, tmp_path):
    """The caller's own log outlives a container's disk."""
    server = backend("ok")
    monkeypatch.setenv("OPENLINEAGE_URL", server.url)
    client.send(EVENT)
    assert ["job"] == server.jobs
    assert not (tmp_path / "spool").exists()


def test_async_http_becomes_http_because_it_would_hide_failures(monkeypatch):
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "async_http")
    settings = client.bounded_settings()["transport"]
    assert (settings["type"], settings["timeout"]) == ("http", client.SEND_TIMEOUT)


@pytest.mark.parametrize("mode", ["refused", "500", "401"])
def test_send_raises_soon_when_the_event_does_not_get_through(monkeypatch, backend, mode):
    monkeypatch.setenv("OPENLINEAGE_URL", backend(mode).url)
    began = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)refused|500|401"):
        client.send(EVENT)
    assert time.monotonic() - began < 8


def test_send_gives_a_hanging_backend_up(monkeypatch, backend):
    monkeypatch.setattr(client, "SEND_TIMEOUT", 0.2)
    monkeypatch.setenv("OPENLINEAGE_URL", backend("hang").url)
    began = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)time"):
        client.send(EVENT)
    assert time.monotonic() - began < 20


def test_send_without_a_backend_says_what_to_set():
    with pytest.raises(client.NotConfiguredError, match="OPENLINEAGE_URL"):
        client.send(EVENT)
