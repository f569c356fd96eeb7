"""Telling the declared graph once for every change of the code, as much in one turn as there is time for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from dagster import AssetKey, DagsterRunStatus, DataProvenance, RunsFilter

from openlineage_bridge_dagster import graph
from openlineage_bridge_dagster.assets import RunAssets, plain
from openlineage_bridge_dagster.repository import Repository, Step

if TYPE_CHECKING:
    from dagster import DagsterInstance, EventLogEntry
    from openlineage.client.event_v2 import DatasetEvent, JobEvent

    from openlineage_bridge_dagster.naming import Metadata
    from openlineage_bridge_dagster.reading import Reader

AT_ONCE = 500
"""Assets whose last materialization is asked for at a time."""


@attrs.define
class Announcer:
    """Announces what repositories declare, unless it was announced before.

    Args:
        repositories: What is declared.
        code: What it was read from; the same object is not read again.
    """

    repositories: Sequence[Repository] = ()
    code: object = None
    _digests: dict[int, str] = attrs.field(factory=dict)
    _waiting: dict[str, deque[JobEvent | DatasetEvent]] = attrs.field(factory=dict)
    _next: deque[JobEvent | DatasetEvent] = attrs.field(factory=deque)

    def declare(self, repositories: Sequence[Repository], code: object = None) -> None:
        """Code was loaded, for the first time or anew."""
        self.repositories, self.code = repositories, code
        self._digests.clear()
        self._waiting.clear()

    def due(
        self, reader: Reader, announced: MutableMapping[str, str], moment: float
    ) -> JobEvent | DatasetEvent | None:
        """The event that is to be told next, the same one until it was ``delivered``; None when all is told.

        Args:
            reader: Reads the instance, and says how everything is named.
            announced: Digest of what was announced, by repository; moves when all of a repository was delivered.
            moment: When it is said, seconds since the epoch.
        """
        for repository in self.repositories:
            digest = self._digest(repository, reader)
            if announced.get(repository.id) == digest:
                continue
            if repository.id not in self._waiting:
                self._waiting[repository.id] = deque(declared_events(repository, reader, moment))
            if waiting := self._waiting[repository.id]:
                self._next = waiting
                return waiting[0]
            announced[repository.id] = digest
            del self._waiting[repository.id]
        return None

    def delivered(self) -> None:
        """The event that was due was acknowledged, or refused for good."""
        self._next.popleft()

    def _digest(self, repository: Repository, reader: Reader) -> str:
        """Made once: neither code nor settings change while they are loaded."""
        if id(repository) not in self._digests:
            self._digests[id(repository)] = graph.digest(repository, reader)
        return self._digests[id(repository)]


def declared_events(
    repository: Repository, reader: Reader, moment: float
) -> Iterator[JobEvent | DatasetEvent]:
    """The graph of a repository, as far as runs have not told it already.

    Raises:
        Exception: Dagster's storage cannot be read.
    """
    instance, own = reader.require_instance(), frozenset(repository.assets)
    last = _last_materializations(instance, repository.assets)

    def last_said(key: AssetKey, before: float) -> Metadata | None:
        if key not in own:
            return reader.last_materialization(key, before)
        materialization = last[key].asset_materialization if key in last else None
        return plain(materialization.metadata) if materialization else None

    assets = RunAssets(
        naming=reader.naming,
        definitions=reader.definitions,
        last_materialization=last_said,
        sources=reader.sources,
        ui=reader.ui,
        moment=moment,
    )
    yield from graph.events(repository, reader, assets, moment, _told(instance, last, assets))


def _last_materializations(
    instance: DagsterInstance, keys: Sequence[AssetKey]
) -> Mapping[AssetKey, EventLogEntry]:
    found: dict[AssetKey, EventLogEntry] = {}
    for start in range(0, len(keys), AT_ONCE):
        for record in instance.get_asset_records(keys[start : start + AT_ONCE]):
            entry: Any = record.asset_entry
            if entry.last_materialization is not None:
                found[entry.asset_key] = entry.last_materialization
    return found


def _told(instance: DagsterInstance, last: Mapping[AssetKey, EventLogEntry], assets: RunAssets) -> graph.Told:
    """A step has been told when its job has succeeded, and its assets read then what their code says that they read."""
    succeeded: dict[str, bool] = {}

    def has_succeeded(job: str) -> bool:
        if job not in succeeded:
            found = RunsFilter(job_name=job, statuses=[DagsterRunStatus.SUCCESS])
            succeeded[job] = bool(instance.get_run_records(found, limit=1))
        return succeeded[job]

    def told(job: str, step: Step) -> bool:
        return has_succeeded(job) and all(
            key in last and _reads(last[key], assets.parents(key), key) for key in step.writes
        )

    return told


def _reads(entry: EventLogEntry, parents: Sequence[AssetKey], key: AssetKey) -> bool:
    """Whether a materialization read these assets; one without provenance cannot say otherwise."""
    materialization = entry.asset_materialization
    provenance = DataProvenance.from_tags((materialization.tags if materialization else None) or {})
    return provenance is None or {*provenance.input_storage_ids} - {key} == {*parents} - {key}
