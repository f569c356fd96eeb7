"""From Dagster's data to facets of the OpenLineage specification, one small function for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from openlineage.client.facet_v2 import (
    JobFacet,
    RunFacet,
    base_subset_dataset,
    column_lineage_dataset,
    documentation_job,
    error_message_run,
    job_type_job,
    output_statistics_output_dataset,
    ownership_job,
    parent_run,
    processing_engine_run,
    schema_dataset,
    tags_job,
    tags_run,
)

from openlineage_bridge_dagster.identity import RunIdentity, node_path
from openlineage_bridge_dagster.own_facets import DagsterRunFacet, DagsterStepFacet
from openlineage_bridge_dagster.partitions import nominal_time
from openlineage_bridge_dagster.producer import DAGSTER_VERSION, VERSION

if TYPE_CHECKING:
    from dagster import AssetMaterialization
    from dagster_shared.error import SerializableErrorInfo

    from openlineage_bridge_capture import Dataset

MESSAGE_LIMIT = 4_000
"""Characters of an error message that are worth keeping."""

STACK_LIMIT = 20_000
"""Characters of a stack trace that are worth keeping; the end of it says most."""

# pandas IO managers write their columns under the second key (dagster-duckdb-pandas and its kin, 0.29).
COLUMNS_KEY, FRAME_KEY = "dagster/column_schema", "dataframe_columns"
SCHEMA_KEYS = (COLUMNS_KEY, FRAME_KEY)
ROW_COUNT_KEYS = ("dagster/partition_row_count", "dagster/row_count")
# Wrappers whose own message says only where; the cause says what.
WRAPPERS = frozenset(
    {
        "DagsterExecutionStepExecutionError",
        "DagsterResourceFunctionError",
        "RetryRequested",
        "RetryRequestedFromPolicy",
    }
)


def run_facets(run: RunIdentity) -> dict[str, RunFacet]:
    """Run facets that the events of a run and of its steps share."""
    facets: dict[str, RunFacet] = {
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            version=DAGSTER_VERSION, name="dagster", openlineageAdapterVersion=VERSION
        ),
        "dagster_run": DagsterRunFacet(
            runId=run.run_id,
            jobName=run.job_name,
            location=run.location,
            repository=run.repository,
            module=run.module,
            deployment=run.deployment,
            rootRunId=run.root_run_id,
            parentRunId=run.parent_run_id,
            runUrl=run.run_url,
            jobUrl=run.job_url,
        ),
    }
    if nominal := nominal_time(run.partition_tags):
        facets["nominalTime"] = nominal
    return facets


def run_tags(run: RunIdentity) -> dict[str, RunFacet]:
    """``tags`` of the run itself, none when it has none."""
    tags = [
        tags_run.TagsRunFacetFields(key=key, value=value, source="DAGSTER") for key, value in run.tags.items()
    ]
    return {"tags": tags_run.TagsRunFacet(tags=tags)} if tags else {}


def parent_facet(run: RunIdentity) -> dict[str, RunFacet]:
    """``parent`` of a step, with ``root``.

    The root of the OpenLineage chain is the run: what Dagster calls the root run is the first of a chain of
    re-executions, another notion.
    """
    facet = parent_run.ParentRunFacet(
        run=parent_run.Run(runId=run.run_id),
        job=parent_run.Job(namespace=run.namespace, name=run.job),
        root=parent_run.Root(
            run=parent_run.RootRun(runId=run.run_id),
            job=parent_run.RootJob(namespace=run.namespace, name=run.job),
        ),
    )
    return {"parent": facet}


def step_facet(run: RunIdentity, step_key: str, attempt: int) -> dict[str, RunFacet]:
    """``dagster_step``: which step and which attempt of it."""
    path, name = node_path(step_key), run.op_name(step_key)
    facet = DagsterStepFacet(
        stepKey=step_key, nodePath=path, attempt=attempt, opName=name, stepUrl=run.step_url(step_key)
    )
    return {"dagster_step": facet}


def job_facets(run: RunIdentity) -> dict[str, JobFacet]:
    """Job facets of a run: ``jobType``, ``documentation``, ``ownership``, ``tags``."""
    facets: dict[str, JobFacet] = {"jobType": _job_type("JOB")}
    if run.details.description:
        facets["documentation"] = documentation_job.DocumentationJobFacet(description=run.details.description)
    if run.details.owners:
        facets["ownership"] = ownership_job.OwnershipJobFacet(
            owners=[ownership_job.Owner(name=owner_name(owner)) for owner in run.details.owners]
        )
    if run.details.tags:
        facets["tags"] = tags_job.TagsJobFacet(
            tags=[
                tags_job.TagsJobFacetFields(key=key, value=value, source="DAGSTER")
                for key, value in run.details.tags.items()
            ]
        )
    return facets


def step_job_facets(run: RunIdentity, path: str) -> dict[str, JobFacet]:
    """Job facets of a step, by its path in the graph: ``jobType``, ``documentation``."""
    facets: dict[str, JobFacet] = {"jobType": _job_type("STEP")}
    if description := run.details.op_descriptions.get(path):
        facets["documentation"] = documentation_job.DocumentationJobFacet(description=description)
    return facets


def _job_type(kind: str) -> JobFacet:
    return job_type_job.JobTypeJobFacet(processingType="BATCH", integration="DAGSTER", jobType=kind)


def owner_name(owner: str) -> str:
    """Dagster's owner in OpenLineage's spelling: ``alice@acme.io`` is ``user:alice@acme.io``; teams are the same."""
    return owner if owner.startswith("team:") else f"user:{owner}"


def error_message(error: SerializableErrorInfo | None, fallback: str) -> dict[str, RunFacet]:
    """``errorMessage``: the user's exception rather than the wrapper that Dagster puts around it, both capped."""
    shown = error
    if error is not None and error.cls_name in WRAPPERS and error.cause is not None:
        shown = error.cause
    message = shown.message.strip() if shown is not None else fallback.strip()
    stack = error.to_string() if error is not None else None
    facet = error_message_run.ErrorMessageRunFacet(
        message=message[:MESSAGE_LIMIT],
        programmingLanguage="PYTHON",
        stackTrace=stack[-STACK_LIMIT:] if stack else None,
    )
    return {"errorMessage": facet}


