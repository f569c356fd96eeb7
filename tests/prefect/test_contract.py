"""What this collector expects of the installed Prefect, and that the self-check notices when it is no longer so."""

from __future__ import annotations

import importlib
import inspect
import logging
from types import ModuleType, SimpleNamespace

import pytest
from prefect import context

from openlineage_bridge_prefect import activation, doctor, wrapping

FAILED = {
    "active": True,
    "problems": ["prefect.flow_engine.FlowRunEngine.set_state: there is no such method"],
    "plugin": True,
    "plugins": {"safe_mode": False},
    "autoload": None,
    "loader": None,
}
"""What the probe reports where an engine is not as expected."""

METHODS = [
    *[
        (module, name, "set_state", ("self", "state"))
        for module, classes in wrapping.ENGINES.items()
        for name in classes
        if name not in wrapping.OPTIONAL or hasattr(importlib.import_module(module), name)
    ],
    *[
        (module, name, "set_flow_run_state", ("self", "flow_run_id", "state"))
        for module, names in wrapping.CLIENTS.items()
        for name in names
    ],
]


@pytest.mark.parametrize(("module", "name", "method", "expected"), METHODS)
def test_the_methods_that_are_wrapped_are_as_expected(module, name, method, expected) -> None:
    """The classes exist, define the method, and its parameters begin as the wrapper assumes."""
    cls = getattr(importlib.import_module(module), name)

    assert wrapping.check(getattr(cls, method), expected) is None


@pytest.mark.parametrize(("module", "name", "method", "expected"), METHODS)
def test_the_async_classes_have_async_methods(module, name, method, expected) -> None:
    """Which wrapper is used follows from the method; the class names say what it should be."""
    cls = getattr(importlib.import_module(module), name)
    is_async = name.startswith("Async") or name == "PrefectClient"

    assert is_async == inspect.iscoroutinefunction(getattr(cls, method))


def test_the_contexts_have_what_attribution_reads() -> None:
    """Who executes is read from Prefect's own contexts, and who executed around it from their tokens."""
    assert {"flow", "flow_run"} <= set(context.FlowRunContext.model_fields)
    assert {"task", "task_run"} <= set(context.TaskRunContext.model_fields)
    assert "_token" in context.TaskRunContext.__private_attributes__


def test_the_context_of_assets_has_what_is_read(can) -> None:
    """What a task depends on and materializes is read from the context of its assets, where Prefect has assets."""
    if not can("assets"):
        pytest.skip("this Prefect has no assets")
    assert {
        "direct_asset_dependencies",
        "upstream_assets",
        "downstream_assets",
        "materialization_metadata",
        "materialized_by",
        "task_run_id",
    } <= set(context.AssetContext.model_fields)


def test_prefects_plugin_manager_accepts_the_plugin(can) -> None:
    """The entry point's module registers and its hook is found."""
    if not can("plugins"):
        pytest.skip("this Prefect has no plugins")
    pluggy = importlib.import_module("pluggy")
    plugin = importlib.import_module("openlineage_bridge_prefect.plugin")
    manager = pluggy.PluginManager("prefect-experimental")
    manager.add_hookspecs(_hook_specification())
    manager.register(plugin, name="openlineage-bridge")
    (implementation,) = manager.hook.setup_environment.get_hookimpls()

    assert implementation.function(ctx=SimpleNamespace()) is None


def _hook_specification() -> type:
    """Prefect's; before 3.7 it is in a module of its experiments."""
    try:
        module = importlib.import_module("prefect.plugins")
        return module.HookSpec
    except AttributeError:
        return importlib.import_module("prefect._experimental.plugins.spec").HookSpec


def _engine_module(set_state) -> ModuleType:
    module = ModuleType("prefect.flow_engine")
    module.FlowRunEngine = type("FlowRunEngine", (), {"set_state": set_state})
    return module


def test_wrapping_twice_is_wrapping_once() -> None:
    """Two loaders in one process leave one wrapper."""
    module = _engine_module(lambda self, state: state)
    wrapping.wrap_module(module)
    once = module.FlowRunEngine.set_state
    wrapping.wrap_module(module)

    assert once is module.FlowRunEngine.set_state
    assert hasattr(once, wrapping.MARKER)


