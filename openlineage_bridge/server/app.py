"""The routes, as one ASGI application."""

from __future__ import annotations

from importlib.resources import files

import attrs
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openlineage_bridge.config import Config
from openlineage_bridge.errors import BridgeError
from openlineage_bridge.receivers import Inbox
from openlineage_bridge.receivers.http import HttpReceiver
from openlineage_bridge.server.auth import ADMIN_PREFIX, DELIVERY_PREFIX, Access, Guard
from openlineage_bridge.server.health import Health
from openlineage_bridge.server.ingest import SECURITY_HEADERS, Ingest
from openlineage_bridge.server.metrics import Metrics
from openlineage_bridge.server.operations import Operations, Operator
from openlineage_bridge.server.queries import Queries
from openlineage_bridge.server.views import Views

LINEAGE = "/api/v1/lineage"


def create_app(
    inbox: Inbox, queries: Queries, config: Config, operations: Operations | None = None
) -> Starlette:
    """The application; ``app.state.health.stopping`` makes it answer 503 while it stops.

    ``app.state.ingest`` is for the protocol, which brings most events to it directly.

    Args:
        inbox: Where received events go.
        queries: What the page, the probes and the metrics ask.
        config: Its ``server`` section decides who may speak to it.
        operations: Who changes things for an operator; None leaves their routes out.
    """
    access = Access.of(config.server)
    health = Health(queries)
    metrics = Metrics(queries)
    views = Views(queries)
    ingest = Ingest(HttpReceiver(inbox=inbox), metrics, health, access)
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
    if operations is not None:
        operator = Operator(operations)
        routes += [
            Route(f"{ADMIN_PREFIX}retry", operator.retry, methods=["POST"]),
            Route(f"{ADMIN_PREFIX}drop", operator.drop, methods=["POST"]),
            Route(f"{DELIVERY_PREFIX}redeliver", operator.redeliver, methods=["POST"]),
        ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(_SecurityHeaders), Middleware(Guard, access=access)],
        exception_handlers={HTTPException: _plain_words, BridgeError: _try_again},
    )
    app.router.redirect_slashes = False  # a redirect makes some clients drop the body
    app.state.health = health
    app.state.ingest = ingest
    app.state.metrics = metrics
    return app


def _anywhere(path: str, endpoint: object) -> list[Route]:
    """The path alone and under any prefix: senders are configured with the base path of what they sent to before."""
    shapes = (path, f"{path}/", f"/{{prefix:path}}{path}", f"/{{prefix:path}}{path}/")
    return [Route(shape, endpoint, methods=["POST"]) for shape in shapes]  # type: ignore[arg-type]


def _plain_words(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _try_again(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 503)


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
