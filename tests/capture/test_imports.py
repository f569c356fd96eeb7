"""``when_imported`` calls back at the right moment and leaves the import system as it was."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
import logging
import sys
import threading

import pytest

from openlineage_bridge_capture.imports import when_imported


@pytest.fixture
def module(tmp_path, monkeypatch, request):
    """Writes a module that nobody has imported yet, and gives its name."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"imported_{abs(hash(request.node.nodeid))}"
    (tmp_path / f"{name}.py").write_text("VALUE = 1\n")
    yield name
    for known in [each for each in sys.modules if each.split(".")[0] == name]:
        del sys.modules[known]


def test_the_callback_gets_the_executed_module_once(module):
    seen = []
    when_imported(module, lambda each: seen.append(each.VALUE))
    assert seen == []
    importlib.import_module(module)
    importlib.import_module(module)
    assert seen == [1]


def test_a_module_that_is_there_already_is_handed_over_at_once(module):
    imported = importlib.import_module(module)
    seen = []
    when_imported(module, seen.append)
    assert seen == [imported]


def test_all_callbacks_are_called_in_order_and_the_same_one_only_once(module):
    seen = []
    first = seen.append
    when_imported(module, first)
    when_imported(module, first)
    when_imported(module, lambda each: seen.append("second"))
    imported = importlib.import_module(module)
    assert seen == [imported, "second"]


def test_a_reload_executes_the_module_again_and_calls_back_again(module):
    seen = []
    when_imported(module, lambda each: seen.append(each.VALUE))
    imported = importlib.import_module(module)
    assert importlib.reload(imported) is imported
    assert seen == [1, 1]


def test_a_failing_callback_is_logged_and_the_import_succeeds(module, caplog):
    def fail(_):
        raise ValueError("no such method")

    seen = []
    when_imported(module, fail)
    when_imported(module, seen.append)
    with caplog.at_level(logging.WARNING, logger="openlineage_bridge"):
        imported = importlib.import_module(module)
    assert seen == [imported]
    assert [module in record.message for record in caplog.records] == [True]


def test_a_module_that_fails_to_import_raises_its_own_error(module, tmp_path):
    (tmp_path / f"{module}.py").write_text("raise RuntimeError('mine')\n")
    seen = []
    when_imported(module, seen.append)
    with pytest.raises(RuntimeError, match="mine"):
        importlib.import_module(module)
    assert seen == []


def test_find_spec_finds_the_same_kind_of_loader_and_imports_nothing(module):
    seen = []
    when_imported(module, seen.append)
    spec = importlib.util.find_spec(module)
    assert isinstance(spec.loader, importlib.machinery.SourceFileLoader)
    assert spec.loader.get_source(module) == "VALUE = 1\n"
    assert (seen, module in sys.modules) == ([], False)


def test_a_module_whose_import_is_blocked_stays_blocked(monkeypatch):
    monkeypatch.setitem(sys.modules, "blocked_on_purpose", None)
    seen = []
    when_imported("blocked_on_purpose", seen.append)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("blocked_on_purpose")
    assert seen == []


def test_find_spec_of_a_missing_module_is_none():
    when_imported("surely_no_such_module", lambda _: None)
    assert importlib.util.find_spec("surely_no_such_module") is None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("surely_no_such_module")


def test_after_the_import_the_module_has_its_own_loader(module):
    when_imported(module, lambda _: None)
    imported = importlib.import_module(module)
    assert importlib.machinery.SourceFileLoader is type(imported.__loader__)
    assert importlib.machinery.SourceFileLoader is type(imported.__spec__.loader)
    assert inspect.getsource(imported) == "VALUE = 1\n"


def test_a_namespace_package_is_imported_as_ever(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "spread_out").mkdir()
    (tmp_path / "spread_out" / "inner.py").write_text("VALUE = 2\n")
    seen = []
    when_imported("spread_out", seen.append)
    when_imported("spread_out.inner", lambda each: seen.append(each.VALUE))
    importlib.import_module("spread_out.inner")
    assert seen == [2]


def test_threads_that_import_at_once_see_one_call(module, tmp_path):
    (tmp_path / f"{module}.py").write_text("import threading\nthreading.Event().wait(0.05)\nVALUE = 1\n")
    seen = []
    when_imported(module, lambda each: seen.append(each.VALUE))
    threads = [threading.Thread(target=importlib.import_module, args=(module,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == [1]


def test_registering_while_another_thread_imports_waits_for_the_whole_module(module, tmp_path):
    (tmp_path / f"{module}.py").write_text(
        "import threading, sys\n"
        "sys.modules[__name__ + '_started'] = True\n"
        "threading.Event().wait(0.2)\nVALUE = 1\n"
    )
    seen = []
    importing = threading.Thread(target=importlib.import_module, args=(module,))
    importing.start()
    while f"{module}_started" not in sys.modules:
        threading.Event().wait(0.001)
    when_imported(module, lambda each: seen.append(each.VALUE))
    importing.join(10)
    del sys.modules[f"{module}_started"]
    assert seen == [1]
