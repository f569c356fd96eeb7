"""The ways into a process that runs Prefect flows without importing us, and what the doctor says of them."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from openlineage_bridge_capture import checks
from openlineage_bridge_prefect import doctor as prefect_doctor
from openlineage_bridge_prefect import wrapping

pytestmark = pytest.mark.system

SMALL = Path(__file__).parent / "scripts" / "small.py"
EXPECTED = [
    ("START", "small"),
    *[("START", "small.double"), ("COMPLETE", "small.double")] * 3,
    ("COMPLETE", "small"),
]

# What a notebook does: Prefect is first imported while a loop runs, where its own loader gives up.
IN_A_LOOP = f"""
import asyncio, runpy
async def main():
    import prefect
    runpy.run_path({str(SMALL)!r})
    await asyncio.to_thread(runpy.run_path({str(SMALL)!r})["small"])
asyncio.run(main())
"""

ENTRY_POINTS = """
[openlineage_bridge.autoload]
prefect = openlineage_bridge_prefect.activation:activate

[openlineage_bridge.doctors]
prefect = openlineage_bridge_prefect.doctor:findings
"""
RUN = "from openlineage_bridge_capture.autoload.commands import run; run()"
AUTOLOAD = "from openlineage_bridge_capture.autoload.commands import autoload; autoload()"
DOCTOR = "from openlineage_bridge.cli.doctor import command; command()"


@pytest.fixture
def home(tmp_path) -> Path:
    """A home; in it a distribution that declares what ours does, for an editable installation older than that."""
    declared = tmp_path / "declared" / "prefect_collector-1.dist-info"
    declared.mkdir(parents=True)
    (declared / "METADATA").write_text("Metadata-Version: 2.1\nName: prefect-collector\nVersion: 1\n")
    (declared / "entry_points.txt").write_text(ENTRY_POINTS)
    return tmp_path


@pytest.fixture
def python(home) -> str:
    """The interpreter of a virtual environment with everything that this one has, and site-packages of its own."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "venv"], check=True, timeout=60)
    [site] = (home / "venv" / "lib").glob("python*/site-packages")
    seen = [path for path in sys.path if path and Path(path).is_dir()]
    (site / "everything.pth").write_text("\n".join([str(home / "declared"), *seen]) + "\n")
    return str(home / "venv" / "bin" / "python")


