"""``openlineage-bridge doctor prefect``: would lineage flow from flows that this interpreter runs, and if not, why not?

Prefect is imported in a fresh process with this one's environment and current folder, as a user's program would; what that
process says of itself is the evidence.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points
from typing import Any

import attrs

from openlineage_bridge_capture import checks, settings
from openlineage_bridge_capture.autoload import launch, pth, targets
from openlineage_bridge_capture.autoload.interpreter import Interpreter
from openlineage_bridge_capture.findings import Finding
from openlineage_bridge_prefect.activation import SAFE_MODE

PREFECT = checks.Orchestrator(
    "Prefect",
    ("prefect", "prefect-client"),
    (3, 0),
    (4,),
    "prefect>=3.0,<4",
    "the/python/that/runs/your/flows",
)
"""Supported versions of Prefect: from the first to before the second."""

PLUGINS_SINCE, PLUGINS_PUBLIC_SINCE = (3, 4, 24), (3, 7)
"""Versions that can load plugins at all, and those in which that is no experiment (Prefect's release notes)."""

PLUGIN_GROUP, PLUGIN, PLUGIN_MODULE = (
    "prefect.plugins",
    "openlineage-bridge",
    "openlineage_bridge_prefect.plugin",
)

MEANWHILE = "until openlineage-bridge knows this Prefect, watch its public events"

PROBE = f"""
import json
import prefect
loader = sys.modules.get("_openlineage_bridge_autoload")
facts = {{
    "plugin": {PLUGIN_MODULE!r} in sys.modules,
    "autoload": loader.report().get("prefect") if loader else None,
    "loader": loader.__file__ if loader else None,
}}
from openlineage_bridge_prefect import selfcheck
print(json.dumps(facts | selfcheck.report()))
"""
"""Loaded is what is there right after ``import prefect``; the self-check comes after it, because it loads us itself."""


def findings() -> list[dict[str, str]]:
    """Everything that was looked at, in the order in which lineage flows (``openlineage_bridge_capture.findings``)."""
    return [each.to_json() for each in _findings()]


def _findings() -> list[Finding]:
    return checks.visit(PREFECT, PROBE, _probing(), _own)


def _own(facts: dict[str, Any]) -> list[Finding]:
    return [*_loading(facts), *_self_check(facts)]


def _installed() -> tuple[int, ...]:
    return checks.numbers(checks.installed(*PREFECT.distributions)[1])


def _probing() -> dict[str, str]:
    """The environment of a flow, with some backend: which way loads us is a question of its own."""
    backend = {} if settings.configured() else {settings.URL_KEY: "http://127.0.0.1:9"}
    return {"DO_NOT_TRACK": "1", **os.environ, **backend}


def _loading(facts: dict[str, Any]) -> list[Finding]:
    """Each way to be loaded; a problem only when none of them works."""
    ways = [_plugin(facts), _pth(facts), _run(facts)]
    by_import = Finding(
        "import", "note", "`import openlineage_bridge_prefect` in a flow's file works at any time"
    )
    if not facts["active"]:
        return [*ways, _inactive(facts)]
    if any(way.state == "ok" for way in ways):
        # One way is enough: the others are explained, not recommended.
        return [*(attrs.evolve(way, do="") for way in ways), by_import, *_loop(ways)]
    do = ways[0].do or "openlineage-bridge autoload enable"
    return [
        *ways,
        by_import,
        Finding("loading", "problem", "nothing loads the collector in a new process", do),
    ]


def _inactive(facts: dict[str, Any]) -> Finding:
    safe = (facts["plugins"] or {}).get("safe_mode") or any(os.environ.get(name) for name in SAFE_MODE)
    if safe:
        says = "Prefect's safe mode for plugins is on, which switches the collector off"
        return Finding("loading", "problem", says, "export PREFECT_PLUGINS_SAFE_MODE=0")
    says = "the collector cannot be switched on; its log says why"
    return Finding("loading", "problem", says, f'{sys.executable} -c "import openlineage_bridge_prefect"')


def _loop(ways: list[Finding]) -> list[Finding]:
    if any(way.state == "ok" for way in ways[1:]):
        return []
    says = "Prefect does not load plugins when it is imported inside a running event loop, as in a notebook"
    return [Finding("notebooks", "note", says, "openlineage-bridge autoload enable")]


def _plugin(facts: dict[str, Any]) -> Finding:
    if facts["plugin"]:
        return Finding("plugin", "ok", "loaded as a plugin of Prefect")
    says, do = _why_no_plugin(facts["plugins"])
    return Finding("plugin", "note", f"not loaded as a plugin: {says}", do)


def _why_no_plugin(plugins: dict[str, Any] | None) -> tuple[str, str]:
    prefix = "PREFECT_PLUGINS" if _installed() >= PLUGINS_PUBLIC_SINCE else "PREFECT_EXPERIMENTS_PLUGINS"
    if plugins is None or _installed() < PLUGINS_SINCE:
        return "Prefect has plugins since 3.4.24 only", ""
    if not any(each.value == PLUGIN_MODULE for each in entry_points(group=PLUGIN_GROUP)):
        return "its entry point is not installed", "pip install --force-reinstall openlineage-bridge"
    if not plugins["enabled"]:
        return f"{prefix}_ENABLED is not set", f"export {prefix}_ENABLED=1"
    if plugins["allow"] and PLUGIN not in plugins["allow"]:
        allowed = ",".join([*plugins["allow"], PLUGIN])
        return f"{prefix}_ALLOW leaves it out", f"export {prefix}_ALLOW={allowed}"
    if PLUGIN in plugins["deny"]:
        return f"{prefix}_DENY names it", f"take {PLUGIN} out of {prefix}_DENY"
    return "Prefect's log says why", f'{sys.executable} -c "import prefect"'


def _pth(facts: dict[str, Any]) -> Finding:
    enabled = [each for each in pth.installed(Interpreter.at()) if each.line is not None]
    if not enabled:
        return Finding(
            "autoload",
            "note",
            "there is no .pth loader in this interpreter",
            "openlineage-bridge autoload enable",
        )
    where = f"the .pth loader in {enabled[0].folder}"
    if facts["autoload"] == "on":
        return Finding("autoload", "ok", f"{where} works")
    reason = facts["autoload"] or "the process did not read it; is OPENLINEAGE_BRIDGE_AUTOLOAD=0 set?"
    return Finding(
        "autoload",
        "note",
        f"{where} does not load the collector: {reason}",
        "openlineage-bridge autoload status",
    )


def _run(facts: dict[str, Any]) -> Finding:
    if targets.VARIABLE in os.environ and facts["loader"] and facts["loader"].startswith(launch.FOLDER):
        return Finding(
            "run", "ok", "this is a program of `openlineage-bridge run`, which loads the collector"
        )
    return Finding(
        "run", "note", "not started by `openlineage-bridge run`", "openlineage-bridge run python flow.py"
    )


def _self_check(facts: dict[str, Any]) -> list[Finding]:
    if not facts["active"]:
        return []
    if facts["problems"]:
        return [
            Finding("self-check", "problem", f"{problem}; {MEANWHILE}", "openlineage-bridge prefect watch")
            for problem in facts["problems"]
        ]
    return [
        Finding(
            "self-check", "ok", f"{len(facts['observed'])} methods of Prefect are as expected and observed"
        )
    ]
