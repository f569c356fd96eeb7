"""The command line in processes forked from one that has imported everything: a test that starts many waits for no imports."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from openlineage_bridge.cli import main

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "__main__",
        "openlineage_bridge.cli.replay",
        "openlineage_bridge.cli.serve",
        "openlineage_bridge.receivers.files",
        "openlineage_bridge.receivers.follow",
        "openlineage_bridge.server.app",
        "openlineage_bridge.server.run",
        "openlineage_bridge.server.tls",
        "openlineage_bridge.service",
        "openlineage_bridge_datahub",
    ]
)
"""What the commands import when they are called."""


class Fork(_CONTEXT.Process):
    """A process that may be asked like a ``subprocess.Popen``."""

    def poll(self) -> int | None:
        return self.exitcode

    def wait(self, seconds: float) -> int:
        self.join(seconds)
        assert self.exitcode is not None, f"it still runs after {seconds:g} s"
        return self.exitcode

    def send_signal(self, how: signal.Signals) -> None:
        if self.is_alive():
            os.kill(self.pid, how)


def forked(*arguments: str, folder: Path, output: Path, environment: Mapping[str, str] = os.environ) -> Fork:
    """``openlineage-bridge`` with these arguments, in a folder, with its output behind what the file holds."""
    process = Fork(target=_become, args=(arguments, folder, output, dict(environment)))
    process.start()
    return process


def _become(arguments: tuple[str, ...], folder: Path, output: Path, environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, sys.stdout.fileno())
    os.dup2(file, sys.stderr.fileno())
    sys.argv = ["openlineage-bridge", *arguments]
    main()
