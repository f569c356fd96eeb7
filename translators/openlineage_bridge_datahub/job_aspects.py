"""What DataHub should hold about a job: its flow, itself, and its lineage. Nothing here depends on one run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from openlineage_bridge.events import Facets, JobKey
from openlineage_bridge.translation import Aspect, JobIdentity, JobState
from openlineage_bridge_datahub.curated import global_tags, ownership
from openlineage_bridge_datahub.edges import (
    DatasetsOfJob,
    Endpoints,
    dataset_edges,
    datasets_of,
    edge_properties,
    endpoints,
    fine_grained,
)
from openlineage_bridge_datahub.encoding import platform_instance_urn, platform_urn
from openlineage_bridge_datahub.facets import custom_properties, facet_of, objects, text_of, words
from openlineage_bridge_datahub.jobs import JobNaming, NamedJob
from openlineage_bridge_datahub.options import Options
from openlineage_bridge_datahub.platform_info import platform_aspects
from openlineage_bridge_datahub.queries import MAX_CODE, query_aspects, query_urn
from openlineage_bridge_datahub.urns import DatasetNaming

# A task also describes its flow; what the flow says about itself counts more.
FROM_TASK, FROM_FLOW = 0, 1

_LOCATION_FIELDS = ("type", "repoUrl", "path", "version", "branch", "tag", "pullRequestNumber")
_URL = re.compile(r"https?://\S+")


# --- pieces ---------------------------------------------------------------------------------------------------------


def platform_instance(platform: str, instance: str) -> dict[str, Any]:
    """``dataPlatformInstance``."""
    return {"platform": platform_urn(platform), "instance": platform_instance_urn(platform, instance)}


def job_properties(job: JobIdentity) -> dict[str, str]:
    """Custom properties: the OpenLineage identity, and the facets that nothing else carries."""
    properties = {"openlineage.namespace": job.key.namespace, "openlineage.name": job.key.name}
    for field in ("processingType", "integration", "jobType"):
        if text := words(job.facets, "jobType", field):
            properties[field] = text
    for field in _LOCATION_FIELDS:
        if text := words(job.facets, "sourceCodeLocation", field):
            properties[f"sourceCodeLocation.{field}"] = text
    return {**properties, **custom_properties("job", job.facets)}


def source_url(job: JobIdentity) -> str | None:
    """Where the job's code can be looked at; None where that is no web address."""
    for field in ("url", "repoUrl"):
        if _URL.fullmatch(text := words(job.facets, "sourceCodeLocation", field)):
            return text
    return None


def _info(job: JobIdentity, name: str) -> dict[str, Any]:
    value: dict[str, Any] = {"name": name, "customProperties": job_properties(job)}
    if description := words(job.facets, "documentation", "description"):
        value["description"] = description
    if url := source_url(job):
        value["externalUrl"] = url
    return value


def transform_logic(facets: Facets) -> dict[str, Any] | None:
    """``dataTransformLogic`` of the ``sql`` facet, else of ``sourceCode``."""
    query = words(facets, "sql", "query")
    text, language = (query, "SQL") if query else (words(facets, "sourceCode", "sourceCode"), "UNKNOWN")
    return (
        {"transforms": [{"queryStatement": {"value": text[:MAX_CODE], "language": language}}]}
        if text
        else None
    )


# --- flow and job ---------------------------------------------------------------------------------------------------


