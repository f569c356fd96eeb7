"""The two endpoints that take events, for a request that came through the router and for one that came directly."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable

import attrs
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from openlineage_bridge.errors import RetryLater
from openlineage_bridge.receivers.http import Answer, HttpReceiver, RefusedBody
from openlineage_bridge.server.auth import Access
from openlineage_bridge.server.health import Health
from openlineage_bridge.server.limits import InFlight, check_announced_size, received
from openlineage_bridge.server.metrics import Metrics

SECURITY_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
"""What every answer tells browsers: load nothing from anywhere else."""

_log = structlog.get_logger("openlineage_bridge.server")


@attrs.frozen
class Ingest:
    """``postRunEvent`` and ``postEventBatch`` of the OpenLineage HTTP API.

    Args:
        receiver: Puts a body into the inbox.
        metrics: Counts the answers.
        health: Says whether the process was told to stop.
        access: Which tokens a sender may present.
        in_flight: How much is taken in at once.
    """

    receiver: HttpReceiver
    metrics: Metrics
    health: Health
    access: Access = attrs.field(factory=Access)
    in_flight: InFlight = attrs.field(factory=InFlight)

    async def lineage(self, request: Request) -> Response:
        """``POST /api/v1/lineage``: one event, an array, or one per line."""
        return await self._respond(request, batch=False)

    async def batch(self, request: Request) -> Response:
        """``POST /api/v1/lineage/batch``: the answer says for each event what became of it."""
        return await self._respond(request, batch=True)

    async def answer(self, receiving: Awaitable[Answer]) -> Answer:
        """What the sender is told about the events that are being received, counted and logged."""
        start = time.monotonic()
        try:
            answer = await receiving
        except (RefusedBody, RetryLater) as error:
            answer = _refused(error)
        except (ClientDisconnect, asyncio.CancelledError):
            raise
        except Exception:
            # Nothing was acknowledged, so a defect of ours costs the sender a repetition and not the event.
            _log.exception("request_failed")
            answer = Answer(
                status=503, content={"error": "the bridge failed to store the events: send them again"}
            )
        self.metrics.count(answer, time.monotonic() - start)
        if answer.status != 200 or answer.rejected:
            _log.warning(
                "request_refused", status=answer.status, refused=len(answer.rejected), reason=answer.reason
            )
        return answer

    async def _respond(self, request: Request, *, batch: bool) -> Response:
        try:
            answer = await self.answer(self._receive(request, batch=batch))
        except ClientDisconnect:
            return Response(status_code=400)  # goes nowhere: the sender went away, or was too slow and let go
        return Response(body_of(answer), answer.status, media_type="application/json")

    async def _receive(self, request: Request, *, batch: bool) -> Answer:
        if self.health.stopping:
            raise RetryLater("the bridge is stopping: send the events again")
        limits = self.receiver.limits
        check_announced_size(request, limits)
        async with received(request, limits, self.in_flight) as body:
            with self.in_flight.request():
                return await self.receiver.receive(
                    body, request.headers.get("content-encoding", ""), batch=batch
                )


def body_of(answer: Answer) -> bytes:
    """The body that tells the answer, as JSON."""
    return json.dumps(answer.content, separators=(",", ":")).encode() if answer.content else b"{}"


def _refused(error: RefusedBody | RetryLater) -> Answer:
    if isinstance(error, RetryLater):
        return Answer(status=503, content={"error": str(error)})
    return Answer(status=error.status, content={"error": error.reason}, rejected=(error.kind,))
