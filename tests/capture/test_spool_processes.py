"""The spools of several processes: what one emitted is received, whoever is killed, and each sends its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bridge_tests.emitting import event, importing
from bridge_tests.receiver import Receiver
from bridge_tests.spooling import CHILD, emit, numbered, start_child
from bridge_tests.waiting import wait_until
from click.testing import CliRunner, Result

from openlineage_bridge_capture.spool import commands, folders, sender
from openlineage_bridge_capture.spool.encoding import to_line
from openlineage_bridge_capture.spool.segments import Appender, Claim

pytestmark = pytest.mark.usefixtures("unconfigured")


@pytest.fixture
def child(receiver, tmp_path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts processes that emit and write down each event that ``emit`` returned for; what is left of them ends with the test."""
    started = []

    def start(name: str, acknowledged: Path, count: int = 10**9, program: str = CHILD) -> subprocess.Popen:
        started.append(start_child(receiver.url, tmp_path / "spool", name, acknowledged, count, program))
        return started[-1]

    yield start
    for each in started:
        if each.poll() is None:
            each.kill()
        each.wait(20)


def test_what_a_live_process_spooled_is_left_to_it(receiver, spool, child, tmp_path):
    """And taken over once it is dead."""
    receiver.not_yet = "child"
    alive = child("child", tmp_path / "acknowledged")
    wait_until((tmp_path / "acknowledged").read_bytes)
    alive.send_signal(signal.SIGSTOP)
    transport = spool()
    emit(transport, "own")
    assert transport.drain(20)
    assert ["own"] == receiver.jobs
    assert transport.close(5)
    alive.kill()
    alive.wait(20)
    receiver.not_yet = None
    assert spool().drain(20)
    assert "child-0" in receiver.jobs


def test_a_hundred_dead_processes_are_sent_for_with_few_files_open(receiver, spool, tmp_path, monkeypatch):
    """Each of them left more than a process goes on with."""
    monkeypatch.setattr(folders, "CONTINUED_BYTES", 0)
    monkeypatch.setattr(sender, "ADOPTED_AT_ONCE", 3)
    transport = spool()
    most = []
    take_turn = sender.Sender._turn
    monkeypatch.setattr(
        sender.Sender, "_turn", lambda self: (most.append(len(self._adopted)), take_turn(self))[1]
    )
    transport.destination.make("http://h")
    for name in numbered(20):
        claim = Claim.make(transport.destination.folder)
        Appender(claim).append(to_line(event(name)))
        claim.release()
    assert transport.drain(20)
    assert sorted(numbered(20)) == sorted(receiver.jobs)
    assert 3 == max(most)
    assert transport.close(5)
    assert ["destination"] == [path.name for path in transport.destination.folder.iterdir()]


def test_a_forked_child_sends_its_own_events_and_none_of_its_parents(receiver, spool):
    transport = spool()
    emit(transport, "before")
    forked = multiprocessing.get_context("fork").Process(target=emit, args=(transport, "child"))
    forked.start()
    forked.join(60)
    emit(transport, "after")
    assert transport.close(10)
    assert 0 == forked.exitcode
    assert ["after", "before", "child"] == sorted(receiver.jobs)


def test_what_a_dead_parent_left_is_adopted_though_its_forked_child_lives(receiver, spool, child, tmp_path):
    """A lock is shared with forked children until they close their copies."""
    receiver.mode = "503"
    program = CHILD + "import signal\nos.write(1, b'parent' if os.fork() else b'forked')\nsignal.pause()\n"
    acknowledged = tmp_path / "acknowledged"
    parent = child("job", acknowledged, count=2, program=program)
    try:
        wait_until(lambda: len(acknowledged.read_bytes()) == len(b"0\n1\nforkedparent"))
        parent.kill()
        parent.wait(20)
        receiver.mode = "ok"
        assert spool().drain(20)
        assert ["job-0", "job-1"] == receiver.jobs
    finally:
        os.killpg(parent.pid, signal.SIGKILL)


