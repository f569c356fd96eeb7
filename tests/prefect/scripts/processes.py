"""Processes that a script starts beside itself: none outlives it, and it waits for none for ever."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SECONDS = 420.0
"""All that is waited for has come to pass by then, or the script fails."""
GRACE = 15.0
"""Seconds for a process to end that was asked to."""
DEALT_WITH = 3.0
"""Seconds, for what processes that have nothing else to do get done and leaves no trace."""

END = time.monotonic() + SECONDS
GIVEN_UP = threading.Event()
"""Set it, and nobody waits any longer."""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll until the condition holds; fail with ``what`` was waited for."""
    while not condition():
        if GIVEN_UP.wait(0.2) or time.monotonic() > END:
            raise TimeoutError(f"waited in vain for {what}")


@contextlib.contextmanager
def running(name: str, *command: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with all its children in a group of its own, gone when the block is left; it logs to a file of that name."""
    with Path(f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **variables}, start_new_session=True
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(GRACE)


def run(name: str, *command: str) -> int:
    """The exit code of a process that ends by itself."""
    with running(name, *command) as process:
        wait_until(lambda: process.poll() is not None, f"the end of {name}")
        return process.wait()


def await_exit(pid_file: Path) -> None:
    """Wait until a process is gone that wrote its id, and who started it has dealt with that.

    Scheduled anew before, a flow run is taken for crashed, or finds its working directory removed under its feet.
    """
    process_id = int(pid_file.read_text())
    wait_until(lambda: not _lives(process_id), f"the end of process {process_id}")
    threading.Event().wait(DEALT_WITH)


def _lives(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True
