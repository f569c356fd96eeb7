"""Call me back when that module is imported: how a library is instrumented without importing it ourselves."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from openlineage_bridge_capture import log

Callback = Callable[[ModuleType], None]

_waiting: dict[str, list[_Hook]] = {}
_lock = threading.RLock()


def when_imported(name: str, callback: Callback) -> None:
    """Call ``callback(module)`` right after module ``name`` was executed, or now if it already was.

    It is called again when the module is executed again (``importlib.reload``), because that undoes instrumentation;
    the callback must therefore recognise its own work. Registering the same callback twice is one registration.
    A module that is in the middle of its own import on this very thread is handed over as far as it got.
    A namespace package executes nothing, so its callbacks are not called.
    An exception in the callback is logged and swallowed: instrumentation never breaks an import.
    """
    with _lock:
        hooks = _waiting.setdefault(name, [])
        if any(hook.callback is callback for hook in hooks):
            return
        hook = _Hook(callback)
        hooks.append(hook)
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
    if sys.modules.get(name) is not None:
        _call_when_complete(name, hook)


def _call_when_complete(name: str, hook: _Hook) -> None:
    """Another thread may be in the middle of this import: importing it too waits for the end of that."""
    try:
        module = importlib.import_module(name)
    except Exception:
        # It failed there, where it is reported; the next attempt calls back.
        return
    if not hook.called:
        hook.call(module)


class _Hook:
    """One callback, and whether it was ever called: ``when_imported`` and the loader may both get there."""

    def __init__(self, callback: Callback) -> None:
        self.callback = callback
        self.called = False

    def call(self, module: ModuleType) -> None:
        self.called = True
        try:
            self.callback(module)
        except Exception:
            log.logger.warning(
                "Could not instrument %s: its lineage is not captured", module.__name__, exc_info=True
            )


class _Finder(MetaPathFinder):
    """Asks the other finders for a module that is waited for, and puts our loader around theirs."""

    def __init__(self) -> None:
        self._asking = threading.local()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec the other finders give, with a loader that calls back; None for every other module."""
        # Another import hook may ask sys.meta_path again from inside its find_spec: the second time we step aside.
        if fullname not in _waiting or fullname in self._names():
            return None
        self._names().add(fullname)
        try:
            spec = _ask_the_others(self, fullname, path, target)
        finally:
            self._names().discard(fullname)
        if spec is not None and spec.loader is not None and not isinstance(spec.loader, _Loader):
            spec.loader = _Loader(spec.loader)
        return spec

    def _names(self) -> set[str]:
        names: set[str] = self._asking.__dict__.setdefault("names", set())
        return names


def _ask_the_others(
    ourselves: _Finder, fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    for finder in list(sys.meta_path):
        find_spec = getattr(finder, "find_spec", None)
        if finder is ourselves or find_spec is None:
            continue
        spec: ModuleSpec | None = find_spec(fullname, path, target)
        if spec is not None:
            return spec
    return None


class _Loader(Loader):
    """The module's own loader, which calls back after executing it and then leaves no trace of itself."""

    def __init__(self, own: Loader) -> None:
        self._own = own

    @property
    def __class__(self) -> type:
        # find_spec() users look at what kind of loader it is.
        return type(self._own)

    @__class__.setter
    def __class__(self, value: type) -> None:
        raise AttributeError("a loader keeps its class")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the module's own loader does."""
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module with its own loader in place everywhere, then call back."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._own
        module.__loader__ = self._own
        self._own.exec_module(module)
        for hook in list(_waiting.get(module.__name__, ())):
            # An import may replace the module object in sys.modules; that is what its users see.
            hook.call(sys.modules.get(module.__name__, module))


_finder = _Finder()
