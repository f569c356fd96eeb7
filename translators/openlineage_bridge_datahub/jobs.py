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
        dotless: What a job without a dot in its name is, where its type does not say: ``flow``, the flow itself;
            ``task``, one of the tasks that its namespace runs; empty, a flow with one task.
        prefixed: Names of its tasks begin with their flow's: a parent of another name is another orchestrator's.
        whole: The whole name is that of the flow and of its one task, whatever dots it has.
        flow_prefix: What the names of its flows begin with, where a job's own parent may be another task.
        node: Names of jobs below such a flow, with the ``project`` that names the flow where no parent does.
        lower_cluster: Its DataHub plugin writes the environment in lower case.
    """

    flow_types: frozenset[str] = frozenset()
    dotless: str = ""
    prefixed: bool = False
    whole: bool = False
    flow_prefix: str = ""
    node: re.Pattern[str] | None = None
    lower_cluster: bool = False


ORCHESTRATORS: dict[str, Orchestrator] = {
    "prefect": Orchestrator(frozenset({"FLOW"})),
    "dagster": Orchestrator(frozenset({"JOB"})),
    # `{dag}` and `{dag}.{task}`. The Airflow plugin's default is `cluster="prod"`.
    "airflow": Orchestrator(frozenset({"DAG"}), dotless="flow", prefixed=True, lower_cluster=True),
    # `{app}` and `{app}.{command}.{table}`.
    "spark": Orchestrator(frozenset({"APPLICATION"}), dotless="flow", prefixed=True),
    # `{database}.{schema}.{project}.{model}`; with structured logs `dbt-run-{project}`, below it `model.{project}.{name}`
    # and the statements of that, `model.{project}.{name}.sql.{number}`, whose parent facet names no root.
    "dbt": Orchestrator(
        frozenset({"JOB"}),
        dotless="flow",
        flow_prefix="dbt-",
        node=re.compile(r"(?:model|seed|snapshot|test|unit_test|operation|analysis)\.(?P<project>[^.]+)\..+"),
    ),
    # DataHub's Flink connector (source/flink/entities.py) calls flow and job by the job's name, dots and all.
    "flink": Orchestrator(whole=True),
    # `{operation}.{database}.{table}`.
    "hive": Orchestrator(),
    # One job a query, called by the query's id: a flow for each would bury DataHub.
    "trino": Orchestrator(dotless="task"),
}
"""DataHub's platform ids; ``jobType.integration`` and the engine's name in lower case are looked up here."""

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

SUBTYPES = {"SQL_JOB": "SQL Job", "RDD_JOB": "RDD Job", "DAG": "DAG", "SQL": "SQL"}
"""``jobType.jobType`` → subtype where it is not just the capitalised word."""

CONVENTIONS = ("plugins", "endpoint")
"""Whose URNs jobs have: those of DataHub's plugins, or those of DataHub's own OpenLineage endpoint."""

_CACHE_SIZE = 50_000

_PLATFORM_ID = re.compile(r"[a-z][a-z0-9_-]{0,29}")


# --- orchestrator ---------------------------------------------------------------------------------------------------


def orchestrator_of(job: JobIdentity) -> str:
    """DataHub's id of what runs the job: what the job says, else its engine, its producer or its namespace.

    The engine counts where it is one of those in the table: Polars may process what nobody orchestrates.
    """
    stated = job_type(job).get("integration")
    if isinstance(stated, str):
        integration = INTEGRATIONS.get(stated.lower(), stated.lower())
        if _PLATFORM_ID.fullmatch(integration):
            return integration
    if job.engine in ORCHESTRATORS:
        return job.engine
    producer = job.producer.lower()
    for name in PRODUCERS:
        if re.search(rf"(?<![a-z]){name}(?![a-z])", producer):
            return name
    scheme = job.key.namespace.partition(":")[0].lower()
    return scheme if scheme in ORCHESTRATORS else UNKNOWN_ORCHESTRATOR


def job_type(job: JobIdentity) -> Mapping[str, Any]:
    """The ``jobType`` facet, empty where there is none (JobTypeJobFacet 2-0-4)."""
    return facet_of(job.facets, "jobType")


def _subtype(stated: Any) -> str | None:
    """What kind of job it says it is, as a word to show."""
    if not isinstance(stated, str) or not stated.strip():
        return None
    return SUBTYPES.get(stated.upper(), stated.strip().replace("_", " ").capitalize())


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
    if kind.whole:
        return Place(name, name)
    if _is_flow(job, kind):
        return Place(name, None)
    relatives = [each for each in (job.parent, job.root) if each and each.namespace == job.key.namespace]
    flows = [each for each in relatives if kind.flow_prefix and each.name.startswith(kind.flow_prefix)]
    if flows:
        return Place(flows[0].name, _rest(name, flows[0].name) or name)
    if relatives and kind.node and (node := kind.node.fullmatch(relatives[0].name)):
        return Place(f"{kind.flow_prefix}run-{node['project']}", name)
    for relative in relatives:
        if rest := _rest(name, relative.name):
            return Place(relative.name, rest)
    parent = job.parent if job.parent in relatives else None
    beside = None if kind.prefixed else _beside(name, parent, relatives)
    return beside or _by_name(job.key, kind)


def _is_flow(job: JobIdentity, kind: Orchestrator) -> bool:
    """Whether its type says so, or, where it has none, the form of its name, whoever started it."""
    stated = job_type(job).get("jobType")
    if isinstance(stated, str):
        return stated.upper() in kind.flow_types
    return kind.dotless == "flow" and "." not in job.key.name


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


def _by_name(job: JobKey, kind: Orchestrator) -> Place:
    """The text before the first dot is the flow; a name without one is flow and job, or a task of its namespace."""
    flow, dot, task = job.name.partition(".")
    if dot and flow and task:
        return Place(flow, task)
    return Place(job.namespace if kind.dotless == "task" and job.namespace else job.name, job.name)


# --- DataHub's own OpenLineage endpoint -----------------------------------------------------------------------------


def _place_at_the_endpoint(name: str) -> Place:
    """Every job is a DataJob by its whole name, in the flow before the first dot (OpenLineageToDataHub.java)."""
    return Place(name.partition(".")[0] or name, name)


def _flow_at_the_endpoint(job: JobIdentity, orchestrator: str, place: Place, rule: NamespaceRule) -> str:
    """The platform instance, else the job's namespace, is the cluster; nothing is prefixed to the flow."""
    return flow_urn(orchestrator, place.flow, rule.cluster or rule.platform_instance or job.key.namespace)


