"""Deployments: looked up once, told when a run of theirs starts.

A record is the API's JSON of a deployment, with the type of its work pool beside it. The collector asks Prefect's client
for it on the emitter's thread, the watcher its own; both read it here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from openlineage_bridge_capture import log
from openlineage_bridge_prefect import parameters, schedules
from openlineage_bridge_prefect.identity import PRODUCER
from openlineage_bridge_prefect.own_facets import DeploymentFacet

Record = Mapping[str, Any]
Get = Callable[[str], Any]
"""The JSON at a path of the API; None when there is nothing."""

TIMEOUT_SECONDS = 5.0
"""How long the API has for an answer."""

FRESH_SECONDS = 600.0
"""How long a record is believed; deployments change."""

RETRY_SECONDS = 60.0
"""How long the API is not asked again about a deployment after it did not answer."""

CAPACITY = 1_000
"""Deployments that are remembered; the oldest are asked for again."""

SCHEDULE_FIELDS = ("cron", "day_or", "interval", "anchor_date", "rrule", "timezone")
"""What a schedule says, in the API's own words."""

POOL_TYPE = "work_pool_type"
"""Key under which a record has the type of its work pool."""


class Deployments:
    """The deployments that were looked up, for a while; not for several threads at once.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, Record]] = {}

    def of(self, deployment_id: str, get: Get) -> Record:
        """The record of a deployment; empty when it was deleted.

        Raises:
            Exception: Whatever ``get`` raises; nothing is remembered then.
        """
        until, record = self._known.get(deployment_id, (0.0, {}))
        if until <= self._clock():
            record = read(deployment_id, get)
            self.keep(deployment_id, record, FRESH_SECONDS)
        return record

    def keep(self, deployment_id: str, record: Record, seconds: float) -> None:
        """Remember a record for some time."""
        self._known.pop(deployment_id, None)
        self._known[deployment_id] = self._clock() + seconds, record
        if len(self._known) > CAPACITY:
            del self._known[next(iter(self._known))]


_deployments = Deployments()


def look_up(deployment_id: str) -> Record:
    """The record of a deployment, from Prefect's own client; empty, for a while, when the API does not tell.

    On the emitter's thread.
    """
    try:
        return _deployments.of(deployment_id, _get)
    except Exception:
        _deployments.keep(deployment_id, {}, RETRY_SECONDS)
        log.once(
            logging.INFO,
            "What the Prefect API knows of a deployment is left out: it did not tell",
            exc_info=True,
        )
        return {}


def _get(path: str) -> Any:
    from prefect.client.orchestration import get_client

    with get_client(httpx_settings={"timeout": TIMEOUT_SECONDS}, sync_client=True) as client:
        # The models of an older client would leave out what a newer server tells.
        http = client._client  # noqa: SLF001 - the one way to plain JSON in all supported versions
        try:
            return http.get(path).json()
        except Exception as error:
            if getattr(getattr(error, "response", None), "status_code", None) == 404:
                return None
            raise


def read(deployment_id: str, get: Get) -> Record:
    """A deployment and the type of its work pool, from the API.

    Raises:
        Exception: Whatever ``get`` raises.
    """
    record = get(f"/deployments/{deployment_id}") or {}
    pool = record.get("work_pool_name")
    if not pool:
        return record
    return {**record, POOL_TYPE: (get(f"/work_pools/{quote(pool, safe='')}") or {}).get("type")}


def facet(record: Record, url: str | None) -> DeploymentFacet:
    """What a run's deployment is. Of job variables only the names: their values are often secrets."""
    options = record.get("concurrency_options") or {}
    return DeploymentFacet(
        deploymentId=str(record["id"]),
        name=record.get("name"),
        version=record.get("version"),
        description=record.get("description"),
        path=_shown(record.get("path")),
        entrypoint=_shown(record.get("entrypoint")),
        paused=record.get("paused"),
        schedules=[_schedule(each) for each in record.get("schedules") or ()] or None,
        workPoolName=record.get("work_pool_name"),
        workPoolType=record.get(POOL_TYPE),
        workQueueName=record.get("work_queue_name"),
        concurrencyLimit=_concurrency_limit(record),
        concurrencyStrategy=options.get("collision_strategy"),
        jobVariables=sorted(record.get("job_variables") or ()) or None,
        tags=sorted(record.get("tags") or ()) or None,
        createdBy=creator(record),
        url=url,
        producer=PRODUCER,
    )


def _concurrency_limit(record: Record) -> int | None:
    limit: int | None = (record.get("global_concurrency_limit") or {}).get("limit")
    return limit if limit is not None else record.get("concurrency_limit")


def _schedule(entry: Mapping[str, Any]) -> dict[str, Any]:
    schedule = entry.get("schedule") or {}
    said = {name: schedule[name] for name in SCHEDULE_FIELDS if schedule.get(name) is not None}
    return {**said, "active": bool(entry.get("active", True))}


def creator(record: Record) -> str | None:
    """Who made it, as Prefect shows them; None where nobody signs in."""
    return (record.get("created_by") or {}).get("display_value") or None


def nominal_end(record: Record, start: datetime) -> datetime | None:
    """When the schedule wants the next run; None when several schedules could have wanted this one."""
    entries = record.get("schedules") or ()
    active = [each.get("schedule") or {} for each in entries if each.get("active", True)]
    return schedules.following(active[0], start) if len(active) == 1 else None


def entrypoint_file(record: Record) -> str | None:
    """The file of the entrypoint ``path/to/file.py:function``; None where it names a module, or there is none."""
    file = str(record.get("entrypoint") or "").rpartition(":")[0]
    return file if file.endswith(".py") else None


def cloned_from(record: Record) -> Mapping[str, Any]:
    """The ``git_clone`` step that brings the code (``repository``, ``branch``, ``commit_sha``); empty without one."""
    for step in record.get("pull_steps") or ():
        for name, inputs in step.items():
            if name.rpartition(".")[2].startswith("git_clone") and inputs.get("repository"):
                return inputs  # type: ignore[no-any-return]  # decoded JSON
    return {}


def _shown(text: str | None) -> str | None:
    return parameters.without_passwords(text) if text else None
