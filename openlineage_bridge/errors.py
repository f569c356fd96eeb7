"""The errors of the bridge: a class says what to do next, not where it happened.

::

    BridgeError
    ├── RejectedEvent     the sender's move: malformed or without identity; 4xx, the bytes go to quarantine
    ├── RetryLater        nobody's move: full, stopping or busy; 503, the sender tries again
    ├── PoisonEvent       the operator's move: cannot be translated or delivered; quarantine
    ├── ConfigError       the operator's move, before anything starts; exit code 2
    └── StorageError      the operator's move: the store is unusable; accepting stops, exit code 1
"""

from __future__ import annotations


class BridgeError(Exception):
    """Base of every error that the bridge raises on purpose; its text is written for the person who reads it."""


class RejectedEvent(BridgeError):  # noqa: N818  - named after what happened to the event
    """The sender must change the event: it is not JSON, or it names no job and no dataset."""


class RetryLater(BridgeError):  # noqa: N818  - named after the recovery
    """Nothing is wrong with the event; the sender should try again."""


class PoisonEvent(BridgeError):  # noqa: N818  - named after what it is
    """An acknowledged event that cannot be processed; it waits in quarantine for an operator.

    Args:
        stage: Where it failed: ``parse``, ``translate`` or ``deliver``.
        reason: Why, in words an operator can act on.
        error: Name of the class of the exception that it was.
    """

    def __init__(self, stage: str, reason: str, error: str) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason
        self.error = error


class ConfigError(BridgeError):
    """The configuration or the command line asks for something impossible; the text names the key."""


class StorageError(BridgeError):
    """The store cannot be opened, read or written; the text says what to do about it."""