@pytest.mark.parametrize(
    "set_state",
    [lambda self, new_state: new_state, lambda state: state, "no function", None],
    ids=["another name", "no self", "no function", "none"],
)
def test_an_unknown_signature_is_said_loudly_and_left_alone(set_state, monkeypatch, caplog) -> None:
    """What does not pass the self-check is not wrapped; the log says so and names the way that needs no wrapping."""
    monkeypatch.setattr(wrapping, "_problems", [])
    module = _engine_module(set_state)
    with caplog.at_level(logging.ERROR):
        wrapping.wrap_module(module)
    (problem,) = wrapping.problems()

    assert module.FlowRunEngine.__dict__["set_state"] is set_state
    assert problem.startswith("prefect.flow_engine.FlowRunEngine.set_state: ")
    assert problem in caplog.text
    assert "`openlineage-bridge prefect watch`" in caplog.text


def test_the_doctor_prescribes_the_public_events_where_the_self_check_fails(monkeypatch) -> None:
    """A Prefect that cannot be wrapped is a problem, and what helps at once is the watcher."""
    monkeypatch.setattr(doctor.checks, "visit", lambda _prefect, _probe, _environment, own: own(FAILED))
    (finding,) = [each for each in doctor.findings() if each["check"] == "self-check"]

    assert "problem" == finding["state"]
    assert "set_state: there is no such method" in finding["says"]
    assert "openlineage-bridge prefect watch" == finding["do"]


def test_a_wrapped_method_behaves_as_before() -> None:
    """Arguments, result and exceptions pass through, even when the engine is nothing the observer can read."""
    raised = KeyboardInterrupt()

    def set_state(self, state, force=False):
        """Set it."""
        if state is None:
            raise raised
        return state, force

    module = _engine_module(set_state)
    wrapping.wrap_module(module)
    engine = module.FlowRunEngine()

    assert engine.set_state("state", force=True) == ("state", True)
    assert engine.set_state.__doc__ == "Set it."
    with pytest.raises(KeyboardInterrupt) as caught:
        engine.set_state(None)
    assert caught.value is raised


def test_a_wrapped_client_behaves_as_before() -> None:
    """A result that the observer cannot read is still the caller's result."""
    module = ModuleType("prefect.client.orchestration")
    for name in wrapping.CLIENTS["prefect.client.orchestration"]:
        setattr(
            module,
            name,
            type(name, (), {"set_flow_run_state": lambda self, flow_run_id, state: (flow_run_id, state)}),
        )
    wrapping.wrap_module(module)

    assert module.SyncPrefectClient().set_flow_run_state("id", state="s") == ("id", "s")
    assert module.PrefectClient().set_flow_run_state(flow_run_id="id", state="s") == ("id", "s")


@pytest.fixture
def armed(monkeypatch) -> list[str]:
    """What switching on did, without doing it to this process."""
    done: list[str] = []
    monkeypatch.setattr(activation, "_active", False)
    monkeypatch.setattr(activation, "_arm", lambda: done.append("armed"))
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:9")
    return done


def test_switching_on_twice_is_switching_on_once(armed) -> None:
    """Two loaders arm the hooks once."""
    assert (activation.activate(), activation.activate()) == (True, True)
    assert armed == ["armed"]


@pytest.mark.parametrize(
    ("variable", "value"), [("PREFECT_PLUGINS_SAFE_MODE", "true"), ("OPENLINEAGE_DISABLED", "true")]
)
def test_the_users_switches_keep_it_off(armed, monkeypatch, variable, value) -> None:
    """Prefect's safe mode and OpenLineage's own switch are respected."""
    monkeypatch.setenv(variable, value)

    assert not activation.activate()
    assert armed == []


def test_a_failure_to_switch_on_is_the_collectors_own(armed, monkeypatch, caplog) -> None:
    """The import of the package survives, and the log says that there is no lineage."""
    monkeypatch.setattr(activation, "_arm", lambda: 1 / 0)

    assert not activation.activate()
    assert "no lineage is emitted" in caplog.text