# --- the name in DataHub --------------------------------------------------------------------------------------------


@attrs.frozen
class NamedJob:
    """A job's URNs, and what its aspects need to know about it.

    Args:
        orchestrator: DataHub's platform id.
        place: Its flow and task.
        flow_urn: ``urn:li:dataFlow:…``.
        lineage_urn: The DataJob that carries the job's lineage.
        instance: The platform instance that stands in the flow id, or in its cluster.
        domain: URN of the domain that the namespace's rule gives it.
        subtype: What kind of job it is.
        streaming: Whether it runs without an end.
    """

    orchestrator: str
    place: Place
    flow_urn: str
    lineage_urn: str
    instance: str | None = None
    domain: str | None = None
    subtype: str | None = None
    streaming: bool = False

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
    """Names jobs as the DataHub plugins of their orchestrators do, or as DataHub's OpenLineage endpoint does.

    Prefect and Dagster write the environment as cluster (``prefect-datahub``, ``acryl-datahub-dagster-plugin``).

    Args:
        rules: Namespace rules; of the first that matches a job's namespace the instance, environment, orchestrator,
            cluster and domain are used.
        env: Environment where no rule says another.
        convention: One of ``CONVENTIONS``.
    """

    rules: tuple[NamespaceRule, ...] = ()
    env: str = "PROD"
    convention: str = "plugins"
    _known: dict[tuple[Any, ...], NamedJob] = attrs.field(factory=dict, init=False, repr=False, eq=False)

    def named(self, job: JobIdentity) -> NamedJob:
        """The job's place in DataHub; remembered for what it depends on."""
        key = (job.key, job.facets.raw.get("jobType"), job.producer, job.parent, job.root, job.engine)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _CACHE_SIZE:
                self._known.clear()
            found = self._known[key] = self._name(job)
        return found

    def _name(self, job: JobIdentity) -> NamedJob:
        rule = first_match(self.rules, job.key.namespace) or NO_RULE
        orchestrator = rule.orchestrator or orchestrator_of(job)
        if self.convention == "endpoint":
            place = _place_at_the_endpoint(job.key.name)
            flow = _flow_at_the_endpoint(job, orchestrator, place, rule)
        else:
            place = place_of(job, orchestrator)
            flow = self._flow(orchestrator, place, rule)
        stated = job_type(job)
        return NamedJob(
            orchestrator,
            place,
            flow,
            job_urn(flow, place.task_for_lineage),
            rule.platform_instance,
            rule.domain,
            _subtype(stated.get("jobType")),
            streaming=str(stated.get("processingType")).upper() == "STREAMING",
        )

    def _flow(self, orchestrator: str, place: Place, rule: NamespaceRule) -> str:
        env = rule.env or self.env
        lower = ORCHESTRATORS.get(orchestrator, _ANY).lower_cluster
        cluster = rule.cluster or (env.lower() if lower else env)
        flow_id = f"{rule.platform_instance}.{place.flow}" if rule.platform_instance else place.flow
        return flow_urn(orchestrator, flow_id, cluster)
