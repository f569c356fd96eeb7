"""``carried(function)``: a run's work in bare threads, executors and process pools, which know nothing of the run.

``asyncio`` and the orchestrators' own runners copy the context; a bare ``threading.Thread``, ``ThreadPoolExecutor.submit``
and ``loop.run_in_executor`` do not, and no context reaches another process. What is done there belongs to no run and is
counted, never guessed, unless it is carried: ``pool.submit(carried(load), table)``. ``threads`` does the same without code,
for threads.

From another process the way back is the result: it brings along what was recorded, and is the plain result again when the
parent unpickles it. Nothing comes back from a bare ``multiprocessing.Process``, so what its target does is only counted.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextvars import Context, ContextVar, copy_context
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from openlineage_bridge_capture import log, recorder
from openlineage_bridge_capture.recorder import RunKey
from openlineage_bridge_capture.recording import Recording

P = ParamSpec("P")
T = TypeVar("T")

_carried_run: ContextVar[RunKey | None] = ContextVar("openlineage_bridge_carried_run", default=None)
_process = uuid4().hex
"""What tells this process from every other one, on other machines too, where process ids are the same."""


def carried(function: Callable[P, T], *, across_processes: bool = False) -> Callable[P, T]:
    """The function, doing what it does for the run in which ``carried`` was called, whichever thread calls it.

    It runs in a copy of the context of this moment, a new copy for each call; generator functions and coroutine functions
    (asynchronous generators too) do so at each step. Make it where the work is handed over, inside the task, op or asset.

    Args:
        function: Any callable.
        across_processes: Also in another process: for ``submit`` and ``map`` of ``ProcessPoolExecutor`` and the methods of
            ``multiprocessing.Pool``, with a function and results that can be pickled. To be given to the pool itself, as
            the function that it calls: there the result is wrapped until the parent unpickles it. Without it, what
            another process does is only counted there.
    """
    kind = _AcrossProcesses if across_processes else _InContext
    return kind(function, copy_context(), recorder.current_run())


class _InContext:
    """A function with the context that it runs in. Pickled it is the function alone."""

    def __init__(self, function: Callable[..., Any], context: Context, run: RunKey | None) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._context = context
        self._run = run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # A copy, because a context cannot be entered by two threads at a time.
        return _call_in(self._context.copy(), self._function, args, kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._function,)


class _AcrossProcesses(_InContext):
    """The same, which pickled takes along whom its work is for."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            (_itself, (self._function,))
            if self._run is None
            else (
                functools.partial,
                (_work_for, _process, self._run, self._function),
            )
        )


def _itself(function: Callable[P, T]) -> Callable[P, T]:
    return function


def _call_in(context: Context, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    result = context.run(function, *args, **kwargs)
    if inspect.isgeneratorfunction(function):
        return _steps(result, context)
    if inspect.iscoroutinefunction(function):
        return _awaited(result, context)
    if inspect.isasyncgenfunction(function):
        return _async_steps(result, context)
    return result


def _steps(generator: Any, context: Context) -> Generator[Any, Any, Any]:
    """A generator, or what is awaited, with each step of it in the context."""
    resume, argument = generator.send, None
    while True:
        try:
            item = context.run(resume, argument)
        except StopIteration as end:
            return end.value
        try:
            argument = yield item
            resume = generator.send
        except GeneratorExit:
            context.run(generator.close)
            raise
        except BaseException as error:
            resume, argument = generator.throw, error


async def _awaited(awaitable: Awaitable[Any], context: Context) -> Any:
    return await _awaitable(awaitable.__await__(), context)


@types.coroutine
def _awaitable(steps: Any, context: Context) -> Generator[Any, Any, Any]:
    # What __await__ gives may be any iterator; those of coroutines have the methods of generators.
    return (yield from _steps(steps, context))


async def _async_steps(generator: AsyncGenerator[Any, Any], context: Context) -> AsyncGenerator[Any, Any]:
    resume, argument = generator.asend, None
    while True:
        try:
            item = await _awaited(resume(argument), context)
        except StopAsyncIteration:
            return
        try:
            argument = yield item
            resume = generator.asend
        except GeneratorExit:
            await _awaited(generator.aclose(), context)
            raise
        except BaseException as error:
            resume, argument = generator.athrow, error


class _Told:
    """A result, or nothing, with what was recorded on the way to it; unpickled it is the result, and the rest is handed over."""

    def __init__(self, home: str, run: RunKey, recording: Recording, result: Any = None) -> None:
        self._arguments = (home, run, recording.to_json(), result)

    def __reduce__(self) -> tuple[Any, ...]:
        return _hand_over, self._arguments


def _work_for(home: str, run: RunKey, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the function in another process than the run's, and let the recording travel with the result or the exception."""
    if home == _process:
        # It was pickled and unpickled on the spot: a copy of the function in the run's own process.
        return Context().run(_call_for, run, function, args, kwargs)
    key = f"{run}@{uuid4().hex}"
    try:
        result = _call_for(key, function, args, kwargs)
    except BaseException as error:
        _attach(error, _Told(home, run, recorder.take(key)))
        raise
    recording = recorder.take(key)
    return _Told(home, run, recording, result) if recording or recording.left_out else result


def _call_for(run: RunKey, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    _listen()
    token = _carried_run.set(run)
    try:
        return function(*args, **kwargs)
    finally:
        _carried_run.reset(token)


def _listen() -> None:
    from openlineage_bridge_capture import libraries

    recorder.attribute_with(_carried_run.get)
    libraries.install()


def _attach(error: BaseException, told: _Told) -> None:
    """Pickled exceptions take their attributes along."""
    try:
        error.openlineage_bridge_told = told  # type: ignore[attr-defined]  # for this purpose only
    except AttributeError:
        log.once(
            logging.INFO, "An exception takes no attributes; what was read and written before it is lost"
        )


def _hand_over(home: str, run: RunKey, recording: dict[str, Any], result: Any) -> Any:
    """Back in the run's process: add to what the run did. Called by ``pickle``, on whichever thread reads the results."""
    try:
        if home == _process:
            Context().run(_call_for, run, _replay, (Recording.from_json(recording),), {})
        else:
            log.once(
                logging.INFO,
                "What another process read and wrote came back to a process that did not ask for it",
            )
    except Exception:
        log.once(
            logging.WARNING,
            "What another process read and wrote could not be added to its run",
            exc_info=True,
        )
    return result


def _replay(recording: Recording) -> None:
    recorder.inputs(*recording.inputs)
    recorder.outputs(*recording.outputs)
    recorder.read(*recording.reads)
    recorder.wrote(*recording.writes)
    recorder.columns(*recording.catalog)
    for statement in recording.statements:
        execution = recorder.statement(statement)
        if execution is not None and statement.rolled_back:
            execution.roll_back()


def _start_afresh_in_child() -> None:
    global _process  # noqa: PLW0603  # the process's own name, and this is a new process
    _process = uuid4().hex


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh_in_child)
