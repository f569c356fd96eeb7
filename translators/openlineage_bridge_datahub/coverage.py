"""What becomes of each facet of the OpenLineage specification: the one table that code, tests and documentation read."""

from __future__ import annotations

from typing import Literal

import attrs

Kind = Literal["run", "job", "dataset", "input", "output"]
Key = tuple[Kind, str]

MAPPED, KEPT = "mapped", "kept"
NOTHING = "-"


@attrs.frozen
class Row:
    """One facet.

    Args:
        kind: Where the specification puts it.
        facet: Its key.
        fate: ``mapped``: read and translated; ``kept``: as custom properties.
        here: What it becomes; for a kept one where the properties stand, if that is not plain.
        endpoint: What DataHub's own OpenLineage endpoint makes of it, in the version that users run.
        proposed: What the open pull requests #19733 to #19740 of DataHub would add.
    """

    kind: Kind
    facet: str
    fate: str
    here: str
    endpoint: str = NOTHING
    proposed: str = ""


_RUN = "custom properties of the run"
_FLOW_AND_JOB = "custom properties of flow and job"

ROWS = (
    # --- runs
    Row(
        "run",
        "parent",
        MAPPED,
        "parentInstance of the run, its root in custom properties; which flow and task the job is",
    ),
    Row("run", "nominalTime", MAPPED, "created and type of the run, custom properties", NOTHING, _RUN),
    Row(
        "run",
        "processing_engine",
        MAPPED,
        "orchestrator; versionInfo of flow and job; custom properties",
        f"orchestrator; {_FLOW_AND_JOB}",
    ),
    Row("run", "errorMessage", MAPPED, "custom properties: message, language, stack trace", NOTHING, _RUN),
    Row("run", "externalQuery", KEPT, "", NOTHING, _RUN),
    Row("run", "extractionError", KEPT, "", NOTHING, _RUN),
    Row("run", "jobDependencies", MAPPED, "inputDatajobEdges (upstream)"),
    Row("run", "tags", KEPT, "DataHub has no tags on runs"),
    Row("run", "test", MAPPED, "assertions with results, where the run has one dataset; custom properties"),
    Row("run", "executionParameters", KEPT, ""),
    Row("run", "environmentVariables", KEPT, "secrets are redacted"),
    Row("run", "gcp_composer_run", KEPT, ""),
    Row("run", "gcp_dataproc", KEPT, ""),
    # --- jobs
    Row(
        "job",
        "jobType",
        MAPPED,
        "orchestrator, flow or task, subTypes, type of the run, custom properties",
        "only RDD_JOB, left out",
        "custom properties",
    ),
    Row(
        "job",
        "sql",
        MAPPED,
        "dataTransformLogic; a Query of the datasets, to which column lineage links",
        "transformOperation of column lineage",
    ),
    Row("job", "sourceCode", MAPPED, "dataTransformLogic, where there is no sql"),
    Row(
        "job",
        "sourceCodeLocation",
        MAPPED,
        "externalUrl, versionInfo, custom properties",
        NOTHING,
        "institutionalMemory",
    ),
    Row("job", "documentation", MAPPED, "description of flow and job", "description of the job"),
    Row("job", "ownership", MAPPED, "ownership, added to what is there", "read, not written", "ownership"),
    Row("job", "tags", MAPPED, "globalTags, added to what is there", NOTHING, "globalTags"),
    Row(
        "job",
        "lineage",
        MAPPED,
        "edges, with the outputs that each input feeds; fineGrainedLineages; inputDatajobEdges",
    ),
    Row("job", "gcp_composer_job", KEPT, ""),
    Row("job", "gcp_lineage", KEPT, ""),
    # --- datasets
    Row(
        "dataset",
        "schema",
        MAPPED,
        "schemaMetadata, nested fields with version 2 paths, which column lineage uses too",
        "schemaMetadata, top level only; most types NullType",
        "nested fields, without descriptions",
    ),
    Row(
        "dataset",
        "columnLineage",
        MAPPED,
        "fineGrainedLineages pair by pair with transformation, description and masking; what only decides apart; "
        "upstreamLineage where no job stated it",
        "fineGrainedLineages, one per output column",
        "one per pair of columns",
    ),
    Row("dataset", "lineage", MAPPED, "upstreamLineage"),
    Row("dataset", "dataSource", MAPPED, "externalUrl where it is a web address; custom properties"),
    Row("dataset", "documentation", MAPPED, "description", NOTHING, "description"),
    Row("dataset", "ownership", MAPPED, "ownership, added to what is there", NOTHING, "ownership"),
    Row(
        "dataset",
        "tags",
        MAPPED,
        "globalTags and glossaryTerms, of columns in schemaMetadata; added to what is there",
        NOTHING,
        "globalTags, not of columns",
    ),
    Row(
        "dataset",
        "symlinks",
        MAPPED,
        "the URN; siblings on request",
        "the URN: any table is one of Glue or Hive",
    ),
    Row("dataset", "catalog", MAPPED, "platform of a symlink; containers; custom properties"),
    Row("dataset", "storage", KEPT, "", NOTHING, "custom properties"),
    Row("dataset", "version", MAPPED, "custom property of operation and run", NOTHING, "custom property"),
    Row(
        "dataset", "hierarchy", MAPPED, "containers with the connectors' URNs, browse path, custom properties"
    ),
    Row("dataset", "datasetType", MAPPED, "subTypes", NOTHING, "custom properties"),
    Row(
        "dataset",
        "lifecycleStateChange",
        MAPPED,
        "operation, under the previous name too; removes dropped datasets on request",
        NOTHING,
        "operation",
    ),
    Row("dataset", "dataQualityMetrics", MAPPED, "datasetProfile", NOTHING, "datasetProfile"),
    # --- inputs and outputs: all of them also stand, as JSON, in the custom properties of the run
    Row("input", "dataQualityAssertions", MAPPED, "assertions with results, also from among dataset facets"),
    Row("input", "dataQualityMetrics", MAPPED, "datasetProfile"),
    Row("input", "inputStatistics", KEPT, "of the run that read it"),
    Row("input", "subset", KEPT, "of the run that read it"),
    Row("input", "icebergScanReport", KEPT, "of the run that read it"),
    Row(
        "output",
        "outputStatistics",
        MAPPED,
        "operation with rows, bytes and files; datasetProfile where the table was written anew",
        NOTHING,
        "operation at each event",
    ),
    Row("output", "subset", MAPPED, "partition of the operation"),
    Row("output", "icebergCommitReport", MAPPED, "type of the operation, snapshot"),
)
"""Every facet of the specification of August 2026 (``spec/facets`` and ``spec/registry``), once."""


def fates(fate: str) -> dict[Key, str]:
    """The facets of one fate, with what becomes of them."""
    return {(row.kind, row.facet): row.here for row in ROWS if row.fate == fate}
