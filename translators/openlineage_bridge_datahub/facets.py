"""Which OpenLineage facet becomes what in DataHub: each standard facet stands in exactly one of three tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from openlineage_bridge.events import Facets, encode

Kind = Literal["run", "job", "dataset", "input", "output"]
Key = tuple[Kind, str]

# --- the three tables -----------------------------------------------------------------------------------------------

MAPPED: dict[Key, str] = {
    ("run", "parent"): "dataProcessInstanceRelationships.parentInstance; flow and task of the job",
    ("run", "nominalTime"): "dataProcessInstanceProperties.created, .type and custom properties",
    (
        "run",
        "errorMessage",
    ): "dataProcessInstanceProperties.customProperties: message, language and stack trace",
    ("run", "jobDependencies"): "dataJobInputOutput.inputDatajobEdges (upstream)",
    (
        "job",
        "jobType",
    ): "orchestrator, flow or task, subTypes, dataProcessInstanceProperties.type, custom properties",
    ("job", "sql"): "dataTransformLogic",
    ("job", "sourceCode"): "dataTransformLogic where the job has no sql",
    ("job", "sourceCodeLocation"): "externalUrl and custom properties of dataFlowInfo and dataJobInfo",
    ("job", "documentation"): "dataFlowInfo.description, dataJobInfo.description",
    ("job", "ownership"): "ownership",
    ("job", "tags"): "globalTags",
    ("job", "lineage"): "dataJobInputOutput: edges, fineGrainedLineages, inputDatajobEdges",
    ("dataset", "schema"): "schemaMetadata; field paths of column lineage",
    (
        "dataset",
        "columnLineage",
    ): "dataJobInputOutput.fineGrainedLineages; upstreamLineage where no job stated it",
    ("dataset", "lineage"): "upstreamLineage",
    ("dataset", "documentation"): "datasetProperties.description",
    ("dataset", "ownership"): "ownership",
    ("dataset", "tags"): "globalTags; of a column: globalTags in schemaMetadata",
    ("dataset", "symlinks"): "the URN",
    ("dataset", "datasetType"): "subTypes",
}
"""Read and translated."""

KEPT: dict[Key, str] = {
    ("run", "processing_engine"): "",
    ("run", "externalQuery"): "",
    ("run", "extractionError"): "",
    ("run", "tags"): "a dataProcessInstance has no globalTags aspect",
    ("run", "test"): "",
    ("run", "executionParameters"): "",
    ("run", "environmentVariables"): "",
    ("run", "gcp_composer_run"): "",
    ("run", "gcp_dataproc"): "",
    ("job", "gcp_composer_job"): "",
    ("job", "gcp_lineage"): "",
    ("dataset", "dataSource"): "",
    (
        "dataset",
        "catalog",
    ): "framework also names the platform of a symlink; its name is no platform instance",
    ("dataset", "storage"): "",
    ("dataset", "hierarchy"): "",
    ("dataset", "version"): "with the run that read or wrote it",
    ("dataset", "lifecycleStateChange"): "with the run that caused it",
    ("input", "dataQualityAssertions"): "with the run that checked it",
    ("input", "dataQualityMetrics"): "with the run that measured it",
    ("input", "inputStatistics"): "with the run that read it",
    ("input", "subset"): "with the run that read it",
    ("input", "icebergScanReport"): "with the run that read it",
    ("output", "outputStatistics"): "with the run that wrote it",
    ("output", "subset"): "with the run that wrote it",
    ("output", "icebergCommitReport"): "with the run that wrote it",
}
"""Kept as custom properties, with a remark where it is needed; so is every facet outside of the specification."""

IGNORED: dict[Key, str] = {
    (
        "dataset",
        "dataQualityMetrics",
    ): "a measurement: as a property it would rewrite the dataset with every run",
}
"""Not read, and why."""

# --- custom properties ----------------------------------------------------------------------------------------------

MAX_FACET_BYTES = 8_192
"""A facet outside of the tables is kept up to this size; Spark's logical plans are hundreds of kilobytes."""

MAX_VALUE = 1_000
"""Longest custom property; a longer one is cut and ends in an ellipsis."""

# Facets that are lists of names and values: (property prefix, list, name, value).
_PAIRS = {
    "tags": ("tag", "tags", "key", "value"),
    "executionParameters": ("parameter", "parameters", "key", "value"),
    "environmentVariables": ("env", "environmentVariables", "name", "value"),
}

_HEADER = frozenset({"_producer", "_schemaURL", "_deleted"})
_DATASET_MEASUREMENTS = frozenset({"version", "lifecycleStateChange", "dataQualityAssertions"})
# Run-dependent facets of a dataset belong to the use; on the dataset itself they would change with every run.


def custom_properties(kind: Kind, facets: Facets) -> dict[str, str]:
    """The facets that nothing else carries, as ``facet.field`` → text, sorted."""
    properties: dict[str, str] = {}
    for name in sorted(facets):
        if (kind, name) not in MAPPED and (kind, name) not in IGNORED and _fits(facets, name):
            if kind == "dataset" and name in _DATASET_MEASUREMENTS:
                continue
            properties.update(flattened(name, facets[name]))
    return properties


def use_properties(kind: Literal["input", "output"], dataset: str, facets: Facets) -> dict[str, str]:
    """What a run did to one dataset, as ``output.<dataset>.<facet>`` → JSON text."""
    return {
        f"{kind}.{dataset}.{name}": text_of(_without_header(facets[name]))
        for name in sorted(facets)
        if name != "columnLineage" and isinstance(facets[name], dict)
    }


def flattened(name: str, facet: Any) -> Iterator[tuple[str, str]]:
    """The fields of a facet as texts; a nested field is JSON, a list of names and values a property each."""
    if not isinstance(facet, dict):
        return
    if name in _PAIRS:
        yield from _pairs(*_PAIRS[name], facet)
    else:
        yield from ((f"{name}.{field}", text_of(value)) for field, value in _fields(facet))


def _pairs(
    prefix: str, listed: str, name: str, value: str, facet: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    for item in objects(facet.get(listed)):
        if isinstance(item.get(name), str):
            yield f"{prefix}.{item[name]}", text_of(item.get(value))


def objects(value: Any) -> list[dict[str, Any]]:
    """The JSON objects of a list; empty for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def words(facets: Facets, name: str, field: str) -> str:
    """A text field of a facet; empty where the facet or the field is missing or no text."""
    value = facet_of(facets, name).get(field)
    return value.strip() if isinstance(value, str) else ""


def facet_of(facets: Facets, name: str) -> Mapping[str, Any]:
    """A facet; empty where it is missing or no object."""
    # Asking the raw facets first spares the exception that a missing key costs.
    facet = facets[name] if name in facets.raw else None
    return facet if isinstance(facet, dict) else {}


def text_of(value: Any) -> str:
    """A JSON value as the text of a custom property, at most ``MAX_VALUE`` long."""
    text = value if isinstance(value, str) else encode(value).decode()
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"


def _fits(facets: Facets, name: str) -> bool:
    return len(facets.raw[name]) <= MAX_FACET_BYTES


def _fields(facet: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((field, value) for field, value in facet.items() if field not in _HEADER and value is not None)


def _without_header(facet: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_fields(facet))
