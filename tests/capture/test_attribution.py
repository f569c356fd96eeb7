"""Work in bare threads, executors and processes: carried it is its run's, else it is nobody's, and never another run's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import pickle
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context

import pytest

from openlineage_bridge_capture import Dataset, carried, drivers, inputs, outputs, recorder, threads
from openlineage_bridge_capture.recording import Statement


def say(*names):
    """Read datasets of these names; what the function gives is what it was given."""
    inputs(*(Dataset("x", name) for name in names))
    return names


def said(run):
    return [dataset.name for dataset in recorder.take(run).inputs]


@pytest.fixture
def inheriting(host, monkeypatch):
    """Threads inherit in this process, for one test."""
    monkeypatch.setenv(threads.VARIABLE, "inherit")
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.start)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", ThreadPoolExecutor.submit)
    threads.install()
    return host


def start_and_join(thread):
    thread.start()
    thread.join(10)


# Carried by hand.


def test_a_bare_thread_is_nobodys_and_a_carried_one_its_runs(host):
    with host.running("r"):
        start_and_join(threading.Thread(target=say, args=("bare",)))
        start_and_join(threading.Thread(target=carried(say), args=("carried",)))
    assert (["carried"], 1) == (said("r"), recorder.unattributed())


def test_a_carried_function_serves_many_threads_at_a_time(host):
    """A context cannot be entered twice; each call has a copy of its own."""
    together = threading.Barrier(4)

    def meet(name):
        together.wait(10)
        return say(name)

    with host.running("r"), ThreadPoolExecutor(4) as pool:
        assert [("a",), ("b",), ("c",), ("d",)] == list(pool.map(carried(meet), "abcd"))
    assert ["a", "b", "c", "d"] == sorted(said("r"))


def test_it_belongs_to_the_run_that_handed_it_over_not_to_the_one_that_calls_it(host):
    with host.running("one"):
        function = carried(say)
    with host.running("two"):
        function("of one")
        say("of two")
    assert (["of one"], ["of two"]) == (said("one"), said("two"))


def test_generators_and_coroutines_are_carried_step_by_step(host):
    """What their consumer does between the steps is the consumer's, asynchronous ones included."""

    def steps():
        say("step 1")
        answer = yield 1
        say(f"step {answer}")

    async def coroutine():
        say("before")
        await asyncio.sleep(0)
        say("after")
        return "done"

    async def async_steps():
        say("async 1")
        yield 1
        await asyncio.sleep(0)
        say("async 2")

    with host.running("r"):
        functions = [carried(steps), carried(coroutine), carried(async_steps)]

    async def consume():
        async for _ in functions[2]():
            say("between async")
        return await functions[1]()

    with host.running("consumer"):
        generator = functions[0]()
        next(generator)
        say("between")
        with contextlib.suppress(StopIteration):
            generator.send(2)
        assert asyncio.run(consume()) == "done"
    assert ["between", "between async"] == said("consumer")
    assert ["step 1", "step 2", "async 1", "async 2", "before", "after"] == said("r")


def test_a_generator_left_early_or_thrown_into_ends_in_its_own_run(host):
    def steps():
        try:
            yield 1
        except KeyError:
            say("caught")
            yield 2
        finally:
            say("finally")

    with host.running("r"):
        function = carried(steps)
    left, thrown = function(), function()
    next(left)
    left.close()
    next(thrown)
    assert thrown.throw(KeyError("x")) == 2
    thrown.close()
    assert ["finally", "caught"] == said("r")
    assert recorder.unattributed() == 0


def test_exceptions_and_names_stay_the_users(host):
    """The same exception object, and what ``functools.wraps`` copies."""
    error = KeyError("mine")

    def fails():
        """Mine."""
        raise error

    with pytest.raises(KeyError) as caught:
        carried(fails)()
    assert caught.value is error
    assert ("fails", "Mine.") == (carried(fails).__name__, carried(fails).__doc__)


