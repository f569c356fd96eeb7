"""Who may speak to the server: bearer tokens, and which addresses may be listened on without one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from hmac import compare_digest
from ipaddress import ip_address

import attrs
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from openlineage_bridge.config import Secret, ServerConfig
from openlineage_bridge.errors import ConfigError

OPEN_PATHS = frozenset({"/livez", "/readyz", "/healthcheck", "/metrics"})
OPEN_PREFIX = "/static/"

_FOREIGN_PAGE = "this request was made by a page of another site"
_UNKNOWN = "send the header 'Authorization: Bearer <token>' with a token that the bridge knows"


def check_address(config: ServerConfig) -> None:
    """Refuse to listen where other machines can reach the server while anyone may write to it.

    Raises:
        ConfigError: Neither is the address a loopback address, nor is there a token, nor was ``insecure`` said.
    """
    if config.tokens or config.insecure or is_loopback(config.host):
        return
    raise ConfigError(
        f"{config.host} can be reached from other machines, and server.tokens is empty: set a token (for example "
        "OPENLINEAGE_BRIDGE__SERVER__TOKENS), listen on 127.0.0.1, or accept events from anyone with --insecure"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address; a name other than ``localhost`` counts as reachable."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_known(presented: str, tokens: Sequence[Secret]) -> bool:
    """Whether the text is one of the tokens; every token is compared, each in constant time, whichever matches."""
    matches = [compare_digest(presented.encode(), token.value.encode()) for token in tokens]
    return any(matches)


def presented_token(authorization: str) -> str:
    """The token of an ``Authorization`` header: of ``Bearer``, or the password of ``Basic``, which browsers ask for.

    A header that is neither gives an empty text, which is never a token.
    """
    scheme, _, credentials = authorization.strip().partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials.strip()
        case "basic":
            return _password(credentials)
        case _:
            return ""


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def is_foreign(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a page of another site made the request.

    A browser sends its user's credentials, or reaches a loopback address, for any page; it also says so.
    """
    return headers.get(b"sec-fetch-site", b"none") not in {b"none", b"same-origin"}


def may_write(headers: Mapping[bytes, bytes], tokens: Sequence[Secret]) -> bool:
    """Whether the sender presents one of the tokens, or none is asked for. Names of headers are in lower case."""
    if not tokens:
        return True
    return is_known(presented_token(headers.get(b"authorization", b"").decode("latin-1")), tokens)


def _is_open(method: str, path: str) -> bool:
    """Whether anyone may read it; events are accepted under any prefix, so nothing that writes is ever open."""
    return method in {"GET", "HEAD"} and (path in OPEN_PATHS or path.startswith(OPEN_PREFIX))


@attrs.frozen
class Guard:
    """ASGI middleware that answers 401 or 403 before anything of the body is read.

    Health, metrics (which hold no names) and the page's own style and script are open to everyone.

    Args:
        app: The application behind it.
        tokens: Those that are accepted; with none, everyone is.
    """

    app: ASGIApp
    tokens: Sequence[Secret]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = dict(scope["headers"])
        if scope["method"] == "POST" and is_foreign(headers):
            return JSONResponse({"error": _FOREIGN_PAGE}, 403)
        if _is_open(scope["method"], scope["path"]) or may_write(headers, self.tokens):
            return None
        challenge = 'Bearer realm="openlineage-bridge", Basic realm="openlineage-bridge"'
        return JSONResponse({"error": _UNKNOWN}, 401, {"WWW-Authenticate": challenge})
