"""What an operator changes in a running bridge: ``POST /api/v1/quarantine/retry``, ``/drop`` and ``/delivery/redeliver``.

The service has the store to itself, so the command line asks it rather than the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any, Protocol

import attrs
import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from openlineage_bridge.errors import BridgeError, ConfigError
from openlineage_bridge.recovery import Report

MOST_BYTES = 1024 * 1024


class Operations(Protocol):
    """Changes of what the store holds; each is done, or is not, when its future is."""

    def retry(self, numbers: Collection[int] | None) -> Future[Report]:
        """Send what is in quarantine on its way again: these numbers, or everything."""
        ...

    def drop(self, numbers: Collection[int] | None) -> Future[Report]:
        """Forget what is in quarantine: these numbers, or everything."""
        ...

    def redeliver(self, urns: Collection[str] | None, to: str | None) -> Future[dict[str, int]]:
        """Deliver these entities again, or everything, to one destination or all; by its name what waits for each."""
        ...


@attrs.frozen
class _Order:
    """The body of a request.

    Args:
        numbers: Which entries; null for all of them.
    """

    numbers: list[int] | None


@attrs.frozen
class _Redelivery:
    """The body of a request.

    Args:
        urns: Which entities; null for all of them.
        to: The name of a destination; null for all of them.
    """

    urns: list[str] | None
    to: str | None = None


@attrs.frozen
class Operator:
    """The endpoints.

    Args:
        operations: Who does it.
    """

    operations: Operations

    async def retry(self, request: Request) -> Response:
        """``{"numbers": [1, 2]}``, or null for all; the answer says what became of each."""
        return await _answer(request, self.operations.retry)

    async def drop(self, request: Request) -> Response:
        """The same, for good."""
        return await _answer(request, self.operations.drop)

    async def redeliver(self, request: Request) -> Response:
        """``{"urns": ["urn:li:…"], "to": "datahub"}``, or null for all; the answer says how much waits for each."""
        try:
            order = msgspec.json.decode(await _body(request), type=_Redelivery)
        except msgspec.DecodeError as error:
            return JSONResponse(
                {"error": f'say what: {{"urns": ["urn:li:…"]}}, or null for all: {error}'}, 400
            )
        try:
            waiting = await asyncio.wrap_future(self.operations.redeliver(order.urns, order.to))
        except BridgeError as error:
            return JSONResponse({"error": str(error)}, 400 if isinstance(error, ConfigError) else 503)
        return JSONResponse(waiting)


async def _answer(
    request: Request, operation: Callable[[Collection[int] | None], Future[Report]]
) -> Response:
    try:
        order = msgspec.json.decode(await _body(request), type=_Order)
    except msgspec.DecodeError as error:
        return JSONResponse({"error": f'say which: {{"numbers": [1, 2]}}, or null for all: {error}'}, 400)
    try:
        report = await asyncio.wrap_future(operation(order.numbers))
    except BridgeError as error:
        return JSONResponse({"error": str(error)}, 503)
    return JSONResponse(_plain(report))


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise msgspec.DecodeError("the body is too large")
    return bytes(body)


def _plain(report: Report) -> dict[str, Any]:
    return attrs.asdict(report) | {"refused": {str(number): why for number, why in report.refused.items()}}
