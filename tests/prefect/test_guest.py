"""The collector is a guest: whatever happens to lineage, the user's process is as it would be without it."""

from __future__ import annotations

import gzip
import http.server
import json
import socket
import threading
from collections.abc import Iterator

import attrs
import pytest

RESULT = "6"
# One flush of one and a half seconds when the run ends; the circuit is open after it, so the end of the process waits no
# more. The rest is for a busy machine; the client's own retries would take nine seconds for each of the eight events.
ADDED_SECONDS = 7.0


@pytest.fixture(scope="module")
def undisturbed(run_script) -> float:
    """How long the flow takes in a process that reports nowhere, and that nothing of ours is printed there."""
    outcome = run_script("small.py", backend={})
    result, seconds = outcome.stdout.split()

    assert (outcome.returncode, result, outcome.stderr) == (0, RESULT, "")
    return float(seconds)


@pytest.fixture
def hanging_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []
        threading.Thread(target=_accept, args=(server, held), daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()


def _accept(server: socket.socket, held: list[socket.socket]) -> None:
    while True:
        try:
            held.append(server.accept()[0])
        except OSError:
            return


def test_the_api_server_reports_nothing(undisturbed, prefect_server) -> None:
    """The plugin is loaded in the server's process too; what the server does there is not the user's lineage."""
    assert not prefect_server.events.exists()


def test_nothing_configured_means_nothing_happens(undisturbed) -> None:
    """With the plugin loaded and no backend, nothing is emitted and nothing is printed."""
    assert undisturbed > 0


def test_a_refusing_backend_costs_a_bounded_time(run_script, undisturbed, free_port) -> None:
    """Result and exit code stay, the flow ends soon, one line says that events are late."""
    outcome = run_script("small.py", "fail", backend={"OPENLINEAGE_URL": f"http://127.0.0.1:{free_port}"})
    result, seconds = outcome.stdout.split()

    assert (outcome.returncode, result) == (7, RESULT)
    assert float(seconds) < undisturbed + ADDED_SECONDS
    assert outcome.stderr.count("openlineage_bridge") <= 2


@pytest.mark.system
def test_a_hanging_resolver_costs_a_bounded_time(run_script, undisturbed) -> None:
    """Nobody waits for the ten minutes that it takes to find out whether there is such a host, at the end neither."""
    outcome = run_script(
        "small.py", "hanging-resolver", backend={"OPENLINEAGE_URL": "http://backend.invalid:5000"}
    )
    result, seconds = outcome.stdout.split()

    assert (outcome.returncode, result, outcome.stderr) == (0, RESULT, "")
    assert float(seconds) < undisturbed + ADDED_SECONDS


# Nobody can make a folder there, not even root.
NOWHERE = {"HOME": "/proc", "XDG_STATE_HOME": "", "OPENLINEAGE_BRIDGE_SPOOL_FOLDER": ""}


@pytest.mark.system
@pytest.mark.parametrize("trouble", ["a full disk", "a home that cannot be written"])
def test_without_a_place_to_keep_events_they_are_sent_directly_which_is_said_once(
    run_script, undisturbed, receiving, trouble
) -> None:
    """All events arrive, in their order, while the backend is there; one line says that it is no longer safe."""
    arguments, where = (("full-disk",), {}) if trouble == "a full disk" else ((), NOWHERE)
    outcome = run_script("small.py", *arguments, backend={"OPENLINEAGE_URL": receiving.url}, **where)
    told = [line for line in outcome.stderr.splitlines() if "openlineage_bridge" in line]

    assert (outcome.returncode, outcome.stdout.split()[0]) == (0, RESULT)
    assert {("START", "small"), ("COMPLETE", "small"), ("START", "small.double")} < set(receiving.told)
    assert (len(receiving.told), len(told)) == (8, 1)
    assert "directly, without a spool, and are lost while it is away" in told[0]


@pytest.mark.system
def test_what_can_neither_be_kept_nor_sent_is_counted_at_the_end(
    run_script, undisturbed, hanging_port
) -> None:
    """The flow does not wait for it, and one line says how many events are gone."""
    outcome = run_script(
        "small.py",
        backend={"OPENLINEAGE_URL": f"http://127.0.0.1:{hanging_port}"},
        **NOWHERE,
    )
    result, seconds = outcome.stdout.split()

    assert (outcome.returncode, result) == (0, RESULT)
    assert float(seconds) < undisturbed + ADDED_SECONDS
    assert outcome.stderr.count("8 OpenLineage events are lost") == 1


@attrs.define
class Receiving:
    """A backend that takes single events, and what it was told."""

    url: str
    told: list[tuple[str, str]]


@pytest.fixture
def receiving() -> Iterator[Receiving]:
    """A backend that takes one event at a time, or all of a batch."""
    told: list[tuple[str, str]] = []

    class Taker(_Broken):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            said = json.loads(body)
            events = said if isinstance(said, list) else [said]
            told.extend((event["eventType"], event["job"]["name"]) for event in events)
            answer = json.dumps({"summary": {"received": len(events)}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Receiving(f"http://127.0.0.1:{server.server_address[1]}", told)
        server.shutdown()


def test_a_hanging_backend_costs_a_bounded_time(run_script, undisturbed, hanging_port) -> None:
    """A backend that never answers costs no more than one that refuses."""
    outcome = run_script("small.py", backend={"OPENLINEAGE_URL": f"http://127.0.0.1:{hanging_port}"})
    result, seconds = outcome.stdout.split()

    assert (outcome.returncode, result) == (0, RESULT)
    assert float(seconds) < undisturbed + ADDED_SECONDS


@pytest.mark.system
@pytest.mark.parametrize("trouble", ["500", "no such host", "no place for the spool", "a bug of ours"])
def test_trouble_costs_nothing_but_lineage(run_script, undisturbed, trouble, answering_500, tmp_path) -> None:
    """Whatever is wrong with the backend, the disk or us: result, exit code and states are the flow's own."""
    (tmp_path / "file").write_text("")
    settings = {
        "500": {"OPENLINEAGE_URL": answering_500},
        "no such host": {"OPENLINEAGE_URL": "http://backend.invalid:5000"},
        # A folder below a file cannot be made, not even by root.
        "no place for the spool": {
            "OPENLINEAGE_URL": answering_500,
            "OPENLINEAGE_BRIDGE_SPOOL_FOLDER": str(tmp_path / "file" / "spool"),
        },
        "a bug of ours": {"OPENLINEAGE_URL": answering_500},
    }[trouble]
    arguments = ("fail", "buggy") if trouble == "a bug of ours" else ("fail",)
    outcome = run_script("small.py", *arguments, backend=settings)
    result, seconds = outcome.stdout.split()

    assert (outcome.returncode, result) == (7, RESULT)
    assert float(seconds) < undisturbed + ADDED_SECONDS
    assert "Traceback" not in outcome.stderr or trouble == "a bug of ours"


@pytest.fixture
def answering_500() -> Iterator[str]:
    """The URL of a backend that answers 500 to everything."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Broken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Broken(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_error(500)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.mark.parametrize("loader", ["import-before", "import-after"])
def test_a_plain_import_is_enough(run_script, loader) -> None:
    """Without the plugin setting, importing the package before or after Prefect does the same, beside the plugin or not."""
    plugins = "1" if loader == "import-before" else "0"
    outcome = run_script("small.py", loader, PREFECT_PLUGINS_ENABLED=plugins)
    expected = [
        ("START", "small"),
        *[("START", "small.double"), ("COMPLETE", "small.double")] * 3,
        ("COMPLETE", "small"),
    ]

    assert expected == [(event["eventType"], event["job"]["name"]) for event in outcome.events]


def test_namespace_and_parent_come_from_the_environment(run_script) -> None:
    """``OPENLINEAGE_NAMESPACE`` names the jobs; ``OPENLINEAGE_PARENT_ID`` stands above the outermost run and at the root."""
    parent = "0192f7a0-0000-7000-8000-000000000001"
    outcome = run_script(
        "small.py",
        OPENLINEAGE_NAMESPACE="prefect://acme/prod",
        OPENLINEAGE_PARENT_ID=f"cron://host/a/nightly/{parent}",
    )
    families = {
        (
            event["job"]["name"],
            facet["job"]["name"],
            facet["root"]["job"]["namespace"],
            facet["root"]["run"]["runId"],
        )
        for event in outcome.events
        for facet in [event["run"]["facets"]["parent"]]
    }

    assert {event["job"]["namespace"] for event in outcome.events} == {"prefect://acme/prod"}
    assert families == {
        ("small", "nightly", "cron://host/a", parent),
        ("small.double", "small", "cron://host/a", parent),
    }
