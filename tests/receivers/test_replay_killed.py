"""A replay that is killed again and again ends with what an undisturbed one ends with, and looks at nothing twice."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from openlineage_bridge.store.database import open_readonly

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(300)]

COMMAND = [sys.executable, "-m", "openlineage_bridge"]
EVENTS, KILLS = 2500, 20


@pytest.fixture
def path(tmp_path, world):
    """A compressed file with two lines in it that are no events; other shapes are in ``test_replay.py``."""
    tables = [{"namespace": "postgres://h:5432", "name": f"db.s.t{number}"} for number in range(90)]
    lines = [
        world.encoded(world.run_event(f"job{number % 50}", number, number, outputs=[tables[number % 90]]))
        for number in range(EVENTS)
    ]
    lines[700:700] = lines[1900:1900] = [b'{"job": {}}']
    file = tmp_path / "events.jsonl.gz"
    file.write_bytes(gzip.compress(b"\n".join(lines), 1))
    return file


def start(path, store) -> subprocess.Popen:
    command = [*COMMAND, "replay", path, "--store", store, "--to", "none", "--format", "json"]
    return subprocess.Popen(command, cwd=path.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def exported(path, store) -> bytes:
    command = [*COMMAND, "export", "--store", store, "--output", "-"]
    return subprocess.run(command, cwd=path.parent, capture_output=True, timeout=60, check=True).stdout


def reached(store) -> int:
    """How many events of the file are behind the place from which the next replay goes on."""
    if not store.exists():
        return 0
    with closing(open_readonly(store)) as connection:
        rows = connection.execute("SELECT position FROM positions").fetchall()
    return sum(json.loads(position)["events"] for (position,) in rows)


def test_killed_at_random_moments(path, tmp_path):
    """Twenty times ``kill -9``: the export is the same, no event is missing, and each start goes on where the last one was."""
    undisturbed, killed = tmp_path / "one.db", tmp_path / "other.db"
    with start(path, undisturbed) as child:
        expected = json.loads(child.communicate(timeout=120)[0])
    chance, ended, places = random.Random(), threading.Event(), []
    kills = 0
    while kills < KILLS:
        with start(path, killed) as child:
            ended.wait(chance.uniform(0.2, 1.2))
            kills += child.poll() is None
            child.kill()
        places.append(reached(killed))
    with start(path, killed) as child:
        last = json.loads(child.communicate(timeout=120)[0])

    assert exported(path, undisturbed) == exported(path, killed)
    assert (EVENTS + 2, places[-1]) == (expected["events"], last["before"])
    assert last["before"] + last["events"] == EVENTS + 2
    assert 3 == child.returncode
    with closing(open_readonly(killed)) as connection:
        assert (EVENTS,) == connection.execute("SELECT count(*) FROM inbox").fetchone()
