"""Statements of many steps under a real Dagster: each in the recording of the step that executed it."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from dagster import execute_job
from dagster._core.definitions.reconstruct import ReconstructableRepository

from openlineage_bridge_capture.recording import Recording
from openlineage_bridge_dagster.fold import RECORDING_KEY

pytestmark = pytest.mark.system

LOCATION = Path(__file__).with_name("attribution_location.py")
TEN, TWENTY = range(10), range(20)


@pytest.fixture
def location(tmp_path, monkeypatch):
    """The definitions of the location, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("attribution_location", LOCATION)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def made(instance, records):
    """Run → its recordings: step and names of the tables it made, an entry for each attempt."""

    def read(run_id):
        recordings = [
            (entry.step_key, entry.dagster_event.event_specific_data.metadata[RECORDING_KEY].value)
            for entry in records(run_id)
            if RECORDING_KEY in getattr(entry.dagster_event.event_specific_data, "metadata", {})
        ]
        return Counter((step, frozenset(_names(Recording.from_json(value)))) for step, value in recordings)

    return read


def _names(recording):
    return [
        re.fullmatch(r"CREATE TABLE (\w+) AS SELECT 1 AS id", each.sql)[1] for each in recording.statements
    ]


def tables(*groups):
    """Names of tables, from the owner and the numbers of each group."""
    return frozenset(f"{owner}_{number}" for owner, numbers in groups for number in numbers)


def steps(mapped, *without):
    """What each step makes, its own inputs' loading and outputs' storing included. Written by hand."""
    expected = {
        "plain": [("plain", TWENTY), ("plain_stores_result", [0])],
        "generator": [
            ("generator", range(21)),
            ("generator_stores_left", [0]),
            ("generator_stores_right", [0]),
        ],
        "coroutine": [
            ("coroutine_loads_generator", [0]),
            ("coroutine", range(21)),
            ("coroutine_stores_result", [0]),
        ],
        "async_generator": [
            ("async_generator", TWENTY),
            ("async_generator_stores_left", [0]),
            ("async_generator_stores_right", [0]),
        ],
        "fans_out": [
            ("fans_out", range(mapped)),
            *((f"fans_out_stores_result_k{number}", [0]) for number in range(mapped)),
        ],
        "collects": [
            *((f"collects_loads_mapped_k{number}_", [0]) for number in range(mapped)),
            ("collects", TWENTY),
        ],
        "nests": [("nests", TEN)],
        "hands_out": [("hands_out", TEN)],
    }
    for number in range(mapped):
        name = f"mapped_k{number}_"
        expected[f"mapped[k{number}]"] = [
            (f"{name}_loads_fans_out", [0]),
            (name, TWENTY),
            (f"{name}_stores_result", [0]),
        ]
    attempts = [
        ("twice", tables(("twice_0", TEN))),
        ("twice", tables(("twice_1", TEN))),
    ]
    return Counter(
        [(step, tables(*groups)) for step, groups in expected.items() if step not in without] + attempts
    )


def test_steps_of_one_process(instance, location, made):
    """Generators, coroutines, IO managers, mapped steps, retries, threads, forked children, a job within a step."""
    run_id = location.in_one_process.execute_in_process(instance=instance).run_id
    [inner] = [run.run_id for run in instance.get_runs() if run.job_name == "within"]

    assert steps(mapped=30) == made(run_id)
    assert Counter({("inner", tables(("inner", TEN))): 1}) == made(inner)


def test_steps_of_many_processes(instance, location, made):
    """Some of the same steps, each in a process of its own, three at a time."""
    repository = ReconstructableRepository.for_file(str(LOCATION), "defs", str(Path.cwd()))
    result = execute_job(repository.get_reconstructable_job("in_many_processes"), instance)

    assert result.success
    assert steps(3, "plain", "nests", "async_generator", "hands_out") == made(result.run_id)


def test_the_outputs_of_a_multi_asset_are_one_steps(instance, location, made):
    """What is made between two yields is the step's, too."""
    run_id = (
        location.defs.get_repository_def().get_job("all_assets").execute_in_process(instance=instance).run_id
    )

    assert Counter({("tables", tables(("tables_orders", TEN), ("tables_customers", TEN))): 1}) == made(run_id)
