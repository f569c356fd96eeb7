"""Where DataHub is and with which token: the configuration, else what the rest of that ecosystem reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.outgoing import base_url, secret

URL, TOKEN = "DATAHUB_GMS_URL", "DATAHUB_GMS_TOKEN"
HOST, PORT, PROTOCOL = "DATAHUB_GMS_HOST", "DATAHUB_GMS_PORT", "DATAHUB_GMS_PROTOCOL"
SKIP_FILE = "DATAHUB_SKIP_CONFIG"
FILE = ".datahubenv"
"""In the home folder; ``datahub init`` writes it."""

Address = tuple[str, str | None]


def address_of(section: Mapping[str, Any], environ: Mapping[str, str]) -> Address:
    """Base URL of GMS, and the token for it.

    A section's own address wins over the environment, as that does over ``~/.datahubenv``
    (acryl-datahub, ``cli/config_utils.py``). A token that was meant for another server is not sent to this one.

    Raises:
        ConfigError: There is no address, or it is none.
    """
    server, token = section.get("server"), secret(section.get("token"))
    others = [each for each in (_from_environ(environ), _from_file(environ)) if each]
    if server:
        own = base_url("datahub.server", server)
        theirs = [other_token for other, other_token in others if other in ("", own)]
        return own, token or next(iter(theirs), None)
    found = next((each for each in others if each[0]), None)
    if found is None:
        raise ConfigError(
            f"datahub.server: set it, or {URL}, to the address of DataHub's GMS, or run `datahub init`"
        )
    return base_url("datahub.server", found[0]), token or found[1]


def _from_environ(environ: Mapping[str, str]) -> Address | None:
    """An empty address where the environment has a token only."""
    url, token = environ.get(URL) or environ.get(HOST) or "", environ.get(TOKEN) or None
    if environ.get(PORT):
        url = f"{environ.get(PROTOCOL, 'http')}://{environ.get(HOST, 'localhost')}:{environ[PORT]}"
    return (url.rstrip("/"), token) if url or token else None


def _from_file(environ: Mapping[str, str]) -> Address | None:
    if environ.get(SKIP_FILE, "").lower() in ("true", "1"):
        return None
    path = Path(environ.get("HOME", "~")).expanduser() / FILE
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    said = data.get("gms") if isinstance(data, dict) else None
    if not isinstance(said, dict) or not said.get("server"):
        return None
    return str(said["server"]).rstrip("/"), said.get("token") or None
