"""``openlineage-bridge dagster`` as it is typed: real processes on a real DAGSTER_HOME, events over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from bridge_tests.backend import running
from bridge_tests.dagster_jobs import EVENTS_OF_SINGLE, single
from click.testing import CliRunner
from dagster import DagsterInstance
from openlineage.client.serde import Serde

from openlineage_bridge_dagster import graph, process
from openlineage_bridge_dagster.assets import definitions_of
from openlineage_bridge_dagster.commands import dagster
from openlineage_bridge_dagster.reading import Reader
from openlineage_bridge_dagster.repository import repository_of

pytestmark = pytest.mark.system

BOUND = 40.0
PROGRAM = "from openlineage_bridge_dagster.commands import dagster; dagster()"


@pytest.fixture
def receiver():
    with running() as backend:
        yield backend


@pytest.fixture
def home(tmp_path, empty_home):
    folder = tmp_path / "home"
    shutil.copytree(empty_home, folder)
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return folder


@pytest.fixture
def environment(monkeypatch, tmp_path, home, receiver):
    """For processes, and for commands in this one."""
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OPENLINEAGE_URL", receiver.url)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.fixture
def happen(environment):
    """Makes runs in the instance."""

    def run(times=1):
        with DagsterInstance.get() as instance:
            return [single.execute_in_process(instance=instance).run_id for _ in range(times)]

    return run


@pytest.fixture
def start(environment):
    """Starts commands; ends what is left of them."""
    started = []

    def command(*arguments):
        one_more = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(one_more)
        return one_more

    yield command
    for each in started:
        if each.poll() is None:
            each.kill()
        each.communicate(timeout=BOUND)


@pytest.fixture
def invoke(environment):
    """Runs a command in this process, its signals and log left as they were."""
    environment.setattr("openlineage_bridge_dagster.commands.stop_on_signals", threading.Event)
    environment.setattr("openlineage_bridge_dagster.commands.log_to_stderr", lambda: None)
    environment.setattr(process.Reload, "on_hangup", lambda _self: None)

    def run(*arguments):
        return CliRunner().invoke(dagster, arguments)

    return run


def without_client_tags(line):
    """The client adds its own version to what it sends."""
    event = json.loads(line)
    event["run"]["facets"].pop("tags", None)
    return event


def until(line, child):
    """Read what a process says up to a line."""
    for said in child.stderr:
        if line in said:
            return
    pytest.fail(f"it never said {line!r}")


def test_a_tail_survives_whatever_ends_it(start, happen, receiver):
    """Outages, ``kill -9`` and SIGTERM: everything arrives, nothing that was kept is sent again, one at a time."""
    receiver.status = 503
    first = start("tail", "--since", "2020-01-01")
    until("Tailing", first)
    happen()
    receiver.status = 200
    assert receiver.wait_for(lambda: len(receiver.events) >= EVENTS_OF_SINGLE, BOUND)
    second = start("tail")
    assert 2 == second.wait(BOUND)
    assert "--state" in second.stderr.read()
    first.kill()
    first.wait(BOUND)
    happen()

    third = start("tail")
    assert receiver.wait_for(lambda: len(receiver.events) >= 2 * EVENTS_OF_SINGLE, BOUND)
    third.send_signal(signal.SIGTERM)
    assert 0 == third.wait(10)
    done = start("tail", "--once")

    assert 0 == done.wait(BOUND)
    assert 2 * EVENTS_OF_SINGLE == len(set(receiver.lines))


def test_a_backend_that_hangs_does_not_hold_up_the_end(start, happen, environment):
    """SIGTERM ends it within ten seconds, and what hung is sent at the next start."""
    happen()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        hanging = start("tail", "--since", "2020-01-01")
        silent.settimeout(BOUND)
        connection, _ = silent.accept()
        with connection:
            began = time.monotonic()
            hanging.send_signal(signal.SIGTERM)
            assert 0 == hanging.wait(10)
            assert time.monotonic() - began < 10


def test_catching_up_is_for_cron(invoke, happen, receiver):
    """Delivers, leaves, and has nothing to do the next time; with exit code 4 while the backend is away."""
    happen(2)
    receiver.status = 503
    away = invoke("tail", "--once", "--since", "2020-01-01")
    receiver.status = 200
    first, second = (invoke("tail", "--once") for _ in range(2))

    assert [4, 0, 0] == [away.exit_code, first.exit_code, second.exit_code]
    assert "does not take events" in away.stderr
    assert "8 events sent" in first.stderr
    assert "0 events sent" in second.stderr
    assert 2 * EVENTS_OF_SINGLE == len(receiver.events)


def test_a_backfill_and_its_dry_run_say_the_same(invoke, happen, receiver):
    """To the backend, or one event per line; nothing but events on stdout."""
    happen(2)
    dry = invoke("backfill", "--since", "2020-01-01", "--dry-run")
    assert [] == receiver.events
    real = invoke("backfill", "--since", "2020-01-01")
    again = invoke("backfill", "--since", "2020-01-01", "--job", "single")

    assert [0, 0, 0] == [dry.exit_code, real.exit_code, again.exit_code]
    printed = [without_client_tags(line) for line in dry.stdout.splitlines()]
    assert 2 * printed == [without_client_tags(event) for event in receiver.lines]
    assert "" == real.stdout
    assert "2 runs, 8 events sent" in real.stderr


def test_some_runs_by_their_ids(invoke, happen, receiver):
    _, wanted = happen(2)

    done = invoke("backfill", "--run-id", wanted)

    assert 0 == done.exit_code
    assert wanted in {event["run"]["runId"] for event in receiver.events}
    assert EVENTS_OF_SINGLE == len(receiver.events)


def test_what_the_backend_refuses_shows_in_the_exit_code(invoke, happen, receiver):
    happen()
    receiver.status = 422

    done = invoke("backfill", "--since", "2020-01-01")

    assert 3 == done.exit_code
    assert "4 refused" in done.stderr


@pytest.mark.parametrize(
    ("variables", "arguments", "says"),
    [
        ({}, ["backfill"], "--since, or --run-id"),
        ({}, ["backfill", "--since", "yesterday"], "yesterday"),
        ({}, ["tail", "-w", "nowhere.yaml"], "nowhere.yaml"),
        ({"OPENLINEAGE_URL": ""}, ["tail", "--once"], "OPENLINEAGE_URL"),
        ({"OPENLINEAGE_URL": ""}, ["backfill", "--since", "2026-01-01"], "OPENLINEAGE_URL"),
        ({"DAGSTER_HOME": ""}, ["tail", "--once"], "DAGSTER_HOME"),
        ({"DAGSTER_HOME": "/no/such/folder"}, ["backfill", "--since", "2026-01-01"], "DAGSTER_HOME"),
        ({}, ["lineage", "--dry-run"], "where the code is"),
        ({"OPENLINEAGE_BRIDGE_DAGSTER_STATIC_LINEAGE": "perhaps"}, ["tail", "--once"], "on or off"),
        ({"OPENLINEAGE_BRIDGE_DAGSTER_NAMESPACES": "[]"}, ["tail", "--once"], "JSON object"),
        ({"OPENLINEAGE_BRIDGE_DAGSTER_DATASET_OF": "nowhere:f"}, ["tail", "--once"], "nowhere:f"),
    ],
)
def test_usage(invoke, environment, variables, arguments, says):
    """What is asked wrongly is refused with code 2, on stderr, in a sentence."""
    for name, value in variables.items():
        environment.setenv(name, value)

    done = invoke(*arguments)

    assert (2, "") == (done.exit_code, done.stdout)
    assert says in done.stderr


@pytest.mark.parametrize("command", ["tail", "backfill"])
def test_a_state_of_something_else_is_refused(invoke, happen, tmp_path, command):
    """And left as it is."""
    state = tmp_path / "state.json"
    state.write_text('{"version": 7}')

    done = invoke(command, "--state", str(state), "--since", "2020-01-01")

    assert 2 == done.exit_code
    assert "state.json" in done.stderr
    assert '{"version": 7}' == state.read_text()


def test_a_workspace_adds_what_the_log_does_not_say(invoke, environment, tmp_path, receiver):
    """Loaded by code servers, which are gone when the command is; a module's file in the working directory is found."""
    (tmp_path / "tailed_shop.py").write_text(
        "from dagster import *\n"
        "@asset(owners=['team:data'])\n"
        "def orders(): ...\n"
        "defs = Definitions(assets=[orders])\n"
    )
    from dagster import asset, materialize

    @asset
    def orders():
        return None

    with DagsterInstance.get() as instance:
        materialize([orders], instance=instance)

    done = invoke("backfill", "--since", "2020-01-01", "-m", "tailed_shop", "-d", str(tmp_path))

    assert 0 == done.exit_code
    assert "1 assets are defined" in done.stderr
    assert any('"team:data"' in line for line in receiver.lines)