@pytest.fixture
def call(home, environment_of):
    """Runs a command below the home, with the plugin loader off unless told otherwise."""

    def call(*command: str, events: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        settings = {"PREFECT_PLUGINS_ENABLED": "0", "PYTHONPATH": str(home / "declared"), **variables}
        environment = environment_of(home, events, **settings)
        return subprocess.run(
            command,
            # Empty is unset: the plugin loader is on in what every script sees.
            env={name: value for name, value in environment.items() if value},
            cwd=home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


@pytest.fixture
def backend() -> Iterator[str]:
    """The URL of something that answers over HTTP."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _reported(path: Path) -> list[tuple[str, str]]:
    events = [json.loads(line) for line in path.read_text().splitlines()]
    return [(event["eventType"], event["job"]["name"]) for event in events]


def test_run_loads_the_collector(call, home, prefect_server):
    """``openlineage-bridge run python flow.py`` with Prefect's plugins switched off."""
    done = call(
        sys.executable,
        *("-c", RUN, sys.executable, str(SMALL), "fail"),
        events=home / "events.jsonl",
        PREFECT_API_URL=prefect_server.api,
    )

    assert (7, "") == (done.returncode, done.stderr)
    assert EXPECTED == _reported(home / "events.jsonl")


def test_the_name_that_plugins_had_as_an_experiment(call, home, prefect_server):
    """The only one from 3.4.24 to 3.6, and understood ever since."""
    done = call(
        sys.executable,
        str(SMALL),
        events=home / "events.jsonl",
        PREFECT_API_URL=prefect_server.api,
        PREFECT_PLUGINS_ENABLED="",
        PREFECT_EXPERIMENTS_PLUGINS_ENABLED="1",
    )

    assert (0, EXPECTED) == (done.returncode, _reported(home / "events.jsonl"))


@pytest.fixture
def doctor(call):
    """What ``doctor prefect`` finds, by what was checked; its exit code; what is to be done next."""

    def doctor(python: str = sys.executable, **variables: str):
        said = call(python, "-c", DOCTOR, "prefect", "--format", "json", **variables)
        found = json.loads(said.stdout)
        return said.returncode, {each["check"]: each for each in found["findings"]}, found["next"]

    return doctor


def test_all_is_well(doctor, backend):
    """Exit code 0: the plugin is loaded, the methods are wrapped, the backend answers; the other ways are explained."""
    code, found, then = doctor(PREFECT_PLUGINS_ENABLED="1", OPENLINEAGE_URL=backend)

    assert (0, "nothing to do, lineage flows") == (code, then)
    assert {"prefect", "plugin", "self-check", "sql", "drivers", "backend", "reachable", "spool"} == {
        check for check, each in found.items() if each["state"] == "ok"
    }
    assert {"autoload", "run", "import", "notebooks"} == {
        check for check, each in found.items() if each["state"] == "note"
    }
    assert found["self-check"]["says"].startswith("6 methods")
    assert f"{backend}, as OPENLINEAGE_URL says" == found["backend"]["says"]


def test_the_pth_loader_works_where_prefect_is_imported_inside_a_loop(
    call, doctor, home, python, prefect_server, backend
):
    """With Prefect's plugins switched off too, and the doctor calls one way enough; after ``disable`` there is nothing."""
    enabled = call(python, "-c", AUTOLOAD, "enable")
    done = call(
        python,
        "-c",
        IN_A_LOOP,
        events=home / "events.jsonl",
        PREFECT_API_URL=prefect_server.api,
        PYTHONPATH="",
    )
    flows, found, _ = doctor(python, OPENLINEAGE_URL=backend)
    call(python, "-c", AUTOLOAD, "disable")

    assert (0, "when prefect is imported: its collector is on") == (
        enabled.returncode,
        enabled.stdout.splitlines()[-1].strip(),
    )
    assert (0, EXPECTED) == (done.returncode, _reported(home / "events.jsonl"))
    assert (0, "ok", "note") == (flows, found["autoload"]["state"], found["plugin"]["state"])
    assert "notebooks" not in found
    assert 1 == call(python, "-c", AUTOLOAD, "status").returncode


def test_nothing_is_set_up(doctor):
    """Every way is explained, and the next step is one thing to type."""
    code, found, then = doctor()

    assert (1, "export PREFECT_PLUGINS_ENABLED=1") == (code, then)
    assert ["loading", "backend"] == [check for check, each in found.items() if each["state"] == "problem"]
    assert "no OpenLineage backend is configured" == found["backend"]["says"]
    assert "not loaded as a plugin: PREFECT_PLUGINS_ENABLED is not set" == found["plugin"]["says"]


def test_a_denied_plugin_and_a_refusing_backend(doctor, free_port):
    """Who excludes the plugin is named; the URL is shown without its password."""
    url = f"http://me:secret@127.0.0.1:{free_port}"
    _, found, then = doctor(
        PREFECT_PLUGINS_ENABLED="1", PREFECT_PLUGINS_DENY="openlineage-bridge", OPENLINEAGE_URL=url
    )

    assert "PREFECT_PLUGINS_DENY names it" in found["plugin"]["says"]
    assert "take openlineage-bridge out of PREFECT_PLUGINS_DENY" == then
    assert "nothing listens there (connection refused)" in found["reachable"]["says"]
    assert "secret" not in str(found)


def test_safe_mode_of_a_profile(doctor, home, backend):
    """Wherever it was set: Prefect's safe mode keeps the collector off, and that is what is said."""
    (home / "prefect.toml").write_text("[plugins]\nenabled = true\nsafe_mode = true\n")
    code, found, then = doctor(PREFECT_PLUGINS_ENABLED="1", OPENLINEAGE_URL=backend)

    assert (1, "export PREFECT_PLUGINS_SAFE_MODE=0") == (code, then)
    assert "safe mode" in found["loading"]["says"]


SETTINGS = {"enabled": False, "allow": [], "deny": [], "safe_mode": False}


@pytest.mark.parametrize(
    ("version", "settings", "says", "do"),
    [
        ((3, 0, 11), None, "Prefect has plugins since 3.4.24 only", ""),
        ((3, 4, 23), None, "Prefect has plugins since 3.4.24 only", ""),
        (
            (3, 6, 10),
            SETTINGS,
            "PREFECT_EXPERIMENTS_PLUGINS_ENABLED is not set",
            "export PREFECT_EXPERIMENTS_PLUGINS_ENABLED=1",
        ),
        ((3, 8, 8), SETTINGS, "PREFECT_PLUGINS_ENABLED is not set", "export PREFECT_PLUGINS_ENABLED=1"),
        (
            (3, 8, 8),
            SETTINGS | {"enabled": True, "allow": ["other"]},
            "PREFECT_PLUGINS_ALLOW leaves it out",
            "export PREFECT_PLUGINS_ALLOW=other,openlineage-bridge",
        ),
    ],
)
def test_why_the_plugin_is_not_loaded(monkeypatch, version, settings, says, do):
    """In the words of the version that is installed."""
    monkeypatch.setattr(prefect_doctor, "_installed", lambda: version)

    assert (says, do) == prefect_doctor._why_no_plugin(settings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3.8.8", (3, 8, 8)), ("3.4.24rc1", (3, 4, 24)), ("3.7.0.dev2+abc", (3, 7, 0)), ("unknown", ())],
)
def test_version_numbers(text, expected):
    """Pre-releases and local parts do not matter here."""
    assert expected == checks.numbers(text)


def _installed(version):
    def of(_distribution):
        if not version:
            raise PackageNotFoundError
        return version

    return of


@pytest.mark.parametrize(
    ("version", "state"),
    [("2.20.9", "problem"), ("3.0.0", "ok"), ("3.99.1", "ok"), ("4.0.0", "problem"), ("", "problem")],
)
def test_supported_versions(monkeypatch, version, state):
    """From 3.0 to before 4; without Prefect the advice is to ask another interpreter."""
    monkeypatch.setattr(checks, "version", _installed(version))

    assert state == checks.supported(prefect_doctor.PREFECT).state


def test_a_method_that_changed_is_a_problem():
    """What the self-check found stands in the findings, one by one, with what helps meanwhile."""
    facts = {
        "active": True,
        "observed": [],
        "problems": ["prefect.flow_engine.FlowRunEngine.set_state: gone"],
    }
    [finding] = prefect_doctor._self_check(facts)

    assert ("problem", "openlineage-bridge prefect watch") == (finding.state, finding.do)
    assert finding.says.startswith(f"{facts['problems'][0]}; ")


def test_methods_that_are_wrapped_are_known_by_module():
    """Four engines and two clients, as the self-check counts them."""
    found = [
        each for module in (*wrapping.ENGINES, *wrapping.CLIENTS) for each in wrapping.methods_of(module)
    ]

    assert ["set_state"] * 4 + ["set_flow_run_state"] * 2 == [method for _, method in found]