def test_outside_every_run_and_with_nobody_listening_it_only_calls(host, monkeypatch):
    assert carried(say)("a") == ("a",)
    assert recorder.unattributed() == 1
    monkeypatch.setattr(recorder, "_hosts", [])
    assert carried(say, across_processes=True)("a") == ("a",)
    assert recorder.unattributed() == 1


# Across processes.


def work(name):
    """Everything a recording can hold; in the child, or wherever it is called."""
    inputs(Dataset("x", f"in {name}", {"documentation": {"description": name}}))
    outputs(Dataset("x", f"out {name}"))
    recorder.read(Dataset("x", f"read {name}"))
    recorder.wrote(Dataset("x", f"wrote {name}"))
    with contextlib.closing(sqlite3.connect("work.sqlite")) as connection:
        connection.execute(f"CREATE TABLE {name} AS SELECT 1 AS id")
        execution = recorder.statement(Statement(f"undone {name}", "sqlite", "sqlite:///x"))
        execution.roll_back()
    return os.getpid()


def fails(name):
    work(name)
    raise KeyError(name)


def unattributed():
    """What the child counted, and whether it keeps recordings that nobody will take."""
    return recorder.unattributed(), dict(recorder._tapes)


@pytest.fixture
def pool(host, tmp_path, monkeypatch):
    """A process that was forked outside every run."""
    drivers.install()
    monkeypatch.chdir(tmp_path)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        yield pool


def test_what_another_process_did_comes_back_with_the_result(host, pool):
    """The result is plain, and the run has all of it: datasets said and seen, statements, and which were undone."""
    with host.running("r"):
        child, _ = pool.map_async(carried(work, across_processes=True), ["a", "b"]).get(60)
    recording = recorder.take("r")
    undone = {statement.sql: statement.rolled_back for statement in recording.statements}

    assert os.getpid() != child
    assert ["in a", "in b"] == [dataset.name for dataset in recording.inputs]
    assert recording.inputs[0].facets == {"documentation": {"description": "a"}}
    assert ["out a", "out b"] == [dataset.name for dataset in recording.outputs]
    assert ["read a", "read b"] == [dataset.name for dataset in recording.reads]
    assert ["wrote a", "wrote b"] == [dataset.name for dataset in recording.writes]
    made = {f"CREATE TABLE {name} AS SELECT 1 AS id": False for name in "ab"}
    assert undone == {**made, "undone a": True, "undone b": True}
    assert (0, {}) == pool.apply_async(unattributed).get(60)
    assert recorder.unattributed() == 0


def test_what_was_done_before_an_exception_comes_back_with_it(host, pool):
    with host.running("r"), pytest.raises(KeyError, match="c"):
        pool.apply_async(carried(fails, across_processes=True), ("c",)).get(60)
    assert ["in c"] == said("r")


def test_one_pool_serves_two_runs(host, pool):
    results = []
    for run in ("one", "two"):
        with host.running(run):
            results.append(pool.apply_async(carried(work, across_processes=True), (run,)))
    for result in results:
        result.get(60)
    assert (["in one"], ["in two"]) == (said("one"), said("two"))


def test_without_saying_so_nothing_crosses_processes(host, pool):
    """Pickled it is the function itself; what it does in a process where nobody listens for a run is counted there."""
    with host.running("r"):
        assert carried(say).__reduce__()[1] == (say,)
        assert pickle.loads(pickle.dumps(carried(say))) is say
        assert pool.apply_async(carried(say), ("a",)).get(60) == ("a",)
    assert (1, {}) == pool.apply_async(unattributed).get(60)
    assert not recorder.take("r")


def test_a_copy_in_the_runs_own_process_gives_plain_results(host):
    with host.running("r"):
        copied = pickle.loads(pickle.dumps(carried(say, across_processes=True)))
    with host.running("other"):
        assert copied("a") == ("a",)
    assert ([], ["a"]) == (said("other"), said("r"))