DECLARING = """
from dagster import *
@asset(owners=["team:data"], code_version="7")
def raw() -> None: ...
@op
def keep(x): return x
@graph_asset(ins={"raw": AssetIn()})
def orders(raw):
    return keep(raw)
@asset_check(asset=raw)
def full(): return AssetCheckResult(passed=True)
defs = Definitions(assets=[raw, orders], asset_checks=[full], jobs=[define_asset_job("nightly", "*")])
"""


def test_the_declared_graph(invoke, environment, tmp_path, receiver):
    """A command tells it, and the tailer once for its code: both what the sensor in the code's own process tells."""
    file = tmp_path / "declaring.py"
    file.write_text(DECLARING)

    dry = invoke("lineage", "-f", str(file), "--dry-run")
    once = [invoke("tail", "--once", "-f", str(file)).exit_code for _ in range(2)]

    assert [0, 0] == once
    assert 0 == dry.exit_code
    assert "2 assets are defined" in dry.stderr
    assert "6 events sent" in dry.stderr
    assert sorted(map(timeless, dry.stdout.splitlines())) == sorted(map(timeless, receiver.lines))
    names: dict[str, Any] = {}
    exec(DECLARING, names)
    here = repository_of(names["defs"].get_repository_def(), "declaring.py")
    reader = Reader(definitions=definitions_of(names["defs"].get_repository_def()))
    told = map(Serde.to_json, graph.events(here, reader, reader.assets(), 0.0))
    with DagsterInstance.get() as reader.instance:
        assert sorted(map(timeless, told)) == sorted(map(timeless, receiver.lines))