FULL = """
import resource, sys
from bridge_tests.emitting import event
from openlineage_bridge_capture.spool import SpoolConfig, SpoolError, SpoolTransport
transport = SpoolTransport(SpoolConfig.from_dict({"url": sys.argv[1], "folder": sys.argv[2]}))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
refused = 0
for number in range(20):
    try:
        transport.emit(event(f"early-{number}"))
    except SpoolError:
        refused += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
transport.emit(event("late"))
assert transport.close(10)
print(refused)
"""


def test_events_that_did_not_fit_are_an_error_each_and_leave_the_others_whole(receiver, tmp_path):
    """The kernel itself writes a part of the line and then nothing, as on a full disk."""
    command = [sys.executable, "-c", FULL, receiver.url, str(tmp_path / "spool")]
    done = subprocess.run(command, env=importing(), capture_output=True, check=True, timeout=60)
    refused = int(done.stdout)
    assert 0 < refused < 20
    assert [f"early-{number}" for number in range(20 - refused)] == receiver.jobs[:-1]
    assert "late" == receiver.jobs[-1]
    assert not list((tmp_path / "spool").rglob("rejected.jsonl"))


def kill_at_random(
    emitting: subprocess.Popen, acknowledged: Path, receiver: Receiver, chance: random.Random
) -> int:
    """Kill a process that emits, after a random number of events; how many ``emit`` returned for."""
    enough = chance.randrange(1, 4000)
    pause = threading.Event()
    while acknowledged.stat().st_size < enough:
        receiver.mode = chance.choice(["ok", "503", "ok"])
        assert emitting.poll() is None
        pause.wait(0.005)
    emitting.kill()
    emitting.wait(20)
    return acknowledged.read_bytes().count(b"\n")


@pytest.mark.parametrize("rounds", [3, pytest.param(50, marks=pytest.mark.reliability)])
def test_no_event_whose_emit_returned_is_lost_to_kill_9(receiver, spool, child, tmp_path, rounds):
    """The receiver goes up and down meanwhile; the order of each process is kept, however often an event comes."""
    chance = random.Random(rounds)

    def killed(name: str) -> int:
        return kill_at_random(child(name, tmp_path / name), tmp_path / name, receiver, chance)

    names = [f"round{number}" for number in range(rounds)]
    with ThreadPoolExecutor(2) as two_at_once:
        acknowledged = dict(zip(names, two_at_once.map(killed, names), strict=True))
    receiver.mode = "ok"
    assert spool().drain(60)
    received: dict[str, list[int]] = {}
    for job in dict.fromkeys(receiver.jobs):
        name, number = job.split("-")
        received.setdefault(name, []).append(int(number))
    for name, count in acknowledged.items():
        assert count <= len(received[name])
        assert list(range(len(received[name]))) == received[name]


def test_a_process_that_just_ends_sends_what_it_emitted_and_one_without_a_receiver_ends_in_time(
    receiver, child, tmp_path
):
    """A request to the receiver that hangs takes a minute."""
    for mode in ("ok", "hang"):
        receiver.mode = mode
        ending = child(mode, tmp_path / mode, count=50)
        wait_until(lambda mode=mode: 50 == (tmp_path / mode).read_bytes().count(b"\n"))
        assert 0 == ending.wait(15)
    assert [f"ok-{number}" for number in range(50)] == receiver.jobs


def test_the_commands_say_what_waits_and_send_it(receiver, spool, tmp_path):
    receiver.mode = "503"
    transport = spool()
    emit(transport, "a", "b")
    assert not transport.close(0.1)
    wait_until(lambda: not transport.destination.waiting()[0].alive)

    folder = ("--folder", str(tmp_path / "spool"))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(commands.spool, [*arguments, *folder])

    module = [sys.executable, "-m", "openlineage_bridge_capture.spool", "status", "--format", "json", *folder]
    [found] = json.loads(subprocess.run(module, capture_output=True, timeout=60, check=True).stdout)
    assert (f"{receiver.url}/api/v1/lineage", 2) == (found["url"], found["writers"][0]["events"])
    assert 4 == run("flush", "--url", receiver.url, "--timeout", "0.5").exit_code
    receiver.mode = "ok"
    assert 0 == run("flush", "--url", receiver.url).exit_code
    assert ["a", "b"] == receiver.jobs
    assert "left over" not in run("status").stdout
    assert 2 == run("flush").exit_code
