"""An event of which only the name matters, and processes of users that emit such events."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from openlineage.client.event_v2 import Job, Run, RunEvent, RunState

HEADER = """
import multiprocessing, os, signal, sys, time
from bridge_tests.emitting import event
from openlineage_bridge_capture.emitter import emitter

def emit(*names):
    for name in names:
        emitter().emit(lambda name=name: event(name))
"""
"""What a process begins with."""


def event(name: str) -> RunEvent:
    """The START of a run of the job ``test``/``name``."""
    return RunEvent(
        eventTime="2024-01-01T00:00:00Z",
        run=Run("01908e5a-0000-7000-8000-000000000000"),
        job=Job("test", name),
        eventType=RunState.START,
    )


def importing() -> dict[str, str]:
    """The environment of a process that imports this package."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def script(body: str, url: str, **variables: str) -> subprocess.Popen[str]:
    """A process whose tasks emit by ``emit("name", ...)`` to the receiver at this address."""
    return subprocess.Popen(
        [sys.executable, "-c", HEADER + textwrap.dedent(body)],
        env={**importing(), "OPENLINEAGE_URL": url, "PYTHONWARNINGS": "ignore", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
