"""What Dagster's stored snapshots of a job and its plan say: description, owners, tags, ops, order, what is only observed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from openlineage_bridge_dagster.assets import plain
from openlineage_bridge_dagster.identity import HIDDEN_PREFIX, JobDetails
from openlineage_bridge_dagster.sources import Stated, stated_in

if TYPE_CHECKING:
    from dagster import AssetKey, DagsterInstance, DagsterRun

log = logging.getLogger(__name__)


def job_details(instance: DagsterInstance, run: DagsterRun) -> JobDetails:
    """The details of the job as it was when the run was created; empty where the run has no snapshot."""
    details = JobDetails()
    try:
        if run.job_snapshot_id is not None:
            details = details_of(instance.get_job_snapshot(run.job_snapshot_id))
        if run.execution_plan_snapshot_id is not None:
            plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
            details = attrs.evolve(details, observed=frozenset(_observed(plan)), upstream=_upstream(plan))
    except Exception:  # a snapshot of a newer Dagster: details are worth less than the run
        log.warning("The job snapshot of run %s cannot be read", run.run_id, exc_info=True)
    return details


def _observed(plan: Any) -> Iterator[AssetKey]:
    for step in plan.steps:
        for output in step.outputs:
            kind = getattr(output.properties, "asset_execution_type", None)
            if kind is not None and kind.name == "OBSERVATION" and output.properties.asset_key is not None:
                yield output.properties.asset_key


def _upstream(plan: Any) -> dict[str, tuple[str, ...]]:
    return {step: tuple(sorted(before)) for step, before in plan.step_deps.items() if before}


def details_of(snapshot: Any) -> JobDetails:
    """What the snapshot of a job says of it."""
    definitions = snapshot.node_defs_snapshot
    graphs = {graph.name: graph.dep_structure_snapshot for graph in definitions.graph_def_snaps}
    op_names = dict(_op_names(snapshot.dep_structure_snapshot, graphs, ""))
    described = {op.name: op.description for op in definitions.op_def_snaps if op.description}
    return JobDetails(
        description=snapshot.description,
        owners=tuple(getattr(snapshot, "owners", None) or ()),
        tags={
            key: str(value)
            for key, value in sorted(snapshot.tags.items())
            if not key.startswith(HIDDEN_PREFIX)
        },
        op_names=op_names,
        op_descriptions={path: described[name] for path, name in op_names.items() if name in described},
        stated={op.name: stated for op in definitions.op_def_snaps if (stated := _stated(op))},
    )


def _stated(op: Any) -> Stated:
    ends = [*op.input_def_snaps, *op.output_def_snaps]
    found = [stated_in(plain(end.metadata)) for end in ends if end.metadata]
    return Stated(
        tuple(dataset for each in found for dataset in each.inputs),
        tuple(dataset for each in found for dataset in each.outputs),
    )


def _op_names(structure: Any, graphs: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for node in structure.node_invocation_snaps:
        path = f"{prefix}{node.node_name}"
        if node.node_def_name in graphs:
            yield from _op_names(graphs[node.node_def_name], graphs, f"{path}.")
        else:
            yield path, node.node_def_name
