"""What a run and its steps are called in OpenLineage: job names, run ids and links, out of a run record alone."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid5

import attrs
from dagster import AssetKey, DagsterRun

from openlineage_bridge_dagster.sources import Stated

_MAPPING_KEY = re.compile(r"\[[^\]]*\]")


DEFAULT_DEPLOYMENT = "prod"
"""Where the plugin below puts jobs of files, which have no module, outside Dagster+."""


@attrs.frozen
class PluginNames:
    """Names that DataHub's Dagster plugin gives: by module, op definition and platform instance, without the code location.

    ``client/dagster_generator.py`` of acryl-datahub-dagster-plugin 1.7. A flow so named keeps its page in DataHub.

    Args:
        folder: Module of the code pointer; for files the deployment; both in branch deployments of Dagster+.
        instance: Platform instance.
    """

    folder: str
    instance: str | None = None

    @classmethod
    def of(cls, run: DagsterRun, instance: str | None = None) -> PluginNames:
        """The names of a run's job."""
        return cls.of_module(getattr(_code_pointer(run), "module", None), instance)

    @classmethod
    def of_module(cls, module: str | None, instance: str | None = None) -> PluginNames:
        """The names of the jobs of a module, None for those of a file."""
        deployment = os.environ.get("DAGSTER_CLOUD_DEPLOYMENT_NAME", DEFAULT_DEPLOYMENT)
        if os.environ.get("DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT") is not None:
            return cls(f"{deployment}/{module}", instance)
        return cls(module or deployment, instance)

    def flow(self, job_name: str) -> str:
        """``[instance.]folder/job``."""
        name = f"{self.folder}/{job_name}"
        return f"{self.instance}.{name}" if self.instance else name

    def op(self, name: str) -> str:
        """``folder/op``, within the flow."""
        return f"{self.folder}/{name}"


@attrs.frozen
class JobDetails:
    """What only the job snapshot knows.

    Args:
        description: The job's description.
        owners: Owners of the job, as Dagster writes them (``alice@acme.io``, ``team:data``).
        tags: Tags of the job's definition, without the hidden ones.
        op_names: Op definition's name by node path.
        op_descriptions: Op definition's description by node path, of those that have one.
        upstream: Keys of the steps that a step waits for, by its key, as the plan of the run says.
        observed: Assets that the run observes; Dagster plans a materialization for them that never comes.
        stated: What the metadata of its ``In`` and ``Out`` says that an op reads and writes, by op definition's name.
    """

    description: str | None = None
    owners: tuple[str, ...] = ()
    tags: Mapping[str, str] = attrs.field(factory=dict)
    op_names: Mapping[str, str] = attrs.field(factory=dict)
    op_descriptions: Mapping[str, str] = attrs.field(factory=dict)
    upstream: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    observed: frozenset[AssetKey] = frozenset()
    stated: Mapping[str, Stated] = attrs.field(factory=dict)


