"""The spool transport: what was emitted is received, whoever is killed; and nobody waits for a receiver."""

from __future__ import annotations

import gzip
import json
import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from openlineage.client.client import OpenLineageClient
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState

from openlineage_bridge_capture import log
from openlineage_bridge_capture.spool import (
    SpoolConfig,
    SpoolError,
    SpoolFullError,
    SpoolTransport,
    folders,
    sender,
)
from openlineage_bridge_capture.spool.encoding import to_line
from openlineage_bridge_capture.spool.segments import Appender, Claim

pytestmark = pytest.mark.usefixtures("unconfigured")


def event(name: str) -> RunEvent:
    return RunEvent(
        eventTime="2024-01-01T00:00:00Z",
        run=Run("01908e5a-0000-7000-8000-000000000000"),
        job=Job("test", name),
        eventType=RunState.START,
    )


class Receiver:
    """A real OpenLineage receiver on loopback, whose mode may change at any time.

    Modes: ``ok`` knows batches; ``single`` does not; ``deaf`` answers everything with an empty 200; ``hang``; or a status.
    An event whose job's name begins with ``bad`` is refused by all of them.
    """

    def __init__(self) -> None:
        self.mode = "ok"
        self.requests: list[tuple[str, list[str]]] = []
        self.let_go = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None  # the other end was killed
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def _handler(receiver) -> type[BaseHTTPRequestHandler]:  # noqa: N805  # the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if receiver.mode == "hang":
                    receiver.let_go.wait(60)
                    self.close_connection = True
                    return
                status, answer = receiver.take(self.path, json.loads(body))
                content = json.dumps(answer).encode() if answer else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        return Handler

    def take(self, path: str, body: dict | list) -> tuple[int, dict]:
        batch = path.endswith("/batch")
        if self.mode.isdigit():
            return int(self.mode), {}
        if batch and self.mode == "single":
            return 404, {}
        names = [each["job"]["name"] for each in (body if batch else [body])]
        if any(name.startswith("bad") for name in names):
            return 400, {"error": "bad name"}
        self.requests.append((path, names))
        if not batch or self.mode == "deaf":
            return 200, {}
        summary = {"received": len(names), "successful": len(names), "failed": 0}
        return 200, {"status": "success", "summary": summary}

    @property
    def jobs(self) -> list[str]:
        return [name for _, names in self.requests for name in names]

    def close(self) -> None:
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def spool(receiver, tmp_path):
    """Makes transports to the receiver; closes them."""
    made = []

    def make(**settings) -> SpoolTransport:
        params = {"url": receiver.url, "folder": str(tmp_path / "spool"), "timeout": 5, **settings}
        made.append(SpoolTransport(SpoolConfig.from_dict(params)))
        return made[-1]

    yield make
    receiver.let_go.set()
    for each in made:
        each.close(0.2)


def emit(transport: SpoolTransport, *names: str) -> None:
    for name in names:
        transport.emit(event(name))


def numbered(count: int) -> list[str]:
    return [f"job-{number}" for number in range(count)]


def rejected(transport: SpoolTransport) -> list[tuple[str, str]]:
    lines = (transport.destination.folder / "rejected.jsonl").read_text().splitlines()
    return [(each["event"]["job"]["name"], each["reason"]) for each in map(json.loads, lines)]


@pytest.mark.parametrize("mode", ["ok", "single", "deaf"])
def test_events_arrive_in_order_and_leave_nothing_behind(receiver, spool, mode):
    """In batches where the receiver knows them, one at a time elsewhere."""
    receiver.mode = mode
    transport = spool()
    emit(transport, *numbered(300))
    assert transport.close(20)
    assert numbered(300) == list(dict.fromkeys(receiver.jobs))
    assert (mode == "ok") == (len(receiver.requests) < 100)
    assert ["destination"] == [path.name for path in transport.destination.folder.iterdir()]


def test_the_client_finds_the_transport_by_its_class_path(receiver, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "openlineage_bridge_capture.spool.SpoolTransport")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__URL", receiver.url)
    monkeypatch.delenv("OPENLINEAGE_BRIDGE_SPOOL_FOLDER")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    client = OpenLineageClient()
    assert not (tmp_path / "openlineage-bridge").exists()
    client.emit(event("job"))
    assert client.close(10)
    assert ["job"] == receiver.jobs
    assert (tmp_path / "openlineage-bridge" / "spool").is_dir()


