"""A stand-in for Prefect's API with a flow run and a task run in it, for what no real server does on demand."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import attrs

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FLOW_RUN, TASK_RUN, FLOW = (str(UUID(int=number)) for number in (1, 2, 3))
PAGE = 3


def at(seconds: float) -> str:
    return (NOON + timedelta(seconds=seconds)).isoformat()


def state(type_: str, seconds: float, message: str | None = None) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "type": type_,
        "name": type_.title(),
        "timestamp": at(seconds),
        "message": message,
    }


def event(kind: str, before: str | None, type_: str, seconds: float, *, run_count: int = 1) -> dict[str, Any]:
    """An event of the flow run or of its task run, as the server gives it."""
    run = {"flow-run": FLOW_RUN, "task-run": TASK_RUN}[kind]
    related = [
        {
            "prefect.resource.id": f"prefect.flow.{FLOW}",
            "prefect.resource.role": "flow",
            "prefect.resource.name": "f",
        }
    ]
    if kind == "task-run":
        related.append(
            {"prefect.resource.id": f"prefect.flow-run.{FLOW_RUN}", "prefect.resource.role": "flow-run"}
        )
    return {
        "id": str(uuid4()),
        "event": f"prefect.{kind}.{type_.title()}",
        "occurred": at(seconds),
        "received": at(seconds),
        "resource": {
            "prefect.resource.id": f"prefect.{kind}.{run}",
            "prefect.resource.name": "t-1af" if kind == "task-run" else "brave-cat",
            "prefect.run-count": str(run_count),
        },
        "related": related,
        "payload": {
            "initial_state": {"type": before} if before else None,
            "validated_state": {"type": type_, "name": type_.title()},
            **({"task_run": task_run()} if kind == "task-run" else {}),
        },
    }


def beat(seconds: float) -> dict[str, Any]:
    made = event("flow-run", None, "RUNNING", seconds)
    return {**made, "event": "prefect.flow-run.heartbeat", "payload": {}}


def flow_run(**more: Any) -> dict[str, Any]:
    return {"id": FLOW_RUN, "flow_id": FLOW, "name": "brave-cat", "run_count": 1, "start_time": at(0)} | more


def task_run(**more: Any) -> dict[str, Any]:
    return {
        "id": TASK_RUN,
        "name": "t-1af",
        "dynamic_key": "1af0",
        "flow_run_id": FLOW_RUN,
        "run_count": 1,
    } | more


@attrs.define
class Prefect:
    """The parts of Prefect's API that are asked for, over HTTP; pages are short."""

    events: list[dict[str, Any]] = attrs.field(factory=list)
    flow_runs: list[dict[str, Any]] = attrs.field(factory=lambda: [flow_run()])
    task_runs: list[dict[str, Any]] = attrs.field(factory=list)
    states: list[dict[str, Any]] = attrs.field(factory=list)
    answers: deque[tuple[int, dict[str, str]]] = attrs.field(factory=deque)
    url: str = ""
    _found: list[dict[str, Any]] = attrs.field(factory=list, init=False)
    asked: list[tuple[str, str, dict[str, Any], Message]] = attrs.field(factory=list)

    def answer(self, path: str, body: dict[str, Any]) -> Any:
        path, _, query = path.removeprefix("/api").partition("?")
        match path:
            case "/events/filter":
                since, until = (
                    datetime.fromisoformat(body["filter"]["occurred"][key]) for key in ("since", "until")
                )
                prefixes = tuple(body["filter"]["event"].get("prefix", ()))
                times = [(datetime.fromisoformat(each["occurred"]), each) for each in self.events]
                found = [
                    each
                    for time, each in sorted(times, key=lambda pair: pair[0])
                    if since <= time <= until and each["event"].startswith(prefixes)
                ]
                self._found = found
                return self._page(0)
            case "/events/filter/next":
                return self._page(int(query.partition("=")[2]))
            case "/flow_runs/filter" | "/flow_run_states/":
                return {"/flow_runs/filter": self.flow_runs, "/flow_run_states/": self.states}[path]
            case "/flow_runs/count":
                return len(self.flow_runs)
            case "/task_runs/filter":
                wanted = body["task_runs"].get("state", {}).get("type", {}).get("any_")
                lone = body["task_runs"]["flow_run_id"].get("is_null_")
                return (
                    []
                    if lone
                    else [each for each in self.task_runs if not wanted or each["state"]["type"] in wanted]
                )
            case _:
                flow = {"id": FLOW, "name": "f"}
                records = {each["id"]: each for each in (flow, *self.flow_runs, *self.task_runs)}
                return records.get(path.rpartition("/")[2])

    def _page(self, start: int) -> dict[str, Any]:
        more = start + PAGE < len(self._found)
        # A server behind a proxy names itself as it sees itself.
        link = (
            f"http://inside.invalid:4200/api/events/filter/next?page-token={start + PAGE}" if more else None
        )
        return {"events": self._found[start : start + PAGE], "total": len(self._found), "next_page": link}


@contextmanager
def listening() -> Iterator[Prefect]:
    """It, on a port of its own."""
    stub = Prefect()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size) or b"{}")
            stub.asked.append((self.command, self.path, body, self.headers))
            status, headers = stub.answers.popleft() if stub.answers else (200, {})
            found = stub.answer(self.path, body) if status == 200 else None
            content = json.dumps(found).encode()
            self.send_response(404 if status == 200 and found is None else status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer  # noqa: N815 - the base class's own names

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        stub.url = f"http://127.0.0.1:{server.server_port}/api"
        yield stub
        server.shutdown()
        thread.join()


@attrs.define
class Backend:
    """What was sent; ``fails`` are raised first."""

    said: list[Any] = attrs.field(factory=list)
    fails: deque[Exception] = attrs.field(factory=deque)

    def send(self, event: Any) -> None:
        if self.fails:
            raise self.fails.popleft()
        self.said.append(event)

    def types(self) -> list[tuple[str, str]]:
        return [(each.job.name, each.eventType.value) for each in self.said]
