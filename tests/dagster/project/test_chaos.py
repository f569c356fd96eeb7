"""Daemon and code server are killed in the middle of ticks, and the backend is unreliable: nothing is missing."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(1500)]

KILLS = {"sqlite": 10, "postgres": 5}
BOUND = 180.0
"""Seconds that Dagster may take to be at work again, and then to catch up, on a busy machine."""

VICTIMS = (("daemon",), ("code server",), ("daemon", "code server"))


class Unreliable:
    """Refuses 10 % of the events, and loses the acknowledgement of 5 %, until enough of those are lost.

    Each ends a tick, and a fast machine writes many runs: for ever, it would take ever so long to catch up.
    """

    def __init__(self, backends, dice, enough):
        self.kinds = (backends.REFUSE, backends.LOSE_ACKNOWLEDGEMENT, backends.ACKNOWLEDGE)
        self.dice = dice
        self.enough = enough
        self.happened = Counter()

    def __call__(self):
        mended = self.happened[self.kinds[1]] >= self.enough
        [kind] = self.kinds[2:] if mended else self.dice.choices(self.kinds, (10, 5, 85))
        self.happened[kind] += 1
        return kind


class Dagster:
    """Daemon and code server, each to be killed and started again.

    Args:
        home: Where they work.
        url: The backend.
        port: Of the code server.
    """

    def __init__(self, home, url, port):
        definitions = Path(__file__).with_name("definitions.py")
        server = (
            "api",
            "grpc",
            "-h",
            "127.0.0.1",
            "-p",
            port,
            "-f",
            definitions,
            "--location-name",
            "golden",
        )
        self.commands = {
            "code server": ("dagster", *server),
            "daemon": ("dagster-daemon", "run", "-w", home.workspace),
        }
        home.workspace.write_text(
            f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: golden}}\n"
        )
        self.home, self.url = home, url
        self.started = {}
        self.stack = ExitStack()

    def __enter__(self):
        for name in self.commands:
            self.start(name)
        return self

    def __exit__(self, *error):
        self.stack.close()

    def start(self, name):
        self.started[name] = self.stack.enter_context(self.home.running(*self.commands[name], url=self.url))

    def kill(self, names):
        for name in names:
            os.killpg(self.started[name].pid, signal.SIGKILL)
        for name in names:
            self.started[name].wait(10)
            self.start(name)


@pytest.mark.parametrize("storage", KILLS)
def test_nothing_is_missing_and_what_comes_twice_is_the_same(request, storage, backends, free_port, tmp_path):
    """Killed again and again while the backend is being told, and told again: the whole history, to the byte."""
    home = request.getfixturevalue({"sqlite": "home", "postgres": "postgres_home"}[storage])
    kills = KILLS[storage]
    dice = random.Random(20261121)
    mishap = Unreliable(backends, random.Random(5), enough=2 * kills)
    stop = tmp_path / "stop"
    writer = Path(sys.executable).name, Path(__file__).with_name("writer.py"), stop
    with (
        backends.running() as filled,
        backends.running(mishap) as sensed,
        Dagster(home, sensed.url, free_port) as dagster,
    ):
        with home.running(*writer, url=sensed.url) as writing:
            for _ in range(kills):
                _hear(sensed, dice.randint(1, 40), home)
                dagster.kill(dice.choice(VICTIMS))
            _hear(sensed, 1, home)
            stop.touch()
            assert 0 == writing.wait(BOUND), home.logs()
        home.fill(filled.url)
        sensed.wait_for(lambda: sensed.times.keys() >= filled.times.keys(), BOUND)

    assert filled.times.keys() == sensed.times.keys(), home.logs()
    assert {1} == set(filled.times.values())
    assert mishap.happened[backends.REFUSE] >= kills
    repeated = sensed.times.total() - len(sensed.times)
    assert repeated >= mishap.happened[backends.LOSE_ACKNOWLEDGEMENT] >= kills


def _hear(backend, more, home):
    """Wait until the backend is in the middle of being told."""
    enough = len(backend.events) + more
    assert backend.wait_for(lambda: len(backend.events) >= enough, BOUND), home.logs()
