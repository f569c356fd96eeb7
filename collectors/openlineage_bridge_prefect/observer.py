"""From a state transition to a snapshot, on the user's thread: cheap, and never raises into it.

What is slow (look-ups, facets, SQL, serialising, sending) is left to the emitter's thread, and so is the import of the
OpenLineage client's classes.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from openlineage_bridge_capture import log
from openlineage_bridge_capture.emitter import emitter
from openlineage_bridge_prefect import contexts, snapshots
from openlineage_bridge_prefect.runs import Kind, Run, live, run_of
from openlineage_bridge_prefect.transitions import TERMINAL, event_types, says_nothing_new

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

    from openlineage_bridge_prefect.snapshots import Snapshot

FLUSH_SECONDS = 1.5
"""The longest that the end of an outermost run waits for its events to leave; once per outage (circuit breaker).

With what the end of the process needs after that, a backend in trouble costs a process two seconds.
"""

UNDRIVEN = frozenset({"CRASHED", "CANCELLED", "FAILED"})
"""State types that a runner, a worker or the command line sets on a run whose own engine could not."""


REMEMBERED = 1000
"""Flow runs of which it is known what this process last set them to."""

_proposed: dict[UUID, str] = {}


def before(engine: Any, kind: Kind) -> Run | None:
    """Note a transition that is about to happen. None, when the run cannot even be named."""
    try:
        return run_of(engine, kind)
    except Exception:
        _give_up()
        return None


def after(engine: Any, run: Run | None, state: Any) -> None:
    """Report a transition that happened."""
    if run is None:
        return
    try:
        _transition(engine, run, state)
    except Exception:
        _give_up()


def signalled(engine: Any, run: Run | None, signal: BaseException) -> None:
    """Report what an exception out of a transition says: Prefect's ``Pause`` carries the state that the API chose.

    Every other exception is the engine's to handle, and comes back as a transition of its own. The state is the flow
    run's; tasks are not paused.
    """
    state = getattr(signal, "state", None) if type(signal).__name__ == "Pause" else None
    if state is not None and run is not None and run.kind == "FLOW":
        after(engine, run, state)


def settle(run: Run | None, state: Any) -> None:
    """Wait, within a bound, for the events of an outermost run that ended: the process may be gone a moment later.

    Nor may there be a later moment for any run that crashed: on SIGTERM, Prefect before 3.8.8 ends the process as soon as
    the innermost run is told to have crashed.

    In the spool they are safe before they are delivered: what this process does not deliver, the next one does.

    Only on a synchronous engine's thread: waiting in an event loop would hold up whatever else runs there, and the
    flush at exit catches what it leaves.
    """
    try:
        if run is not None and run.finished and (run.outermost or state.type.value == "CRASHED"):
            emitter().flush(FLUSH_SECONDS)
    except Exception:
        _give_up()


def proposed(flow_run_id: Any, result: Any) -> None:
    """Report what no engine tells: the end of a flow run that none of this process drives, and that one is paused."""
    try:
        state = result.state
        if result.status.value != "ACCEPT" or state is None:
            return
        run_id = flow_run_id if isinstance(flow_run_id, UUID) else UUID(str(flow_run_id))
        run, is_news = live(run_id), _is_news(run_id, state.type.value)
        if run is None and state.type.value in UNDRIVEN and is_news:
            emitter().emit(functools.partial(_build_undriven, run_id, state))
        elif state.type.value == "PAUSED":
            _paused(run, run_id, state)
    except Exception:
        _give_up()


def _is_news(run_id: UUID, state_type: str) -> bool:
    """Whether a state says more than the one that this process set the flow run to before."""
    before = _proposed.pop(run_id, None)
    _proposed[run_id] = state_type
    if len(_proposed) > REMEMBERED:
        del _proposed[next(iter(_proposed))]
    return not says_nothing_new(before, state_type)


def _paused(run: Run | None, run_id: UUID, state: Any) -> None:
    """A flow run waits: its own code said so, or somebody else in this process."""
    flow = contexts.around()[1]
    if run is None or flow is None or flow.flow_run.id != run_id:
        emitter().emit(functools.partial(_build_undriven, run_id, state))
    elif state.id != run.state_id:
        run.state_id = state.id
        run.run_count += run.paused
        run.paused = True
        types = event_types("PAUSED", started=run.started, finished=run.finished)
        if types:
            emitter().emit(functools.partial(_build, snapshots.of_flow_run(flow.flow_run, run, state, types)))


def _transition(engine: Any, run: Run, state: Any) -> None:
    if state.id == run.state_id:
        return
    run.state_id = state.id
    state_type = state.type.value
    if state_type == "RUNNING" or (run.paused and _was_resumed(state)):
        run.run_count += 1
    run.paused = False
    types = event_types(state_type, started=run.started, finished=run.finished)
    if not types:
        return
    run.started = True
    run.finished = state_type in TERMINAL
    take = snapshots.of_flow_engine if run.kind == "FLOW" else snapshots.of_task_engine
    emitter().emit(functools.partial(_build, take(engine, run, state, types)))


def _was_resumed(state: Any) -> bool:
    """Whether a state shows that a flow run which was paused went on before it; one that nobody resumed in time fails."""
    if state.type.value != "FAILED":
        return state.type.value not in {"CRASHED", "CANCELLED"}
    error = snapshots.exception_in(state.data)
    return error is not None and type(error).__name__ != "FlowPauseTimeout"


def _build(snapshot: Snapshot) -> list[RunEvent]:
    return _builder()(snapshot)


@functools.cache
def _builder() -> Callable[[Snapshot], list[RunEvent]]:
    """Looked up once: an import of what is imported takes as long as a tenth of building an event."""
    from openlineage_bridge_prefect import events, lookups

    return lambda snapshot: events.build(lookups.placed(snapshot))


def _build_undriven(flow_run_id: UUID, state: Any) -> list[RunEvent]:
    from openlineage_bridge_prefect import events, lookups

    snapshot = lookups.undriven(flow_run_id, state)
    return events.build(snapshot) if snapshot is not None else []


def _give_up() -> None:
    log.once(
        logging.WARNING,
        "A Prefect state transition could not be reported as OpenLineage; the run itself is not affected",
        exc_info=True,
    )
