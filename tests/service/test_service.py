"""The running service: what was accepted is processed and delivered, across restarts, whatever happens in between."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading

import pytest

from openlineage_bridge.config import RetentionConfig
from openlineage_bridge.errors import RetryLater, StorageError
from openlineage_bridge.receivers import Rejected, Stored
from openlineage_bridge.receivers.http import HttpReceiver
from openlineage_bridge.service import Service
from openlineage_bridge.store import Store
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.store.status import Queries
from openlineage_bridge.translation import Delivered, MemorySink, Refused, Retry

WAIT = 20
FOR_EVER = RetentionConfig(runs=1000)
"""The runs of these tests happened long ago."""


class AwaySink(MemorySink):
    """A destination that takes nothing."""

    def send(self, proposals):
        return [Retry("away")] * len(proposals)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bridge.db"


@pytest.fixture
def serve(path, plain):
    """Starts services on the same store; those still running are closed with the test."""
    started = []

    def serve(sink=None, translator=None) -> Service:
        started.append(Service(path, translator or plain.PlainTranslator(), sink, retention=FOR_EVER))
        return started[-1]

    yield serve
    for each in started:
        each.close()


@pytest.fixture
def settled(path):
    """Waits until a figure of the store is what it should be."""

    def settled(**figures) -> bool:
        tick, queries = threading.Event(), Queries(path)
        for _ in range(WAIT * 50):
            status = queries.status()
            if figures == {key: status[key] for key in figures}:
                return True
            tick.wait(0.02)
        return False

    return settled


def sent(sink) -> set[tuple[str, str]]:
    return {(each.urn, each.aspect_name) for each in sink.sent}


def test_accepted_processed_delivered(serve, settled, world):
    """From the receiver to the destination, without being asked."""
    sink = MemorySink()
    service = serve(sink)
    receipts = service.accept([world.encoded(world.run_event(inputs=["a"])), b"nonsense"], "test").result(
        WAIT
    )

    assert [Stored, Rejected] == [type(each) for each in receipts]
    assert settled(inbox_events=0, outbox_aspects=0, delivered_aspects=4)
    assert {
        ("dataset:db://h/a", "is"),
        ("job:/ns/flow", "does"),
        ("run:" + world.RUN_IDS[0], "was"),
        ("run:" + world.RUN_IDS[0], "at"),
    } == sent(sink)


def test_restart_goes_on_with_the_inbox(path, serve, settled, world):
    """What was acknowledged before a crash is processed after the next start."""
    with Store(path) as store, store.transaction():
        store.inbox.put([inspect(world.encoded(world.run_event(inputs=["a"])))], receiver="test", now=1)
    sink = MemorySink()
    serve(sink)

    assert settled(inbox_events=0, outbox_aspects=0)
    assert ("dataset:db://h/a", "is") in sent(sink)


def test_restart_goes_on_with_the_outbox(serve, settled, world):
    """What the destination would not take is offered to it after the next start, and only that (G07)."""
    away, back = AwaySink(), MemorySink()
    first = serve(away)
    first.accept([world.encoded(world.run_event(inputs=["a"]))], "test").result(WAIT)
    assert settled(inbox_events=0, outbox_aspects=4)
    first.close()

    second = serve(back)
    assert settled(outbox_aspects=0)
    second.accept([world.encoded(world.run_event(inputs=["a"]))], "test").result(WAIT)
    assert settled(inbox_events=0, outbox_aspects=0)
    assert 4 == len(back.sent)


def test_without_a_sink_everything_stays_in_the_store(serve, settled, world):
    """And is delivered when there is one."""
    serve().accept([world.encoded(world.run_event())], "test").result(WAIT)

    assert settled(inbox_events=0, delivered_aspects=0, outbox_aspects=3)


def test_closing_is_prompt_and_refuses_what_comes_later(serve, world):
    """A destination that is away does not hold it up; no thread stays."""
    before = threading.active_count()
    service = serve(AwaySink())
    service.accept([world.encoded(world.run_event())], "test").result(WAIT)
    service.close()

    with pytest.raises(RetryLater, match="the bridge is stopping"):
        service.accept([world.encoded(world.run_event())], "test").result(WAIT)
    assert before == threading.active_count()


def test_closing_leaves_the_rest_for_the_next_start(path, serve, settled, world):
    """Every acknowledged event is in the store, processed or not."""
    service = serve()
    futures = [service.accept([world.encoded(world.run_event(run=run))], "test") for run in range(300)]
    for future in futures:
        future.result(WAIT)
    service.close()
    assert 300 == Queries(path).status()["events"]

    serve()
    assert settled(inbox_events=0, runs={"COMPLETE": 300})


def test_one_refusal_in_a_hundred(serve, settled, world):
    """What the destination refuses for good is in quarantine with its words; the other ninety-nine are delivered (G12)."""

    class Choosy(MemorySink):
        def send(self, proposals):
            super().send([each for each in proposals if "t57" not in each.urn])
            return [Refused("no") if "t57" in each.urn else Delivered() for each in proposals]

    sink = Choosy()
    event = world.run_event(outputs=[f"t{number}" for number in range(97)])
    serve(sink).accept([world.encoded(event)], "test").result(WAIT)

    assert settled(inbox_events=0, outbox_aspects=0, quarantine_events={"deliver": 1})
    assert 99 == len(sink.sent)  # 96 datasets, the job, the run, and its end


def test_poison_does_not_stop_it(serve, settled, plain, world, caplog):
    """The culprit is in quarantine, its neighbours are delivered (G09)."""

    class Fragile(plain.PlainTranslator):
        def resolve(self, dataset):
            if dataset.key.name == "poison":
                raise LookupError("no name for poison")
            return super().resolve(dataset)

    sink = MemorySink()
    service = serve(sink, Fragile())
    with caplog.at_level(logging.CRITICAL):
        service.accept(
            [
                world.encoded(world.run_event(inputs=["poison"])),
                world.encoded(world.run_event("ok", inputs=["a"])),
            ],
            "t",
        ).result(WAIT)

        assert settled(inbox_events=0, outbox_aspects=0, quarantine_events={"translate": 1})
    assert ("job:/ns/ok", "does") in sent(sink)


def test_commit_that_comes_too_late(serve, path, world):
    """The sender is told in time to come again; when it does, its event is there already, once (G04, G05)."""
    service, begun, go_on = serve(), threading.Event(), threading.Event()
    body = world.encoded(world.run_event())

    async def send(patience: float):
        return await HttpReceiver(inbox=service, patience=patience).receive(body, "", batch=False)

    service._writer.run(lambda _: (begun.set(), go_on.wait(WAIT)))
    assert begun.wait(WAIT)
    with pytest.raises(RetryLater, match=r"were not on disk within 0.2 seconds: send them again"):
        asyncio.run(send(0.2))
    go_on.set()
    answer = asyncio.run(send(WAIT))

    assert (200, 1) == (answer.status, answer.duplicates)
    assert 1 == Queries(path).status()["events"]


def test_store_in_use(path, serve):
    """Starting a second one on the same store fails at once, and leaves no thread behind."""
    serve()
    before = threading.active_count()
    with pytest.raises(StorageError, match="is open in another openlineage-bridge"):
        serve()

    assert before == threading.active_count()


FAILING_START = """
import sys
from pathlib import Path
from openlineage_bridge.service import Service
from openlineage_bridge.translation import MemorySink


