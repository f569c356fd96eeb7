"""Capture inside ops and assets: what a step's code read and wrote travels to the sensor in Dagster's own event log.

Ops run in other processes than the sensor. So the context that Dagster enters around the body of a step, its inputs' loading
and its outputs' storing, is wrapped: it names the step to the recorder, and logs what was recorded as one engine event
of the step when the body ends, however it ends. Dagster's internals are touched in two places, both verified before; on
any mismatch nothing is wrapped, the log says so once, and only this part of the lineage is missing.
"""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any

import attrs
from dagster._core.events import DagsterEvent, EngineEventData

from openlineage_bridge_capture import libraries, recorder
from openlineage_bridge_capture.recorder import RunKey
from openlineage_bridge_capture.recording import Recording, Statement
from openlineage_bridge_dagster.fold import RECORDING_KEY

log = logging.getLogger(__name__)

MAX_RECORDING = 1_000_000
"""Characters of JSON that a recording may take in the event log; statements are left out from the end to fit."""

# Dagster's own storage speaks SQL in the same process, under the same context: its bookkeeping is nobody's lineage.
STORAGE_MODULES = (
    "dagster._core.storage.event_log",
    "dagster._core.storage.runs",
    "dagster._core.storage.schedules",
    "dagster._core.storage.sql",
    "dagster_postgres.",
    "dagster_mysql.",
)
# Frames of the step's execution lie between the user's code and whatever launched the run.
EXECUTION_MODULES = ("dagster._core.execution.plan",)

_EnterContext = Callable[[Any], AbstractContextManager[Any]]

_current: ContextVar[tuple[RunKey, int] | None] = ContextVar("openlineage_bridge_dagster_step", default=None)
"""The step, and the id of the process that will hand its recording over: a forked child has a copy of this, too."""


class UnknownDagsterError(RuntimeError):
    """This Dagster does not look like the one that the instrumentation was written for (1.10 to 1.13)."""


def arm() -> bool:
    """Record what ops and assets do from now on in this process; whether that is possible. Calling it twice is once.

    Capture does not ask for ``OPENLINEAGE_URL``: the process of a run may not have it though the code server does. It
    respects ``OPENLINEAGE_DISABLED=true``. Never raises.
    """
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    try:
        _wrap()
        recorder.attribute_with(current_step)
        libraries.install()
    except Exception:
        log.warning("What ops read and wrote is not captured in this process", exc_info=True)
        return False
    return True


def current_step() -> RunKey | None:
    """The step whose code is executing; None outside a step and while Dagster's own storage is at work.

    None as well in a process that was forked inside the step: what is recorded there would never be handed over.
    """
    current = _current.get()
    if current is None or current[1] != os.getpid() or _inside_storage(inspect.currentframe()):
        return None
    return current[0]


def _inside_storage(frame: FrameType | None) -> bool:
    while frame is not None:
        module = frame.f_globals.get("__name__") or ""
        if module.startswith(STORAGE_MODULES):
            return True
        if module.startswith(EXECUTION_MODULES):
            return False
        frame = frame.f_back
    return False


def _wrap() -> None:
    # A module is an open namespace here: execute_step imported the name for itself, so that is where it is looked up.
    execute_step: Any = importlib.import_module("dagster._core.execution.plan.execute_step")
    original = execute_step.enter_execution_context
    if getattr(original, "openlineage_bridge", False):
        return
    _verify(original)
    execute_step.enter_execution_context = _recording(original)


def _verify(original: Callable[..., Any]) -> None:
    """The two places: a context manager of the step context, and engine events that carry metadata.

    Raises:
        UnknownDagsterError: One of them is different.
    """
    expected = {
        "enter_execution_context": (original, ["step_context"]),
        "DagsterEvent.engine_event": (
            DagsterEvent.engine_event,
            ["plan_context", "message", "event_specific_data"],
        ),
    }
    for name, (function, parameters) in expected.items():
        if list(inspect.signature(function).parameters) != parameters:
            raise UnknownDagsterError(f"{name} takes {inspect.signature(function)}, expected {parameters}")
    if "metadata" not in inspect.signature(EngineEventData.__new__).parameters:
        raise UnknownDagsterError("EngineEventData takes no metadata")


def _recording(original: _EnterContext) -> _EnterContext:
    @contextmanager
    def enter_execution_context(step_context: Any) -> Iterator[Any]:
        step = _step_key(step_context)
        token = _current.set(None if step is None else (step, os.getpid()))
        try:
            with original(step_context) as context:
                yield context
        finally:
            try:
                _current.reset(token)
            except ValueError:  # the generator was closed in another context; the variable died with its own
                _current.set(None)
            _hand_over(step_context, step)

    enter_execution_context.openlineage_bridge = True  # type: ignore[attr-defined]  # marks it as wrapped
    return enter_execution_context


def _step_key(step_context: Any) -> RunKey | None:
    try:
        return f"{step_context.run_id}/{step_context.step.key}#{step_context.previous_attempt_count}"
    except Exception:
        log.warning("A step cannot be told; what it reads and writes is not captured", exc_info=True)
        return None


def _hand_over(step_context: Any, step: RunKey | None) -> None:
    """Log what was recorded as one engine event of the step; failing to is our loss, never the run's."""
    if step is None:
        return
    try:
        recording = recorder.take(step)
        if recording:
            DagsterEvent.engine_event(
                step_context,
                "openlineage-bridge: what this step read and wrote, for its lineage",
                EngineEventData(metadata={RECORDING_KEY: fitting(recording)}),
            )
    except Exception:
        log.warning("What step %s read and wrote cannot be logged", step, exc_info=True)


def fitting(recording: Recording, limit: int = MAX_RECORDING) -> dict[str, Any]:
    """The recording as JSON, at most about ``limit`` characters: statements are left out from the end, and counted."""
    statements = list(recording.statements)
    while statements and len(json.dumps(_with(recording, statements).to_json())) > limit:
        del statements[len(statements) // 2 :]
    return _with(recording, statements).to_json()


def _with(recording: Recording, statements: list[Statement]) -> Recording:
    left_out = recording.left_out + len(recording.statements) - len(statements)
    return attrs.evolve(recording, statements=tuple(statements), left_out=left_out)
