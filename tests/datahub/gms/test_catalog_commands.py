"""`diff` and `redeliver`, and several destinations, as the user meets them: a store, a DataHub, and a running bridge."""

from __future__ import annotations

import json
import sys
import urllib.request
from importlib import import_module

import pytest

from openlineage_bridge.store import Store
from openlineage_bridge_datahub.sinks.comparison import differences

loads, loopback = import_module("bridge_tests.loads"), import_module("bridge_tests.loopback")
FLOW = "urn:li:dataFlow:(prefect,flow0,PROD)"


@pytest.fixture
def store(delivered):
    """A store that was delivered to this DataHub."""
    return delivered(*(body for _, body in loads.runs(3, 2)))


# --- diff -----------------------------------------------------------------------------------------------------------


def test_a_datahub_that_has_everything(run, gms, store):
    """Timeseries aspects, and lists to which it was only added, included."""
    code, out, _ = run("diff", "--store", store)

    assert 0 == code
    assert f"{len(gms.state):>8,}  as they should be\n" == out


def test_what_is_missing_different_or_others(run, gms, store):
    """By name, with the place where it differs; what others wrote about datasets is no difference."""
    dataset = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.public.s1,PROD)"
    gms.write(FLOW, "dataFlowInfo", {"name": "renamed"})
    properties = {"name": "theirs", "customProperties": {}, "tags": []}
    gms.write(dataset, "datasetProperties", properties)
    code, out, _ = run("diff", "--store", store, "--format", "json")
    found = json.loads(out)

    assert 3 == code
    assert [(FLOW, "dataFlowInfo", "different", ["/name"])] == [
        (each["entityUrn"], each["aspectName"], each["state"], each["paths"]) for each in found["aspects"]
    ]
    assert {"equal": len(gms.state) - 2, "different": 1, "others": 1} == found["counts"]


def test_a_datahub_that_was_rebuilt(run, gms, store, deliver_once):
    """Lacks everything, as its operator is told; `redeliver` and the next delivery bring it back."""
    before = gms.state
    gms.reset()
    code, out, _ = run("diff", "--store", store, "--format", "jsonl")
    assert (3, {"missing"}) == (code, {json.loads(line)["state"] for line in out.splitlines()})
    assert len(before) == len(out.splitlines())

    code, out, _ = run("redeliver", "--all", "--store", store)
    assert (0, f"{gms.url}: {len(before):,} to be delivered\n") == (code, out)
    with Store(store) as opened:
        deliver_once(opened)
    assert before == gms.state


def test_one_entity(run, gms, store):
    """Is compared alone, and sent again alone."""
    gms.write(FLOW, "dataFlowInfo", {"name": "renamed"})

    assert 3 == run("diff", FLOW, "--store", store)[0]
    assert 0 == run("diff", "urn:li:tag:other", "--store", store)[0]
    code, out, _ = run("redeliver", FLOW, "--store", store, "--format", "json")
    assert (0, [gms.url]) == (code, list(json.loads(out)))
    assert next(iter(json.loads(out).values())) <= 3


def test_status_tells_what_a_destination_last_said(run, gms, store, deliver_once):
    """In plain words: how much it lacks, for how long, how often it would not, and why."""
    gms.order(faults=[{"status": 401}])
    run("redeliver", FLOW, "--store", store)
    with Store(store) as opened:
        assert deliver_once(opened)
    _, said, _ = run("status", "--store", store)
    [line] = [line for line in said.splitlines() if gms.url in line]

    assert line.startswith(f"  to {gms.url}: 2 aspects behind, the oldest for 0:0")
    assert "it would not have them once: DataHub does not accept the token: set datahub.token" in line


def test_mistakes_are_told(run, gms, store, free_port, monkeypatch):
    """In words, with the exit code for it."""
    code, _, said = run("redeliver", "--store", store)
    assert (2, "openlineage-bridge: say what: URNs, or --all\n") == (code, said)
    assert 2 == run("redeliver", "urn:li:nothing", "--store", store)[0]
    assert 2 == run("redeliver", "--all", "--to", "nobody", "--store", store)[0]
    assert 2 == run("diff", "--to", "nobody", "--store", store)[0]
    monkeypatch.setenv("DATAHUB_GMS_URL", f"http://127.0.0.1:{free_port}")
    assert 4 == run("diff", "--store", store)[0]


