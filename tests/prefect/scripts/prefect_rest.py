"""The few calls of Prefect's REST API that a script makes which conducts others."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import urllib.error
import urllib.parse
import urllib.request
from typing import Any
from uuid import uuid4

BUSY_ATTEMPTS = 30
PAUSE = 1.0
"""Seconds."""
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def post(path: str, body: dict[str, Any]) -> Any:
    return _call(path, json.dumps(body).encode())


def get(path: str) -> Any:
    return _call(path)


def run_deployment(name: str, **parameters: str) -> str:
    """Have a deployment run; the id of its flow run."""
    deployment = get(f"/deployments/name/{urllib.parse.quote(name)}")
    # Asked twice because the first answer is late, it is one run all the same.
    body = {"parameters": parameters, "idempotency_key": str(uuid4())}
    flow_run = post(f"/deployments/{deployment['id']}/create_flow_run", body)
    return str(flow_run["id"])


def is_deployed(name: str) -> bool:
    """Whether there is a deployment of this name."""
    return bool(post("/deployments/filter", {"deployments": {"name": {"any_": [name]}}}))


def state(flow_run_id: str) -> str:
    """The type of the state of a flow run."""
    return str(get(f"/flow_runs/{flow_run_id}")["state_type"])


def has_ended(flow_run_id: str) -> bool:
    """Whether the run has reached a terminal state."""
    return state(flow_run_id) in TERMINAL


def _call(path: str, body: bytes | None = None) -> Any:
    url = os.environ["PREFECT_API_URL"] + path
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    # SQLite makes the server say 503, or nothing for long, when it is busy.
    for _ in range(BUSY_ATTEMPTS):
        with (
            contextlib.suppress(urllib.error.HTTPError, TimeoutError),
            urllib.request.urlopen(request, timeout=10) as response,
        ):
            return json.load(response)
        threading.Event().wait(PAUSE)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)