def test_a_transport_that_was_closed_begins_anew_with_the_next_event(receiver, spool):
    transport = spool()
    emit(transport, "a")
    assert transport.close(10)
    emit(transport, "b")
    assert transport.close(10)
    assert ["a", "b"] == receiver.jobs


def test_refused_events_are_set_aside_with_the_reason_and_the_others_sent(receiver, spool):
    transport = spool()
    emit(transport, "a", "bad-1", "b", "bad-2", "c")
    assert transport.close(10)
    assert ["a", "b", "c"] == receiver.jobs
    reason = 'HTTP 400: {"error": "bad name"}'
    assert [("bad-1", reason), ("bad-2", reason)] == rejected(transport)


@pytest.mark.parametrize("mode", ["hang", "500", "503", "401", "404", "refused"])
def test_with_a_dead_receiver_emit_is_fast_close_is_bounded_and_the_next_process_sends(
    receiver, spool, mode, caplog
):
    log.forget()
    url = receiver.url
    if mode == "refused":
        receiver.close()
    receiver.mode = mode if mode != "refused" else "ok"
    transport = spool(url=url)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, logger="openlineage_bridge"):
        emit(transport, *numbered(200))
        emitted = time.monotonic()
        assert not transport.close(0.5)
    assert (emitted - began) < 2
    assert (time.monotonic() - emitted) < 1.5
    if mode != "hang":
        assert 1 == sum("wait in" in record.message for record in caplog.records)
    [waiting] = transport.destination.waiting()
    assert 200 == waiting.events
    if mode != "refused":
        receiver.mode = "ok"
        receiver.let_go.set()
        wait_until(lambda: not transport.destination.waiting()[0].alive)
        assert spool().drain(20)
        assert numbered(200) == receiver.jobs


