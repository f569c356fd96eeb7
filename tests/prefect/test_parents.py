"""What a process that a task starts gets to know of it, without starting flows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid

import pytest

from openlineage_bridge_prefect import identity, parents
from openlineage_bridge_prefect.identity import RunReference
from openlineage_bridge_prefect.runs import Run

OWN = {parents.CONTEXT_KEY: "{}", parents.PARENT_KEY: "ns/job/1", parents.ROOT_KEY: "ns/root/0"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"PATH": "/bin"}, {"PATH": "/bin", **OWN}),
        ({parents.PARENT_KEY: "outer/job/9"}, OWN),
        ({parents.PARENT_KEY: "mine/job/5"}, {parents.PARENT_KEY: "mine/job/5"}),
        ({parents.CONTEXT_KEY: "mine"}, {parents.CONTEXT_KEY: "mine"}),
    ],
)
def test_what_a_child_gets(given, expected, monkeypatch) -> None:
    """The nearest run is the parent, whatever this process's own parent is; what was set for the child stays."""
    monkeypatch.setenv(parents.PARENT_KEY, "outer/job/9")
    before = dict(os.environ)

    assert expected == parents.with_parent(given, OWN)
    assert before == dict(os.environ)


def test_a_name_with_a_slash_is_told_as_json_only(monkeypatch) -> None:
    """Those who read the ids for dbt and Spark fail at a further slash."""
    run = Run(id=uuid.uuid4(), kind="TASK", job_name="flow.load a/b", flow_name="flow")
    run.parent = Run(id=uuid.uuid4(), kind="FLOW", job_name="flow", flow_name="flow")
    monkeypatch.setattr(parents, "_current", lambda: run)
    found = parents.parent_environment()

    assert {parents.CONTEXT_KEY, parents.ROOT_KEY} == set(found)
    assert "flow.load a/b" == json.loads(found[parents.CONTEXT_KEY])["parent"]["job"]["name"]


RUN, PARENT, ROOT = (str(uuid.UUID(int=number)) for number in (1, 2, 3))


def _context(where: str) -> str:
    """What another producer hands down, or this one: the parent, and the root inside it or beside it."""
    parent = {"job": {"namespace": "ns", "name": "load a/b"}, "run": {"runId": PARENT}}
    root = {"job": {"namespace": "ns", "name": "nightly"}, "run": {"runId": ROOT}}
    told = {"parent": {**parent, "root": root}} if where == "inside" else {"parent": parent, "root": root}
    return json.dumps(told)


IN_CONTEXT = (RunReference(PARENT, "ns", "load a/b"), RunReference(ROOT, "ns", "nightly"))
BY_ID = RunReference(RUN, "a/b", "job")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (None, None)),
        ({parents.PARENT_KEY: f"a/b/job/{RUN}"}, (BY_ID, BY_ID)),
        ({parents.CONTEXT_KEY: _context(where="inside")}, IN_CONTEXT),
        ({parents.CONTEXT_KEY: _context(where="beside")}, IN_CONTEXT),
        # Of two that contradict each other, the ids: never the parent of one and the root of the other.
        (
            {parents.CONTEXT_KEY: _context(where="inside"), parents.PARENT_KEY: f"a/b/job/{RUN}"},
            (BY_ID, BY_ID),
        ),
        ({parents.CONTEXT_KEY: "{"}, (None, None)),
        ({parents.CONTEXT_KEY: '{"parent": {"job": []}}'}, (None, None)),
        ({parents.CONTEXT_KEY: "[]", parents.PARENT_KEY: "no run"}, (None, None)),
    ],
)
def test_who_started_this_process(variables, expected, monkeypatch) -> None:
    """Parent and root of its outermost runs, as another traced producer tells them."""
    for name in (parents.PARENT_KEY, parents.ROOT_KEY, parents.CONTEXT_KEY):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert expected == (identity.environment_parent(), identity.environment_root())


def test_a_child_reads_what_its_parent_tells(monkeypatch) -> None:
    """The names of this very package go there and back, slashes too."""
    flow = Run(id=uuid.uuid4(), kind="FLOW", job_name="nightly", flow_name="nightly")
    run = Run(id=uuid.uuid4(), kind="TASK", job_name="nightly.load a/b", flow_name="nightly", parent=flow)
    monkeypatch.setattr(parents, "_current", lambda: run)
    for name, value in parents.parent_environment().items():
        monkeypatch.setenv(name, value)

    assert identity.environment_parent() == RunReference(str(run.id), "prefect", "nightly.load a/b")
    assert identity.environment_root() == RunReference(str(flow.id), "prefect", "nightly")


def test_a_process_starts_whatever_goes_wrong(monkeypatch) -> None:
    """Nobody's process may fail for its parent's name; without the switch nothing is wrapped."""

    def broken():
        raise RuntimeError("a bug")

    original = subprocess.Popen.__init__
    monkeypatch.setattr(subprocess.Popen, "__init__", original)
    parents.export_to_children()
    assert subprocess.Popen.__init__ is original

    monkeypatch.setenv(parents.EXPORT_KEY, "true")
    monkeypatch.setattr(parents, "parent_environment", broken)
    parents.export_to_children()
    parents.export_to_children()

    assert subprocess.Popen.__init__ is not original
    assert subprocess.Popen.__init__.__wrapped__ is original
    assert b"fine" == subprocess.check_output([sys.executable, "-c", "print('fine', end='')"])
