"""Reading a Dagster instance: the log of a run page by page, and the fold that makes OpenLineage events of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import attrs
from dagster import AssetKey, AssetRecordsFilter
from dagster._core.event_api import EventLogCursor

from openlineage_bridge_dagster.assets import AssetDefinition, Definitions, RunAssets, nothing_defined, plain
from openlineage_bridge_dagster.fold import EVENT_TYPES, PATH_TYPES, RunFold
from openlineage_bridge_dagster.identity import JobDetails, PluginNames, identify
from openlineage_bridge_dagster.naming import AssetNaming, Metadata
from openlineage_bridge_dagster.runless import RUNLESS_TYPES
from openlineage_bridge_dagster.shards import is_read_to_the_end
from openlineage_bridge_dagster.snapshot import job_details
from openlineage_bridge_dagster.sources import Sources

if TYPE_CHECKING:
    from dagster import DagsterEventType, DagsterInstance, DagsterRun, EventLogRecord, RunRecord
    from openlineage.client.event_v2 import RunEvent

KEPT_SNAPSHOTS = 500
"""Jobs, in as many versions, whose details are kept in memory."""

PAGE = 500
"""Records read at a time."""

SETTLE = 2.0
"""Seconds that a record must be old: PostgreSQL and MySQL show rows later than they number them."""


@attrs.define
class Reader:
    """Reads an instance; whoever reads with the same settings gets the same events.

    Args:
        namespace: Namespace of the jobs.
        naming: How assets are named.
        ui: Address of Dagster's web UI.
        sources: What counts as lineage.
        plugin_names: Whether jobs have the names that DataHub's plugin gives.
        platform_instance: What those names begin with.
        definitions: What the code says about assets.
        instance: What is read; may be handed over anew, because a code server gets another one at each tick.
    """

    namespace: str = "dagster"
    naming: AssetNaming = attrs.field(factory=AssetNaming)
    ui: str | None = None
    sources: Sources = attrs.field(factory=Sources)
    plugin_names: bool = False
    platform_instance: str | None = None
    definitions: Definitions = nothing_defined
    instance: DagsterInstance | None = None
    _details: dict[tuple[str | None, str | None], JobDetails] = attrs.field(factory=dict)

    def page(self, run_id: str, position: int) -> tuple[Sequence[EventLogRecord], bool]:
        """Records of a run behind the storage id ``position`` (-1: from the start), and whether there are more."""
        return self._page(run_id, position, EVENT_TYPES | PATH_TYPES if self.sources.paths else EVENT_TYPES)

    def count(self, run_id: str, last: int) -> int:
        """How many records a run's log holds up to the storage id ``last``: a fold reads each of them once."""
        position, more, counted = -1, True, 0
        while more and position < last:
            records, more = self.page(run_id, position)
            counted += sum(each.storage_id <= last for each in records)
            position = records[-1].storage_id if records else last
        return counted

    def runless_page(self, position: int) -> tuple[Sequence[EventLogRecord], bool]:
        """The same for the asset events that no run brought about."""
        return self._page("", position, RUNLESS_TYPES)

    def last_runless(self) -> int:
        """Storage id of the newest asset event without a run, -1 when there is none."""
        page = self.require_instance().get_records_for_run(
            "", of_type=set(RUNLESS_TYPES), limit=1, ascending=False
        )
        return page.records[0].storage_id if page.records else -1

    def fold(self, record: RunRecord) -> RunFold:
        """The fold of a run, nothing fed to it yet."""
        run, instance = record.dagster_run, self.require_instance()
        identity = identify(
            run,
            namespace=self.namespace,
            ui=self.ui,
            details=self._details_of(run),
            plugin=PluginNames.of(run, self.platform_instance) if self.plugin_names else None,
        )
        extract = partial(self.sources.extract, instance) if self.sources.extract else None
        return RunFold(identity, self.assets(), extract=extract)

    def told(self, record: RunRecord, horizon: float) -> Iterator[list[RunEvent]]:
        """What each record of a run's log brings about, up to the run's end or to records younger than ``horizon``.

        The last list of a run that has ended is its end's.
        """
        fold, position, more = self.fold(record), -1, True
        while more:
            records, more = self.page(record.dagster_run.run_id, position)
            for each in records:
                if fold.ended or each.timestamp > horizon:
                    return
                position = each.storage_id
                yield fold.feed(each.event_log_entry)

    def assets(self) -> RunAssets:
        """What is known about assets, for one run or for one event without a run."""
        return RunAssets(
            naming=self.naming,
            definitions=self._definition,
            last_materialization=self.last_materialization,
            sources=self.sources,
            ui=self.ui,
        )

    def settle(self) -> float:
        """Seconds that a record must be old. SQLite has a single writer: what is visible there has no gaps."""
        storage = type(self.require_instance().event_log_storage).__name__
        return 0.0 if "Sqlite" in storage or "InMemory" in storage else SETTLE

    def require_instance(self) -> DagsterInstance:
        """The instance, which must have been handed over."""
        assert self.instance is not None, "the instance is handed over before anything is read"
        return self.instance

    def _page(
        self, run_id: str, position: int, types: frozenset[DagsterEventType]
    ) -> tuple[Sequence[EventLogRecord], bool]:
        if is_read_to_the_end(self.require_instance().event_log_storage, run_id, position, types):
            return (), False
        page = self.require_instance().get_records_for_run(
            run_id, cursor=_after(position), of_type=set(types), limit=PAGE, ascending=True
        )
        return page.records, page.has_more

    def _details_of(self, run: DagsterRun) -> JobDetails:
        """Snapshots have the digest of what they say for an id, and most runs of a job share theirs."""
        ids = (run.job_snapshot_id, run.execution_plan_snapshot_id)
        if ids not in self._details:
            if len(self._details) >= KEPT_SNAPSHOTS:
                self._details.clear()
            self._details[ids] = job_details(self.require_instance(), run)
        return self._details[ids]

    def _definition(self, key: AssetKey) -> AssetDefinition | None:
        return self.definitions(key)

    def last_materialization(self, key: AssetKey, before: float) -> Metadata | None:
        """What an asset last said of itself. As it was at that moment, so that whoever reads the log later says the same."""
        found = (
            self.require_instance()
            .fetch_materializations(AssetRecordsFilter(key, before_timestamp=before), limit=1)
            .records
        )
        materialization = found[0].event_log_entry.asset_materialization if found else None
        return plain(materialization.metadata) if materialization else None


def _after(position: int) -> str | None:
    return EventLogCursor.from_storage_id(position).to_string() if position >= 0 else None
