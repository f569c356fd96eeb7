"""``OPENLINEAGE_BRIDGE_THREADS=inherit``: what a run's bare threads and executors do is the run's, without code.

Only then are ``threading.Thread.start`` and ``ThreadPoolExecutor.submit`` replaced, and only while a run is current do they
do anything: the thread, or the one piece of work that is submitted, runs in a copy of the context. A pool's own threads start
in an empty context, so a thread that was made for one run does not act for it ever after. That is also why ``submit`` is
replaced where Python itself lets threads inherit contexts (``-X thread_inherit_context``, the default of free-threaded
builds from 3.14): otherwise the work of one run would be taken for that of the run that happened to fill the pool.

Threads that serve a whole process (the orchestrators', ``asyncio``'s, our own) stay as they are.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from types import FrameType
from typing import Any

from openlineage_bridge_capture import recorder

VARIABLE = "OPENLINEAGE_BRIDGE_THREADS"

LEFT_ALONE = frozenset(
    {
        "anyio",
        "asyncio",
        "concurrent",
        "dagster",
        "dagster_shared",
        "logging",
        "multiprocessing",
        "openlineage",
        "openlineage_bridge_capture",
        "openlineage_bridge_dagster",
        "openlineage_bridge_prefect",
        "prefect",
        "psycopg_pool",
    }
)
"""Packages whose threads serve the whole process, or which copy the context themselves."""

PASSES_ON = frozenset({"asyncio", "concurrent"})
"""Packages that submit what others hand to them: ``loop.run_in_executor``, ``Executor.map``."""

_MARK = "__openlineage_bridge__"


def install() -> None:
    """Replace what the environment asks for; doing it again changes nothing."""
    inherit = os.environ.get(VARIABLE, "").strip().lower() == "inherit"
    if inherit:
        _replace(threading.Thread, "start", _starting)
    if inherit or getattr(sys.flags, "thread_inherit_context", False):
        _replace(ThreadPoolExecutor, "submit", _submitting)


def _replace(owner: type, name: str, replacing: Callable[[Any], Any]) -> None:
    original = getattr(owner, name)
    if not getattr(original, _MARK, False):
        replacement = functools.wraps(original)(replacing(original))
        setattr(replacement, _MARK, True)
        setattr(owner, name, replacement)


def _starting(original: Callable[[Any], None]) -> Callable[[Any], None]:
    def start(self: threading.Thread) -> None:
        # From Python 3.14 on a thread may have been given its context.
        if getattr(self, "_context", None) is None and _acts_for_run("threading"):
            # On the instance, because classes override the method.
            self.__dict__["run"] = functools.partial(copy_context().run, _run_once, self, self.run)
        original(self)

    return start


def _run_once(thread: threading.Thread, run: Callable[[], None]) -> None:
    # The instance is as it was, and holds on to no context.
    thread.__dict__.pop("run", None)
    run()


def _submitting(original: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    def submit(
        self: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        if not _acts_for_run(*PASSES_ON):
            return original(self, function, *args, **kwargs)
        return Context().run(original, self, copy_context().run, function, *args, **kwargs)

    return submit


def _acts_for_run(*passing_on: str) -> bool:
    """Whether a run is current here and the code that calls may be its own."""
    if not recorder.active() or _package_calling(passing_on) in LEFT_ALONE:
        return False
    return recorder.current_run() is not None


def _package_calling(passing_on: tuple[str, ...]) -> str:
    """The innermost package that is not this module and none that passes on."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the documented way to one's caller
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        package = name.partition(".")[0]
        if name != __name__ and package not in passing_on:
            return package
        frame = frame.f_back
    return ""
