"""Where Prefect's API is and how to sign in: the environment, else the active profile, as Prefect itself reads them."""

from __future__ import annotations

import base64
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import attrs

from openlineage_bridge_prefect.runs import Kind

CLOUD_API = "https://api.prefect.cloud/api"
CLOUD_UI = "https://app.prefect.cloud"

PAGES: dict[Kind, str] = {"FLOW": "runs/flow-run", "TASK": "runs/task-run"}
"""Kind of run → its pages in Prefect's UI (prefect, ``utilities/urls.py``)."""


class ConnectionSettingsError(ValueError):
    """The settings do not say where the API is; the message says what to set."""


@attrs.frozen
class Connection:
    """A Prefect API.

    Args:
        api: Its URL, without a slash at the end.
        authorization: Value of the ``Authorization`` header, when the API wants one.
        ui: URL of the UI, from which the pages of runs are made.
    """

    api: str
    authorization: str | None = attrs.field(default=None, repr=False)
    ui: str | None = None

    def page(self, kind: Kind, run_id: UUID) -> str | None:
        """The page of a run in Prefect's UI, written as Prefect writes it."""
        return f"{self.ui.rstrip('/')}/{PAGES[kind]}/{run_id}" if self.ui else None


def connection(api_url: str | None = None, environ: Mapping[str, str] = os.environ) -> Connection:
    """The API that Prefect's own settings name: ``PREFECT_API_URL``, ``_KEY``, ``_AUTH_STRING``, ``PREFECT_UI_URL``.

    Args:
        api_url: Goes before the settings.
        environ: The environment.

    Raises:
        ConnectionSettingsError: No URL is set, or it is not one of HTTP.
    """
    settings = {**_profile(environ), **environ}
    api = (api_url or settings.get("PREFECT_API_URL", "")).rstrip("/")
    if not api:
        raise ConnectionSettingsError(
            "Set PREFECT_API_URL to Prefect's API, for example http://127.0.0.1:4200/api"
        )
    if urlsplit(api).scheme not in ("http", "https"):
        raise ConnectionSettingsError(
            f"PREFECT_API_URL must begin with http:// or https://, and is {_bare(api)!r}"
        )
    ui = settings.get("PREFECT_UI_URL") or ui_of(
        api,
        cloud_api=settings.get("PREFECT_CLOUD_API_URL") or CLOUD_API,
        cloud_ui=settings.get("PREFECT_CLOUD_UI_URL") or CLOUD_UI,
    )
    return Connection(api, _authorization(settings), ui)


def ui_of(api: str, *, cloud_api: str = CLOUD_API, cloud_ui: str = CLOUD_UI) -> str:
    """The UI that belongs to an API, as Prefect infers it (``default_ui_url``)."""
    ui = api.replace(cloud_api, cloud_ui) if api.startswith(cloud_api) else api
    ui = ui.removesuffix("/api").replace("/api/", "/")
    return ui.replace("/accounts/", "/account/").replace("/workspaces/", "/workspace/")


def _authorization(settings: Mapping[str, str]) -> str | None:
    """Basic before bearer, as Prefect's client does."""
    if auth_string := settings.get("PREFECT_API_AUTH_STRING"):
        return "Basic " + base64.b64encode(auth_string.encode()).decode()
    if key := settings.get("PREFECT_API_KEY"):
        return f"Bearer {key}"
    return None


def _profile(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of the active profile; nothing when there is none that can be read."""
    home = Path(environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    path = Path(environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml").expanduser()
    try:
        profiles: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    name = environ.get("PREFECT_PROFILE") or profiles.get("active")
    found = profiles.get("profiles", {}).get(name)
    return {key: str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _bare(url: str) -> str:
    """The URL without what may be a password in it."""
    return url.rpartition("@")[2]
