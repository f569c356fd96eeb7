"""``serve`` as its user starts it: with files to follow, over HTTPS, asked by ``health``, and with what it refuses."""

from __future__ import annotations

import ssl
import urllib.request

import pytest
from bridge_tests.certificates import make_certificate
from bridge_tests.process import Bridge
from bridge_tests.waiting import wait_until
from click.testing import CliRunner

from openlineage_bridge.cli.health import command as health
from openlineage_bridge.config import load
from openlineage_bridge.errors import ConfigError, RetryLater, StorageError
from openlineage_bridge.store.status import Queries


@pytest.fixture
def bridge(tmp_path):
    """A bridge that is started with the arguments of the test."""
    started = []

    def start(*arguments: str) -> Bridge:
        started.append(Bridge(tmp_path, *arguments))
        started[-1].launch()
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_follow_over_https(bridge, tmp_path, world, monkeypatch):
    """What stands in a file becomes lineage, beside what arrives over HTTPS; ``health`` and a stop find it well."""
    tls = make_certificate(tmp_path, "bridge")
    file = tmp_path / "events.jsonl"
    file.write_bytes(world.encoded(world.run_event("followed")) + b"\n")
    running = bridge(
        "--follow", str(file), "--tls-certificate", str(tls.certificate), "--tls-key", str(tls.key)
    )
    wait_until(lambda: _found(running.store, "followed"))
    url = running.url.replace("http:", "https:")
    body = world.encoded(world.run_event("posted", 1))
    context = ssl.create_default_context(cafile=tls.certificate)
    with urllib.request.urlopen(
        urllib.request.Request(f"{url}/api/v1/lineage", body), context=context
    ) as answer:
        assert 200 == answer.status
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.certificate))
    done = CliRunner().invoke(health, ["--url", url])

    assert (0, "ok\n") == (done.exit_code, done.output)
    assert 0 == running.stop()
    assert _found(running.store, "posted")
    with pytest.raises(RetryLater, match="no bridge answers at"):
        CliRunner().invoke(health, ["--url", url], catch_exceptions=False)


def _found(store, name: str) -> bool:
    try:
        return name in {node.name for node in Queries(store).search(name, 10)}
    except StorageError:  # not there yet
        return False


def test_follow_in_the_configuration(tmp_path):
    """A list, or one path alone; from the environment too."""
    file = tmp_path / "openlineage-bridge.yml"
    file.write_text(
        "follow: /data/events.jsonl\nserver:\n  tls: {certificate: /tls/tls.crt, key: /tls/tls.key}\n"
    )
    config = load(file, environ={})
    assert ["/data/events.jsonl"] == [str(path) for path in config.follow]
    assert "/tls/tls.key" == str(config.server.tls.key)
    environment = {
        "OPENLINEAGE_BRIDGE__FOLLOW": '["/a", "/b"]',
        "OPENLINEAGE_BRIDGE__SERVER__TLS__KEY": "/other.key",
    }
    config = load(file, environ=environment)
    assert (["/a", "/b"], "/other.key") == ([str(path) for path in config.follow], str(config.server.tls.key))


def test_misspelt_key_of_tls(tmp_path):
    """Is told with its place, like every other."""
    file = tmp_path / "openlineage-bridge.yml"
    file.write_text("server:\n  tls: {certificat: /tls/tls.crt, key: /tls/tls.key}\n")
    with pytest.raises(
        ConfigError, match=r"server\.tls\.certificat: unknown key; did you mean certificate\?"
    ):
        load(file, environ={})
