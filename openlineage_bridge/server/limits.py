"""How much the server takes in at once: requests, bytes of bodies, and the body of one request.

Above a limit the answer is 503, never 429, because OpenLineage's clients try a 503 again and drop a 429.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import attrs
from starlette.requests import Request

from openlineage_bridge.errors import RetryLater
from openlineage_bridge.receivers.http import MIB, BodyLimits, RefusedBody

HEADER_BYTES = 64 * 1024
KEEP_ALIVE_SECONDS = 5


BUSY = "too many events are being received right now: send them again"


@attrs.define(kw_only=True)
class InFlight:
    """What is being received or stored; one event loop uses it, so it needs no lock.

    Bytes count when they have arrived, and a request when its body has: a sender that announces much and sends nothing
    takes nobody's place.

    Args:
        max_requests: How many bodies are stored at once.
        max_bytes: How many bytes of bodies may be here together.
    """

    max_requests: int = 256
    max_bytes: int = 128 * MIB
    requests: int = attrs.field(default=0, init=False)
    bytes: int = attrs.field(default=0, init=False)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request in for as long as the block stores it.

        Raises:
            RetryLater: There are too many.
        """
        if self.requests >= self.max_requests:
            raise RetryLater(BUSY)
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    def hold(self, size: int) -> bool:
        """Count bytes in that have arrived, if they fit; then ``release`` must follow."""
        if self.bytes + size > self.max_bytes:
            return False
        self.bytes += size
        return True

    def release(self, size: int) -> None:
        """Bytes that were counted in are gone."""
        self.bytes -= size


def check_announced_size(request: Request, limits: BodyLimits) -> None:
    """Look at ``Content-Length``, if the sender says one.

    Raises:
        RefusedBody: 413, before anything is read.
    """
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > limits.body:
        raise _too_large(limits)


@asynccontextmanager
async def received(request: Request, limits: BodyLimits, in_flight: InFlight) -> AsyncIterator[bytes]:
    """The body as it came over the wire, counted in for as long as the block runs.

    Raises:
        RefusedBody: 413 as soon as more has arrived than the cap.
        RetryLater: There is no room for it now.
        starlette.requests.ClientDisconnect: The sender went away; there is nobody to answer.
    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            if len(body) + len(chunk) > limits.body:
                raise _too_large(limits)
            if not in_flight.hold(len(chunk)):
                raise RetryLater(BUSY)
            body += chunk
        yield bytes(body)
    finally:
        in_flight.release(len(body))


def _too_large(limits: BodyLimits) -> RefusedBody:
    return RefusedBody(
        413, "too_large", f"the body is larger than {limits.body} bytes: send fewer events at once"
    )
