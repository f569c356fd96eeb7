"""How a function of a library is wrapped where it lives, and who is calling it.

The wrapped function keeps its name, signature, result and errors. What it did is looked at after it succeeded, by the outermost
wrapped function only: pandas reads through Arrow, which opens through fsspec, and all of that is one read.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
import threading
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, ModuleType
from typing import Any

from openlineage_bridge_capture import log, recorder

Change = tuple[Any, Any]
"""What was there, and what is there now."""

FILE_SYSTEMS = frozenset(
    {"adlfs", "contextlib", "fsspec", "gcsfs", "openlineage_bridge_capture", "s3fs", "upath"}
)
"""Packages that open files on behalf of somebody else."""

BETWEEN = FILE_SYSTEMS | {
    "anyio",
    "asyncio",
    "concurrent",
    "contextvars",
    "functools",
    "pandas",
    "pathlib",
    "polars",
    "pyarrow",
    "shutil",
    "threading",
}
"""Packages that read and write, or call what does, on behalf of somebody else."""

CALLING_USERS = ("prefect.flow_engine", "prefect.task_engine", "prefect.utilities.callables")
"""Modules of a host that call what the user gave them, which may be ``pandas.read_csv`` itself."""

MARK = "__openlineage_bridge__"
"""Attribute of a function that is wrapped already."""

_inside = threading.local()


def wrap(owner: Any, name: str, after: Callable[[dict[str, Any], Any], None]) -> Change | None:
    """Do something after each call of ``owner.name`` that succeeded and is no part of another one.

    Args:
        owner: A module or class that defines ``name`` itself.
        name: A function of it; a missing or wrapped one is left as it is.
        after: What to do with the arguments by name, as far as they were given, and the result.
    """
    original = vars(owner).get(name)
    if not callable(original) or hasattr(original, MARK):
        return None
    wrapped = followed(original, after)
    setattr(owner, name, wrapped)
    return original, wrapped


def followed(original: Any, after: Callable[[dict[str, Any], Any], None]) -> Any:
    """The function, with something done after it as ``wrap`` says."""
    signature = inspect.signature(original)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if inside() or not recorder.active():
            return original(*args, **kwargs)
        _inside.yes = True
        try:
            result = original(*args, **kwargs)
            guarded(lambda: after(_bound(signature, args, kwargs), result))
        finally:
            _inside.yes = False
        return result

    _disguise(wrapped, original)
    setattr(wrapped, MARK, True)
    return wrapped


def everywhere(changes: list[Change | None]) -> None:
    """Put each wrapped function wherever a module has the original: packages re-export, users import by name."""
    replacements = {id(change[0]): change[1] for change in changes if change is not None}
    for module in list(sys.modules.values()) if replacements else ():
        if not isinstance(module, ModuleType):
            continue
        for name, value in list(vars(module).items()):
            if id(value) in replacements:
                setattr(module, name, replacements[id(value)])


def inside() -> bool:
    """Whether this thread is in the middle of a wrapped call."""
    return getattr(_inside, "yes", False)


@contextmanager
def one_call() -> Iterator[None]:
    """What happens in here is part of one call."""
    before, _inside.yes = inside(), True
    try:
        yield
    finally:
        _inside.yes = before


def host_is_calling() -> bool:
    """Whether the innermost code that reads and writes for itself is the orchestrator's."""
    from openlineage_bridge_capture.drivers.connections import HOSTS  # who only names files needs no drivers

    module = _caller(BETWEEN)
    return module.partition(".")[0] in HOSTS and not module.startswith(CALLING_USERS)


def arrow_is_calling() -> bool:
    """Whether it is Arrow that opens a file: it reads the parts of a dataset when it needs them, one by one."""
    return _caller(FILE_SYSTEMS).partition(".")[0] == "pyarrow"


def guarded(act: Callable[[], Any]) -> None:
    """Do what recording takes, without ever raising: whatever goes wrong there is ours, not the user's."""
    try:
        act()
    except Exception:
        log.once(
            logging.WARNING, "Could not record a file that was read or written; it is missing", exc_info=True
        )


def _disguise(wrapped: Any, original: Any) -> None:
    """Let the wrapper pass for the library's own code where its frames are counted.

    pandas and Polars find the line to blame for a warning by leaving their own files on the stack; without this, every
    warning would be ours, shown once instead of once per place, and a DeprecationWarning would not be shown at all.
    """
    code = getattr(original, "__code__", None)
    if isinstance(code, CodeType):
        wrapped.__code__ = wrapped.__code__.replace(
            co_filename=code.co_filename,
            co_firstlineno=code.co_firstlineno,
            co_name=code.co_name,
        )


def _caller(except_for: Container[str]) -> str:
    """The innermost module on the stack that is of none of these packages."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the documented way to one's caller
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in except_for:
            return module
        frame = frame.f_back
    return ""


def _bound(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name, those included that the function only passes on."""
    arguments = dict(signature.bind(*args, **kwargs).arguments)
    for name in _passed_on(signature):
        arguments.update(arguments.pop(name, {}))
    return arguments


def _passed_on(signature: inspect.Signature) -> Iterator[str]:
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            yield parameter.name
