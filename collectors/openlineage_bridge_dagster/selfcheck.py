"""What a fresh process can say of itself: does capture fit this Dagster, and who observes the instance?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from dagster import DagsterInstance
from dagster._core.scheduler.instigation import InstigatorType

from openlineage_bridge_capture import statefile
from openlineage_bridge_dagster import instrumentation
from openlineage_bridge_dagster.cursor import Cursor
from openlineage_bridge_dagster.opening import state_path

if TYPE_CHECKING:
    from dagster._core.scheduler.instigation import InstigatorState

SENSOR_DAEMON = "SENSOR"


def report() -> dict[str, Any]:
    """Everything, as plain JSON. ``instance`` is None without a DAGSTER_HOME, a sentence where it cannot be read."""
    home = os.environ.get("DAGSTER_HOME", "")
    return {
        "armed": instrumentation.arm(),
        "home": home,
        "instance": _instance() if home else None,
        "tailed": bool(home) and statefile.is_held(state_path(home, "tail")),
    }


def _instance() -> dict[str, Any] | str:
    try:
        with DagsterInstance.get() as instance:
            daemon = instance.get_daemon_statuses([SENSOR_DAEMON]).get(SENSOR_DAEMON)
            states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
            return {
                "storage": type(instance.event_log_storage).__name__,
                "daemon": daemon is not None and bool(daemon.healthy),
                "sensors": [_sensor(instance, state) for state in states if _is_ours(state)],
            }
    except Exception as error:
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def _is_ours(state: InstigatorState) -> bool:
    """By the cursor, since its name is the user's choice; by the name before the first cursor."""
    cursor = getattr(state.instigator_data, "cursor", None)
    try:
        return bool(cursor and Cursor.from_json(cursor)) or "openlineage" in state.instigator_name
    except (KeyError, TypeError, ValueError):
        return False


def _sensor(instance: DagsterInstance, state: InstigatorState) -> dict[str, Any]:
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    error = ticks[0].error if ticks else None
    return {
        "name": state.instigator_name,
        "location": state.repository_selector.location_name,
        "running": state.is_running,
        "said": ticks[0].skip_reason if ticks else None,
        "error": (error.message.strip().splitlines() or [""])[0] if error else None,
    }
