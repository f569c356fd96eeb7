"""The spool as our collectors' way to an HTTP backend: every setting carried over, nothing lost, other ways left alone."""

from __future__ import annotations

import json
import logging
import signal
import time
from pathlib import Path

import pytest
from bridge_tests.emitting import event, script
from bridge_tests.waiting import wait_until
from click.testing import CliRunner, Result

from openlineage_bridge_capture import client
from openlineage_bridge_capture.emitter import Emitter
from openlineage_bridge_capture.spool import SpoolFullError
from openlineage_bridge_capture.spool.commands import spool
from openlineage_bridge_capture.spool.default import SpooledHttpTransport

pytestmark = pytest.mark.usefixtures("unconfigured")

SPOOL = "openlineage_bridge_capture.spool.SpoolTransport"


@pytest.fixture
def configured(monkeypatch):
    """The client of the background under these variables; closed afterwards."""
    made = []

    def configure(**variables: str):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        made.append(client.background_client())
        return made[-1].transport

    yield configure
    for each in made:
        each.close(0.2)


def test_the_settings_of_the_plain_variables_are_carried_over(configured):
    transport = configured(
        OPENLINEAGE_URL="http://h:1", OPENLINEAGE_ENDPOINT="my/lineage", OPENLINEAGE_API_KEY="secret"
    )
    http = transport.config.http
    assert isinstance(transport, SpooledHttpTransport)
    assert ("http://h:1", "my/lineage", "Bearer secret") == (http.url, http.endpoint, http.auth.get_bearer())


@pytest.mark.parametrize("kind", ["http", "async_http"])
def test_the_settings_of_the_section_are_carried_over_and_the_spools_own_may_stand_there(configured, kind):
    section = {
        "type": kind,
        "url": "http://h:1/base/",
        "endpoint": "e",
        "timeout": 7,
        "verify": False,
        "compression": "gzip",
        "custom_headers": {"X-Team": "a"},
        "auth": {"type": "api_key", "apiKey": "k"},
        "max_bytes": 5_000_000,
    }
    config = configured(OPENLINEAGE__TRANSPORT=json.dumps(section)).config
    http = config.http
    assert ("http://h:1/base/", "e", 7, False) == (http.url, http.endpoint, http.timeout, http.verify)
    assert ("gzip", {"X-Team": "a"}) == (str(http.compression), http.custom_headers)
    assert ("Bearer k", 5_000_000) == (http.auth.get_bearer(), config.max_bytes)


def test_a_key_of_the_plain_variables_is_not_sent_to_the_address_of_a_section(configured):
    """As the client's own transport does not."""
    transport = configured(
        OPENLINEAGE__TRANSPORT=json.dumps({"type": "http", "url": "http://h:1"}), OPENLINEAGE_API_KEY="secret"
    )
    assert None is transport.config.http.auth.get_bearer()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"OPENLINEAGE_URL": "http://h:1", "OPENLINEAGE_BRIDGE_SPOOL": "off"}, "http"),
        ({"OPENLINEAGE_URL": "http://h:1", "OPENLINEAGE_BRIDGE_SPOOL": "on"}, "spool"),
        ({"OPENLINEAGE__TRANSPORT": json.dumps({"type": "console"})}, "console"),
        ({"OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": "x"})}, "file"),
        (
            {
                "OPENLINEAGE__TRANSPORT": json.dumps(
                    {"type": "composite", "transports": [{"type": "http", "url": "http://h:1"}]}
                )
            },
            "composite",
        ),
        ({"OPENLINEAGE__TRANSPORT": json.dumps({"type": SPOOL, "url": "http://h:1"})}, "spool"),
    ],
)
def test_other_transports_and_those_who_switch_it_off_keep_theirs(configured, variables, expected):
    assert expected == configured(**variables).kind


def test_nothing_is_written_before_the_first_event(configured, tmp_path):
    configured(OPENLINEAGE_URL="http://h:1")
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize("folder", ["in the way", "~"])
def test_where_no_file_can_be_written_events_are_sent_directly_which_is_said_once(
    configured, backend, tmp_path, caplog, monkeypatch, folder
):
    """A container with a read-only disk, or a user without a home."""
    (tmp_path / "in the way").touch()
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    server = backend("ok")
    named = folder if folder == "~" else str(tmp_path / folder)
    transport = configured(OPENLINEAGE_URL=server.url, OPENLINEAGE_BRIDGE_SPOOL_FOLDER=named)
    with caplog.at_level(logging.WARNING, logger="openlineage_bridge"):
        transport.emit(event("a"))
        transport.emit(event("b"))
    assert ["a", "b"] == server.jobs
    assert 1 == len([each for each in caplog.records if "directly" in each.message])
    assert not (tmp_path / "~").exists()


