"""The OpenLineage client as the environment configures it: for the background, and for one bounded emission now."""

from __future__ import annotations

import os
import threading
from typing import Any

from openlineage.client.client import OpenLineageClient
from openlineage.client.event_v2 import DatasetEvent, JobEvent, RunEvent
from openlineage.client.transport.http import HttpTransport

from openlineage_bridge_capture.settings import URL_KEY, configured, spooled, typed_transport

# Not when they are needed: that is on the emitter's thread, and a process that is forked meanwhile has half a module.
from openlineage_bridge_capture.spool.default import SpooledHttpTransport
from openlineage_bridge_capture.spool.transport import SpoolTransport

Event = RunEvent | JobEvent | DatasetEvent

SEND_TIMEOUT = 3.0
"""Seconds that ``send`` waits for a connection and for an answer, each."""

SEND_RETRY = {"total": 1, "connect": 1, "read": 1, "backoff_factor": 0.1}
"""urllib3's retry settings for ``send``: once more, so that a connection the server had closed is no failure."""


class NotConfiguredError(RuntimeError):
    """There is no OpenLineage backend to send to; set ``OPENLINEAGE_URL`` or write an ``openlineage.yml``."""


def background_client() -> OpenLineageClient:
    """A client with the user's own settings, and the spool before HTTP.

    ``http`` and ``async_http``, by ``OPENLINEAGE_URL`` or a transport section, become the spool with the same settings,
    unless ``OPENLINEAGE_BRIDGE_SPOOL=off``: then they are as configured, retries included, because patience costs
    nothing off the user's thread. Every other transport is the user's own choice and stays what it is.

    Raises:
        NotConfiguredError: The client would fall back to printing events.
    """
    if not configured():
        raise NotConfiguredError(NotConfiguredError.__doc__)
    return spooling_client() if spooled() else OpenLineageClient()


def spooling_client() -> OpenLineageClient:
    """A client as configured, whose HTTP transport, if that is what it has, sends from the spool."""
    # async_http starts a thread that would never be used; its settings have the names of http's.
    as_http = {"transport": {"type": "http"}} if typed_transport() == "async_http" else None
    client = OpenLineageClient(config=as_http)
    # Not a subclass, which somebody wrote to send in another way.
    if type(client.transport) is HttpTransport:
        client.transport = SpooledHttpTransport(client.transport, client.config.transport or {})
    return client


def spool_of(client: OpenLineageClient) -> SpoolTransport | SpooledHttpTransport | None:
    """The client's transport, where it is one that spools."""
    transport = client.transport
    return transport if isinstance(transport, (SpoolTransport, SpooledHttpTransport)) else None


def send(event: Event) -> None:
    """Emit one event now, on this thread, within about ``2 * (1 + retries) * SEND_TIMEOUT`` seconds.

    For callers that keep a cursor and try again later (Dagster's sensor). HTTP transports get the short timeout and
    few retries above whatever the user configured, and ``async_http`` becomes ``http``, because it would hide failures.
    They are not spooled: the caller's own log outlives a container's disk. Other transports keep their own bounds; with
    the spool transport, where that was chosen by name, an event has got through once it is in its file.

    Raises:
        NotConfiguredError: No backend is configured.
        Exception: Whatever the transport raises when the event did not get through.
    """
    with _sender_lock:
        _current_sender().emit(event)


def bounded_settings() -> dict[str, Any]:
    """Client configuration that keeps the user's transport and bounds its time.

    A ``config`` given to the client's constructor precedes the YAML file and the environment, key by key; with
    ``OPENLINEAGE_URL`` alone there is no transport section to lay it over, so it is written out in full.
    """
    kind = typed_transport()
    bounds: dict[str, Any] = {"timeout": SEND_TIMEOUT, "retry": dict(SEND_RETRY)}
    if kind in ("http", "async_http"):
        return {"transport": {**bounds, "type": "http"}}
    if kind is None:
        return {"transport": {**bounds, **_legacy_http()}}
    return {}


def _legacy_http() -> dict[str, Any]:
    settings: dict[str, Any] = {"type": "http", "url": os.environ[URL_KEY]}
    if endpoint := os.environ.get("OPENLINEAGE_ENDPOINT"):
        settings["endpoint"] = endpoint
    if key := os.environ.get("OPENLINEAGE_API_KEY"):
        settings["auth"] = {"type": "api_key", "apiKey": key}
    return settings


_sender: OpenLineageClient | None = None
_sender_settings: frozenset[tuple[str, str]] = frozenset()
_sender_lock = threading.Lock()


def _current_sender() -> OpenLineageClient:
    """The client of this process for ``send``, made again when the environment's settings changed."""
    global _sender, _sender_settings  # noqa: PLW0603  # one connection per process, behind the lock
    if not configured():
        raise NotConfiguredError(NotConfiguredError.__doc__)
    settings = frozenset(item for item in os.environ.items() if item[0].startswith("OPENLINEAGE"))
    if _sender is None or settings != _sender_settings:
        _sender = OpenLineageClient(config=bounded_settings())
        # The constructor itself copies OPENLINEAGE_URL into further variables, so they are read again.
        _sender_settings = frozenset(item for item in os.environ.items() if item[0].startswith("OPENLINEAGE"))
    return _sender


def _start_afresh_in_child() -> None:
    """After a fork: the connection is the parent's, and its lock may be held for ever."""
    global _sender, _sender_lock  # noqa: PLW0603  # the process's own state, and this is a new process
    _sender = None
    _sender_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh_in_child)
