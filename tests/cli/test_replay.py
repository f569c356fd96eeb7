"""``replay`` as its user meets it: what it takes, what it shows before, while and after, and how it ends."""

from __future__ import annotations

import gzip
import json
import os
import pty
import re
import subprocess
import sys
import time

import pytest

from openlineage_bridge.changes import Kind, changes
from openlineage_bridge.cli import progress
from openlineage_bridge.cli.moments import microseconds
from openlineage_bridge.receivers.files import Reading
from openlineage_bridge.replay import Tally
from openlineage_bridge.store import Store
from openlineage_bridge.translation import Proposal

COMMAND = [sys.executable, "-m", "openlineage_bridge"]


@pytest.fixture
def later(write, world, table):
    """Events of the shop, a day later: a new job, and another source of an old one."""
    return write(
        world.run_event("load", 5, 86400, "COMPLETE", inputs=[table("raw2")], outputs=[table("orders")]),
        world.run_event("extra", 6, 86400, "COMPLETE", outputs=[table("other")]),
        name="later.jsonl",
    )


# --- dry run --------------------------------------------------------------------------------------------------------


def test_dry_run_shows_what_would_change(run, shop, later, tmp_path):
    """Entity by entity, with what is otherwise in an aspect; nothing is kept."""
    run("replay", shop, "--store", "bridge.db")
    before = run("export", "--store", "bridge.db", "--output", "-").raw
    said = run("replay", later, "--store", "bridge.db", "--dry-run")
    lines = said.out.splitlines()

    assert 0 == said.code
    assert any(re.fullmatch(r"  ~ dataJobInputOutput: .*\+1 -1.*", line) for line in lines)
    assert any(line.startswith("urn:li:dataJob:") and "extra" in line for line in lines)
    assert re.fullmatch(r"\d+ entities, aspects: \d+ added, \d+ changed(, \d+ removed)?", lines[-1])
    assert "nothing was kept and nothing was sent" in said.err
    assert before == run("export", "--store", "bridge.db", "--output", "-").raw


def test_dry_run_as_json(run, shop, later):
    """Each change with what is held before and after; together they are what a replay makes of the store."""
    run("replay", shop, "--store", "bridge.db")
    held = {key(each): each for each in run("export", "--store", "bridge.db", "--output", "-").json}
    told = run("replay", later, "--store", "bridge.db", "--dry-run", "--format", "json").json
    run("replay", later, "--store", "bridge.db")
    holds = {key(each): each for each in run("export", "--store", "bridge.db", "--output", "-").json}

    changed = {each for each in {*held, *holds} if held.get(each) != holds.get(each)}
    assert changed == {key(each) for each in told}
    assert {"added", "changed"} == {each["change"] for each in told}
    for each in told:
        assert each["after"] == holds[key(each)]["aspect"]["json"]
        assert each["before"] == (held[key(each)]["aspect"]["json"] if key(each) in held else None)


def key(each: dict) -> tuple:
    moment = each.get("timestampMillis") or each.get("aspect", {}).get("json", {}).get("timestampMillis")
    return each["entityUrn"], each["aspectName"], moment


@pytest.mark.parametrize("form", ["text", "json"])
def test_dry_run_of_what_is_known(run, shop, form):
    """Would change nothing, and says so."""
    run("replay", shop, "--store", "bridge.db")
    said = run("replay", shop, "--store", "bridge.db", "--dry-run", "--format", form)

    assert (0, "nothing would change" if form == "text" else "[]") == (said.code, said.out.strip())


def test_dry_run_with_refusals(run, write):
    """Tells what would be refused, and keeps nothing of it; code 3."""
    said = run("replay", write(b"nonsense"), "--store", "bridge.db", "--dry-run")

    assert 3 == said.code
    assert "would be refused:" in said.err
    assert "quarantine" not in said.err


def test_dry_run_without_a_store(run, shop, tmp_path):
    """Is against an empty one, and makes none."""
    said = run("replay", shop, "--store", "bridge.db", "--dry-run")

    assert 0 == said.code
    assert " changed" not in said.out
    assert [shop] == list(tmp_path.iterdir())


def test_dry_run_beside_a_writer(run, shop):
    """A running bridge is not in the way."""
    with Store("bridge.db"):
        assert 0 == run("replay", shop, "--store", "bridge.db", "--dry-run").code


def proposal(urn: str, name: str, value: object, moment: int | None = None) -> Proposal:
    return Proposal("dataset", urn, name, json.dumps(value).encode(), moment)


def test_changes():
    """Two sorted sides are gone through once; a field that is a list tells what came and went."""
    before = [
        proposal("a", "x", {"edges": [1, 2], "text": "old"}),
        proposal("a", "y", {}),
        proposal("b", "x", {}),
        proposal("é", "x", {"tags": {"k": 1}}, 5),
    ]
    after = [
        proposal("a", "x", {"edges": [2, 3, 4], "text": "new"}),
        proposal("b", "x", {}),
        proposal("c", "x", {}),
        proposal("é", "x", {"tags": {"k": 1}}, 5),
        proposal("é", "x", {"tags": {"k": 1}}, 6),
    ]
    found = list(changes(before, after))

    assert [
        (Kind.CHANGED, "a", "x", ["edges +2 -1", "text"]),
        (Kind.REMOVED, "a", "y", []),
        (Kind.ADDED, "c", "x", []),
        (Kind.ADDED, "é", "x", []),
    ] == [(each.kind, each.about.urn, each.about.aspect_name, each.fields()) for each in found]


