"""The emitter never blocks, never raises, keeps order, and ends within its bounds whatever the backend does."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from bridge_tests.emitting import event, script
from bridge_tests.waiting import wait_until
from openlineage.client.client import OpenLineageClient

from openlineage_bridge_capture import client, emitter
from openlineage_bridge_capture.emitter import Emitter

pytestmark = pytest.mark.usefixtures("unconfigured")


def impatient() -> OpenLineageClient:
    """The client of the environment, that does not try again: a test does not wait for retries."""
    settings = client.bounded_settings()
    settings["transport"] |= {"timeout": 0.2, "retry": {"total": 0}}
    return OpenLineageClient(config=settings)


@pytest.fixture
def emit_to(backend, monkeypatch):
    """Makes an emitter for a backend of the given mode; ends them afterwards."""
    made = []

    def make(mode: str, **settings):
        server = backend(mode)
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        made.append(Emitter(**{"connect": impatient, **settings}))
        return made[-1], server

    yield make
    for each in made:
        each.close(0.5)


def test_events_arrive_in_the_order_they_were_handed_over(emit_to):
    out, server = emit_to("ok")
    for number in range(20):
        out.emit(lambda number=number: event(f"job-{number}"))
    assert out.flush(10)
    assert [f"job-{number}" for number in range(20)] == server.jobs
    assert (out.sent, out.failed, out.dropped) == (20, 0, 0)


def test_a_builder_may_give_one_event_or_several_or_none(emit_to):
    out, server = emit_to("ok")
    out.emit(lambda: None)
    out.emit(lambda: [event("a"), event("b")])
    out.emit(lambda: (event(name) for name in "cd"))
    assert out.flush(10)
    assert server.jobs == ["a", "b", "c", "d"]


def test_building_happens_on_the_background_thread(emit_to):
    out, _ = emit_to("ok")
    seen = []
    out.emit(lambda: seen.append(threading.current_thread().name))
    assert out.flush(10)
    assert seen == [emitter.THREAD_NAME]


def test_a_builder_that_fails_is_said_and_the_next_event_is_sent(emit_to, caplog):
    out, server = emit_to("ok")

    def generator():
        yield event("before")
        raise ValueError("no facet")

    with caplog.at_level(logging.WARNING, logger="openlineage_bridge"):
        out.emit(lambda: 1 / 0)
        out.emit(generator)
        out.emit(lambda: event("after"))
        assert out.flush(10)
    assert server.jobs == ["before", "after"]
    assert (out.failed, said(caplog, "Could not build")) == (2, 1)


@pytest.mark.parametrize("mode", ["refused", "500", "401"])
def test_events_a_backend_does_not_take_are_counted_and_said_once(emit_to, caplog, mode):
    out, _ = emit_to(mode)
    with caplog.at_level(logging.WARNING, logger="openlineage_bridge"):
        for number in range(3):
            out.emit(lambda number=number: event(f"job-{number}"))
        assert out.flush(10)
    assert (out.sent, out.failed) == (0, 3)
    assert said(caplog, "Could not send") == 1


def test_handing_over_takes_no_time_when_the_backend_hangs(emit_to):
    """With the client's own patience, which is more than half a minute."""
    out, _ = emit_to("hang", connect=OpenLineageClient)
    began = time.monotonic()
    out.emit(lambda: event("job"))
    for _ in range(1000):
        out.emit(lambda: None)
    assert time.monotonic() - began < 15


def test_a_flush_out_of_time_opens_the_circuit_and_the_next_ones_return_at_once(emit_to):
    out, _ = emit_to("hang", connect=OpenLineageClient)
    out.emit(lambda: event("job"))
    began = time.monotonic()
    assert [out.flush(0.3), out.flush(20), out.close(20)] == [False, False, False]
    assert time.monotonic() - began < 15


def test_an_event_that_gets_through_closes_the_circuit(emit_to):
    gate = threading.Event()

    def connect():
        gate.wait(10)
        return impatient()

    out, server = emit_to("ok", connect=connect)
    out.emit(lambda: event("late"))
    assert not out.flush(0.05)
    gate.set()
    wait_until(lambda: server.jobs == ["late"])
    wait_until(lambda: out.flush(5))


