"""The events of Prefect assets → what a task run read and wrote; pure.

Prefect emits them right after the end of a task that materializes something: one for each asset that it took, one for
each that it made. Only these: assets of a task that makes none are not in the event stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import attrs

from openlineage_bridge_prefect.assets import AssetUse
from openlineage_bridge_prefect.watch.transitions import id_in, related

PREFIX = "prefect.asset."
REFERENCED = "prefect.asset.referenced"
SUCCEEDED = "prefect.asset.materialization.succeeded"


@attrs.frozen
class Properties:
    """What an asset is, as in Prefect's ``AssetProperties``."""

    name: str | None = None
    description: str | None = None
    url: str | None = None
    owners: tuple[str, ...] = ()


@attrs.frozen
class Asset:
    """A Prefect asset, as in Prefect's ``Asset``."""

    key: str
    properties: Properties = Properties()


@attrs.define
class _Use:
    inputs: dict[str, Asset] = attrs.field(factory=dict)
    outputs: dict[str, tuple[Asset, Mapping[str, Any]]] = attrs.field(factory=dict)
    tool: str | None = None


class AssetUses:
    """What is known of the assets of task runs: events are added, in any order and as often as they come."""

    def __init__(self) -> None:
        self._uses: dict[UUID, _Use] = {}

    def add(self, event: Mapping[str, Any]) -> UUID | None:
        """Take an event of an asset; the task run that it is about, None when it names none."""
        task_run = related(event, "task-run")
        if task_run is None:
            return None
        task_run_id = id_in(task_run["prefect.resource.id"])
        use, asset = self._uses.setdefault(task_run_id, _Use()), _asset(event["resource"])
        if event["event"] == REFERENCED:
            use.inputs[asset.key] = asset
        elif event["event"] == SUCCEEDED:
            use.outputs[asset.key] = asset, event.get("payload") or {}
        if tool := related(event, "asset-materialized-by"):
            use.tool = tool["prefect.resource.id"]
        return task_run_id

    def of(self, task_run_id: UUID) -> AssetUse | None:
        """What the task run did with assets, as far as is known; None for nothing."""
        use = self._uses.get(task_run_id)
        if use is None:
            return None
        return AssetUse(
            inputs=tuple(asset for _, asset in sorted(use.inputs.items())),
            outputs=tuple(made for _, made in sorted(use.outputs.items())),
            tool=use.tool,
        )

    def keep_only(self, task_run_ids: Iterable[UUID]) -> None:
        """Forget all other task runs."""
        wanted = set(task_run_ids)
        self._uses = {task_run_id: use for task_run_id, use in self._uses.items() if task_run_id in wanted}


def _asset(resource: Mapping[str, Any]) -> Asset:
    return Asset(
        resource["prefect.resource.id"],
        Properties(
            name=resource.get("prefect.resource.name"),
            description=resource.get("prefect.asset.description"),
            url=resource.get("prefect.asset.url"),
            owners=tuple(json.loads(resource.get("prefect.asset.owners") or "[]")),
        ),
    )
