"""Asking a bridge that runs to do what only it can, because it has the store to itself."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Collection
from typing import Any

from openlineage_bridge.errors import BridgeError, ConfigError, RetryLater
from openlineage_bridge.recovery import Report

SECONDS = 60.0


def operate(url: str, token: str | None, operation: str, numbers: Collection[int] | None) -> Report:
    """``retry`` or ``drop`` what is in quarantine there; see ``openlineage_bridge.server.operations``.

    Raises:
        ConfigError: The address is none, or the token is not good for it.
        RetryLater: Nobody answers there, or not now.
        BridgeError: It answers something else.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"--url {url} is no address: it begins with http:// or https://")
    request = urllib.request.Request(  # noqa: S310 - checked above
        f"{url.rstrip('/')}/api/v1/quarantine/{operation}",
        json.dumps({"numbers": None if numbers is None else sorted(numbers)}).encode(),
        {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}),
    )
    answer = _answer(request)
    refused = {int(number): reason for number, reason in answer["refused"].items()}
    return Report(tuple(answer["done"]), refused, tuple(answer["unknown"]))


def _answer(request: urllib.request.Request) -> Any:
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - see above
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise _explained(request.full_url, error) from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise RetryLater(f"no bridge answers at {request.full_url}: {reason}") from None
    except ValueError:
        raise BridgeError(f"what answers at {request.full_url} is no bridge") from None


def _explained(url: str, error: urllib.error.HTTPError) -> BridgeError:
    try:
        said = json.load(error)["error"]
    except (ValueError, KeyError, TypeError):
        said = error.reason
    if error.code in {401, 403}:
        return ConfigError(f"{url}: {said}; name a token with --token or OPENLINEAGE_BRIDGE_TOKEN")
    return RetryLater(f"{url}: {said}") if error.code == 503 else BridgeError(f"{url}: {error.code} {said}")