@attrs.frozen
class RunIdentity:
    """A Dagster run, as far as names and facets need it; nothing in it changes while the run goes on.

    Args:
        run_id: Dagster's run id, a UUID, and the OpenLineage runId.
        namespace: Namespace of all jobs (``OPENLINEAGE_NAMESPACE``, else ``dagster``).
        job_name: Dagster's name of the job; ``__ASSET_JOB`` for ad-hoc materializations.
        location: Name of the code location, None for runs that no location launched.
        repository: Name of the repository in it.
        module: Module or file that the code pointer of the run names (DataHub's plugin builds its URNs from it).
        deployment: ``DAGSTER_CLOUD_DEPLOYMENT_NAME``, Dagster+ only.
        tags: Run tags without those that change afterwards and the hidden ones.
        partition_tags: The tags that name the partition of the run or the time of its schedule.
        root_run_id: First run of a chain of re-executions, if this is one.
        parent_run_id: The run that this one re-executes.
        ui: Address of Dagster's web UI.
        details: What the snapshot of the job adds.
        plugin: The names that DataHub's plugin gives, where they are wanted.
    """

    run_id: str
    namespace: str
    job_name: str
    location: str | None = None
    repository: str | None = None
    module: str | None = None
    deployment: str | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict)
    partition_tags: Mapping[str, str] = attrs.field(factory=dict)
    root_run_id: str | None = None
    parent_run_id: str | None = None
    ui: str | None = None
    details: JobDetails = attrs.field(factory=JobDetails)
    plugin: PluginNames | None = None

    @property
    def job(self) -> str:
        """``{location}.{job}``. Slashes become dots: ``OPENLINEAGE_PARENT_ID`` splits on them."""
        if self.plugin is not None:
            return self.plugin.flow(self.job_name)
        names = [self.location, self.job_name] if self.location else [self.job_name]
        return ".".join(names).replace("/", ".")

    def step_job(self, step_key: str) -> str:
        """``{location}.{job}.{node path}``: mapped steps are runs of one job, so the mapping key stays out."""
        if self.plugin is not None:
            return f"{self.job}.{self.plugin.op(self.op_name(step_key) or node_path(step_key))}"
        return f"{self.job}.{node_path(step_key)}".replace("/", ".")

    def op_name(self, step_key: str) -> str | None:
        """Name of the definition of the step's op, where the snapshot tells."""
        return self.details.op_names.get(node_path(step_key))

    def stated(self, step_key: str) -> Stated:
        """What the metadata of the op's ``In`` and ``Out`` says that it reads and writes."""
        return self.details.stated.get(self.op_name(step_key) or "", Stated())

    def step_run_id(self, step_key: str, attempt: int) -> str:
        """The runId of one attempt of one step: the same wherever and whenever it is computed."""
        return str(uuid5(UUID(self.run_id), f"{step_key}#{attempt}"))

    @property
    def run_url(self) -> str | None:
        """Where the run is in Dagster's UI, when its address is known."""
        return f"{self.ui.rstrip('/')}/runs/{self.run_id}" if self.ui else None

    def step_url(self, step_key: str) -> str | None:
        """Where the step and its log are in Dagster's UI, when its address is known."""
        key = quote(step_key, safe="")
        return f"{self.run_url}?selection={key}&logs=step%3A{key}" if self.ui else None

    @property
    def job_url(self) -> str | None:
        """Where the job is in Dagster's UI, when its address and the location are known."""
        if not self.ui or not self.location:
            return None
        return f"{self.ui.rstrip('/')}/locations/{quote(self.location, safe='')}/jobs/{quote(self.job_name, safe='')}"


def node_path(step_key: str) -> str:
    """The step key without dynamic mapping keys: ``inner.work[k0]`` is ``inner.work``."""
    return _MAPPING_KEY.sub("", step_key)


def event_time(timestamp: float) -> str:
    """Dagster's timestamp of an event (seconds since the epoch) as OpenLineage's eventTime, in microseconds, UTC."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


# Set after the fact, so that two observers at different times would say different things (dagster 1.13, tags.py).
MUTABLE_TAGS = frozenset({"dagster/failure_reason", "dagster/will_retry", "dagster/auto_retry_run_id"})
HIDDEN_PREFIX = ".dagster/"
PARTITION_TAG = "dagster/partition"
SCHEDULED_TIME_TAG = ".dagster/scheduled_execution_time"


def identify(
    run: DagsterRun,
    *,
    namespace: str,
    ui: str | None = None,
    details: JobDetails | None = None,
    plugin: PluginNames | None = None,
) -> RunIdentity:
    """What names and facets need of a run as Dagster stores it."""
    repository_origin = getattr(_origin(run), "repository_origin", None)
    return RunIdentity(
        run_id=run.run_id,
        namespace=namespace,
        job_name=run.job_name,
        location=location_name(run),
        repository=getattr(repository_origin, "repository_name", None),
        module=_module(run),
        deployment=os.environ.get("DAGSTER_CLOUD_DEPLOYMENT_NAME"),
        tags={
            k: v
            for k, v in sorted(run.tags.items())
            if k not in MUTABLE_TAGS and not k.startswith(HIDDEN_PREFIX)
        },
        partition_tags={
            k: v for k, v in run.tags.items() if k.startswith(PARTITION_TAG) or k == SCHEDULED_TIME_TAG
        },
        root_run_id=run.root_run_id,
        parent_run_id=run.parent_run_id,
        ui=ui,
        details=details or JobDetails(),
        plugin=plugin,
    )


def location_name(run: DagsterRun) -> str | None:
    """Name of the code location that the run was launched from; None for runs that no location launched."""
    name: str | None = getattr(_origin(run), "location_name", None)
    return name


def _origin(run: DagsterRun) -> Any:
    # Called external_job_origin before Dagster 1.8.12.
    return getattr(run, "remote_job_origin", None) or getattr(run, "external_job_origin", None)


def _module(run: DagsterRun) -> str | None:
    pointer = _code_pointer(run)
    module: str | None = getattr(pointer, "module", None) or getattr(pointer, "python_file", None)
    return module


def _code_pointer(run: DagsterRun) -> Any:
    return getattr(getattr(run.job_code_origin, "repository_origin", None), "code_pointer", None)
