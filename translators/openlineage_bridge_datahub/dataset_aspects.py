"""What DataHub should hold about a dataset itself, and about lineage that no job stated."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from openlineage_bridge.events import Facets, JobKey
from openlineage_bridge.lineage import Lineage, lineage_of
from openlineage_bridge.translation import Aspect, DatasetState
from openlineage_bridge_datahub.activity import dataset_activity
from openlineage_bridge_datahub.containers import browse_path, container_aspects, containers
from openlineage_bridge_datahub.curated import (
    global_tags,
    glossary_terms,
    ownership,
    tags_by_field,
    terms_by_field,
)
from openlineage_bridge_datahub.edges import DatasetsOfJob, fine_grained
from openlineage_bridge_datahub.encoding import platform_urn
from openlineage_bridge_datahub.facets import custom_properties, facet_of, objects, words
from openlineage_bridge_datahub.job_aspects import platform_instance
from openlineage_bridge_datahub.options import Options
from openlineage_bridge_datahub.platform_info import platform_aspects
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

    Never ``status`` of one that nobody said was dropped: it would bring back a dataset that somebody removed and that
    is not ours.
    """
    named = naming.named(state.key.namespace, state.key.name, state.facets)
    if named.urn is None:
        return
    key = {"platform": platform_urn(named.platform), "name": named.name, "origin": named.env}
    yield Aspect(named.urn, ENTITY, "datasetKey", key)
    for name, value in _values(state, named, naming, options):
        if value:
            yield Aspect(named.urn, ENTITY, name, value)
    yield from platform_aspects(named.platform)
    if options.datasets.containers != "never":
        yield from _contained(state, named)
    if options.datasets.siblings:
        yield from _siblings(state, named, naming)
    yield from dataset_activity(state, named, naming, options.datasets)


def _values(
    state: DatasetState, named: NamedDataset, naming: DatasetNaming, options: Options
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    facets, said = state.facets, options.datasets
    curated = said.tags_and_owners != "never"
    if said.schema != "never":
        yield "schemaMetadata", _schema(state, named, said.term_keys if curated else None)
    if said.properties != "never":
        yield "datasetProperties", _properties(state)
        if kind := words(facets, "datasetType", "datasetType"):
            yield "subTypes", {"typeNames": _subtypes(kind, words(facets, "datasetType", "subType"))}
    if curated:
        if tags := facet_of(facets, "tags"):
            yield "globalTags", global_tags(tags, said.term_keys)
            yield "glossaryTerms", glossary_terms(tags, said.term_keys)
        yield "ownership", ownership(facet_of(facets, "ownership"))
    if named.instance:
        yield "dataPlatformInstance", platform_instance(named.platform, named.instance)
    if said.lineage != "never":
        yield "upstreamLineage", _upstream_lineage(state, naming, indirect=options.indirect_columns)


def _schema(
    state: DatasetState, named: NamedDataset, term_keys: Collection[str] | None
) -> dict[str, Any] | None:
    """``schemaMetadata``, with tags and terms of the columns unless ``term_keys`` is None."""
    facet = facet_of(state.facets, "schema")
    if not facet:
        return None
    stated = facet_of(state.facets, "tags") if term_keys is not None else {}
    return schema_metadata(
        facet,
        name=state.key.name,
        platform=named.platform,
        fold=named.fold_column,
        tags=tags_by_field(stated, term_keys or ()) if stated else {},
        terms=terms_by_field(stated, term_keys or ()) if stated else {},
    )


def _contained(state: DatasetState, named: NamedDataset) -> Iterator[Aspect]:
    """The container of the dataset, those around it, and the way to it."""
    assert named.urn is not None
    around = containers(state.facets, named)
    if around:
        yield Aspect(named.urn, ENTITY, "container", {"container": around[-1].urn})
        yield Aspect(named.urn, ENTITY, "browsePathsV2", browse_path(around, named))
        yield from container_aspects(around, named)


def _siblings(state: DatasetState, named: NamedDataset, naming: DatasetNaming) -> Iterator[Aspect]:
    """The dataset beside what its symlinks, and the name it was sent under, are called in DataHub; it is the primary."""
    assert named.urn is not None
    places = [state.key, *_symlinked(state.facets)]
    others = sorted({urn for each in places if (urn := naming.resolve(*each).urn)} - {named.urn})
    if others:
        yield Aspect(named.urn, ENTITY, "siblings", {"siblings": others, "primary": True})
    for other in others:
        yield Aspect(other, ENTITY, "siblings", {"siblings": [named.urn], "primary": False})


def _symlinked(facets: Facets) -> Iterator[tuple[str, str]]:
    for each in objects(facet_of(facets, "symlinks").get("identifiers")):
        namespace, name = each.get("namespace"), each.get("name")
        if isinstance(namespace, str) and isinstance(name, str):
            yield namespace, name


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
    if _WEB.fullmatch(uri := words(state.facets, "dataSource", "uri")):
        value["externalUrl"] = uri
    return value


_WEB = re.compile(r"https?://\S+")


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
