"""How much the server takes in at once: requests, bytes of bodies, and the body of one request.

Above a limit the answer is 503, never 429, because OpenLineage's clients try a 503 again and drop a 429.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
from starlette.requests import Request

from openlineage_bridge.errors import RetryLater
from openlineage_bridge.receivers.http import MIB, BodyLimits, RefusedBody

HEADER_BYTES = 64 * 1024
KEEP_ALIVE_SECONDS = 5


@attrs.define(kw_only=True)
class InFlight:
    """Requests that are being received or stored; one event loop uses it, so it needs no lock.

    Args:
        max_requests: How many at once.
        max_bytes: How many bytes their bodies may have together.
    """

    max_requests: int = 256
    max_bytes: int = 128 * MIB
    requests: int = attrs.field(default=0, init=False)
    bytes: int = attrs.field(default=0, init=False)

    @contextmanager
    def admit(self, size: int) -> Iterator[None]:
        """Count a request of up to ``size`` bytes in for as long as the block runs.

        Raises:
            RetryLater: There are too many, or they are too large together.
        """
        if not self.enter(size):
            raise RetryLater("too many events are being received right now: send them again")
        try:
            yield
        finally:
            self.leave(size)

    def enter(self, size: int) -> bool:
        """Count a request of up to ``size`` bytes in, if it fits; then ``leave`` must follow."""
        if self.requests >= self.max_requests or self.bytes + size > self.max_bytes:
            return False
        self.requests += 1
        self.bytes += size
        return True

    def leave(self, size: int) -> None:
        """The request that was counted in has ended."""
        self.requests -= 1
        self.bytes -= size


def announced_size(request: Request, limits: BodyLimits) -> int:
    """The bytes that the body can have at most: ``Content-Length``, or the cap when the sender does not say.

    Raises:
        RefusedBody: 413, before anything is read.
    """
    length = request.headers.get("content-length", "")
    size = int(length) if length.isascii() and length.isdigit() else limits.body
    if size > limits.body:
        raise _too_large(limits)
    return size


async def read_body(request: Request, limits: BodyLimits) -> bytes:
    """The body as it came over the wire.

    Raises:
        RefusedBody: 413 as soon as more has arrived than the cap.
        starlette.requests.ClientDisconnect: The sender went away; there is nobody to answer.
    """
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > limits.body:
            raise _too_large(limits)
        body += chunk
    return bytes(body)


def _too_large(limits: BodyLimits) -> RefusedBody:
    return RefusedBody(
        413, "too_large", f"the body is larger than {limits.body} bytes: send fewer events at once"
    )
