"""Asking a bridge that runs to do what only it can, because it has the store to itself."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Collection, Mapping
from typing import Any

from openlineage_bridge.errors import BridgeError, ConfigError, RetryLater
from openlineage_bridge.recovery import Report

SECONDS = 60.0


def ready(url: str) -> str:
    """What a bridge says of itself, when it takes events.

    Raises:
        ConfigError: The address is none.
        RetryLater: Nobody answers there, or it takes no events now.
    """
    answer = _answer(urllib.request.Request(f"{_address(url)}/readyz"))  # noqa: S310 - checked
    return str(answer["status"])


def operate(url: str, token: str | None, operation: str, numbers: Collection[int] | None) -> Report:
    """``retry`` or ``drop`` what is in quarantine there; see ``openlineage_bridge.server.operations``.

    Raises:
        ConfigError: The address is none, or the token is not good for it.
        RetryLater: Nobody answers there, or not now.
        BridgeError: It answers something else.
    """
    order = {"numbers": None if numbers is None else sorted(numbers)}
    answer = _answer(_request(url, token, f"/api/v1/quarantine/{operation}", order))
    refused = {int(number): reason for number, reason in answer["refused"].items()}
    return Report(tuple(answer["done"]), refused, tuple(answer["unknown"]))


def redeliver(url: str, token: str | None, urns: Collection[str] | None, to: str | None) -> dict[str, int]:
    """Deliver these entities again, or everything; by the name of each destination what waits for it.

    Raises:
        ConfigError: The address is none, or the token is not good for it.
        RetryLater: Nobody answers there, or not now.
        BridgeError: It knows no such destination or entity, or answers something else.
    """
    order = {"urns": None if urns is None else sorted(urns), "to": to}
    waiting: dict[str, int] = _answer(_request(url, token, "/api/v1/delivery/redeliver", order))
    return waiting


def _request(url: str, token: str | None, path: str, order: Mapping[str, Any]) -> urllib.request.Request:
    return urllib.request.Request(  # noqa: S310 - checked
        f"{_address(url)}{path}",
        json.dumps(order).encode(),
        {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}),
    )


def _address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"--url {url} is no address: it begins with http:// or https://")
    return url.rstrip("/")


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
        answer = json.load(error)
        said = answer.get("error") or answer["status"]
    except (ValueError, KeyError, TypeError, AttributeError):
        said = error.reason
    if error.code in {401, 403}:
        return ConfigError(f"{url}: {said}; name a token with --token or OPENLINEAGE_BRIDGE_TOKEN")
    return RetryLater(f"{url}: {said}") if error.code == 503 else BridgeError(f"{url}: {error.code} {said}")
