"""Whether the user configured an OpenLineage backend; light, because it is asked at every ``import prefect``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

TYPE_KEY = "OPENLINEAGE__TRANSPORT__TYPE"
TRANSPORT_KEY = "OPENLINEAGE__TRANSPORT"
URL_KEY = "OPENLINEAGE_URL"

SPOOL_KEY = "OPENLINEAGE_BRIDGE_SPOOL"
"""``off`` sends events directly where they would go through the spool, which is the default for HTTP."""

SPOOL_FOLDER_KEY = "OPENLINEAGE_BRIDGE_SPOOL_FOLDER"
"""Where the spool's files lie, instead of below the user's state folder; must be on a local file system."""

OFF = frozenset({"off", "false", "no", "0"})


def configured() -> bool:
    """Whether the user configured an OpenLineage backend, by any of the client's own means.

    ``OPENLINEAGE_URL``, ``OPENLINEAGE_CONFIG``, ``OPENLINEAGE__TRANSPORT…`` or an ``openlineage.yml`` where the client
    looks for one, and not ``OPENLINEAGE_DISABLED=true``. Nothing configured means nothing happens: the client's own
    fallback would print every event to the console.
    """
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    return bool(typed_transport() or os.environ.get(URL_KEY))


def spooled() -> bool:
    """Whether events that go to an HTTP backend are to be spooled, which the user may have switched off."""
    return os.environ.get(SPOOL_KEY, "").strip().lower() not in OFF


def typed_transport() -> str | None:
    """The ``type`` of the transport section, which is what makes the client use that section at all."""
    if kind := os.environ.get(TYPE_KEY):
        return kind
    in_environment = _parsed(os.environ.get(TRANSPORT_KEY, ""))
    in_file = _mapping(_config_file().get("transport"))
    kind = in_environment.get("type") or in_file.get("type")
    return str(kind) if kind else None


def _config_file() -> dict[str, Any]:
    """The YAML file the client would read; an unreadable one is what it is to the client: nothing."""
    for path in _config_paths():
        try:
            if path.is_file() and os.access(path, os.R_OK):
                return _parsed(path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
    return {}


def _config_paths() -> list[Path]:
    """Where the client looks, in its order (openlineage-python, ``OpenLineageClient._find_yaml_config_path``)."""
    named = os.environ.get("OPENLINEAGE_CONFIG")
    places = ([named] if named else []) + ["openlineage.yml", "~/.openlineage/openlineage.yml"]
    # Unlike pathlib's, this one does not raise for a user without a home, as in a container.
    return [Path(os.path.expanduser(place)) for place in places]  # noqa: PTH111


def _parsed(text: str) -> dict[str, Any]:
    try:
        return _mapping(yaml.safe_load(text))
    except yaml.YAMLError:
        return {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
