"""A replay that is killed again and again ends with what an undisturbed one ends with, and looks at nothing twice."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
import threading
from contextlib import closing, suppress

import pytest
from bridge_tests.forking import forked
from bridge_tests.waiting import wait_until

from openlineage_bridge.errors import StorageError
from openlineage_bridge.store.database import open_readonly

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(300)]

COMMAND = [sys.executable, "-m", "openlineage_bridge"]
EVENTS, KILLS = 8000, 20


@pytest.fixture
def path(tmp_path, world):
    """A compressed file with two lines in it that are no events; other shapes are in ``test_replay.py``."""
    tables = [{"namespace": "postgres://h:5432", "name": f"db.s.t{number}"} for number in range(90)]
    lines = [
        world.encoded(world.run_event(f"job{number % 50}", number, number, outputs=[tables[number % 90]]))
        for number in range(EVENTS)
    ]
    lines[700:700] = lines[5900:5900] = [b'{"job": {}}']
    file = tmp_path / "events.jsonl.gz"
    file.write_bytes(gzip.compress(b"\n".join(lines), 1))
    return file


def command(path, store) -> tuple[str, ...]:
    return ("replay", str(path), "--store", str(store), "--to", "none", "--format", "json")


def replayed(path, store) -> tuple[int, dict]:
    """Replay it to the end: the exit code, and what was said."""
    done = subprocess.run(
        [*COMMAND, *command(path, store)], cwd=path.parent, capture_output=True, timeout=120, check=False
    )
    return done.returncode, json.loads(done.stdout)


def exported(path, store) -> bytes:
    command = [*COMMAND, "export", "--store", store, "--output", "-"]
    return subprocess.run(command, cwd=path.parent, capture_output=True, timeout=60, check=True).stdout


def reached(store) -> int:
    """How many events of the file are behind the place from which the next replay goes on."""
    with (
        suppress(StorageError),
        closing(open_readonly(store)) as connection,
    ):  # there is none, or it is being made
        rows = connection.execute("SELECT position FROM positions").fetchall()
        return sum(json.loads(position)["events"] for (position,) in rows)
    return 0


def test_killed_at_random_moments(path, tmp_path):
    """Twenty times ``kill -9``, further on each time: the same export, no event missing, each start goes on where it was."""
    undisturbed, killed = tmp_path / "one.db", tmp_path / "other.db"
    _, expected = replayed(path, undisturbed)
    chance, pause = random.Random(), threading.Event()
    kills = 0
    while kills < KILLS:
        child = forked(*command(path, killed), folder=tmp_path, output=tmp_path / "said")
        place = EVENTS * kills // KILLS
        wait_until(lambda: reached(killed) >= place or child.poll() is not None)  # noqa: B023  - called at once
        pause.wait(chance.uniform(0, 0.3))
        kills += child.poll() is None
        child.kill()
        child.join(30)
    before = reached(killed)
    code, last = replayed(path, killed)

    assert exported(path, undisturbed) == exported(path, killed)
    assert (EVENTS + 2, before) == (expected["events"], last["before"])
    assert last["before"] + last["events"] == EVENTS + 2
    assert 3 == code
    with closing(open_readonly(killed)) as connection:
        assert (EVENTS,) == connection.execute("SELECT count(*) FROM inbox").fetchone()
