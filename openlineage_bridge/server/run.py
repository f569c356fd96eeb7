"""The socket, uvicorn, and a graceful stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from types import FrameType

import structlog
import uvicorn
from starlette.applications import Starlette

from openlineage_bridge.config import ServerConfig
from openlineage_bridge.errors import ConfigError
from openlineage_bridge.server.auth import check_address
from openlineage_bridge.server.deadlines import SECONDS, Phase
from openlineage_bridge.server.limits import HEADER_BYTES, KEEP_ALIVE_SECONDS
from openlineage_bridge.server.protocol import EventProtocol

GRACE_SECONDS = 8  # of the 10 s that a stop may take; the store closes in the rest
BACKLOG = 2048
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger("openlineage_bridge.server")


def bind(config: ServerConfig) -> socket.socket:
    """Take the address, before anything else is opened, so that the one likely mistake is told plainly and at once.

    Raises:
        ConfigError: The port is in use, the address is not of this machine, or it needs a token.
    """
    check_address(config)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            config.host.strip("[]"), config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        raise ConfigError(f"server.host {config.host!r} is not an address of this machine") from None
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(_why_not(error, config)) from None
    return listener


def _why_not(error: OSError, config: ServerConfig) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {config.port} is in use: choose another with --port, or stop the program that listens there"
        case errno.EACCES:
            return f"port {config.port} needs privileges: choose one above 1023 with --port"
        case errno.EADDRNOTAVAIL:
            return f"server.host {config.host!r} is not an address of this machine"
        case _:
            return f"cannot listen on {config.host} port {config.port}: {error.strerror}"


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Where a browser on this machine finds the server."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn that says when it is ready, answers 503 while it stops, and leaves ending the process to its caller.

    Args:
        app: Made by ``create_app``.
        listener: Made by ``bind``; closed when the server stops.
        tls: Made by ``tls.context_of``; None for HTTP.

    ``stop()`` may be called from any thread. A second signal stops without waiting for requests.
    """

    def __init__(self, app: Starlette, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(_settings(app, tls))
        self.listener = listener
        self.url = url_of(listener, "https" if tls else "http")
        self.ready = threading.Event()
        self.received_signal: signal.Signals | None = None
        self._health = app.state.health
        self._loop: asyncio.AbstractEventLoop | None = None

    def listen(self) -> signal.Signals | None:
        """Serve until told to stop; the signal that said so, or None."""
        self.run(sockets=[self.listener])
        _log.info("stopped")
        return self.received_signal

    def stop(self) -> None:
        """Finish the requests that have begun, take no more, and return from ``listen``."""
        self._health.stopping = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept, and say so."""
        self._loop = asyncio.get_running_loop()
        if self.config.ssl:  # uvicorn leaves it at a minute
            self._loop.create_server = functools.partial(  # type: ignore[method-assign]
                self._loop.create_server, ssl_handshake_timeout=SECONDS[Phase.HEAD]
            )
        await super().startup(sockets=sockets)
        _log.info("listening", url=self.url)
        self.ready.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal arrived: the first asks for a graceful stop, the second for an immediate one."""
        del frame
        self.force_exit = self.should_exit
        if self.force_exit and self._loop is not None:
            self._loop.call_soon_threadsafe(self._drop_connections)
        self.received_signal = signal.Signals(sig)
        self.stop()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, and wait for the requests that have begun."""
        _log.info("stopping")
        await super().shutdown(sockets=sockets)

    def _drop_connections(self) -> None:
        """Since Python 3.12 a server is closed only once all its connections are."""
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals over, and give them back without raising them again: the caller still has to clean up."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in STOP_SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def _settings(app: Starlette, tls: ssl.SSLContext | None) -> uvicorn.Config:
    settings = uvicorn.Config(
        app,
        http=EventProtocol,  # on h11: pure Python and strict about headers; see h11_max_incomplete_event_size
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    settings.load()
    settings.ssl = tls
    return settings
