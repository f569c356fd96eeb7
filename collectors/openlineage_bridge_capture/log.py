"""What capture tells the user: one stdlib logger, and each thing said once, because a guest does not chatter."""

from __future__ import annotations

import logging

logger = logging.getLogger("openlineage_bridge")

_said: set[str] = set()


def once(level: int, message: str, *args: object, exc_info: bool = False) -> None:
    """Log a message the first time this process has it to say, and at DEBUG ever after.

    "The same message" means the same format string: the arguments differ from case to case and do not count.
    """
    first = message not in _said
    _said.add(message)
    logger.log(level if first else logging.DEBUG, message, *args, exc_info=exc_info)


def forget() -> None:
    """Say everything again: for a process that starts a new life (a test, a forked worker)."""
    _said.clear()
