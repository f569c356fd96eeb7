"""How a job is called in DataHub: its orchestrator, its flow and its place in the flow; a function of its identity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

from openlineage_bridge.events import JobKey
from openlineage_bridge.translation import JobIdentity
from openlineage_bridge_datahub.encoding import flow_urn, job_urn
from openlineage_bridge_datahub.facets import facet_of
from openlineage_bridge_datahub.rules import NO_RULE, NamespaceRule, first_match

# --- tables ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class Orchestrator:
    """What is particular about an orchestrator's jobs.

    Args:
        flow_types: Values of ``jobType.jobType`` that say: this job is the flow itself.
        flow_prefix: What the names of its flows begin with, where a job's own parent may be another task.
        lower_cluster: Its DataHub plugin writes the environment in lower case.
    """

    flow_types: frozenset[str] = frozenset()
    flow_prefix: str = ""
    lower_cluster: bool = False


ORCHESTRATORS: dict[str, Orchestrator] = {
    "prefect": Orchestrator(frozenset({"FLOW"})),
    "dagster": Orchestrator(frozenset({"JOB"})),
    # The Airflow plugin's default is `cluster="prod"`.
    "airflow": Orchestrator(frozenset({"DAG"}), lower_cluster=True),
    "spark": Orchestrator(frozenset({"APPLICATION"})),
    "dbt": Orchestrator(frozenset({"JOB"}), flow_prefix="dbt-"),
    "flink": Orchestrator(frozenset({"JOB"})),
    "hive": Orchestrator(),
    "trino": Orchestrator(),
}
"""DataHub's platform ids; ``jobType.integration`` in lower case is looked up here."""

_ANY = Orchestrator(frozenset({"FLOW", "DAG", "APPLICATION", "PIPELINE", "WORKFLOW"}))

UNKNOWN_ORCHESTRATOR = "openlineage"

INTEGRATIONS = {
    "sparkapplication": "spark",
    "apache_airflow": "airflow",
    "dbt-core": "dbt",
    "debezium": "debezium",
}
"""Other spellings of ``jobType.integration``."""

# The first that is found in the producer's URI; longer names stand before those that they contain.
PRODUCERS = (
    "prefect",
    "dagster",
    "airflow",
    "dbt",
    "spark",
    "flink",
    "hive",
    "trino",
    "debezium",
    "fivetran",
)

_CACHE_SIZE = 50_000

_PLATFORM_ID = re.compile(r"[a-z][a-z0-9_-]*")


# --- orchestrator ---------------------------------------------------------------------------------------------------


def orchestrator_of(job: JobIdentity) -> str:
    """DataHub's id of what runs the job: what the job says, else its producer, else its namespace."""
    stated = job_type(job).get("integration")
    if isinstance(stated, str):
        integration = INTEGRATIONS.get(stated.lower(), stated.lower())
        if _PLATFORM_ID.fullmatch(integration):
            return integration
    producer = job.producer.lower()
    for name in PRODUCERS:
        if re.search(rf"(?<![a-z]){name}(?![a-z])", producer):
            return name
    scheme = job.key.namespace.partition(":")[0].lower()
    return scheme if scheme in ORCHESTRATORS else UNKNOWN_ORCHESTRATOR


def job_type(job: JobIdentity) -> Mapping[str, Any]:
    """The ``jobType`` facet, empty where there is none (JobTypeJobFacet 2-0-4)."""
    return facet_of(job.facets, "jobType")


# --- flow and task --------------------------------------------------------------------------------------------------


@attrs.frozen
class Place:
    """Where a job stands.

    Args:
        flow: Flow id.
        task: Job id within the flow; None when the job is the flow itself.
    """

    flow: str
    task: str | None

    @property
    def task_for_lineage(self) -> str:
        """The DataJob that carries lineage: DataHub keeps none on a flow, so a flow's own becomes a job below it."""
        return self.task if self.task is not None else self.flow.rpartition(".")[2] or self.flow


