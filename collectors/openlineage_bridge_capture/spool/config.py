"""What a user can set: everything of the client's ``http`` transport, and where and how much is spooled."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import attrs
from openlineage.client.transport.http import HttpConfig
from openlineage.client.transport.transport import Config

from openlineage_bridge_capture.settings import SPOOL_FOLDER_KEY

FLUSH_TIMEOUT = 2.0
MAX_BYTES = 1 << 30

RAISE, DROP = "raise", "drop"

_ENVIRONMENT = {"url": "OPENLINEAGE_URL", "endpoint": "OPENLINEAGE_ENDPOINT"}
"""The client's plain variables, which count where the transport section is silent."""


def default_folder() -> Path:
    """``$OPENLINEAGE_BRIDGE_SPOOL_FOLDER``, else the place of the XDG Base Directory Specification for state.

    That is ``$XDG_STATE_HOME``, else ``~/.local/state``, and below it our name. A process that has no home gets a path
    that begins with ``~``; the disk is not looked at here.
    """
    if named := os.environ.get(SPOOL_FOLDER_KEY):
        return _expanded(named)
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return _expanded(state) / "openlineage-bridge" / "spool"


def _expanded(path: str) -> Path:
    # Unlike pathlib's, this one does not raise for a user without a home.
    return Path(os.path.expanduser(path))  # noqa: PTH111


@attrs.frozen
class SpoolConfig(Config):
    """The ``transport`` section.

    Args:
        http: Where and how to send; ``url``, ``endpoint``, ``auth``, ``timeout``, ``verify``, ``custom_headers`` … stand
            in the section itself, as for the ``http`` transport. ``retry`` is ignored: the spool tries for ever.
        folder: Where the files lie, below a name made from the URL; must be on a local file system.
        fsync: Force each event to the disk before ``emit`` returns. Without it a killed process loses nothing, but a
            power cut or a kernel crash can lose what the kernel had not written yet (some 30 seconds by default).
        max_bytes: Bytes that all processes together may keep for this URL, set aside events included.
        when_full: ``raise``: ``emit`` raises SpoolFullError, so nothing is lost unsaid; ``drop``: new events are
            dropped, counted and said once.
        flush_timeout: Seconds that ``close`` and the end of the process wait in all.
    """

    http: HttpConfig
    folder: Path = attrs.field(factory=default_folder)
    fsync: bool = False
    max_bytes: int = attrs.field(default=MAX_BYTES, validator=attrs.validators.gt(0))
    when_full: str = attrs.field(default=RAISE, validator=attrs.validators.in_((RAISE, DROP)))
    flush_timeout: float = attrs.field(default=FLUSH_TIMEOUT, validator=attrs.validators.ge(0))

    @classmethod
    def from_dict(cls, params: dict[str, Any]) -> Self:
        """From the section of ``openlineage.yml`` or ``OPENLINEAGE__TRANSPORT__…``.

        Raises:
            RuntimeError: There is no ``url``, neither here nor in ``OPENLINEAGE_URL``.
            ValueError: A value is out of its range.
        """
        return cls.around(HttpConfig.from_dict(_with_environment(params)), params)

    @classmethod
    def around(cls, http: HttpConfig, params: dict[str, Any]) -> Self:
        """The settings of a client's ``http`` transport as they are, with our own from the same section.

        Raises:
            ValueError: A value of ours is out of its range.
        """
        own = {name: convert(params[name]) for name, convert in _CONVERTERS.items() if name in params}
        return cls(http=http, **own)


def _with_environment(params: dict[str, Any]) -> dict[str, Any]:
    named = {key: os.environ[name] for key, name in _ENVIRONMENT.items() if os.environ.get(name)}
    settings = {**named, **params}
    if "auth" not in settings and (key := os.environ.get("OPENLINEAGE_API_KEY")):
        settings["auth"] = {"type": "api_key", "apiKey": key}
    return settings


def _truth(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).strip().lower() in ("true", "1", "yes", "on")


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "folder": lambda value: _expanded(str(value)),
    "fsync": _truth,
    "max_bytes": int,
    "when_full": str,
    "flush_timeout": float,
}
"""Our own settings, which come as strings from the environment."""