class Nowhere(MemorySink):
    def __getattribute__(self, name):
        if name == "destination":
            raise LookupError("no address")
        return super().__getattribute__(name)


try:
    Service(Path(sys.argv[1]), None, Nowhere())
except LookupError:
    print("said", flush=True)
"""


def test_start_that_fails_ends(path):
    """When a part cannot start, the error is raised and nothing stays that keeps the process or the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", FAILING_START, path], stdout=subprocess.PIPE, text=True
    ) as child:
        said = child.stdout.readline()
        try:
            child.wait(3)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(WAIT)

    assert ("said\n", 0) == (said, child.returncode)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_full_disk_pauses_processing(serve, settled, world, monkeypatch, caplog):
    """Processing goes on by itself once there is space again, and no event is blamed."""
    monkeypatch.setattr("openlineage_bridge.service.PAUSE", 0.05)
    big = {"documentation": {"description": "x" * 50_000}}
    service, tick = serve(), threading.Event()

    def limit(store, spare):
        used = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count = {used + spare}")

    service._writer.run(lambda store: limit(store, 20)).result(WAIT)
    with caplog.at_level(logging.ERROR):
        accepted = service.accept([world.encoded(world.run_event(run_facets=big))], "test").result(WAIT)
        while not caplog.records and service._processing.is_alive():
            tick.wait(0.01)
    service._writer.run(lambda store: limit(store, 1 << 20)).result(WAIT)

    assert [Stored] == [type(each) for each in accepted]
    assert service._processing.is_alive()
    assert settled(inbox_events=0, quarantine_events={}, runs={"COMPLETE": 1})
