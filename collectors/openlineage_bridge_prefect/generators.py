"""Generator tasks and flows, step by step: what their bodies do is theirs, what the consumer does in between is not."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from openlineage_bridge_capture import log
from openlineage_bridge_prefect import contexts
from openlineage_bridge_prefect.contexts import Contexts, Meanings


def observed(original: Any) -> Any:
    """A generator function of Prefect's engines that behaves as before, with each step of the body watched."""
    if inspect.isasyncgenfunction(original):

        @functools.wraps(original)
        def run_generator_async(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            return _watched_async(original(*args, **kwargs))

        return run_generator_async

    @functools.wraps(original)
    def run_generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        return _watched(original(*args, **kwargs))

    return run_generator


class _Step:
    """Around each step of one generator."""

    def __init__(self) -> None:
        self._inside: Contexts | None = None
        self._outside: Contexts = (None, None)
        self._meanings: Meanings = {}

    def __enter__(self) -> None:
        """The body executes from here, in the contexts that it had when it paused."""
        try:
            self._meanings, self._outside = contexts.meanings(), contexts.around()
            if self._inside is not None:
                contexts.mean(self._inside, self._meanings)
        except Exception:
            _complain()

    def __exit__(self, *_: object) -> None:
        """The consumer executes from here, in the contexts that it had before, whatever was left behind."""
        try:
            self._inside = contexts.around()
            contexts.mean(self._outside, self._meanings)
        except Exception:
            _complain()


def _complain() -> None:
    log.once(
        logging.WARNING,
        "The step of a generator could not be watched; what its consumer does may count as its own",
        exc_info=True,
    )


def _watched(generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    step = _Step()
    resume: Callable[[Any], Any] = generator.send
    argument: Any = None
    while True:
        try:
            with step:
                item = resume(argument)
        except StopIteration as end:
            return end.value
        try:
            argument = yield item
            resume = generator.send
        except GeneratorExit:
            with step:
                generator.close()
            raise
        except BaseException as error:
            resume, argument = generator.throw, error


async def _watched_async(generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    step = _Step()
    resume: Callable[[Any], Any] = generator.asend
    argument: Any = None
    while True:
        try:
            with step:
                item = await resume(argument)
        except StopAsyncIteration:
            return
        try:
            argument = yield item
            resume = generator.asend
        except GeneratorExit:
            with step:
                await generator.aclose()
            raise
        except BaseException as error:
            resume, argument = generator.athrow, error
