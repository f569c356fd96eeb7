"""What a command that runs long does with signals, its log and its errors."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import click

IMPATIENCE = 4.0
"""Seconds after the first signal in which a command ends by itself; then what it waits for is broken off."""

SAME_AGAIN = 600.0
"""Seconds in which the same line is not logged again."""


class Unavailable(click.ClickException):
    """Dagster's storage or the backend cannot be reached: exit code 4, as for every destination that is away."""

    exit_code = 4


class BreakOff(BaseException):
    """Ends whatever a stopped process still waits for; no ``except Exception`` on the way swallows it."""


class Reload:
    """Whether the code is to be loaded anew. A plain flag: a signal may come while a lock is taken."""

    wanted = False

    def on_hangup(self) -> None:
        """Let SIGHUP ask for it."""
        signal.signal(signal.SIGHUP, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.wanted = True


def stop_on_signals() -> threading.Event:
    """An event that the first SIGTERM or Ctrl-C sets; the second has its usual effect, and patience has its end."""
    stop = threading.Event()

    def break_off(_number: int, _frame: FrameType | None) -> None:
        raise BreakOff

    def ask(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        signal.signal(signal.SIGALRM, break_off)
        # Before the event: should this thread be about to wait for it, setting it hangs, and the alarm ends that.
        signal.setitimer(signal.ITIMER_REAL, IMPATIENCE)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    return stop


@contextlib.contextmanager
def broken_off() -> Iterator[None]:
    """Ends quietly where the patience after a signal was over."""
    try:
        yield
    except BreakOff:
        click.echo("Stopped in the middle of its work, which is done again at the next start.", err=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def said_plainly() -> Iterator[None]:
    """Turns what can go wrong into one sentence and an exit code."""
    from openlineage_bridge_capture.statefile import StateFileError
    from openlineage_bridge_dagster.delivery import DeliveryError

    try:
        yield
    except StateFileError as error:
        raise click.UsageError(str(error)) from error
    except DeliveryError as error:
        raise Unavailable(f"The backend does not take events: {error}") from error


def log_to_stderr() -> None:
    """What went wrong, a line each, and not again and again."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    handler.addFilter(NotAgain())
    for name in ("openlineage_bridge", "openlineage_bridge_dagster"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.propagate = False


class OneLine(logging.Formatter):
    """Without tracebacks, which say nothing to who operates this."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level and message."""
        return f"{self.formatTime(record)} {record.levelname} {' '.join(record.getMessage().split())}"


class NotAgain(logging.Filter):
    """Holds back a line that was logged within the last ten minutes."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        text, now = record.getMessage(), time.monotonic()
        self._said = {line: at for line, at in self._said.items() if now - at < SAME_AGAIN}
        return self._said.setdefault(text, now) == now
