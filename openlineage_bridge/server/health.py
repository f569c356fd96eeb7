"""Whether the process lives, and whether it can take events right now."""

from __future__ import annotations

import attrs
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from openlineage_bridge.errors import BridgeError
from openlineage_bridge.server.queries import Queries


@attrs.define
class Health:
    """The two probes.

    Args:
        queries: Asked whether the store answers.
        stopping: Set when the process was told to stop: no longer ready, still alive.
    """

    queries: Queries
    stopping: bool = False

    async def live(self, _request: Request) -> Response:
        """``/livez``: the event loop turns."""
        return JSONResponse({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """``/readyz``: 200, or 503 with the reason."""
        if self.stopping:
            return JSONResponse({"status": "stopping"}, 503)
        try:
            await run_in_threadpool(self.queries.check)
        except BridgeError as error:
            return JSONResponse({"status": "unavailable", "error": str(error)}, 503)
        return JSONResponse({"status": "ok"})
