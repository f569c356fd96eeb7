"""The routes, as one ASGI application."""

from __future__ import annotations

import asyncio
import time
from importlib.resources import files

import attrs
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openlineage_bridge.config import Config
from openlineage_bridge.errors import RetryLater
from openlineage_bridge.receivers import Inbox
from openlineage_bridge.receivers.http import Answer, HttpReceiver, RefusedBody
from openlineage_bridge.server.auth import Guard
from openlineage_bridge.server.health import Health
from openlineage_bridge.server.limits import InFlight, announced_size, read_body
from openlineage_bridge.server.metrics import Metrics
from openlineage_bridge.server.queries import Queries
from openlineage_bridge.server.views import Views

LINEAGE = "/api/v1/lineage"
SECURITY_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)

_log = structlog.get_logger("openlineage_bridge.server")


def create_app(inbox: Inbox, queries: Queries, config: Config) -> Starlette:
    """The application; ``app.state.health.stopping`` makes it answer 503 while it stops.

    Args:
        inbox: Where received events go.
        queries: What the page, the probes and the metrics ask.
        config: Its ``server`` section decides who may speak to it.
    """
    health = Health(queries)
    metrics = Metrics(queries)
    views = Views(queries)
    ingest = Ingest(HttpReceiver(inbox=inbox), metrics, health)
    routes: list[BaseRoute] = [
        *_anywhere(LINEAGE, ingest.lineage),
        *_anywhere(f"{LINEAGE}/batch", ingest.batch),
        Route("/livez", health.live),
        Route("/readyz", health.ready),
        Route("/healthcheck", health.ready),
        Route("/metrics", metrics.show),
        Route("/api/v1/graph", views.graph),
        Route("/api/v1/search", views.search),
        Route("/", views.page),
        Mount("/static", StaticFiles(directory=str(files("openlineage_bridge.web") / "static"))),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(_SecurityHeaders), Middleware(Guard, tokens=config.server.tokens)],
        exception_handlers={HTTPException: _plain_words},
    )
    app.router.redirect_slashes = False  # a redirect makes some clients drop the body
    app.state.health = health
    return app


def _anywhere(path: str, endpoint: object) -> list[Route]:
    """The path alone and under any prefix: senders are configured with the base path of what they sent to before."""
    shapes = (path, f"{path}/", f"/{{prefix:path}}{path}", f"/{{prefix:path}}{path}/")
    return [Route(shape, endpoint, methods=["POST"]) for shape in shapes]  # type: ignore[arg-type]


def _plain_words(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


@attrs.frozen
class Ingest:
    """The two endpoints that take events (OpenLineage HTTP API, ``postRunEvent`` and ``postEventBatch``).

    Args:
        receiver: Puts a body into the inbox.
        metrics: Counts the answers.
        health: Says whether the process was told to stop.
        in_flight: How much is taken in at once.
    """

    receiver: HttpReceiver
    metrics: Metrics
    health: Health
    in_flight: InFlight = attrs.field(factory=InFlight)

    async def lineage(self, request: Request) -> Response:
        """``POST /api/v1/lineage``: one event, an array, or one per line."""
        return await self._respond(request, batch=False)

    async def batch(self, request: Request) -> Response:
        """``POST /api/v1/lineage/batch``: the answer says for each event what became of it."""
        return await self._respond(request, batch=True)

    async def _respond(self, request: Request, *, batch: bool) -> Response:
        start = time.monotonic()
        try:
            answer = await self._receive(request, batch=batch)
        except (RefusedBody, RetryLater) as error:
            answer = _refused(error)
        except (ClientDisconnect, asyncio.CancelledError):
            raise
        except Exception:
            # Nothing was acknowledged, so a defect of ours costs the sender a repetition and not the event.
            _log.exception("request_failed", path=request.url.path)
            answer = Answer(
                status=503, content={"error": "the bridge failed to store the events: send them again"}
            )
        self.metrics.count(answer, time.monotonic() - start)
        if answer.status != 200 or answer.rejected:
            _log.warning(
                "request_refused", status=answer.status, refused=len(answer.rejected), reason=answer.reason
            )
        return JSONResponse(answer.content, answer.status)

    async def _receive(self, request: Request, *, batch: bool) -> Answer:
        if self.health.stopping:
            raise RetryLater("the bridge is stopping: send the events again")
        limits = self.receiver.limits
        with self.in_flight.admit(announced_size(request, limits)):
            body = await read_body(request, limits)
            return await self.receiver.receive(body, request.headers.get("content-encoding", ""), batch=batch)


def _refused(error: RefusedBody | RetryLater) -> Answer:
    if isinstance(error, RetryLater):
        return Answer(status=503, content={"error": str(error)})
    return Answer(status=error.status, content={"error": error.reason}, rejected=(error.kind,))


@attrs.frozen
class _SecurityHeaders:
    """ASGI middleware: every answer tells browsers to load nothing from anywhere else."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *SECURITY_HEADERS]
            await send(message)

        await self.app(scope, receive, send_with_headers)
