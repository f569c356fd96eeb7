"""What leaves the bridge: no secret, whoever asks (G27), and no request to an address that stands in an event (G26)."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from bridge_tests.loopback import Handler, serving
from bridge_tests.process import JSON, LINEAGE, running
from bridge_tests.waiting import wait_until
from click.testing import CliRunner

from openlineage_bridge.cli import group
from openlineage_bridge.config import load
from openlineage_bridge.service import Service
from openlineage_bridge.store.status import Queries
from openlineage_bridge.translation import MemorySink, load_translator

TOKEN, GMS_TOKEN, PASSWORD, KEY = "tok-3f9a1c77e2", "gms-88d0b4c1f6", "pw-5e1b7a90cc", "AKIAIOSFODNN7EXAMPLE"
SECRETS = (TOKEN, GMS_TOKEN, PASSWORD, KEY)

EVENT = {
    "eventTime": "2026-01-01T00:00:00Z",
    "eventType": "COMPLETE",
    "producer": f"https://user:{PASSWORD}@example.com/p",
    "run": {
        "runId": "00000000-0000-4000-8000-000000000001",
        "facets": {
            "environmentVariables": {"environmentVariables": [{"name": "DB_PASSWORD", "value": PASSWORD}]},
            "errorMessage": {
                "message": f"cannot connect to postgres://user:{PASSWORD}@h/d",
                "programmingLanguage": "x",
            },
            "spark_properties": {"properties": {"fs.s3a.access.key": KEY, "api_token": PASSWORD}},
        },
    },
    "job": {
        "namespace": "n",
        "name": "j",
        "facets": {"sql": {"query": f"CREATE USER u IDENTIFIED BY '{PASSWORD}'"}},
    },
    "outputs": [{"namespace": f"postgres://user:{PASSWORD}@h:5432", "name": "d.s.t"}],
}


def test_nothing_tells_a_secret(tmp_path):
    """Not the log, not an error, not the page, the graph, the figures, the quarantine, the export, or the file itself."""
    environment = {
        "OPENLINEAGE_BRIDGE__SERVER__TOKENS": TOKEN,
        "OPENLINEAGE_BRIDGE__DATAHUB__SINK": "rest",
        "OPENLINEAGE_BRIDGE__DATAHUB__SERVER": "http://127.0.0.1:9",
        "OPENLINEAGE_BRIDGE__DATAHUB__TOKEN": GMS_TOKEN,
    }
    refused = json.dumps(EVENT | {"job": {"namespace": "n"}}).encode()
    with running(tmp_path, environment=environment) as bridge, closing(bridge.connect()) as connection:

        def ask(method: str, path: str, body: bytes | None = None, token: str = TOKEN) -> tuple[int, str]:
            connection.request(method, path, body, JSON | {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

        said = {
            "accepted": ask("POST", LINEAGE, json.dumps(EVENT).encode()),
            "refused": ask("POST", LINEAGE, refused),
            "no JSON": ask("POST", LINEAGE, b'{"password": "%s"' % PASSWORD.encode()),
            "a wrong token": ask("POST", LINEAGE, b"{}", TOKEN[:-1]),
        }
        assert [200, 400, 400, 401] == [status for status, _ in said.values()]
        wait_until(lambda: Queries(bridge.store).status()["outbox_reason"])
        paths = ("/", "/?q=j", "/metrics", "/readyz", "/api/v1/search?q=", "/api/v1/graph?node=j", "/nowhere")
        said |= {path: ask("GET", path) for path in paths}
        commands = (
            "status",
            "quarantine list",
            "quarantine show 1",
            "export --output -",
            "lineage j",
            "queue",
        )
        said |= {each: (0, printed(each, bridge.store, environment)) for each in commands}
        said["store"] = (
            0,
            b"".join(file.read_bytes() for file in tmp_path.glob("bridge.db*")).decode("latin-1"),
        )
    said["log"] = (0, bridge.log)

    assert "" == "".join(
        f"{secret} in {where}; " for where, (_, text) in said.items() for secret in SECRETS if secret in text
    )


def printed(command: str, store, environment: dict[str, str]) -> str:
    """Everything that a command writes, errors too."""
    done = CliRunner().invoke(group, [*command.split(), "--store", str(store)], env=environment)
    return f"{done.output}{done.exception or ''}"


def test_configuration_shows_no_secret():
    """Printed by accident, in an error or a debugger, the configuration has asterisks."""
    config = load(
        environ={"OPENLINEAGE_BRIDGE__SERVER__TOKENS": TOKEN, "OPENLINEAGE_BRIDGE__DATAHUB__TOKEN": GMS_TOKEN}
    )
    assert "***" in repr(config)
    assert not [secret for secret in SECRETS if secret in repr(config)]


@pytest.fixture
def canary():
    """An HTTP server that nobody has a reason to ask."""
    asked: list[str] = []

    class Api(Handler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.reply(b"{}")

        def do_POST(self) -> None:
            self.do_GET()

        def do_HEAD(self) -> None:
            self.do_GET()

    with serving(Api) as server:
        yield server.url, asked


def test_addresses_in_events_are_only_text(tmp_path, canary):
    """An event full of addresses is received, translated and delivered; nobody asks any of them."""
    url, asked = canary
    facet = {"_producer": f"{url}/producer", "_schemaURL": f"{url}/schema"}
    links = {
        "documentation": {"description": f"[see]({url}/documentation)"},
        "sourceCodeLocation": {"type": "git", "url": f"{url}/code", "repoUrl": f"{url}/repository"},
        "externalQuery": {"externalQueryId": "q", "source": f"{url}/query"},
        "dataSource": {"name": "source", "uri": f"{url}/source"},
        "schema": {"fields": [{"name": "a", "description": f"{url}/column"}]},
        "prefect_flowRun": {"url": f"{url}/run"},
    }
    facets = {name: value | facet for name, value in links.items()}
    dataset = {"namespace": url, "name": f"{url}/dataset", "facets": facets}
    event = {
        "eventTime": "2026-01-01T00:00:00Z",
        "eventType": "COMPLETE",
        "producer": f"{url}/producer",
        "schemaURL": f"{url}/schema",
        "run": {"runId": "00000000-0000-4000-8000-000000000001", "facets": facets},
        "job": {"namespace": url, "name": "j", "facets": facets},
        "inputs": [dataset],
        "outputs": [dataset],
    }
    sink = MemorySink()
    service = Service(tmp_path / "bridge.db", load_translator("datahub", {}), sink)
    try:
        service.accept([json.dumps(event).encode()], "test").result(20)
        wait_until(lambda: sink.sent and not Queries(tmp_path / "bridge.db").status()["outbox_aspects"])
    finally:
        service.close()

    assert [] == asked
