"""HTTPS: the certificate, taken up again when its files are replaced; TLS 1.2 or newer."""

from __future__ import annotations

import ssl
from pathlib import Path

import structlog

from openlineage_bridge.config import TlsConfig
from openlineage_bridge.errors import ConfigError

_log = structlog.get_logger("openlineage_bridge.server")


def context_of(config: TlsConfig) -> ssl.SSLContext:
    """What a listener needs to speak TLS.

    Raises:
        ConfigError: One is not named or cannot be read, or the two are not a certificate and its key.
    """
    if Path() in {config.certificate, config.key}:
        raise ConfigError("server.tls: name both, the certificate and its key (--tls-certificate, --tls-key)")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.certificate, config.key)
    except ssl.SSLError as error:
        raise ConfigError(
            f"server.tls: {config.certificate} and {config.key} are not a certificate and its key in PEM: {error.reason}"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"server.tls: {config.certificate} or {config.key} cannot be read: {error.strerror}"
        ) from None
    context.sni_callback = _Renewal(config)
    return context


class _Renewal:
    """Called at the beginning of a handshake: takes up replaced files, for the handshakes that follow."""

    def __init__(self, config: TlsConfig) -> None:
        self._config = config
        self._taken = self._stamp()

    def __call__(self, connection: ssl.SSLObject, _name: str | None, context: ssl.SSLContext) -> None:
        del connection
        stamp = self._stamp()
        if stamp == self._taken:
            return
        self._taken = stamp
        try:
            context.load_cert_chain(self._config.certificate, self._config.key)
            _log.info("certificate_renewed")
        except OSError as error:  # SSLError is one: perhaps only one of the two files is replaced yet
            _log.warning("certificate_not_renewed", reason=str(error))

    def _stamp(self) -> tuple[int, ...]:
        return tuple(_changed(file) for file in (self._config.certificate, self._config.key))


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
