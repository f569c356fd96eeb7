"""What Dagster's stored snapshots of a job and its plan say: description, owners, ops, and what is only observed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from openlineage_bridge_dagster.identity import JobDetails

if TYPE_CHECKING:
    from dagster import AssetKey, DagsterInstance, DagsterRun

log = logging.getLogger(__name__)


def job_details(instance: DagsterInstance, run: DagsterRun) -> JobDetails:
    """The details of the job as it was when the run was created; empty where the run has no snapshot."""
    details = JobDetails()
    try:
        if run.job_snapshot_id is not None:
            details = _details(instance.get_job_snapshot(run.job_snapshot_id))
        if run.execution_plan_snapshot_id is not None:
            plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
            details = attrs.evolve(details, observed=frozenset(_observed(plan)))
    except Exception:  # a snapshot of a newer Dagster: details are worth less than the run
        log.warning("The job snapshot of run %s cannot be read", run.run_id, exc_info=True)
    return details


def _observed(plan: Any) -> Iterator[AssetKey]:
    for step in plan.steps:
        for output in step.outputs:
            kind = getattr(output.properties, "asset_execution_type", None)
            if kind is not None and kind.name == "OBSERVATION" and output.properties.asset_key is not None:
                yield output.properties.asset_key


def _details(snapshot: Any) -> JobDetails:
    definitions = snapshot.node_defs_snapshot
    graphs = {graph.name: graph.dep_structure_snapshot for graph in definitions.graph_def_snaps}
    return JobDetails(
        description=snapshot.description,
        owners=tuple(getattr(snapshot, "owners", None) or ()),
        op_names=dict(_op_names(snapshot.dep_structure_snapshot, graphs, "")),
    )


def _op_names(structure: Any, graphs: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for node in structure.node_invocation_snaps:
        path = f"{prefix}{node.node_name}"
        if node.node_def_name in graphs:
            yield from _op_names(graphs[node.node_def_name], graphs, f"{path}.")
        else:
            yield path, node.node_def_name
