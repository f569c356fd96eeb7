"""Prefect assets (``@materialize``, ``asset_deps``) → datasets, by the OpenLineage naming specification."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import attrs

from openlineage_bridge_capture import uris

_OPTIONS = re.compile(r"[?;]")

ROW_COUNTS = ("row_count", "rows", "rowCount", "num_rows")
SIZES = ("bytes", "size", "size_bytes")
"""Keys of asset metadata that are a statistic of the output."""


@attrs.frozen
class AssetUse:
    """What a task run does with Prefect assets.

    Args:
        inputs: Assets it depends on.
        outputs: Assets it materialized, each with its metadata.
        tool: What materialized them (``@materialize(by=…)``).
    """

    inputs: tuple[Any, ...]
    outputs: tuple[tuple[Any, Mapping[str, Any]], ...]
    tool: str | None = None


def use_of(task_run_id: UUID, state: Any) -> AssetUse | None:
    """The assets of a task run that ends now, from Prefect's context; cheap. None when it has none.

    A cached result read and wrote nothing. A failed task materialized nothing. Assets that merely pass through a plain
    task are an input of the task that materializes something from them, as in Prefect's own events.
    """
    context = _context(task_run_id)
    if context is None or state.name == "Cached":
        return None
    if not context.direct_asset_dependencies and not context.downstream_assets:
        return None
    inputs, outputs = set(context.direct_asset_dependencies), set(context.downstream_assets)
    if outputs:
        inputs |= context.upstream_assets
    if not state.is_completed():
        outputs = set()
    if not inputs and not outputs:
        return None
    metadata = context.materialization_metadata
    return AssetUse(
        inputs=tuple(sorted(inputs, key=_key)),
        outputs=tuple((asset, dict(metadata.get(asset.key, {}))) for asset in sorted(outputs, key=_key)),
        tool=context.materialized_by,
    )


def _key(asset: Any) -> str:
    return str(asset.key)


def _context(task_run_id: UUID) -> Any:
    # Prefect has assets since 3.4.5.
    asset_context = getattr(sys.modules.get("prefect.context"), "AssetContext", None)
    context = asset_context.get() if asset_context is not None else None
    if context is None or context.task_run_id not in (None, task_run_id):
        return None
    return context


def identity(key: str) -> tuple[str, str]:
    """Namespace and name of the dataset that an asset key means.

    A key is an identifier that somebody chose, and only looks like a URI: one that is not the name of a dataset by the
    specification (``uris``), and not all of one, is the name that it says, below its own scheme and host.
    """
    try:
        return uris.identity(key)
    except ValueError:
        scheme, _, rest = key.partition("://")
        # Whatever may be a user, a password or an option is left out.
        where = _OPTIONS.split(rest.rpartition("@")[2])[0]
        authority, _, path = where.partition("/")
        return f"{scheme}://{authority}", path.strip("/") or "/"