def test_the_declared_graph_without_an_instance(invoke, environment, tmp_path):
    """As in a build, where code is there and nothing has run; code that cannot be loaded shows in the exit code."""
    environment.delenv("DAGSTER_HOME")
    (tmp_path / "declaring.py").write_text(DECLARING)
    (tmp_path / "broken.py").write_text("raise ValueError('no')")

    done = invoke(
        "lineage", "-f", str(tmp_path / "declaring.py"), "-f", str(tmp_path / "broken.py"), "--dry-run"
    )

    assert 3 == done.exit_code
    assert 6 == len(done.stdout.splitlines())
    assert "DAGSTER_HOME is not set" in done.stderr
    assert "broken.py cannot be loaded" in done.stderr


def timeless(line):
    """An event without the time at which it was said; what the client adds on the way is no part of it either."""
    event = json.loads(line)
    del event["eventTime"]
    return json.dumps(event, sort_keys=True)


def test_the_commands_are_light():
    """``--help`` imports neither Dagster nor the client."""
    code = f"import sys\ntry:\n    {PROGRAM}\nexcept SystemExit:\n    print(*sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, "tail", "--help"],
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=True,
    )

    assert "openlineage-bridge dagster tail" in done.stdout
    assert not {"dagster", "openlineage", "sqlalchemy", "yaml"} & {*done.stderr.split()}


CAPTURED = """
import {first}
import {second}
from dagster import job, op
from openlineage_bridge_capture import Dataset, inputs

@op
def reading():
    inputs(Dataset("x", "a"))

@job
def single():
    reading()

single.execute_in_process()
"""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("openlineage_bridge_dagster", "dagster"),
        ("dagster", "openlineage_bridge_dagster"),
    ],
)
def test_importing_the_package_arms_capture(first, second):
    """Whichever comes first."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENLINEAGE", "DAGSTER_HOME"))}
    done = subprocess.run(
        [sys.executable, "-c", CAPTURED.format(first=first, second=second)],
        env={**environment, "DAGSTER_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=True,
    )

    assert 1 == done.stderr.count("openlineage-bridge: what this step read and wrote")
