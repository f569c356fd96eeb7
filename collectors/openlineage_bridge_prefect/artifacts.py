"""Prefect artifacts: which ones a run created, and the datasets that some of them name.

A table artifact whose description says ``ol-dataset_input`` or ``ol-dataset_output`` names datasets, row by row, by
``database_uri`` and ``table``: the convention of OpenLineage's pull request 4510, for flows that were written for it.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import attrs

from openlineage_bridge_capture import log, uris
from openlineage_bridge_capture.datasets import Dataset
from openlineage_bridge_prefect import parameters

INPUT, OUTPUT = "ol-dataset_input", "ol-dataset_output"
"""What the description of an artifact says that names datasets."""

MAX_ARTIFACTS = 100
"""Artifacts of a run that are told; progress and reports in loops make many."""

MAX_RUNS = 1_000
"""Runs whose artifacts wait for their end; the oldest are forgotten first, because some never see it here."""

MAX_DESCRIPTION = 1_024
"""Characters of a description that are told."""


@attrs.frozen
class Artifact:
    """An artifact that a run created.

    Args:
        id: Prefect's id.
        key: Its key, which its versions share; None for one that has none.
        type: ``table``, ``markdown``, ``link``, ``progress``, ``image`` or whatever the user says.
        description: Text about it.
        data: Its content, where that names datasets.
    """

    id: str
    key: str | None = None
    type: str | None = None
    description: str | None = None
    data: Any = None


_lock = threading.Lock()
_created: dict[UUID, list[Artifact]] = {}


def note(created: Any) -> None:
    """Keep what a client says it created, until its run ends; never raises. Cheap, for the user's thread."""
    try:
        run_id = created.task_run_id or created.flow_run_id
        if isinstance(run_id, UUID):
            keep(run_id, _of(created))
    except Exception:
        log.once(logging.INFO, "An artifact could not be read; it is not reported", exc_info=True)


def _of(created: Any) -> Artifact:
    described = str(created.description or "")
    return Artifact(
        id=str(created.id),
        key=created.key,
        type=created.type,
        description=described[: 4 * MAX_DESCRIPTION] or None,
        data=created.data if INPUT in described or OUTPUT in described else None,
    )


def of_record(record: Mapping[str, Any]) -> Artifact:
    """An artifact as the API's JSON has it."""
    fields = {name: record.get(name) for name in ("key", "type", "description", "data")}
    return Artifact(id=str(record["id"]), **fields)


def keep(run_id: UUID, artifact: Artifact) -> None:
    """Keep an artifact until its run ends."""
    with _lock:
        of_run = _created.setdefault(run_id, [])
        if len(of_run) < MAX_ARTIFACTS:
            of_run.append(artifact)
        if len(_created) > MAX_RUNS:
            del _created[next(iter(_created))]


def take(run_id: UUID) -> tuple[Artifact, ...]:
    """The artifacts that a run created, in order; they are forgotten. Cheap, for the user's thread."""
    if run_id not in _created:
        return ()
    with _lock:
        return tuple(_created.pop(run_id, ()))


def told(artifact: Artifact, run_page: str | None) -> dict[str, str]:
    """What the facet says of an artifact.

    Args:
        artifact: The artifact.
        run_page: Page of its run in Prefect's UI, which says where the UI is.
    """
    description = parameters.without_passwords(artifact.description or "")[:MAX_DESCRIPTION]
    # Prefect writes links to runs only; an artifact's page stands beside them (prefect, routes of its UI).
    base, runs, _ = (run_page or "").rpartition("/runs/")
    said = {
        "id": artifact.id,
        "key": artifact.key,
        "type": artifact.type,
        "description": description,
        "url": f"{base}/artifacts/artifact/{artifact.id}" if runs else None,
    }
    return {name: value for name, value in said.items() if value}


def datasets(artifacts: tuple[Artifact, ...], marker: str) -> tuple[Dataset, ...]:
    """The datasets that artifacts name whose description has this marker (``INPUT`` or ``OUTPUT``)."""
    marked = (artifact for artifact in artifacts if marker in (artifact.description or ""))
    return tuple(dataset for artifact in marked for row in _rows(artifact.data) if (dataset := _dataset(row)))


def _rows(data: Any) -> Iterator[Mapping[str, Any]]:
    try:
        rows = json.loads(data) if isinstance(data, str) else data
    except ValueError:
        return
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict):
            yield row


def _dataset(row: Mapping[str, Any]) -> Dataset | None:
    """The dataset of a row: by the naming specification where the two are a full name, else as the row says."""
    uri, table = row.get("database_uri"), row.get("table")
    if not isinstance(uri, str) or not isinstance(table, str) or "://" not in uri or not table:
        return None
    try:
        return Dataset(*uris.identity(f"{uri}#{table}"))
    except ValueError:
        return Dataset(parameters.without_passwords(uri), table)


def _start_afresh_in_child() -> None:
    """After a fork: what waits is the parent's to tell, and its lock may be held for ever."""
    global _lock  # noqa: PLW0603 - the process's own state, and this is a new process
    _lock = threading.Lock()
    _created.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh_in_child)