# Without code.


def test_nothing_is_patched_unless_the_environment_says_so(monkeypatch):
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    before = threading.Thread.start, ThreadPoolExecutor.submit
    threads.install()
    assert before == (threading.Thread.start, ThreadPoolExecutor.submit)


def test_installing_twice_is_installing_once(inheriting):
    before = threading.Thread.start, ThreadPoolExecutor.submit
    threads.install()
    assert before == (threading.Thread.start, ThreadPoolExecutor.submit)


def test_bare_threads_inherit_the_run(inheriting):
    """Plain ones, timers, and classes that override ``run``; the object is afterwards as it was."""

    class Own(threading.Thread):
        def run(self):
            say("own class")

    with inheriting.running("r"):
        thread = Own()
        start_and_join(thread)
        start_and_join(threading.Thread(target=say, args=("plain",)))
        start_and_join(threading.Timer(0, say, ("timer",)))
    assert "run" not in vars(thread)
    assert ["own class", "plain", "timer"] == said("r")


def test_a_thread_started_outside_every_run_stays_outside(inheriting):
    start_and_join(threading.Thread(target=say, args=("a",)))
    assert recorder.unattributed() == 1


def test_a_pool_works_for_whoever_submits(inheriting):
    """One worker thread, made for the first run: then it works for the second, for nobody, and for the first again."""
    with ThreadPoolExecutor(1) as pool:
        with inheriting.running("one"):
            pool.submit(say, "a").result(10)
        with inheriting.running("two"):
            pool.submit(say, "b").result(10)
        pool.submit(say, "nobody's").result(10)
        with inheriting.running("one"):
            assert [("c",), ("d",)] == list(pool.map(say, "cd"))
    assert (["a", "c", "d"], ["b"], 1) == (said("one"), said("two"), recorder.unattributed())


def test_the_executor_of_an_event_loop_works_for_whoever_hands_to_it(inheriting):
    async def hand(run):
        with inheriting.running(run):
            for number in range(10):
                await asyncio.get_running_loop().run_in_executor(None, say, f"{run} {number}")

    async def main():
        await asyncio.gather(*(hand(f"r{number}") for number in range(8)))

    asyncio.run(main())
    for number in range(8):
        assert [f"r{number} {each}" for each in range(10)] == said(f"r{number}")


@pytest.mark.parametrize("package", ["prefect.events.worker", "dagster._core.x", "asyncio.base_events"])
def test_threads_that_serve_the_whole_process_are_left_alone(inheriting, package):
    """An orchestrator's worker thread that happens to be started inside a run does not act for it."""
    scope = {"__name__": package, "threading": threading, "say": say}
    with inheriting.running("r"):
        exec("thread = threading.Thread(target=say, args=('a',)); thread.start(); thread.join(10)", scope)
    assert ([], 1) == (said("r"), recorder.unattributed())


def test_what_nobody_carries_is_said_once(host, caplog):
    with host.running("r"), caplog.at_level(logging.INFO, logger="openlineage_bridge"):
        for _ in range(3):
            start_and_join(threading.Thread(target=say, args=("bare",)))
    assert 1 == sum("outside every run" in record.message for record in caplog.records)
    assert recorder.unattributed() == 3


def test_interleaved_statements_of_fifty_runs_over_threads(inheriting):
    """A thousand statements on eight worker threads, submitted in turns, each in its own run."""
    contexts = {f"r{number}": Context() for number in range(50)}

    def submit(run, number):
        with inheriting.running(run):
            return pool.submit(recorder.statement, Statement(f"{run}/{number}", "x", "n"))

    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            for run, context in contexts.items():
                context.run(submit, run, number)
    for run in contexts:
        statements = {statement.sql for statement in recorder.take(run).statements}
        assert {f"{run}/{number}" for number in range(20)} == statements
