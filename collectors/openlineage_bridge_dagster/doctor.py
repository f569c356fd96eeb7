"""``openlineage-bridge doctor dagster``: would lineage flow from the runs of this instance, and if not, why not?

Dagster is imported in a fresh process with this one's environment; what that process finds in the instance is the evidence.
"""

from __future__ import annotations

import os
from typing import Any

from openlineage_bridge_capture import checks
from openlineage_bridge_capture.findings import Finding

DAGSTER = checks.Orchestrator(
    "Dagster", ("dagster",), (1, 10), (2,), "dagster>=1.10,<2", "the/python/of/your/code/location"
)
"""Supported versions of Dagster: from the first to before the second."""

PROBE = """
import json
from openlineage_bridge_dagster import selfcheck
print(json.dumps(selfcheck.report()))
"""

OBSERVE = "openlineage-bridge dagster tail"
"""What works in every case and needs no change to anybody's code."""


def findings() -> list[dict[str, str]]:
    """Everything that was looked at, in the order in which lineage flows (``openlineage_bridge_capture.findings``)."""
    return [each.to_json() for each in _findings()]


def _findings() -> list[Finding]:
    return checks.visit(DAGSTER, PROBE, os.environ, _own)


def _own(facts: dict[str, Any]) -> list[Finding]:
    return [*_instance(facts), _ops(facts)]


def _instance(facts: dict[str, Any]) -> list[Finding]:
    instance = facts["instance"]
    if instance is None:
        return [
            Finding(
                "instance",
                "problem",
                "DAGSTER_HOME is not set, so which instance is meant cannot be told (`dagster dev` makes a temporary one)",
                "export DAGSTER_HOME=/absolute/path/to/a/folder",
            )
        ]
    if isinstance(instance, str):
        do = "dagster instance info"
        return [Finding("instance", "problem", f"{facts['home']} cannot be opened: {instance}", do)]
    found = Finding("instance", "ok", f"{facts['home']}, event log in {instance['storage']}")
    return [found, *_observers(instance, tailed=facts["tailed"])]


def _observers(instance: dict[str, Any], *, tailed: bool) -> list[Finding]:
    """The sensors and the tailer; a problem only when none of them is at work."""
    found = [_sensor(each, daemon=instance["daemon"]) for each in instance["sensors"]]
    if not found:
        found = [Finding("sensor", "note", "no sensor of ours has run in this instance")]
    if tailed:
        found.append(Finding("tailer", "ok", "`openlineage-bridge dagster tail` is at work on this machine"))
    else:
        found.append(Finding("tailer", "note", "no tailer with its default state is at work on this machine"))
    if any(each.state == "ok" for each in found):
        return found
    do = next((each.do for each in found if each.do), OBSERVE)
    return [*found, Finding("observer", "problem", "nothing observes the runs of this instance", do)]


def _sensor(sensor: dict[str, Any], *, daemon: bool) -> Finding:
    name = f"sensor {sensor['name']} of code location {sensor['location']}"
    if not sensor["running"]:
        return Finding("sensor", "note", f"{name} is stopped", f"dagster sensor start {sensor['name']}")
    if not daemon:
        says = f"{name} does not tick: Dagster's daemon is not running"
        return Finding("sensor", "note", says, "dagster-daemon run")
    if sensor["error"]:
        return Finding("sensor", "note", f"the last tick of {name} failed: {sensor['error']}", OBSERVE)
    if "OPENLINEAGE_URL" in (sensor["said"] or ""):
        says = f"{name} skips: {sensor['said']}"
        return Finding("sensor", "note", says, checks.CONFIGURE)
    return Finding("sensor", "ok", f"{name} ticks: {sensor['said'] or 'not yet'}")


def _ops(facts: dict[str, Any]) -> Finding:
    if not facts["armed"]:
        says = "this Dagster does not look as expected: what the code of ops reads and writes is not captured"
        return Finding("capture", "note", says, "pip install --upgrade openlineage-bridge")
    return Finding(
        "capture",
        "ok",
        "what ops and assets read and write is captured where a code location imports "
        "openlineage_bridge_dagster, or under `openlineage-bridge run`",
    )
