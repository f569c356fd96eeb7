"""The lineage as JSON, and as the page."""

from __future__ import annotations

import attrs
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from openlineage_bridge.errors import BridgeError
from openlineage_bridge.server.queries import Queries
from openlineage_bridge.web import page

MAX_DEPTH = 5
FOUND = 50


@attrs.frozen
class Views:
    """What people and the page's script ask for.

    Args:
        queries: Where the answers come from.
    """

    queries: Queries

    async def graph(self, request: Request) -> Response:
        """``GET /api/v1/graph?node=&depth=``: the lineage around a node; 400 without a node, 404 for an unknown one."""
        node = request.query_params.get("node", "")
        if not node:
            return JSONResponse({"error": "name a node: /api/v1/graph?node=ID&depth=1"}, 400)
        try:
            graph = await run_in_threadpool(self.queries.graph, node, _depth(request))
        except BridgeError as error:
            return _unavailable(error)
        if graph is None:
            return JSONResponse(
                {"error": "there is no such node: /api/v1/search?q=TEXT finds nodes by name"}, 404
            )
        return JSONResponse(graph.as_json())

    async def search(self, request: Request) -> Response:
        """``GET /api/v1/search?q=``: jobs and datasets by name, the newest for an empty text."""
        try:
            found = await run_in_threadpool(self.queries.search, request.query_params.get("q", ""), FOUND)
        except BridgeError as error:
            return _unavailable(error)
        return JSONResponse({"nodes": [attrs.asdict(node) for node in found]})

    async def page(self, request: Request) -> Response:
        """``GET /?q=&node=&depth=``: the page; everything that it shows stands in its address."""
        text, node, depth = (
            request.query_params.get("q", ""),
            request.query_params.get("node", ""),
            _depth(request),
        )
        try:
            found = await run_in_threadpool(self.queries.search, text, FOUND)
            graph = await run_in_threadpool(self.queries.graph, node, depth) if node else None
        except BridgeError as error:
            return _unavailable(error)
        html = page.render(text=text, found=found, node=node, depth=depth, graph=graph)
        return HTMLResponse(html, 404 if node and graph is None else 200)


def _depth(request: Request) -> int:
    """``depth`` within its bounds; 1 when it is absent or no number."""
    text = request.query_params.get("depth", "")
    return max(1, min(MAX_DEPTH, int(text[:4]))) if text.isascii() and text.isdigit() else 1


def _unavailable(error: BridgeError) -> Response:
    return JSONResponse({"error": str(error)}, 503)
