"""What a code location declares: its jobs, their steps, and which assets these write, observe and check.

Read out of the snapshots that a code server hands to Dagster's own host processes, so that whoever shares the process with
the code and whoever asks its server learn the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
from dagster import AssetKey, RepositoryDefinition
from dagster._core.remote_representation.external_data import RepositorySnap

from openlineage_bridge_dagster.identity import JobDetails
from openlineage_bridge_dagster.snapshot import details_of

IMPLICIT_JOB = "__ASSET_JOB"
"""The job that every asset is in, by which it is materialized where no other job is named."""

STUB_KEY = "dagster/auto_created_stub_asset"
"""Metadata of an asset that is only mentioned: another code location defines it."""

OWN_STORES = ("dagster._core.storage.fs_io_manager.", "dagster._core.storage.mem_io_manager.")
"""Dagster's IO managers that write pickles or nothing: the asset key stays the only name of what they store."""


@attrs.frozen
class Step:
    """A step of a job.

    Args:
        path: Path of its op in the job's graph.
        writes: Assets that it materializes.
        observes: Assets that it observes.
        checks: Assets that it checks.
    """

    path: str
    writes: tuple[AssetKey, ...] = ()
    observes: tuple[AssetKey, ...] = ()
    checks: tuple[AssetKey, ...] = ()


@attrs.frozen
class Job:
    """A job as its code declares it.

    Args:
        name: Dagster's name of it.
        details: What its snapshot says.
        steps: Its steps, sorted by path.
    """

    name: str
    details: JobDetails
    steps: tuple[Step, ...]


@attrs.frozen
class Repository:
    """A repository of a code location; mostly there is one.

    Args:
        location: Name of the code location, None where none is known.
        name: Name of the repository in it.
        module: Module that its code was loaded from, None for a file.
        jobs: The jobs that are there to be run. Of the implicit job only the steps whose assets are in no other job, or
            which Dagster materializes of itself.
        assets: Every asset that is defined here, sorted.
        made_elsewhere: Those of them that no step of this code makes.
        stored_by_others: Those whose IO manager may give them another name than their key when it stores them.
    """

    location: str | None
    name: str
    module: str | None = None
    jobs: tuple[Job, ...] = ()
    assets: tuple[AssetKey, ...] = ()
    made_elsewhere: frozenset[AssetKey] = frozenset()
    stored_by_others: frozenset[AssetKey] = frozenset()

    @property
    def id(self) -> str:
        """Tells it apart from the others of an instance."""
        return f"{self.location or ''}:{self.name}"


def repository_of(
    definition: RepositoryDefinition, location: str | None = None, module: str | None = None
) -> Repository:
    """The repository whose code is loaded in this process.

    Raises:
        Exception: This Dagster's snapshots are unlike those of 1.10 to 1.13.
    """
    snap = RepositorySnap.from_def(definition)
    return read(snap, [job.job for job in snap.job_datas or ()], location, module)


def remote_repository(repository: Any, location: str) -> Repository:
    """A repository that a code server serves; the server is asked for every job.

    Raises:
        Exception: As ``repository_of``.
    """
    jobs = [job.job_snapshot for job in repository.get_all_jobs()]
    origin = repository.handle.repository_python_origin
    pointer = getattr(origin, "code_pointer", None)
    return read(repository.repository_snap, jobs, location, getattr(pointer, "module", None))


def read(snap: Any, jobs: Iterable[Any], location: str | None, module: str | None) -> Repository:
    """A repository out of its snapshot and those of its jobs."""
    nodes = [node for node in snap.asset_nodes if not (node.metadata or {}).get(STUB_KEY)]
    jobs = list(jobs)
    declared = [_job(job, nodes, snap.asset_check_nodes or ()) for job in jobs]
    return Repository(
        location=location,
        name=snap.name,
        module=module,
        jobs=tuple(sorted((job for job in declared if job.steps), key=lambda job: job.name)),
        assets=tuple(sorted(node.asset_key for node in nodes)),
        made_elsewhere=frozenset(node.asset_key for node in nodes if not node.job_names),
        stored_by_others=frozenset(
            _stored_by_others(nodes, snap.resources or (), frozenset(_storeless(jobs)))
        ),
    )


