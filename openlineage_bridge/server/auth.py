"""Who may do what with the server: bearer tokens with roles, and which addresses may be listened on without one."""

from __future__ import annotations

import base64
import binascii
import enum
from collections.abc import Mapping
from hmac import compare_digest
from ipaddress import ip_address

import attrs
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from openlineage_bridge.config import Secret, ServerConfig
from openlineage_bridge.errors import ConfigError

OPEN_PATHS = frozenset({"/livez", "/readyz", "/healthcheck", "/metrics"})
OPEN_PREFIX = "/static/"
ADMIN_PREFIX = "/api/v1/quarantine/"
DELIVERY_PREFIX = "/api/v1/delivery/"

_FOREIGN_PAGE = "this request was made by a page of another site"
_UNKNOWN = "send the header 'Authorization: Bearer <token>' with a token that the bridge knows"
_CHALLENGE = 'Bearer realm="openlineage-bridge", Basic realm="openlineage-bridge"'


class Role(enum.Enum):
    """What a token is for."""

    WRITE = "send events"
    READ = "read what the store holds"
    ADMIN = "change what the store holds"


EVERYTHING = frozenset(Role)
NOTHING: frozenset[Role] = frozenset()


@attrs.frozen
class Access:
    """The tokens, and what each of them is for.

    Args:
        roles: By token; with none, everyone may do everything.
    """

    roles: Mapping[Secret, frozenset[Role]] = attrs.field(factory=dict)

    @classmethod
    def of(cls, config: ServerConfig) -> Access:
        """The tokens of a configuration; one that stands in two lists is for both."""
        roles: dict[Secret, frozenset[Role]] = {}
        for tokens, given in (
            (config.tokens, EVERYTHING),
            (config.write_tokens, {Role.WRITE}),
            (config.read_tokens, {Role.READ}),
        ):
            for token in tokens:
                roles[token] = roles.get(token, NOTHING) | given
        return cls(roles)

    def granted(self, headers: Mapping[bytes, bytes]) -> frozenset[Role]:
        """What the sender of these headers may do; names of headers are in lower case.

        Every token is compared, each in constant time, whichever matches.
        """
        if not self.roles:
            return EVERYTHING
        presented = presented_token(headers.get(b"authorization", b"").decode("latin-1")).encode()
        matches = [
            given for token, given in self.roles.items() if compare_digest(presented, token.value.encode())
        ]
        return NOTHING.union(*matches)


def check_address(config: ServerConfig) -> None:
    """Refuse to listen where other machines can reach the server while anyone may write to it.

    Raises:
        ConfigError: Neither is the address a loopback address, nor is there a token, nor was ``insecure`` said.
    """
    if Access.of(config).roles or config.insecure or is_loopback(config.host):
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


def _needed(method: str, path: str) -> Role | None:
    """What a request is about; None when anyone may make it.

    Events are accepted under any prefix, so nothing that is posted is ever open.
    """
    if method in {"GET", "HEAD"}:
        return None if path in OPEN_PATHS or path.startswith(OPEN_PREFIX) else Role.READ
    return Role.ADMIN if path.startswith((ADMIN_PREFIX, DELIVERY_PREFIX)) else Role.WRITE


@attrs.frozen
class Guard:
    """ASGI middleware that answers 401 or 403 before anything of the body is read.

    Health, metrics (which hold no names) and the page's own style and script are open to everyone.

    Args:
        app: The application behind it.
        access: Which tokens are accepted, for what.
    """

    app: ASGIApp
    access: Access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = dict(scope["headers"])
        if scope["method"] == "POST" and is_foreign(headers):
            return JSONResponse({"error": _FOREIGN_PAGE}, 403)
        needed = _needed(scope["method"], scope["path"])
        if needed is None:
            return None
        granted = self.access.granted(headers)
        if not granted:
            return JSONResponse({"error": _UNKNOWN}, 401, {"WWW-Authenticate": _CHALLENGE})
        if needed not in granted:
            return JSONResponse({"error": f"this token may not {needed.value}"}, 403)
        return None