def wait_until(condition, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        pause.wait(0.02)


def test_a_flush_that_ran_out_of_time_opens_the_circuit_until_an_event_gets_through(
    receiver, spool, monkeypatch
):
    monkeypatch.setattr(sender, "BACK_OFF_FIRST", 0.05)
    receiver.mode = "503"
    transport = spool()
    emit(transport, "a")
    began = time.monotonic()
    assert [False, False, False] == [transport.flush(0.3), transport.flush(9), transport.flush(9)]
    assert time.monotonic() - began < 3
    receiver.mode = "ok"
    wait_until(lambda: receiver.jobs)
    emit(transport, "b")
    wait_until(lambda: transport.flush(5))
    assert ["a", "b"] == receiver.jobs


def test_a_flush_tries_at_once_what_a_first_failure_put_off(receiver, spool, monkeypatch):
    monkeypatch.setattr(sender, "BACK_OFF_FIRST", 60)
    receiver.mode = "503"
    transport = spool()
    emit(transport, "a")
    wait_until(lambda: transport._session.sender._failures)
    receiver.mode = "ok"
    assert transport.flush(10)


def test_what_a_live_process_spooled_is_left_to_it(receiver, spool, tmp_path):
    """And taken over once it is dead."""
    receiver.mode = "503"
    child = start_child(receiver.url, tmp_path / "spool", "child", tmp_path / "acknowledged")
    wait_until((tmp_path / "acknowledged").read_bytes)
    child.send_signal(signal.SIGSTOP)
    time.sleep(0.5)  # what it had sent before it was stopped is answered with 503 first
    receiver.mode = "ok"
    transport = spool()
    emit(transport, "own")
    assert transport.drain(20)
    assert ["own"] == receiver.jobs
    assert transport.close(5)
    child.kill()
    child.wait(20)
    assert spool().drain(20)
    assert "child-0" in receiver.jobs


@pytest.mark.parametrize("when_full", ["raise", "drop"])
def test_at_max_bytes_emit_raises_or_drops_as_told_and_goes_on_once_there_is_room(
    receiver, spool, when_full, monkeypatch, caplog
):
    log.forget()
    monkeypatch.setattr(sender, "BACK_OFF_FIRST", 0.05)
    receiver.mode = "503"
    transport = spool(max_bytes=4000, when_full=when_full)
    if when_full == "raise":
        with pytest.raises(SpoolFullError):
            emit(transport, *numbered(100))
    else:
        emit(transport, *numbered(100))
        assert 0 < transport.dropped < 100
        assert 1 == sum("are dropped" in record.message for record in caplog.records)
    assert 1000 < transport.destination.used() <= 4000
    receiver.mode = "ok"
    wait_until(lambda: transport.flush(5))

    def taken() -> bool:
        try:
            emit(transport, "last")
        except SpoolFullError:
            return False
        return transport.flush(5) and "last" in receiver.jobs

    wait_until(taken)


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


def test_with_a_hanging_receiver_a_flush_and_the_end_take_the_bound_once(receiver, spool):
    receiver.mode = "hang"
    transport = spool(timeout=30, flush_timeout=0.5)
    emit(transport, "a")
    began = time.monotonic()
    assert [False, False, False] == [transport.flush(), transport.flush(), transport.close()]
    assert time.monotonic() - began < 1.5


def test_a_folder_that_cannot_be_written_is_an_error_that_says_what_to_do(spool, tmp_path):
    (tmp_path / "spool").write_text("in the way")
    with pytest.raises(SpoolError, match="OPENLINEAGE_BRIDGE_SPOOL_FOLDER"):
        emit(spool(), "a")


def test_fsync_and_gzip_of_single_events_can_be_had(receiver, spool):
    receiver.mode = "single"
    transport = spool(fsync=True, compression="gzip")
    emit(transport, "a", "b")
    assert transport.close(10)
    assert ["a", "b"] == receiver.jobs


def test_threads_may_emit_at_once(receiver, spool):
    transport = spool()
    threads = [
        threading.Thread(target=emit, args=(transport, *(f"{each}-{number}" for number in range(100))))
        for each in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert transport.close(20)
    assert {f"{each}-{number}" for each in range(8) for number in range(100)} == set(receiver.jobs)
    for each in range(8):
        assert [f"{each}-{n}" for n in range(100)] == [
            job for job in receiver.jobs if job.startswith(f"{each}-")
        ]


def test_a_forked_child_sends_its_own_events_and_none_of_its_parents(receiver, spool):
    transport = spool()
    emit(transport, "before")
    child = multiprocessing.get_context("fork").Process(target=emit, args=(transport, "child"))
    child.start()
    child.join(60)
    emit(transport, "after")
    assert transport.close(10)
    assert 0 == child.exitcode
    assert ["after", "before", "child"] == sorted(receiver.jobs)


def test_what_a_dead_parent_left_is_adopted_though_its_forked_child_lives(receiver, spool, tmp_path):
    """A lock is shared with forked children until they close their copies."""
    receiver.mode = "503"
    program = CHILD + "import time\nif os.fork() == 0:\n    os.write(1, b'forked')\n    time.sleep(60)\n"
    program += "else:\n    os.write(1, b'parent')\n    time.sleep(60)\n"
    acknowledged = tmp_path / "acknowledged"
    child = start_child(receiver.url, tmp_path / "spool", "job", acknowledged, count=2, program=program)
    try:
        wait_until(lambda: len(acknowledged.read_bytes()) == len(b"0\n1\nforkedparent"))
        child.kill()
        child.wait(20)
        receiver.mode = "ok"
        assert spool().drain(20)
        assert ["job-0", "job-1"] == receiver.jobs
    finally:
        os.killpg(child.pid, signal.SIGKILL)


CHILD = """
import os, sys
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage_bridge_capture.spool import SpoolConfig, SpoolTransport
url, folder, name, count = sys.argv[1:]
transport = SpoolTransport(SpoolConfig.from_dict({"url": url, "folder": folder, "timeout": 1}))
for number in range(int(count)):
    transport.emit(RunEvent(eventTime="2024-01-01T00:00:00Z", run=Run("01908e5a-0000-7000-8000-000000000000"),
                            job=Job("test", f"{name}-{number}"), eventType=RunState.START))
    os.write(1, b"%d\\n" % number)
"""


FULL = """
import resource, sys
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage_bridge_capture.spool import SpoolConfig, SpoolError, SpoolTransport
transport = SpoolTransport(SpoolConfig.from_dict({"url": sys.argv[1], "folder": sys.argv[2]}))
def emit(name):
    transport.emit(RunEvent(eventTime="2024-01-01T00:00:00Z", run=Run("01908e5a-0000-7000-8000-000000000000"),
                            job=Job("test", name), eventType=RunState.START))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
refused = 0
for number in range(20):
    try:
        emit(f"early-{number}")
    except SpoolError:
        refused += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
emit("late")
assert transport.close(10)
print(refused)
"""


def test_events_that_did_not_fit_are_an_error_each_and_leave_the_others_whole(receiver, tmp_path):
    """The kernel itself writes a part of the line and then nothing, as on a full disk."""
    command = [sys.executable, "-c", FULL, receiver.url, str(tmp_path / "spool")]
    refused = int(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert 0 < refused < 20
    assert [f"early-{number}" for number in range(20 - refused)] == receiver.jobs[:-1]
    assert "late" == receiver.jobs[-1]
    assert not list((tmp_path / "spool").rglob("rejected.jsonl"))


def start_child(
    url: str, folder: Path, name: str, acknowledged: Path, count: int = 10**9, program: str = CHILD
) -> subprocess.Popen:
    """A process that emits and says so each time, in a session of its own."""
    with acknowledged.open("wb") as output:
        command = [sys.executable, "-c", program, url, str(folder), name, str(count)]
        child = subprocess.Popen(command, stdout=output, start_new_session=True)
    _children.append(child)
    return child


_children: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """What a test started and did not end itself, because it failed, ends with it."""
    yield
    while _children:
        child = _children.pop()
        if child.poll() is None:
            child.kill()
        child.wait(20)


def kill_at_random(
    receiver: Receiver, folder: Path, name: str, acknowledged: Path, chance: random.Random
) -> int:
    """Kill a process that emits, after a random number of events; how many ``emit`` returned for."""
    child = start_child(receiver.url, folder, name, acknowledged)
    try:
        enough = chance.randrange(1, 4000)
        pause = threading.Event()
        while acknowledged.stat().st_size < enough:
            receiver.mode = chance.choice(["ok", "503", "ok"])
            assert child.poll() is None
            pause.wait(0.005)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(20)
    return acknowledged.read_bytes().count(b"\n")


@pytest.mark.parametrize("rounds", [3, pytest.param(50, marks=pytest.mark.reliability)])
def test_no_event_whose_emit_returned_is_lost_to_kill_9(receiver, spool, tmp_path, rounds):
    """The receiver goes up and down meanwhile; the order of each process is kept, however often an event comes."""
    chance = random.Random(rounds)
    folder = tmp_path / "spool"
    acknowledged = {
        name: kill_at_random(receiver, folder, name, tmp_path / name, chance)
        for name in (f"round{number}" for number in range(rounds))
    }
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
    receiver, tmp_path
):
    folder = tmp_path / "spool"
    for mode in ("ok", "hang"):
        receiver.mode = mode
        child = start_child(receiver.url, folder, mode, tmp_path / mode, count=50)
        wait_until(lambda mode=mode: 50 == (tmp_path / mode).read_bytes().count(b"\n"))
        began = time.monotonic()
        assert 0 == child.wait(20)
        assert time.monotonic() - began < 4
    assert [f"ok-{number}" for number in range(50)] == receiver.jobs


def test_the_commands_say_what_waits_and_send_it(receiver, spool, tmp_path):
    receiver.mode = "503"
    transport = spool()
    emit(transport, "a", "b")
    assert not transport.close(0.1)
    wait_until(lambda: not transport.destination.waiting()[0].alive)

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "openlineage_bridge_capture.spool", *arguments]
        options = ["--folder", str(tmp_path / "spool")]
        return subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)

    [found] = json.loads(run("status", "--format", "json").stdout)
    assert (f"{receiver.url}/api/v1/lineage", 2) == (found["url"], found["writers"][0]["events"])
    assert 4 == run("flush", "--url", receiver.url, "--timeout", "0.5").returncode
    receiver.mode = "ok"
    assert 0 == run("flush", "--url", receiver.url).returncode
    assert ["a", "b"] == receiver.jobs
    assert "left over" not in run("status").stdout
    assert 2 == run("flush").returncode