def _job(snapshot: Any, nodes: list[Any], checks: Iterable[Any]) -> Job:
    details = details_of(snapshot)
    graphs = {graph.name: graph for graph in snapshot.node_defs_snapshot.graph_def_snaps}
    members = [node for node in nodes if snapshot.name in node.job_names]
    written = _by_step((node for node in members if not _is_observed(node)), graphs)
    observed = _by_step(filter(_is_observed, members), graphs)
    checked = _checked(check for check in checks if snapshot.name in check.job_names)
    steps = [
        Step(path, written.get(path, ()), observed.get(path, ()), checked.get(path, ()))
        for path in sorted(details.op_names)
    ]
    if snapshot.name.startswith(IMPLICIT_JOB):
        wanted = _only_here(nodes, snapshot.name)
        roots = {_root(step) for step in steps if wanted & {*step.writes, *step.observes, *step.checks}}
        steps = [step for step in steps if _root(step) in roots]
    return Job(snapshot.name, details, tuple(steps))


def _root(step: Step) -> str:
    """The node of the job's own graph that the step is in: all the ops of a graph are there for its asset."""
    return step.path.partition(".")[0]


def _is_observed(node: Any) -> bool:
    return bool(node.execution_type.name == "OBSERVATION")


def _only_here(nodes: Iterable[Any], implicit: str) -> set[AssetKey]:
    """Assets that are materialized by the implicit job as a rule: a job that nobody runs would be a ghost."""
    return {
        node.asset_key
        for node in nodes
        if implicit in node.job_names
        and (
            all(name.startswith(IMPLICIT_JOB) for name in node.job_names)
            or node.automation_condition_snapshot is not None
            or node.auto_materialize_policy is not None
        )
    }


def _by_step(nodes: Iterable[Any], graphs: Mapping[str, Any]) -> dict[str, tuple[AssetKey, ...]]:
    found: dict[str, list[AssetKey]] = {}
    for node in nodes:
        if node.op_name is not None:
            found.setdefault(_producing(node, graphs), []).append(node.asset_key)
    return {path: tuple(sorted(keys)) for path, keys in found.items()}


def _producing(node: Any, graphs: Mapping[str, Any]) -> str:
    """Path of the op whose output the asset is: of a graph, the op behind one of the graph's outputs."""
    if node.graph_name not in graphs:
        return str(node.op_name)
    # The node's definition is named, and the path of every op that the asset takes; both fit one of the outputs.
    produced = (node.node_definition_name, node.output_name)
    for path, definition, output in _outputs(node.graph_name, node.graph_name, graphs):
        if (definition, output) == produced and path in node.op_names:
            return path
    return str(node.op_name)


def _outputs(path: str, name: str, graphs: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The outputs of a graph as path and definition of the op behind, and the op's name of the output."""
    invocations = graphs[name].dep_structure_snapshot.node_invocation_snaps
    definitions = {each.node_name: each.node_def_name for each in invocations}
    for mapped in graphs[name].output_mapping_snaps:
        inner, definition = f"{path}.{mapped.mapped_node_name}", definitions[mapped.mapped_node_name]
        if definition in graphs:
            yield from _outputs(inner, definition, graphs)
        else:
            yield inner, definition, mapped.mapped_output_name


def _checked(checks: Iterable[Any]) -> dict[str, tuple[AssetKey, ...]]:
    """The asset that a check's own step reads, by the name that ``@asset_check`` gives the step."""
    return {f"{check.asset_key.to_python_identifier()}_{check.name}": (check.asset_key,) for check in checks}


def _stored_by_others(
    nodes: Iterable[Any], resources: Iterable[Any], storeless: frozenset[str]
) -> Iterator[AssetKey]:
    """The assets whose op is stored by a foreign IO manager; of the implicit job snapshots do not tell, so all of them."""
    foreign = [each for each in resources if _is_foreign_io_manager(each)]
    using = {
        (use.job_name, str(handle))
        for each in foreign
        for use in each.job_ops_using
        for handle in use.node_handles
    }
    for node in nodes:
        if not foreign or not node.op_names or node.node_definition_name in storeless:
            continue
        explicit = [name for name in node.job_names if not name.startswith(IMPLICIT_JOB)]
        if not explicit or any((job, path) in using for job in explicit for path in node.op_names):
            yield node.asset_key


def _storeless(jobs: Iterable[Any]) -> Iterator[str]:
    """Definitions of ops that hand nothing to an IO manager."""
    for job in jobs:
        for op in job.node_defs_snapshot.op_def_snaps:
            if all(output.dagster_type_key == "Nothing" for output in op.output_def_snaps):
                yield op.name


def _is_foreign_io_manager(resource: Any) -> bool:
    """By the name of its class or of the resource: nothing else in a snapshot says what a resource is for."""
    kind = str(resource.resource_type)
    named = "iomanager" in kind.lower().replace("_", "") or "io_manager" in resource.name
    return named and not kind.startswith(OWN_STORES)
