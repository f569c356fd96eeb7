"""The source ``openlineage`` of ``datahub ingest``: event files, or a bridge's store, as work units.

For estates that load everything by recipes. Transformers, sinks and ``flags.auto_resolve_lineage_urns`` are DataHub's own.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.emitter.serialization_helper import post_json_transform
from datahub.ingestion.api.common import PipelineContext
from datahub.ingestion.api.decorators import SupportStatus, config_class, platform_name, support_status
from datahub.ingestion.api.incremental_lineage_helper import IncrementalLineageConfigMixin
from datahub.ingestion.api.source import Source, SourceReport
from datahub.ingestion.api.workunit import MetadataWorkUnit
from datahub.metadata.schema_classes import (
    ASPECT_NAME_MAP,
    GenericAspectClass,
    MetadataChangeProposalClass,
)
from pydantic import ConfigDict, Field, model_validator

from openlineage_bridge.errors import BridgeError, RetryLater
from openlineage_bridge.outgoing import Connection
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.receivers.sources import find
from openlineage_bridge.replay import Tally, replay
from openlineage_bridge.store import Store
from openlineage_bridge.store.aspects import holdings
from openlineage_bridge.store.database import MEMORY, open_readonly
from openlineage_bridge.translation import Proposal, Refused, Retry
from openlineage_bridge_datahub.options import options
from openlineage_bridge_datahub.proposals import change
from openlineage_bridge_datahub.sinks.held import Held
from openlineage_bridge_datahub.sinks.rest import HEADERS, PIPELINE
from openlineage_bridge_datahub.translate import DataHubTranslator

AT_ONCE = 200
"""Proposals about whose entities the server is asked together."""

PROCESSORS = [
    "AutoResolveLineageUrnsProcessor",
    "AutoIncrementalLineageProcessor",
    "AutoWorkunitsReporterProcessor",
    "EnsureAspectSizeProcessor",
]
"""Those that suit a stream of events. Others would give every job browse paths of a platform ``openlineage``, bring back
what people removed, or remove what the files at hand do not mention."""


class OpenLineageConfig(IncrementalLineageConfigMixin):  # type: ignore[misc]  # datahub has no types
    """The configuration of the source.

    Beside these keys it takes those of the ``datahub`` section of ``openlineage-bridge.yml`` that say how to translate:
    ``env``, ``namespaces``, ``datasets``, …
    """

    model_config = ConfigDict(extra="allow")

    path: str | list[str] | None = Field(
        default=None, description="Event files or folders, as `openlineage-bridge replay` takes them."
    )
    store: str | None = Field(
        default=None, description="The store of a bridge, which may be running; read, never written."
    )
    lineage_window: int = Field(
        default=1, ge=1, description="How many of a job's newest completed runs are joined into its lineage."
    )

    @model_validator(mode="after")
    def _check(self) -> OpenLineageConfig:
        if (self.path is None) == (self.store is None):
            raise ValueError("set either path (event files) or store (of a bridge)")
        try:
            options(self.translation)
        except BridgeError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def translation(self) -> dict[str, Any]:
        """What says how to translate."""
        return dict(self.model_extra or {})

    @property
    def paths(self) -> Sequence[str]:
        """The event files."""
        return [self.path] if isinstance(self.path, str) else self.path or []


@platform_name("OpenLineage", id="openlineage")
@config_class(OpenLineageConfig)
@support_status(SupportStatus.UNKNOWN)
class OpenLineageSource(Source):  # type: ignore[misc]  # datahub has no types
    """OpenLineage events as DataHub's entities and aspects."""

    platform = "openlineage"

    def __init__(self, config: OpenLineageConfig, ctx: PipelineContext) -> None:
        super().__init__(ctx)
        self.config = config
        self.report = SourceReport()

    @classmethod
    def create(cls, config_dict: dict[str, Any], ctx: PipelineContext) -> OpenLineageSource:
        """As ``datahub ingest`` makes sources."""
        return cls(OpenLineageConfig.model_validate(config_dict), ctx)

    def get_report(self) -> SourceReport:
        """What ``datahub ingest`` prints at the end."""
        return self.report

    def get_allowed_workunit_processors(self) -> list[str]:
        """See ``PROCESSORS``."""
        return PROCESSORS

    def get_workunits_internal(self) -> Iterable[MetadataWorkUnit]:
        """Everything that DataHub should hold. What others wrote there is left alone, where the sink has a server to ask."""
        held = self._held()
        proposals = self._proposals()
        while batch := list(itertools.islice(proposals, AT_ONCE)):
            for proposal in self._wanted(batch, held):
                yield _work_unit(proposal, add=held is not None and held.policy(proposal) == "add")

    def _held(self) -> Held | None:
        """Who asks the server; None for sinks without one."""
        graph = self.ctx.graph
        if graph is None:
            return None
        client = Connection().client(graph.config.token, HEADERS)
        name = self.ctx.pipeline_name or PIPELINE
        said = options(self.config.translation).datasets
        return Held(client, graph.config.server.rstrip("/"), name, said, runs=f"{self.platform}-")

    def _wanted(self, proposals: Sequence[Proposal], held: Held | None) -> Iterator[Proposal]:
        if held is None:
            yield from proposals
            return
        outcomes, wanted = held.left_alone(proposals)
        for position, outcome in outcomes.items():
            if isinstance(outcome, Retry):
                raise RetryLater(f"DataHub was asked what it has already: {outcome.reason}")
            if isinstance(outcome, Refused):
                self.report.warning(outcome.reason, context=proposals[position].urn)
        yield from (proposals[position] for position in wanted)

    def _proposals(self) -> Iterator[Proposal]:
        if self.config.store is not None:
            with closing(open_readonly(Path(self.config.store).expanduser())) as connection:
                yield from holdings(connection)
            return
        translator = DataHubTranslator.from_options(self.config.translation)
        with Store(MEMORY) as store:
            *_, tally = replay(
                find(self.config.paths), store, Pipeline(store, translator, self.config.lineage_window)
            )
            self._tell(tally)
            yield from holdings(store.connection)

    def _tell(self, tally: Tally) -> None:
        """What was no event, with its place."""
        for place, reason in tally.rejected.first:
            self.report.warning("This is no OpenLineage event", context=f"{place}: {reason}")
        for problem in tally.reading.problems:
            self.report.warning("A file could not be read to its end", context=problem)


def _work_unit(proposal: Proposal, *, add: bool) -> MetadataWorkUnit:
    """A typed work unit, which transformers understand; where something is added to what is there, a patch.

    Datasets are somebody else's: DataHub's own processors leave them alone then.
    """
    changed = change(proposal, add=add)
    primary = proposal.entity_type not in ("dataset", "container", "dataPlatform")
    if changed.kind == "PATCH":
        patch = MetadataChangeProposalClass(
            entityType=proposal.entity_type,
            entityUrn=proposal.urn,
            changeType=changed.kind,
            aspectName=proposal.aspect_name,
            aspect=GenericAspectClass(value=changed.value, contentType=changed.content_type),
        )
        unit = MetadataWorkUnit.generate_workunit_id(patch)
        return MetadataWorkUnit(id=unit, mcp_raw=patch, is_primary_source=primary)
    aspect = ASPECT_NAME_MAP[proposal.aspect_name].from_obj(post_json_transform(json.loads(proposal.body)))
    wrapper = MetadataChangeProposalWrapper(entityUrn=proposal.urn, aspect=aspect)
    return wrapper.as_workunit(is_primary_source=primary)