# --- what is asked for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["--job", "load"], (2, 2)),
        (["--namespace", "other"], (0, 4)),
        (["--since", "2024-01-01T00:00:07"], (2, 2)),
        (["--since", "2024-01-01T01:00:05+01:00", "--until", "2024-01-01T00:00:09"], (2, 2)),
        (["--until", "2024-01-01"], (0, 4)),
        (["--since", "7d"], (0, 4)),
    ],
)
def test_selection(run, shop, asked, expected):
    """What was not asked for is counted and left out."""
    said = run("replay", shop, "--store", "bridge.db", "--format", "json", *asked)

    assert (0, *expected) == (said.code, said.json["new"], said.json["left_out"])


def test_selection_is_said(run, shop):
    """In the summary."""
    assert (
        "2 new, 0 known already, 0 refused, 2 not asked for"
        in run("replay", shop, "--store", "bridge.db", "--job", "load").err
    )


@pytest.mark.parametrize("typed", ["yesterday", "2024-13-01", "7y"])
def test_time_that_is_none(run, shop, typed):
    """Is refused with the forms that there are."""
    said = run("replay", shop, "--since", typed)

    assert 2 == said.code
    assert f"{typed!r} is not a date (2026-01-31)" in " ".join(said.err.split())


@pytest.mark.parametrize(("typed", "unit"), [("7d", 86400), ("5h", 3600), ("30m", 60)])
def test_how_long_ago(typed, unit):
    """Counted from the beginning of the day, hour or minute: the same command is the same replay for a while."""
    now = time.time()
    moment = microseconds(None, None, typed) / 1e6

    assert 0 == moment % unit
    assert int(typed[:-1]) * unit <= now - moment < (int(typed[:-1]) + 1) * unit + 5


def test_speed(run, shop):
    """Keeps to the times of the events: nine seconds in less than a tenth of one."""
    assert 0 == run("replay", shop, "--store", "bridge.db", "--speed", "10000").code
    assert 2 == run("replay", shop, "--store", "bridge.db", "--speed", "0").code


def test_one_sink_stands_for_all_that_is_configured(run, shop, tmp_path):
    """``--to none`` delivers nowhere, whatever the configuration says."""
    (tmp_path / "c.yml").write_text(
        "store: bridge.db\ndatahub: {sink: file, path: a.json}\ndestinations: {b: {sink: file, path: b.json}}\n"
    )
    kept = run("replay", shop, "--config", "c.yml", "--to", "none")
    sent = run("replay", shop, "--config", "c.yml")

    assert "0 proposals delivered" in kept.err
    assert (0, 0) == (kept.code, sent.code)
    assert json.loads((tmp_path / "a.json").read_bytes()) == json.loads((tmp_path / "b.json").read_bytes())


def test_damaged_file(run, shop, tmp_path):
    """Not everything could be read: code 3, with what could not."""
    (tmp_path / "cut.gz").write_bytes(gzip.compress(shop.read_bytes())[:-20])
    said = run("replay", "cut.gz", "--store", "bridge.db")

    assert 3 == said.code
    assert "cut.gz: the compressed file is cut off or damaged" in said.err


# --- while it goes on -----------------------------------------------------------------------------------------------


def test_interrupted(run, monkeypatch, shop):
    """Ctrl-C: code 130, and how to go on; the second time it does."""
    from openlineage_bridge import replay

    original, calls = replay._Taking.take, []

    def take(self, batch):
        calls.append(batch)
        if len(calls) == 2:
            raise KeyboardInterrupt
        original(self, batch)

    monkeypatch.setattr(replay, "BATCH", 3)
    monkeypatch.setattr(replay._Taking, "take", take)
    said = run("replay", shop, "--store", "bridge.db")
    again = run("replay", shop, "--store", "bridge.db")

    assert 130 == said.code
    assert "3 events are in; the same command goes on behind them" in said.err
    assert "went on behind 3 events of an interrupted replay" in again.err


def test_progress_line():
    """Rate, share and time left are of what this replay reads; what was read before is no part of them."""
    reading = Reading(total=1000, read=600, skipped=200, before=50)

    assert "150 events, 10 a second, 60%, 0:00:10 left" == progress.line(Tally(reading, new=100), 10.0)
    assert "100 events, 10 a second" == progress.line(Tally(Reading(), new=100), 10.0)


def test_a_line_a_minute_where_no_terminal_is(capsys):
    """With the rate of that minute."""
    now = iter([0.0, 30.0, 61.0, 70.0, 121.5])
    follower = progress.Progress(clock=lambda: next(now))
    tallies = (Tally(Reading(), new=new) for new in (300, 610, 700, 1215))

    assert 4 == sum(1 for _ in follower.follow(tallies))
    assert [
        "610 events, 10 a second (10 a second in the last minute)",
        "1,215 events, 10 a second (10 a second in the last minute)",
    ] == capsys.readouterr().err.splitlines()


def test_on_a_terminal(shop, tmp_path):
    """The line is wiped at the end, and what is left is the summary."""
    outer, inner = pty.openpty()
    command = [*COMMAND, "replay", shop, "--store", "bridge.db"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=inner) as child:
        os.close(inner)
        shown = b""
        try:
            while part := os.read(outer, 65536):
                shown += part
        except OSError:  # the other side of the terminal is gone
            pass
    os.close(outer)

    assert 0 == child.returncode
    assert b"\r\x1b[K4 events from 1 file" in shown


def test_without_a_terminal_nothing_but_the_summary(run, shop):
    """A short replay says nothing while it goes on."""
    assert "\x1b" not in run("replay", shop, "--store", "bridge.db").err
