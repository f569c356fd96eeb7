"""``openlineage-bridge quarantine``: what was set aside is shown, tried again and dropped."""

from __future__ import annotations

import pytest

from openlineage_bridge.store import Store


def test_quarantine(run, write, world):
    """Lists what was refused, and gives its bytes back as they were."""
    broken = b'{"job": {"name":   "\xff"}}'
    run("replay", write(world.run_event(), broken), "--store", "bridge.db")
    [entry] = run("quarantine", "list", "--store", "bridge.db", "--format", "json").json
    text = run("quarantine", "list", "--store", "bridge.db")
    shown = run("quarantine", "show", entry["id"], "--store", "bridge.db")

    assert ("receive", True, True) == (
        entry["stage"],
        entry["from"].endswith("events.jsonl:2"),
        entry["reason"].startswith("not JSON: "),
    )
    assert [entry] == run("quarantine", "list", "--store", "bridge.db", "--format", "jsonl").lines
    assert 1 == len(text.out.splitlines())
    assert (0, broken) == (shown.code, shown.raw)
    assert "receive, from file:" in shown.err


def test_quarantine_again_and_away(run, write, world):
    """`retry` leaves what is still no event, `drop` forgets it; both say what they did, and in the exit code whether all went well."""
    run("replay", write(world.run_event(), b"no", b"never"), "--store", "bridge.db")
    again = run("quarantine", "retry", "--all", "--store", "bridge.db")
    kept = run("quarantine", "drop", "1", "--store", "bridge.db", stdin=b"n\n")
    dropped = run("quarantine", "drop", "1", "7", "--yes", "--store", "bridge.db")
    entries = run("quarantine", "list", "--store", "bridge.db", "--format", "json").json

    assert (3, "", 2) == (again.code, again.out, again.err.count(" stays: not JSON"))
    assert 130 == kept.code
    assert (3, "7 is not in quarantine\n1 dropped\n") == (dropped.code, dropped.err)
    assert [(2, 2)] == [(each["id"], each["attempts"]) for each in entries]


def test_quarantine_of_a_bridge_that_runs(run, write, world):
    """A store that is open elsewhere is refused, with what to do; an address where nobody answers is exit code 4."""
    run("replay", write(world.run_event(), b"no"), "--store", "bridge.db")
    with Store("bridge.db"):
        locked = run("quarantine", "retry", "--all", "--store", "bridge.db")
    away = run("quarantine", "retry", "--all", "--url", "http://127.0.0.1:1")

    assert (1, True) == (locked.code, "is open in another openlineage-bridge" in locked.err)
    assert "--url" in locked.err
    assert (4, True) == (away.code, "no bridge answers at http://127.0.0.1:1/" in away.err)


@pytest.mark.parametrize("operation", ["retry", "drop"])
@pytest.mark.parametrize("which", [(), ("1", "--all")])
def test_quarantine_asks_which(run, shop, operation, which):
    """Neither nothing nor two answers at once."""
    refused = run("quarantine", operation, *which, "--store", "bridge.db")

    assert (2, True) == (refused.code, "say which" in refused.err)


def test_quarantine_that_is_empty(run, shop):
    """Is said on stderr; a number that it does not hold is refused."""
    run("replay", shop, "--store", "bridge.db")
    listed = run("quarantine", "list", "--store", "bridge.db")
    shown = run("quarantine", "show", "7", "--store", "bridge.db")

    assert (0, "", "the quarantine is empty\n") == (listed.code, listed.out, listed.err)
    assert (2, "") == (shown.code, shown.out)
    assert "there is no number 7 in quarantine" in shown.err