def place_of(job: JobIdentity, orchestrator: str) -> Place:
    """The first of these rules that applies: flow itself; named below parent or root; beside the parent; by name."""
    kind = ORCHESTRATORS.get(orchestrator, _ANY)
    name = job.key.name
    if _is_flow(job, kind):
        return Place(name, None)
    relatives = [each for each in (job.parent, job.root) if each and each.namespace == job.key.namespace]
    flows = [each for each in relatives if kind.flow_prefix and each.name.startswith(kind.flow_prefix)]
    if flows:
        return Place(flows[0].name, _rest(name, flows[0].name) or name)
    for relative in relatives:
        if rest := _rest(name, relative.name):
            return Place(relative.name, rest)
    return _beside(name, job.parent if job.parent in relatives else None, relatives) or _by_name(name)


def _is_flow(job: JobIdentity, kind: Orchestrator) -> bool:
    stated = job_type(job).get("jobType")
    return isinstance(stated, str) and stated.upper() in kind.flow_types


def _rest(name: str, prefix: str) -> str:
    """What follows ``prefix.`` in a dotted name; empty when it does not begin so."""
    return name[len(prefix) + 1 :] if name.startswith(f"{prefix}.") else ""


def _beside(name: str, parent: JobKey | None, relatives: list[JobKey]) -> Place | None:
    """A task that another task started: ``flow.inner`` beside its parent ``flow.outer``."""
    if parent is not None and (shared := _shared_prefix(name, parent.name)):
        return Place(shared, _rest(name, shared))
    others = [each.name for each in reversed(relatives) if each.name != name]
    return Place(others[0], name) if others else None


def _shared_prefix(one: str, other: str) -> str:
    shared: list[str] = []
    for left, right in zip(one.split(".")[:-1], other.split(".")[:-1], strict=False):
        if left != right:
            break
        shared.append(left)
    return ".".join(shared)


def _by_name(name: str) -> Place:
    """The text before the first dot is the flow; a name without one is flow and job."""
    flow, dot, task = name.partition(".")
    return Place(flow, task) if dot and flow and task else Place(name, name)


# --- the name in DataHub --------------------------------------------------------------------------------------------


@attrs.frozen
class NamedJob:
    """A job's URNs, and what its aspects need to know about it.

    Args:
        orchestrator: DataHub's platform id.
        place: Its flow and task.
        flow_urn: ``urn:li:dataFlow:…``.
        lineage_urn: The DataJob that carries the job's lineage.
        instance: The platform instance that stands in the flow id.
    """

    orchestrator: str
    place: Place
    flow_urn: str
    lineage_urn: str
    instance: str | None = None

    @property
    def is_flow(self) -> bool:
        """Whether the job is a flow, not a task of one."""
        return self.place.task is None

    @property
    def urn(self) -> str:
        """The entity that stands for the job: the DataFlow of a flow, the DataJob of a task."""
        return self.flow_urn if self.is_flow else self.lineage_urn


@attrs.frozen
class JobNaming:
    """Names jobs as the DataHub plugins of their orchestrators do.

    Prefect and Dagster write the environment as cluster (``prefect-datahub``, ``acryl-datahub-dagster-plugin``).

    Args:
        rules: Namespace rules; of the first that matches a job's namespace the instance, environment, orchestrator
            and cluster are used.
        env: Environment where no rule says another.
    """

    rules: tuple[NamespaceRule, ...] = ()
    env: str = "PROD"
    _known: dict[tuple[Any, ...], NamedJob] = attrs.field(factory=dict, init=False, repr=False, eq=False)

    def named(self, job: JobIdentity) -> NamedJob:
        """The job's place in DataHub; remembered for what it depends on."""
        key = (job.key, job.facets.raw.get("jobType"), job.producer, job.parent, job.root)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _CACHE_SIZE:
                self._known.clear()
            found = self._known[key] = self._name(job)
        return found

    def _name(self, job: JobIdentity) -> NamedJob:
        rule = first_match(self.rules, job.key.namespace) or NO_RULE
        orchestrator = rule.orchestrator or orchestrator_of(job)
        place = place_of(job, orchestrator)
        env = rule.env or self.env
        lower = ORCHESTRATORS.get(orchestrator, _ANY).lower_cluster
        cluster = rule.cluster or (env.lower() if lower else env)
        flow_id = f"{rule.platform_instance}.{place.flow}" if rule.platform_instance else place.flow
        flow = flow_urn(orchestrator, flow_id, cluster)
        return NamedJob(
            orchestrator, place, flow, job_urn(flow, place.task_for_lineage), rule.platform_instance
        )