def job_aspects(
    state: JobState, jobs: JobNaming, datasets: DatasetNaming, options: Options
) -> Iterator[Aspect]:
    """Aspects of the flow, of the job in it, of its lineage, and of its query."""
    named = jobs.named(state.job)
    touched = datasets_of(datasets, state.inputs, state.outputs)
    ends = _endpoints(state, touched, options)
    statement = words(state.job.facets, "sql", "query") if options.queries else ""
    subjects = sorted({*ends.inputs, *ends.outputs})
    query = query_urn(named.lineage_urn) if statement and subjects else None
    upstream = _upstream_jobs(state, named, jobs)
    lineage = _input_output(state, upstream, _Told(touched, ends, query), options)
    yield from platform_aspects(named.orchestrator)
    yield from _flow(state, named)
    logic = transform_logic(state.job.facets)
    if named.is_flow and lineage is None and logic is None:
        return
    yield from _job(state, named, _left_out(state, touched, ends))
    if logic:
        yield Aspect(named.lineage_urn, "dataJob", "dataTransformLogic", logic)
    if lineage is not None:
        yield Aspect(named.lineage_urn, "dataJob", "dataJobInputOutput", lineage)
    if query:
        platforms = {touched.named(use.dataset.key).platform for use in (*state.inputs, *state.outputs)}
        yield from query_aspects(query, named.lineage_urn, statement, subjects, platforms)


def _flow(state: JobState, named: NamedJob) -> Iterator[Aspect]:
    flow, urn = "dataFlow", named.flow_urn
    rank = FROM_FLOW if named.is_flow else FROM_TASK
    info = _info(state.job, named.place.flow) if named.is_flow else {"name": named.place.flow}
    yield Aspect(urn, flow, "dataFlowInfo", info, rank=rank)
    yield from _placed(flow, urn, named)
    code = _code_version(state.job.facets) if named.is_flow else None
    if version := code or _engine_version(state.run_facets):
        yield Aspect(urn, flow, "versionInfo", version, rank=rank)
    if named.is_flow:
        yield from _described(state.job, flow, urn, named)


def _job(state: JobState, named: NamedJob, left_out: Mapping[str, str]) -> Iterator[Aspect]:
    job, entity, urn = state.job, "dataJob", named.lineage_urn
    info = {**_info(job, named.place.task_for_lineage), "type": {"string": "COMMAND"}}
    info["customProperties"].update(left_out)
    yield Aspect(urn, entity, "dataJobInfo", info)
    yield from _placed(entity, urn, named)
    if version := _code_version(job.facets) or _engine_version(state.run_facets):
        yield Aspect(urn, entity, "versionInfo", version)
    yield from _described(job, entity, urn, named)


def _placed(entity: str, urn: str, named: NamedJob) -> Iterator[Aspect]:
    yield Aspect(urn, entity, "status", {"removed": False})
    if named.instance:
        instance = platform_instance(named.orchestrator, named.instance)
        yield Aspect(urn, entity, "dataPlatformInstance", instance)
    if named.domain:
        yield Aspect(urn, entity, "domains", {"domains": [named.domain]})


def _code_version(facets: Facets) -> dict[str, Any] | None:
    """``versionInfo`` of the code: a commit, else a tag (SourceCodeLocationJobFacet 1-0-1)."""
    stated = words(facets, "sourceCodeLocation", "version") or words(facets, "sourceCodeLocation", "tag")
    if not stated:
        return None
    return {"version": stated, "versionType": words(facets, "sourceCodeLocation", "type") or "git"}


def _engine_version(run_facets: Facets) -> dict[str, Any] | None:
    """``versionInfo`` of what runs the job, where the code's own is not known (ProcessingEngineRunFacet 1-1-1)."""
    stated = words(run_facets, "processing_engine", "version")
    return {"version": stated, "versionType": "processing_engine"} if stated else None


def _described(job: JobIdentity, entity: str, urn: str, named: NamedJob) -> Iterator[Aspect]:
    if named.subtype:
        yield Aspect(urn, entity, "subTypes", {"typeNames": [named.subtype]})
    if owners := ownership(facet_of(job.facets, "ownership")):
        yield Aspect(urn, entity, "ownership", owners)
    if tags := global_tags(facet_of(job.facets, "tags")):
        yield Aspect(urn, entity, "globalTags", tags)


