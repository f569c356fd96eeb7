"""The real thing: Dagster's daemon and code server, runs in processes of their own, events over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bridge_tests.backend import running

SHOP = Path(__file__).with_name("shop_location.py")
BOUND = 100.0
"""Seconds that the launching, and then the lineage, may take."""


@pytest.fixture
def receiver():
    with running() as backend:
        yield backend


@pytest.fixture
def environment(tmp_path, receiver, empty_home):
    """The environment of everything Dagster starts: a home of its own, and the backend."""
    home = tmp_path / "home"
    shutil.copytree(empty_home, home)  # daemon and command line would create the databases at the same moment
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\nrun_queue: {dequeue_interval_seconds: 1}\n"
    )
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("OPENLINEAGE", "DAGSTER"))
    }
    return {
        **inherited,
        "DAGSTER_HOME": str(home),
        "SHOP_FILE": str(tmp_path / "shop.duckdb"),
        "REPORT_FILE": str(tmp_path / "report.duckdb"),
        "OPENLINEAGE_URL": receiver.url,
    }


@pytest.fixture
def workspace(tmp_path):
    file = tmp_path / "workspace.yaml"
    file.write_text(f"load_from:\n  - python_file: {{relative_path: {SHOP}, location_name: shop}}\n")
    return file


def command(name):
    return str(Path(sys.executable).with_name(name))


@pytest.fixture
def daemon(tmp_path, environment, workspace):
    """Dagster's daemon in a session of its own, which starts the code server; ended with all it started."""
    with (tmp_path / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [command("dagster-daemon"), "run", "-w", str(workspace)],
            env=environment,
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        yield process
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def launch(jobs, environment, workspace, cwd):
    """Launch jobs as a user does, from the command line, at the same time."""
    launched = [
        subprocess.Popen(
            [command("dagster"), "job", "launch", "-w", str(workspace), "-j", job],
            env=environment,
            cwd=cwd,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for job in jobs
    ]
    assert [0] * len(jobs) == [process.wait(BOUND) for process in launched]


def summary(event):
    return event["eventType"], event["job"]["name"]


def lineage_of(events, job_name):
    """Inputs and outputs that the events of a job name all in all, without facets."""

    def names(side):
        return {
            (dataset["namespace"], dataset["name"])
            for event in events
            if event["job"]["name"] == job_name
            for dataset in event[side]
        }

    return names("inputs"), names("outputs")


@pytest.mark.timeout(240)
def test_a_daemon_a_code_server_and_runs_of_their_own(daemon, environment, workspace, receiver, tmp_path):
    """From assets and an op on a DuckDB file to lineage over HTTP, with nothing but the sensor in the user's code.

    A table that an asset key names and the same table seen in captured SQL are one dataset.
    """
    launch(["nightly", "reporting"], environment, workspace, tmp_path)

    ends = {("COMPLETE", "shop.nightly"), ("COMPLETE", "shop.reporting")}
    runs = lambda: [
        event for event in receiver.events if "run" in event
    ]  # the declared graph has tests of its own
    assert receiver.wait_for(lambda: ends <= set(map(summary, runs())), BOUND), runs()
    events = runs()

    namespace = f"duckdb://{environment['SHOP_FILE']}"
    raw, orders = ((namespace, f"shop.main.{table}") for table in ("raw_orders", "orders"))
    total = (f"duckdb://{environment['REPORT_FILE']}", "report.main.total")
    step = "shop.nightly.prod__duckdb__shop__main__"
    assert (set(), {raw}) == lineage_of(events, f"{step}raw_orders")
    assert ({raw}, {orders}) == lineage_of(events, f"{step}orders")
    said = {("s3://landing", "orders.csv")}, {total, ("s3://reports", "daily.csv")}
    assert said == lineage_of(events, "shop.reporting.report")
    [complete] = [event for event in events if summary(event) == ("COMPLETE", f"{step}orders")]
    [output] = complete["outputs"]
    assert {"id", "amount"} == set(output["facets"]["columnLineage"]["fields"])
    assert [owner["name"] for owner in output["facets"]["ownership"]["owners"]] == ["team:data"]
    assert len(events) == len({json.dumps(event, sort_keys=True) for event in events})
    assert daemon.poll() is None