def columns(metadata: Mapping[str, Any]) -> Sequence[Any]:
    """Dagster's columns of a table schema in the metadata, the explicit one first; none where there is no schema."""
    table = next((metadata[key] for key in SCHEMA_KEYS if hasattr(metadata.get(key), "columns")), None)
    return table.columns if table is not None else ()


def is_of_data_frame(metadata: Mapping[str, Any]) -> bool:
    """Whether the columns in the metadata are those of a data frame in memory, types included."""
    return COLUMNS_KEY not in metadata and FRAME_KEY in metadata


def schema(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """``schema`` from a table schema in the metadata."""
    found = columns(metadata)
    if not found:
        return {}
    fields = [
        schema_dataset.SchemaDatasetFacetFields(
            name=column.name, type=column.type, description=column.description, ordinal_position=position
        )
        for position, column in enumerate(found, start=1)
    ]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)}


def column_sources(metadata: Mapping[str, Any]) -> dict[str, list[tuple[Any, str]]]:
    """``dagster/column_lineage`` as column → [(upstream asset key, its column)]; empty when there is none."""
    lineage = metadata.get("dagster/column_lineage")
    by_column = getattr(lineage, "deps_by_column", None) or {}
    return {column: [(dep.asset_key, dep.column_name) for dep in deps] for column, deps in by_column.items()}


def column_lineage(
    sources: Mapping[str, Iterable[tuple[Any, str]]], name: Callable[[Any], Dataset]
) -> dict[str, Any]:
    """``columnLineage`` of an output, with the upstream assets named by ``name``."""
    fields = {
        column: column_lineage_dataset.Fields(
            inputFields=[
                column_lineage_dataset.InputField(
                    namespace=(dataset := name(key)).namespace, name=dataset.name, field=field
                )
                for key, field in deps
            ]
        )
        for column, deps in sources.items()
    }
    return (
        {"columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet(fields=fields)} if fields else {}
    )


def output_facets(
    materializations: Sequence[AssetMaterialization], metadata: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Output facets of one asset of one step: rows written over all its partitions, and which partitions."""
    rows = [count for values in metadata if (count := _row_count(values)) is not None]
    facets: dict[str, Any] = {}
    if rows:
        facets["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            rowCount=sum(rows)
        )
    if partitions := [_partition(event) for event in materializations if event.partition]:
        facets["subset"] = base_subset_dataset.OutputSubsetOutputDatasetFacet(
            outputCondition=base_subset_dataset.PartitionSubsetCondition(partitions=partitions)
        )
    return facets


def _row_count(metadata: Mapping[str, Any]) -> int | None:
    for key in ROW_COUNT_KEYS:
        if isinstance(count := metadata.get(key), int):
            return count
    return None


def _partition(event: AssetMaterialization) -> base_subset_dataset.Partition:
    prefix = "dagster/partition/"
    dimensions = {
        tag.removeprefix(prefix): v for tag, v in (event.tags or {}).items() if tag.startswith(prefix)
    }
    return base_subset_dataset.Partition(
        dimensions=dict(sorted(dimensions.items())), identifier=event.partition
    )
