"""The thread that owns the store: what it acknowledges is durable, and nothing else is acknowledged."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from openlineage_bridge.errors import RetryLater, StorageError
from openlineage_bridge.receivers import Rejected, Stored
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import MEMORY, open_readonly
from openlineage_bridge.store.writer import Writer

WAIT = 20
"""Seconds after which a test gives up."""


def body(number: int) -> bytes:
    return b'{"job":{"namespace":"n","name":"j%d"}}' % number


def count(store: Store) -> int:
    return store.connection.execute("SELECT count(*) FROM inbox").fetchone()[0]


@pytest.fixture
def writer():
    with closing(Writer(lambda: Store(MEMORY))) as opened:
        yield opened


def test_receipts_in_order(writer):
    """One per body: stored, with its warnings; a duplicate; refused, with the reason."""
    warnings = ("no eventTime: the event can fill gaps but never wins over another",)
    receipts = writer.accept([body(1), b'{"x":1}', b" " + body(1)], "test").result(WAIT)

    assert [
        Stored(warnings=warnings),
        Rejected("no identity: the event has neither a job nor a dataset"),
        Stored(duplicate=True, warnings=warnings),
    ] == receipts


def test_many_threads_at_once(writer):
    """Eight threads offer the same 200 events: each is stored once, and one offer of each is no duplicate."""

    def offer(_):
        futures = [writer.accept([body(number)], "test") for number in range(200)]
        return [future.result(WAIT)[0].duplicate for future in futures]

    with ThreadPoolExecutor(8) as threads:
        offered = list(threads.map(offer, range(8)))

    assert 200 == writer.run(count).result(WAIT)
    assert [1] * 200 == [sum(not flag for flag in flags) for flags in zip(*offered, strict=True)]


def test_offers_that_wait_share_a_commit(writer):
    """Group commit: the fsync that makes an acknowledgement true is shared."""
    started, go_on = threading.Event(), threading.Event()
    commits = []

    def hold(store):
        store.connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        started.set()
        go_on.wait(WAIT)

    held = writer.run(hold)
    assert started.wait(WAIT)
    futures = [writer.accept([body(number)], "test") for number in range(100)]
    go_on.set()
    held.result(WAIT)
    receipts = [future.result(WAIT) for future in futures]

    assert 100 == len(receipts)
    assert ["COMMIT"] == commits


class Unreliable(Store):
    """A store whose next commit fails."""

    broken = False

    def transaction(self):
        if self.broken:
            self.broken = False
            raise StorageError("the disk is on fire")
        return super().transaction()


def test_commit_that_fails_acknowledges_nothing():
    """Every offer of the group is told to come again, nothing is kept, and the next one is taken (G03)."""
    with closing(Writer(lambda: Unreliable(MEMORY))) as writer:
        writer.run(lambda store: setattr(store, "broken", True)).result(WAIT)
        with pytest.raises(StorageError, match="send it again: the disk is on fire"):
            writer.accept([body(1)], "test").result(WAIT)

        assert 0 == writer.run(count).result(WAIT)
        assert not writer.accept([body(1)], "test").result(WAIT)[0].duplicate


def test_task_that_fails_harms_nothing(writer):
    """Its exception is the future's, and the thread goes on."""
    with pytest.raises(ZeroDivisionError):
        writer.run(lambda _: 1 / 0).result(WAIT)

    assert 0 == writer.run(count).result(WAIT)


def test_close_finishes_what_was_handed_over_and_refuses_the_rest(tmp_path):
    """Offers made before are stored; later ones are told to come again."""
    writer = Writer(lambda: Store(tmp_path / "bridge.db"))
    before = [writer.accept([body(number)], "test") for number in range(50)]
    writer.close()
    after = [writer.accept([body(50)], "test"), writer.run(count)]

    assert 50 == sum(len(future.result(WAIT)) for future in before)
    for future in after:
        with pytest.raises(RetryLater, match="the bridge is stopping"):
            future.result(WAIT)
    with Store(tmp_path / "bridge.db") as store:
        assert 50 == count(store)


def test_store_that_cannot_be_opened(tmp_path):
    """The error comes to who wanted it, and no thread stays."""
    (tmp_path / "file").write_text("")
    before = threading.active_count()
    with pytest.raises(StorageError, match="cannot write in"):
        Writer(lambda: Store(tmp_path / "file" / "bridge.db"))

    assert before >= threading.active_count()


CANCELLED = """
import os, threading
from openlineage_bridge.store import Store
from openlineage_bridge.store.writer import Writer
writer, go_on = Writer(lambda: Store(":memory:")), threading.Event()
writer.run(lambda store: go_on.wait(10))
impatient = writer.accept([b'{"job":{"namespace":"n","name":"j"}}'], "test")
impatient.cancel()
go_on.set()
try:
    writer.run(lambda store: None).result(3)
except TimeoutError:
    print("dead", flush=True)
else:
    print("alive", flush=True)
os._exit(0)
"""


def test_receiver_that_gives_up_does_not_stop_the_store():
    """A future that was cancelled (asyncio.wrap_future passes that on) costs its own receipt, not the service."""
    done = subprocess.run(
        [sys.executable, "-c", CANCELLED], capture_output=True, text=True, timeout=30, check=True
    )

    assert "alive\n" == done.stdout


ACKNOWLEDGE = """
import sys
from openlineage_bridge.store import Store
from openlineage_bridge.store.writer import Writer
writer = Writer(lambda: Store(sys.argv[1]))
first = int(sys.argv[2])
for start in range(first, first + 1_000_000, 4):
    futures = [
        (number, writer.accept([b'{"job":{"namespace":"n","name":"j%d"}}' % number], "test"))
        for number in range(start, start + 4)
    ]
    for number, future in futures:
        future.result()
        print(number, flush=True)
"""


@pytest.mark.reliability
def test_kill_loses_nothing_that_was_acknowledged(tmp_path):
    """Whatever was acknowledged before kill -9 is in the inbox afterwards, round after round (G01)."""
    path, acknowledged = tmp_path / "bridge.db", []
    for round_ in range(4):
        command = [sys.executable, "-c", ACKNOWLEDGE, path, str(round_ * 1_000_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            acknowledged += [child.stdout.readline() for _ in range(40 + 17 * round_)]
            child.send_signal(signal.SIGKILL)
            acknowledged += child.stdout.readlines()
        with closing(open_readonly(path)) as reader:
            kept = {row[0] for row in reader.execute("SELECT json_extract(body, '$.job.name') FROM inbox")}

        assert {f"j{int(line)}" for line in acknowledged if line.endswith("\n")} <= kept