def _left_out(state: JobState, touched: DatasetsOfJob, ends: Endpoints) -> dict[str, str]:
    """What of the job's lineage DataHub does not show, and why: nothing is dropped in silence."""
    told = {"openlineage.lineage": ends.skipped} if ends.skipped else {}
    if unnamed := touched.unnamed((*state.lineage.inputs, *state.lineage.outputs)):
        told["openlineage.withoutUrn"] = text_of(", ".join(" ".join(each) for each in unnamed))
    return told


# --- lineage --------------------------------------------------------------------------------------------------------


def _endpoints(state: JobState, touched: DatasetsOfJob, options: Options) -> Endpoints:
    inputs = (*state.lineage.inputs, *(use.dataset.key for use in state.inputs))
    outputs = (*state.lineage.outputs, *(use.dataset.key for use in state.outputs))
    return endpoints(state.lineage, inputs, outputs, touched, options.most_pairs)


@attrs.frozen
class _Told:
    """What is told of a job's lineage: the datasets, by name; those at its ends; and the query that links them."""

    touched: DatasetsOfJob
    ends: Endpoints
    query: str | None


def _input_output(
    state: JobState, upstream: Mapping[str, Mapping[str, str]], told: _Told, options: Options
) -> dict[str, Any] | None:
    """``dataJobInputOutput``: edges only, the deprecated arrays empty; None for a job without lineage."""
    touched, ends = told.touched, told.ends
    if not (ends.inputs or ends.outputs or ends.skipped or upstream):
        return None
    value: dict[str, Any] = {
        "inputDatasets": [],
        "outputDatasets": [],
        "inputDatasetEdges": dataset_edges(ends.inputs, edge_properties(state.lineage, touched)),
        "outputDatasetEdges": dataset_edges(ends.outputs),
    }
    if upstream:
        value["inputDatajobEdges"] = [
            {"destinationUrn": urn, **({"properties": properties} if properties else {})}
            for urn, properties in sorted(upstream.items())
        ]
    if columns := fine_grained(
        state.lineage.columns, touched, indirect=options.indirect_columns, query=told.query
    ):
        value["fineGrainedLineages"] = columns
    return value


_DEPENDENCY_FIELDS = {
    "dependency_type": "dependencyType",
    "sequence_trigger_rule": "sequenceTriggerRule",
    "status_trigger_rule": "statusTriggerRule",
}


def _upstream_jobs(state: JobState, named: NamedJob, jobs: JobNaming) -> dict[str, dict[str, str]]:
    """Jobs that this one follows, by URN: the ``lineage`` facet's and those of ``jobDependencies`` (1-0-1)."""
    stated: list[tuple[JobKey, dict[str, str]]] = [(key, {}) for key in state.lineage.upstream_jobs]
    for item in objects(facet_of(state.run_facets, "jobDependencies").get("upstream")):
        job = _mapping(item.get("job"))
        namespace, name = job.get("namespace"), job.get("name")
        if isinstance(namespace, str) and isinstance(name, str) and name:
            words_of = {
                to: text_of(item[field]) for field, to in _DEPENDENCY_FIELDS.items() if item.get(field)
            }
            stated.append((JobKey(namespace, name), words_of))
    found: dict[str, dict[str, str]] = {}
    for key, properties in stated:
        upstream = jobs.named(_sibling(state.job, key))
        # DataHub has no lineage between flows.
        if not upstream.is_flow and upstream.urn != named.lineage_urn:
            found[upstream.urn] = {**found.get(upstream.urn, {}), **properties}
    return found


def _sibling(job: JobIdentity, key: JobKey) -> JobIdentity:
    """A job of which only the name is known: taken for one of the same kind under the same parent."""
    if key.namespace != job.key.namespace:
        return JobIdentity(key, Facets(), job.producer)
    facets = Facets({name: raw for name, raw in job.facets.raw.items() if name == "jobType"})
    return attrs.evolve(job, key=key, facets=facets)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