def test_beyond_its_capacity_events_are_dropped_counted_and_said_once(emit_to, caplog):
    gate = threading.Event()

    def connect():
        gate.wait(10)
        return impatient()

    out, server = emit_to("ok", connect=connect, capacity=10)
    with caplog.at_level(logging.WARNING, logger="openlineage_bridge"):
        out.emit(lambda: event("first"))
        wait_until(out._queue.empty)
        for number in range(50):
            out.emit(lambda number=number: event(f"job-{number}"))
    gate.set()
    assert out.flush(10)
    assert ["first", *(f"job-{number}" for number in range(10))] == server.jobs
    assert (out.dropped, said(caplog, "is full")) == (40, 1)


def test_after_close_the_next_event_begins_anew(emit_to):
    out, server = emit_to("ok")
    for name in ("one", "two"):
        out.emit(lambda name=name: event(name))
        assert out.close(10)
        assert out._thread is None
    assert server.jobs == ["one", "two"]


def test_events_handed_over_while_it_closes_are_sent(emit_to):
    """Closing again and again while eight threads emit: every event arrives."""
    out, server = emit_to("ok")

    def work(worker: int) -> None:
        for number in range(10):
            out.emit(lambda number=number: event(f"{worker}-{number}"))

    workers = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        out.close(5)
    for worker in workers:
        worker.join()
    assert out.flush(20)
    assert len(server.jobs) == 80


def test_with_nothing_configured_events_are_dropped_and_nothing_is_printed(capsys):
    out = Emitter()
    out.emit(lambda: event("job"))
    assert out.flush(10)
    out.close(5)
    assert (out.dropped, capsys.readouterr().out) == (1, "")


def test_there_is_one_emitter_in_a_process():
    assert emitter.emitter() is emitter.emitter()


def said(caplog, words: str) -> int:
    """How often the log says this; the thread of an earlier test may still be giving its own events up."""
    return sum(words in record.message for record in caplog.records)


def test_at_exit_events_on_their_way_are_delivered(backend):
    server = backend("ok")
    process = script("emit('a', 'b', 'c')", server.url)
    assert (process.communicate(timeout=30)[1], process.returncode) == ("", 0)
    assert server.jobs == ["a", "b", "c"]


def test_an_absent_hanging_or_failing_backend_holds_the_exit_up_for_two_seconds_at_most(backend):
    """With the client's own patience (9 to 39 s per event), against real sockets, three processes side by side."""
    body = """
        began = time.monotonic()
        emit(*"abcdef")
        emitter().flush(0.5)
        emitter().flush(20)
        print(time.monotonic() - began)
    """
    processes = [script(body, backend(mode).url) for mode in ("refused", "hang", "500")]
    for process in processes:
        out, _ = process.communicate(timeout=30)
        assert (process.returncode, float(out) < 15) == (0, True)


def test_exit_without_any_flush_is_bounded_too(backend):
    body = """
        emit(*"abcdef")
        sys.stdout.write(str(time.time()))
    """
    process = script(body, backend("hang").url)
    out, _ = process.communicate(timeout=30)
    assert time.time() - float(out) < emitter.EXIT_TIMEOUT + 10


def test_after_a_fork_parent_and_child_send_their_own_events_once(backend):
    server = backend("ok")
    body = """
        emit("parent-1")
        child = os.fork()
        if child == 0:
            emit("child-1", "child-2")
            emitter().close(5)
            os._exit(0)
        emit("parent-2")
        os.waitpid(child, 0)
    """
    process = script(body, server.url)
    assert (process.communicate(timeout=30)[1], process.returncode) == ("", 0)
    assert sorted(server.jobs) == ["child-1", "child-2", "parent-1", "parent-2"]


def test_a_multiprocessing_child_delivers_although_it_leaves_without_atexit(backend):
    server = backend("ok")
    body = """
        if __name__ == "__main__":
            emit("parent")
            child = multiprocessing.get_context("fork").Process(target=emit, args=("child",))
            child.start()
            child.join()
    """
    process = script(body, server.url)
    assert (process.communicate(timeout=30)[1], process.returncode) == ("", 0)
    assert sorted(server.jobs) == ["child", "parent"]
