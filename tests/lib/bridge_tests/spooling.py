"""Emitting to spools, in this process and in others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bridge_tests.emitting import event, importing
from openlineage_bridge_capture.spool import SpoolTransport

CHILD = """
import os, sys
from bridge_tests.emitting import event
from openlineage_bridge_capture.spool import SpoolConfig, SpoolTransport
url, folder, name, count = sys.argv[1:]
transport = SpoolTransport(SpoolConfig.from_dict({"url": url, "folder": folder, "timeout": 1}))
for number in range(int(count)):
    transport.emit(event(f"{name}-{number}"))
    os.write(1, b"%d\\n" % number)
"""
"""A process that emits ``{name}-0``, ``{name}-1``, … and says so each time."""


def emit(transport: SpoolTransport, *names: str) -> None:
    """Emit events of these names."""
    for name in names:
        transport.emit(event(name))


def numbered(count: int) -> list[str]:
    """So many names."""
    return [f"job-{number}" for number in range(count)]


def start_child(url: str, folder: Path, name: str, said: Path, count: int, program: str) -> subprocess.Popen:
    """A process in a session of its own that runs the program and writes into the file ``said``."""
    with said.open("wb") as output:
        command = [sys.executable, "-c", program, url, str(folder), name, str(count)]
        return subprocess.Popen(command, stdout=output, env=importing(), start_new_session=True)
