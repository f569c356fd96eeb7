"""The methods of Prefect that are wrapped, and the self-check that they still are what they were.

Engines tell every transition of the runs they drive. The clients tell what no local engine can: a runner or worker
that marks the run of a killed or cancelled child.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

from openlineage_bridge_prefect import generators, observer
from openlineage_bridge_prefect.runs import Kind

logger = logging.getLogger("openlineage_bridge")

ENGINES: dict[str, dict[str, Kind]] = {
    "prefect.flow_engine": {"FlowRunEngine": "FLOW", "AsyncFlowRunEngine": "FLOW"},
    "prefect.task_engine": {"SyncTaskRunEngine": "TASK", "AsyncTaskRunEngine": "TASK"},
}
"""Module → class → kind of run, for the method ``set_state(self, state, …)``. Private names, unchanged from 3.0 to 3.8."""

CLIENTS = {"prefect.client.orchestration": ("PrefectClient", "SyncPrefectClient")}
"""Module → classes, for the public method ``set_flow_run_state(self, flow_run_id, state, …)``."""

GENERATORS = {
    "prefect.task_engine": ("run_generator_task_sync", "run_generator_task_async"),
    "prefect.flow_engine": ("run_generator_flow_sync", "run_generator_flow_async"),
}
"""Module → generator functions that drive the body of a generator task or flow, with whatever arguments."""

OPTIONAL = frozenset({"AsyncFlowRunEngine"})
"""Classes that some supported versions do not have: before 3.1.5 one engine drives sync and async flows."""

MARKER = "__openlineage_bridge__"

_problems: list[str] = []


def problems() -> tuple[str, ...]:
    """What the self-check found in this process: a sentence for each method that cannot be observed."""
    return tuple(_problems)


def methods_of(module: str) -> list[tuple[str, str]]:
    """Class and method of everything that is wrapped in a module of Prefect."""
    engines = [(name, "set_state") for name in ENGINES.get(module, ())]
    return [*engines, *((name, "set_flow_run_state") for name in CLIENTS.get(module, ()))]


def wrap_module(module: ModuleType) -> None:
    """Wrap what is to be wrapped in a module of Prefect that was just imported; once, and only what passes the check."""
    for name, kind in ENGINES.get(module.__name__, {}).items():
        _wrap(module, name, "set_state", ("self", "state"), functools.partial(observe_engine, kind=kind))
    for name in CLIENTS.get(module.__name__, ()):
        _wrap(module, name, "set_flow_run_state", ("self", "flow_run_id", "state"), observe_client)
    for name in GENERATORS.get(module.__name__, ()):
        _wrap_generator(module, name)


def _wrap(
    module: ModuleType,
    class_name: str,
    method: str,
    expected: tuple[str, ...],
    observe: Callable[[Any], Any],
) -> None:
    cls = getattr(module, class_name, None)
    if cls is None and class_name in OPTIONAL:
        return
    original = getattr(cls, method, None)
    if hasattr(original, MARKER):
        return
    if problem := check(original, expected):
        _complain(f"{module.__name__}.{class_name}.{method}: {problem}")
        return
    wrapper = observe(original)
    setattr(wrapper, MARKER, True)
    setattr(cls, method, wrapper)


def _wrap_generator(module: ModuleType, name: str) -> None:
    """Without it a generator's consumer is taken for its body; the runs themselves are reported all the same."""
    original = getattr(module, name, None)
    if hasattr(original, MARKER) or not (
        inspect.isgeneratorfunction(original) or inspect.isasyncgenfunction(original)
    ):
        return
    wrapper = generators.observed(original)
    setattr(wrapper, MARKER, True)
    setattr(module, name, wrapper)


def check(function: Any, expected: tuple[str, ...]) -> str | None:
    """What is wrong with a method that is to be wrapped, or None: it must be a function that begins with these parameters."""
    if not inspect.isfunction(function):
        return "there is no such method"
    found = tuple(inspect.signature(function).parameters)
    if found[: len(expected)] != expected:
        return f"the parameters begin with ({', '.join(expected)}) no longer: ({', '.join(found)})"
    return None


def _complain(problem: str) -> None:
    _problems.append(problem)
    logger.error(
        "openlineage-bridge cannot observe %s. This version of Prefect is not known to it, and no lineage of these runs is "
        "emitted from here: `openlineage-bridge prefect watch` tells them from Prefect's public events, beside whatever "
        "runs. Update openlineage-bridge, or say so at its issue tracker.",
        problem,
    )


def observe_engine(original: Any, *, kind: Kind) -> Any:
    """An engine's ``set_state`` that behaves as before and tells the observer."""
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def set_state_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            run = observer.before(self, kind)
            try:
                state = await original(self, *args, **kwargs)
            except BaseException as signal:
                observer.signalled(self, run, signal)
                raise
            observer.after(self, run, state)
            return state

        return set_state_async

    @functools.wraps(original)
    def set_state(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = observer.before(self, kind)
        try:
            state = original(self, *args, **kwargs)
        except BaseException as signal:
            observer.signalled(self, run, signal)
            raise
        observer.after(self, run, state)
        observer.settle(run, state)
        return state

    return set_state


def observe_client(original: Any) -> Any:
    """A client's ``set_flow_run_state`` that behaves as before and tells the observer."""
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def set_flow_run_state_async(self: Any, flow_run_id: Any, *args: Any, **kwargs: Any) -> Any:
            result = await original(self, flow_run_id, *args, **kwargs)
            observer.proposed(flow_run_id, result)
            return result

        return set_flow_run_state_async

    @functools.wraps(original)
    def set_flow_run_state(self: Any, flow_run_id: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, flow_run_id, *args, **kwargs)
        observer.proposed(flow_run_id, result)
        return result

    return set_flow_run_state
