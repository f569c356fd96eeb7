"""Each command does what its help says: data on stdout, all else on stderr, an exit code that can be relied on."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest

from openlineage_bridge.store import Store


def exported(run, store) -> bytes:
    said = run("export", "--store", store, "--output", "-")
    assert said.code == 0
    return said.raw


# --- replay ---------------------------------------------------------------------------------------------------------


def test_replay_says_what_it_did(run, shop):
    """On stderr; stdout stays free for data."""
    said = run("replay", shop, "--store", "bridge.db")

    assert (0, "") == (said.code, said.out)
    assert "4 events from 1 file in " in said.err
    assert ": 4 new, 0 known already, 0 refused\n" in said.err


def test_replay_twice_and_shuffled(run, shop, tmp_path):
    """Is the same: repetition and order change nothing."""
    run("replay", shop, "--store", "one.db")
    again = run("replay", shop, "--store", "one.db")
    lines = shop.read_bytes().splitlines()
    (tmp_path / "shuffled.jsonl").write_bytes(b"\n".join(random.Random(1).sample(lines, len(lines))))
    run("replay", "shuffled.jsonl", shop, "--store", "other.db")

    assert ": 0 new, 4 known already, 0 refused\n" in again.err
    assert exported(run, "one.db") == exported(run, "other.db")
    assert len(json.loads(exported(run, "one.db"))) > 20


def test_replay_of_standard_input(run, shop):
    """``-`` is a file like any other."""
    run("replay", "-", "--store", "one.db", stdin=shop.read_bytes())
    run("replay", shop, "--store", "other.db")

    assert exported(run, "one.db") == exported(run, "other.db")


def test_replay_with_refusals(run, write, world):
    """Finished, code 3: what was refused is listed with its place and kept, the rest is in."""
    path = write(world.run_event(), b"nonsense", b'{"job":{}}', world.run_event(run=1))
    said = run("replay", path, "--store", "bridge.db", "--format", "json")

    assert 3 == said.code
    assert (4, 2, 0) == tuple(said.json[key] for key in ("events", "new", "known"))
    assert [f"{path}:2", f"{path}:3"] == [each["where"] for each in said.json["rejected"]]
    assert (
        "no identity: job.namespace and job.name must be a text that is not empty"
        == said.json["rejected"][1]["reason"]
    )


def test_replay_tells_of_lenient_readings(run, write, world):
    """With their place; code 0, nothing was lost."""
    path = write(world.run_event() | {"eventTime": "2024-01-01T00:00:00"})
    said = run("replay", path, "--store", "bridge.db")

    assert 0 == said.code
    assert f"{path}:1: eventTime '2024-01-01T00:00:00' has no zone and is read as UTC" in said.err


def test_replay_while_another_has_the_store(run, shop):
    """Code 1, and the sentence names the other."""
    with Store("bridge.db"):
        said = run("replay", shop, "--store", "bridge.db")

    assert (1, "") == (said.code, said.out)
    assert said.err.startswith(
        "openlineage-bridge: bridge.db is open in another openlineage-bridge (process "
    )


# --- translate ------------------------------------------------------------------------------------------------------


def test_translate_prints_proposals(run, shop, tmp_path):
    """One JSON object a line and nothing else on stdout; nothing is kept."""
    said = run("translate", shop)

    assert (0, "") == (said.code, said.err)
    assert {("aspect", "aspectName", "changeType", "entityType", "entityUrn")} == {
        tuple(sorted(each)) for each in said.lines
    }
    assert {"UPSERT"} == {each["changeType"] for each in said.lines}
    assert [shop] == list(tmp_path.iterdir())


def test_translate_equals_replay_and_export(run, shop):
    """The same proposals, offline."""
    run("replay", shop, "--store", "bridge.db")

    assert json.loads(exported(run, "bridge.db")) == run("translate", shop).lines


def test_translate_with_refusals(run, write, world):
    """Code 3; stdout stays one JSON object a line."""
    said = run("translate", write(b"nonsense", world.run_event()))

    assert 3 == said.code
    assert "events.jsonl:1: not JSON: " in said.err
    assert len(said.lines) > 3


def test_translate_into_a_reader_that_leaves(write, world, table):
    """``| head -1`` is no error."""
    path = write(
        *(world.run_event(f"job{number}", number, inputs=[table(f"t{number}")]) for number in range(300))
    )
    command = [sys.executable, "-m", "openlineage_bridge", "translate", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout.readline().startswith(b"{")
        child.stdout.close()
        error = child.stderr.read()
        child.wait(30)

    assert (0, b"") == (child.returncode, error)


# --- export ---------------------------------------------------------------------------------------------------------


def test_export_writes_an_array(run, shop, tmp_path):
    """To a file, with the count on stderr."""
    run("replay", shop, "--store", "bridge.db")
    said = run("export", "--store", "bridge.db", "--output", "out.json")
    proposals = json.loads((tmp_path / "out.json").read_bytes())

    assert (0, "", f"{len(proposals)} proposals written\n") == (said.code, said.out, said.err)


def test_export_of_nothing(run):
    """Is an empty array."""
    Store("bridge.db").close()

    assert b"[]\n" == exported(run, "bridge.db")


@pytest.mark.parametrize(
    "command", [["status"], ["export", "-o", "-"], ["lineage", "x"], ["quarantine", "list"]]
)
def test_without_a_store(run, tmp_path, command):
    """Code 1, what to do, and no store made by looking."""
    said = run(*command, "--store", "nowhere.db")

    assert (1, "") == (said.code, said.out)
    assert "there is no store at nowhere.db: name one with --store" in said.err
    assert [] == list(tmp_path.iterdir())


# --- explain --------------------------------------------------------------------------------------------------------


def test_explain(run):
    """The URN, the rule, and each step."""
    said = run("explain", "postgres://h:5432", "db.s.orders")

    assert (0, "") == (said.code, said.err)
    urn, rule, *steps = said.out.splitlines()
    assert "urn:li:dataset:(urn:li:dataPlatform:postgres,db.s.orders,PROD)" == urn
    assert rule.startswith("  rule: postgres")
    assert [f"  {number}." for number in range(1, len(steps) + 1)] == [step[:4] for step in steps]


def test_explain_as_json(run):
    """The same for programs."""
    said = run("explain", "postgres://h:5432", "db.s.orders", "--format", "json")

    assert {"urn", "platform", "rule", "steps"} == said.json.keys()
    assert "postgres" == said.json["platform"]


def test_explain_what_has_no_name(run):
    """Says so, and why."""
    said = run("explain", "inmemory://", "x")

    assert 0 == said.code
    assert "no acceptable URN exists for this dataset" in said.out
    assert run("explain", "inmemory://", "x", "--format", "json").json["urn"] is None


# --- status ---------------------------------------------------------------------------------------------------------


def test_status_as_json(run, shop):
    """Every figure, and the newest runs."""
    run("replay", shop, "--store", "bridge.db")
    status = run("status", "--store", "bridge.db", "--format", "json").json

    assert {"events": 4, "inbox_events": 0, "jobs": 2, "datasets": 4, "runs": {"COMPLETE": 1, "FAIL": 1}} == {
        key: status[key] for key in ("events", "inbox_events", "jobs", "datasets", "runs")
    }
    assert status["aspects"] == status["outbox_aspects"] > 0
    assert [("report", "FAIL", "no disk"), ("load", "COMPLETE", None)] == [
        (each["name"], each["state"], each["error"]) for each in status["newest_runs"]
    ]


def test_status_as_text(run, shop):
    """For people; how many runs is a choice."""
    run("replay", shop, "--store", "bridge.db")
    said = run("status", "--store", "bridge.db", "--runs", "1")

    assert "Store bridge.db" in said.out
    assert "2024-01-01 00:00:09" in said.out
    assert "ns report" in said.out
    assert "ns load" not in said.out


def test_status_beside_a_writer(run, shop):
    """Reading needs no lock."""
    run("replay", shop, "--store", "bridge.db")
    with Store("bridge.db"):
        assert 0 == run("status", "--store", "bridge.db").code


# --- retranslate ----------------------------------------------------------------------------------------------------


def test_retranslate_after_a_change_of_configuration(run, shop, tmp_path):
    """The new environment stands in every URN, the old one in none."""
    run("replay", shop, "--store", "bridge.db")
    (tmp_path / "new.yml").write_text("translator: datahub\ndatahub: {env: DEV}\n")
    said = run("retranslate", "--store", "bridge.db", "--config", "new.yml")
    after = exported(run, "bridge.db").decode()

    assert (0, "") == (said.code, said.out)
    assert "db.s.orders,DEV)" in after
    assert ",PROD)" not in after