def test_a_full_spool_costs_the_event_and_a_line_in_the_log(backend, monkeypatch, caplog):
    """The receiver takes nothing, so nobody waits for it."""
    monkeypatch.setenv("OPENLINEAGE_URL", backend("500").url)
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__MAX_BYTES", "400")
    out = Emitter()
    with caplog.at_level(logging.WARNING, logger="openlineage_bridge"):
        for name in "abcdef":
            out.emit(lambda name=name: event(name))
        began = time.monotonic()
        out.flush(30)
        assert time.monotonic() - began < 20
    out.close(0.2)
    assert out.failed >= 4
    assert 1 == len([each for each in caplog.records if "it is lost" in each.message])
    with pytest.raises(SpoolFullError):
        raise SpoolFullError


def test_a_refusing_backend_opens_the_circuit_before_the_flush_is_over(backend, monkeypatch):
    """Three attempts take less than two seconds; who waits is told then, and nobody waits after that."""
    monkeypatch.setenv("OPENLINEAGE_URL", backend("refused").url)
    out = Emitter()
    out.emit(lambda: event("a"))
    began = time.monotonic()
    assert not out.flush(30)
    assert time.monotonic() - began < 20
    began = time.monotonic()
    assert not out.flush(30)
    assert not out.close(30)
    assert time.monotonic() - began < 20


def waiting(tmp_path: Path) -> list[str]:
    lines = [
        line for path in (tmp_path / "spool").rglob("0*.jsonl") for line in path.read_text().splitlines()
    ]
    return [json.loads(line)["job"]["name"] for line in lines]


def test_what_a_process_left_while_the_backend_was_away_the_next_one_sends(backend, tmp_path):
    """And the first one ends within its bound: a flush of two seconds in all."""
    server = backend("503")
    first = script("emit('a', 'b'); emitter().flush(2); print(time.time())", server.url)
    out, err = first.communicate(timeout=30)
    ended = time.time()
    assert (0, 1) == (
        first.returncode,
        err.count("openlineage_bridge") or err.count("OpenLineage events wait"),
    )
    assert ended - float(out) < 1.5
    assert ["a", "b"] == waiting(tmp_path)
    server.mode = "ok"
    assert 0 == script("emit('c')", server.url).wait(30)
    assert ["a", "b", "c"] == server.jobs
    assert [] == waiting(tmp_path)


def test_what_the_emitter_appended_survives_kill_9(backend, tmp_path):
    """It appends what was handed over although nobody takes it."""
    server = backend("hang")
    victim = script("emit('a', 'b', 'c'); emitter().flush(0.5); signal.pause()", server.url)
    wait_until(lambda: ["a", "b", "c"] == waiting(tmp_path))
    victim.send_signal(signal.SIGKILL)
    victim.communicate(timeout=30)
    after = backend("ok")
    assert ["a", "b", "c"] == waiting(tmp_path)
    assert [] == after.jobs


def test_events_of_a_process_that_ends_at_once_are_sent_by_it(backend, tmp_path):
    server = backend("ok")
    process = script("emit('a', 'b', 'c')", server.url)
    assert ("", 0) == (process.communicate(timeout=30)[1], process.returncode)
    assert ["a", "b", "c"] == server.jobs
    assert [] == waiting(tmp_path)


def test_the_flush_command_sends_what_waits_to_the_configured_receiver(backend, tmp_path):
    server = backend("503")
    assert 0 == script("emit('a', 'b')", server.url).wait(30)

    def command(*arguments: str, **variables: str) -> Result:
        return CliRunner().invoke(spool, ["flush", *arguments], env=variables)

    refused = command("--timeout", "0.5", "--format", "json", OPENLINEAGE_URL=server.url)
    assert (4, 2) == (refused.exit_code, json.loads(refused.stdout)["waiting"])
    server.mode = "ok"
    sent = command(OPENLINEAGE_URL=server.url)
    assert (0, True) == (sent.exit_code, sent.stdout.startswith("0 events wait for http://"))
    assert ["a", "b"] == server.jobs
    nowhere = command()
    assert (2, True) == (nowhere.exit_code, "OPENLINEAGE_URL" in nowhere.stderr)
    blocked = command("--folder", str(tmp_path / "file" / "x"), OPENLINEAGE_URL=server.url)
    assert 0 == blocked.exit_code