@pytest.mark.parametrize(
    ("ours", "theirs", "adds", "paths"),
    [
        ({"a": 1}, {"a": 1.0, "b": 2}, False, []),
        ({"a": 1}, {"a": 2}, False, ["/a"]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1]}}, False, ["/a/b/1"]),
        ({"a": [], "b": {}, "c": None}, {}, False, []),
        ({"a": ""}, {}, False, ["/a"]),
        ({"a": []}, {"a": [1]}, False, ["/a/0"]),
        ({"a": [{"x": 1}]}, {"a": [{"x": 2}, {"x": 1, "y": 3}]}, True, []),
        ({"a": [{"x": 1}]}, {"a": [{"x": 2}]}, True, ["/a/0"]),
        ([1], {"a": 1}, False, ["/"]),
    ],
)
def test_differences(ours, theirs, adds, paths):
    """What GMS has besides, as defaults or from others, is none."""
    assert paths == list(differences(ours, theirs, adds=adds))


# --- a running bridge with several destinations -------------------------------------------------------------------------


class Marquez(loopback.Handler):
    def do_POST(self):
        self.server.seen.append(self.body())
        self.reply(b"", 201)


@pytest.mark.system
def test_a_bridge_with_two_datahubs_and_a_marquez(gms, tmp_path, run, serving):
    """Each gets what it takes; `status` and the metrics name each; `redeliver --url` reaches a running bridge."""
    export = tmp_path / "out" / "proposals.json"
    with loopback.serving(Marquez, seen=[]) as marquez:
        config = tmp_path / "openlineage-bridge.yml"
        config.write_text(
            json.dumps(
                {
                    "store": str(tmp_path / "bridge.db"),
                    "server": {"port": 0},
                    "datahub": {"sink": "rest", "server": gms.url},
                    "destinations": {
                        "export": {"sink": "file", "path": str(export)},
                        "marquez": {"sink": "openlineage", "url": marquez.url},
                    },
                }
            )
        )
        url = serving(config)
        bodies = [body for _, body in loads.runs(3, 2)]
        batch = b"[" + b",".join(bodies) + b"]"
        headers = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{url}/api/v1/lineage", batch, headers)).close()

        def figures() -> dict:
            return json.loads(run("status", "--store", str(tmp_path / "bridge.db"), "--format", "json")[1])

        wait = import_module("bridge_tests.waiting").wait_until
        wait(
            lambda: (
                figures()["inbox_events"] == 0
                and not any(d["waiting"] for d in figures()["destinations"].values())
            )
        )
        held = len(gms.state)
        assert bodies == marquez.seen
        assert held == len(json.loads(export.read_bytes()))
        assert {"datahub": "aspects", "export": "aspects", "marquez": "events"} == {
            name: each["takes"] for name, each in figures()["destinations"].items()
        }

        gms.reset()
        code, out, _ = run("redeliver", "--all", "--to", "datahub", "--url", url)
        assert (0, f"datahub: {held:,} to be delivered\n") == (code, out)
        wait(lambda: len(gms.state) == held)
        assert held == len(json.loads(export.read_bytes()))
        metrics = urllib.request.urlopen(f"{url}/metrics").read().decode()
        assert 'olbridge_destination_waiting{destination="marquez"} 0.0' in metrics
        assert "to datahub: has all aspects" in run("status", "--store", str(tmp_path / "bridge.db"))[1]


@pytest.fixture
def serving():
    """Starts `openlineage-bridge serve` with a configuration; its address."""
    import re
    import subprocess

    started = []

    def start(config) -> str:
        command = [sys.executable, "-m", "openlineage_bridge", "serve", "--config", str(config)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        started.append(process)
        for line in process.stderr:
            if address := re.search(r"http://127\.0\.0\.1:\d+", line):
                return address[0]
        raise AssertionError("it did not start")

    yield start
    for process in started:
        process.terminate()
        process.stderr.close()
        process.wait(20)
