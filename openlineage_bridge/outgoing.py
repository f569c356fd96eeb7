"""HTTP to destinations: addresses, headers, TLS, and when a server wants to be asked again."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import attrs
import httpx2

from openlineage_bridge.errors import ConfigError

LONGEST_REST = 3600.0
"""Seconds for which a server may ask to be left alone; one that asks for more is asked again then."""

KEYS = (
    "timeout",
    "extra_headers",
    "ca_certificate_path",
    "client_certificate_path",
    "client_key_path",
    "disable_ssl_verification",
)
"""Of a destination's configuration; named as in acryl-datahub's ``DatahubClientConfig``."""


def base_url(key: str, url: Any) -> str:
    """An address without a slash at its end.

    Raises:
        ConfigError: It is none, or has a password in it, which logs and ``status`` would show.
    """
    text = str(url).rstrip("/")
    if not text.startswith(("http://", "https://")):
        raise ConfigError(f"{key}: {text!r} is no http or https address")
    if "@" in urlsplit(text).netloc:
        raise ConfigError(f"{key}: an address must hold no password; name a token, or a header")
    return text


def secret(value: Any) -> str | None:
    """The text of a token that may be wrapped; None for an empty one."""
    return str(getattr(value, "value", value)) if value else None


@attrs.frozen(kw_only=True)
class Connection:
    """How to speak to a server. Certificates are verified, and redirects not followed: a token goes to this server only.

    Args:
        timeout: Seconds for connecting, and for each answer.
        extra_headers: Sent with every request.
        ca_certificate_path: PEM file of the authorities to trust, in place of the system's.
        client_certificate_path: PEM file of our own certificate (mTLS).
        client_key_path: PEM file of its key, where it is not in the same file.
        disable_ssl_verification: Trust anybody; for trying things out.
    """

    timeout: float = attrs.field(default=30.0, converter=float, validator=attrs.validators.gt(0))
    extra_headers: Mapping[str, str] = attrs.field(
        factory=dict, repr=lambda headers: f"<{', '.join(headers)}>"
    )
    ca_certificate_path: str | None = None
    client_certificate_path: str | None = None
    client_key_path: str | None = None
    disable_ssl_verification: bool = False

    @classmethod
    def from_options(cls, section: Mapping[str, Any]) -> Self:
        """From a destination's section.

        Raises:
            TypeError, ValueError: A value is impossible.
        """
        return cls(**{key: section[key] for key in KEYS if section.get(key) is not None})

    def client(self, token: str | None, headers: Mapping[str, str]) -> httpx2.Client:
        """A client that keeps its connections.

        Raises:
            ConfigError: A certificate cannot be read.
        """
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        sent = {**headers, **bearer, **{name: str(value) for name, value in self.extra_headers.items()}}
        return httpx2.Client(headers=sent, timeout=self.timeout, verify=self._tls(), follow_redirects=False)

    def _tls(self) -> ssl.SSLContext:
        try:
            context = (
                ssl.create_default_context(cafile=_path(self.ca_certificate_path))
                if self.ca_certificate_path
                else httpx2.create_ssl_context()  # knows where to look on machines without a system's store
            )
            if self.client_certificate_path:
                context.load_cert_chain(
                    _path(self.client_certificate_path) or "", _path(self.client_key_path)
                )
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"a certificate cannot be read: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.disable_ssl_verification:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _path(path: str | None) -> str | None:
    return str(Path(path).expanduser()) if path else None


def retry_after(value: str | None, now: float) -> float:
    """Seconds that a ``Retry-After`` header asks for (RFC 9110, 10.2.3), at most ``LONGEST_REST``; 0 for none.

    Args:
        value: The header: seconds, or a date.
        now: Seconds since the epoch.
    """
    try:
        seconds = float(value) if value else 0.0
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value or "").timestamp() - now
        except ValueError:
            return 0.0
    return min(max(seconds, 0.0), LONGEST_REST)
