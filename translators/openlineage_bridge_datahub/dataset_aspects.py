"""What DataHub should hold about a dataset itself, and about lineage that no job stated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openlineage_bridge.events import JobKey
from openlineage_bridge.lineage import Lineage, lineage_of
from openlineage_bridge.translation import Aspect, DatasetState
from openlineage_bridge_datahub.curated import global_tags, ownership, tags_by_field
from openlineage_bridge_datahub.edges import DatasetsOfJob, fine_grained
from openlineage_bridge_datahub.encoding import platform_urn
from openlineage_bridge_datahub.facets import custom_properties, facet_of, words
from openlineage_bridge_datahub.job_aspects import platform_instance
from openlineage_bridge_datahub.options import Options
from openlineage_bridge_datahub.schema import schema_metadata
from openlineage_bridge_datahub.urns import DatasetNaming, NamedDataset

ENTITY = "dataset"

SUBTYPES = {
    "TABLE": "Table",
    "VIEW": "View",
    "MATERIALIZED_VIEW": "Materialized View",
    "TOPIC": "Topic",
    "STREAM": "Stream",
    "FILE": "File",
    "MODEL": "Model",
    "JOB_OUTPUT": "Job Output",
}
"""``datasetType`` → DataHub's own spelling (``ingestion/source/common/subtypes.py``) where it has one."""


def dataset_aspects(state: DatasetState, naming: DatasetNaming, options: Options) -> Iterator[Aspect]:
    """Aspects of the dataset; none where it has no URN.

    Never ``status``: it would bring back a dataset that somebody removed and that is not ours.
    """
    named = naming.named(state.key.namespace, state.key.name, state.facets)
    if named.urn is None:
        return
    key = {"platform": platform_urn(named.platform), "name": named.name, "origin": named.env}
    yield Aspect(named.urn, ENTITY, "datasetKey", key)
    for name, value in _values(state, named, naming, options):
        if value:
            yield Aspect(named.urn, ENTITY, name, value)


def _values(
    state: DatasetState, named: NamedDataset, naming: DatasetNaming, options: Options
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    facets, curated = state.facets, options.datasets.tags_and_owners
    if options.datasets.schema == "always":
        yield "schemaMetadata", _schema(state, named, with_tags=curated)
        yield "datasetProperties", _properties(state)
    if kind := words(facets, "datasetType", "datasetType"):
        yield "subTypes", {"typeNames": _subtypes(kind, words(facets, "datasetType", "subType"))}
    if curated:
        yield "globalTags", global_tags(facet_of(facets, "tags"))
        yield "ownership", ownership(facet_of(facets, "ownership"))
    if named.instance:
        yield "dataPlatformInstance", platform_instance(named.platform, named.instance)
    yield "upstreamLineage", _upstream_lineage(state, naming, indirect=options.indirect_columns)


def _schema(state: DatasetState, named: NamedDataset, *, with_tags: bool) -> dict[str, Any] | None:
    facet = facet_of(state.facets, "schema")
    if not facet:
        return None
    tags = tags_by_field(facet_of(state.facets, "tags")) if with_tags else {}
    return schema_metadata(
        facet, name=state.key.name, platform=named.platform, fold=named.fold_column, tags=tags
    )


def _properties(state: DatasetState) -> dict[str, Any]:
    value: dict[str, Any] = {
        "name": _short_name(state.key.name),
        "customProperties": {
            "openlineage.namespace": state.key.namespace,
            "openlineage.name": state.key.name,
            **custom_properties("dataset", state.facets),
        },
    }
    if description := words(state.facets, "documentation", "description"):
        value["description"] = description
    return value


def _short_name(name: str) -> str:
    """The last part of a path, else of a dotted name."""
    parts = name.strip("/").split("/") if "/" in name else name.split(".")
    return parts[-1] or name


def _subtypes(kind: str, subtype: str) -> list[str]:
    first = SUBTYPES.get(kind.upper(), kind.replace("_", " ").title())
    return [first, subtype] if subtype and subtype.lower() != first.lower() else [first]


# --- lineage without a job ------------------------------------------------------------------------------------------


def stated_lineage(state: DatasetState) -> Lineage | None:
    """The lineage that a DatasetEvent stated: its ``lineage`` facet, else its ``columnLineage``."""
    explicit = facet_of(state.facets, "lineage")
    if explicit:
        entry = {**explicit, "type": "DATASET", "namespace": state.key.namespace, "name": state.key.name}
        return lineage_of(JobKey("", ""), {}, {}, {"entries": [entry]})
    if "columnLineage" in state.facets.raw:
        return lineage_of(JobKey("", ""), {}, {state.key: state.facets})
    return None


def _upstream_lineage(state: DatasetState, naming: DatasetNaming, *, indirect: bool) -> dict[str, Any] | None:
    """``upstreamLineage``; a job's lineage stands on the job, never here as well."""
    lineage = stated_lineage(state)
    if lineage is None:
        return None
    touched = DatasetsOfJob(naming, {state.key: state})
    own = touched.named(state.key).urn
    upstreams = [urn for urn in touched.urns(lineage.inputs) if urn != own]
    if not upstreams:
        return None
    value: dict[str, Any] = {"upstreams": [{"dataset": urn, "type": "TRANSFORMED"} for urn in upstreams]}
    if columns := fine_grained(lineage.columns, touched, indirect=indirect):
        value["fineGrainedLineages"] = columns
    return value
