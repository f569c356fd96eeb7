"""Whose traffic with an object store it is: the user's, the orchestrator's own, or recorded by a layer above.

The orchestrators keep results, pickles and logs in the same stores as the user's data, with the same clients, and on threads
that hide who asked. A collector says so of the orchestrator's functions (``give_to_host``), which reaches such threads with the
context; beside that the stack tells, which holds for libraries that call on the same thread.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import FrameType
from typing import Any

from openlineage_bridge_capture import recorder

HOSTS = frozenset({"dagster", "dagster_aws", "dagster_azure", "dagster_gcp", "dagster_pipes"})
"""Packages that keep an orchestrator's state, unless user code stands between them and the store."""

RECORDED_ABOVE = frozenset({"adlfs", "gcsfs", "s3fs", "s3transfer"})
"""Packages that move a file in many calls, which are recorded as one where they begin."""

BETWEEN = frozenset(
    {
        "aiobotocore",
        "anyio",
        "asyncio",
        "azure",
        "boto3",
        "botocore",
        "concurrent",
        "contextlib",
        "functools",
        "google",
        "openlineage_bridge_capture",
        "prefect",
        "prefect_aws",
        "prefect_azure",
        "prefect_gcp",
        "threading",
    }
)
"""Packages that call on behalf of somebody else. Prefect calls user code, and its blocks are called by it."""

_MARK = "__openlineage_bridge__"
_hosts_own: ContextVar[bool] = ContextVar("openlineage_bridge_hosts_own_store", default=False)


def give_to_host(owner: Any, name: str) -> None:
    """Let everything that ``owner.name`` reads and writes be the orchestrator's own, on threads that it hands its context to too.

    A missing function is left missing. Called for every task, so without a context manager, which costs more than it does.
    """
    original = vars(owner).get(name)
    if not inspect.isfunction(original) or hasattr(original, _MARK):
        return
    own = _own_coroutine(original) if inspect.iscoroutinefunction(original) else _own_function(original)
    setattr(own, _MARK, True)
    setattr(owner, name, own)


def users_own() -> bool:
    """Whether the call that just succeeded is the current run's, and is to be recorded here."""
    if _hosts_own.get() or recorder.current_run() is None:
        return False
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the documented way to one's caller
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in BETWEEN:
            return package not in HOSTS and package not in RECORDED_ABOVE
        frame = frame.f_back
    return True


def _own_coroutine(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(original)
    async def own(*args: Any, **kwargs: Any) -> Any:
        token = _hosts_own.set(True)
        try:
            return await original(*args, **kwargs)
        finally:
            _hosts_own.reset(token)

    return own


def _own_function(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def own(*args: Any, **kwargs: Any) -> Any:
        token = _hosts_own.set(True)
        try:
            return original(*args, **kwargs)
        finally:
            _hosts_own.reset(token)

    return own
