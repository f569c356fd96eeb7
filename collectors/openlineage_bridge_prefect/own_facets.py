"""The custom facets of this collector: what no facet of the specification carries.

They stand at module level because making an attrs class costs a millisecond. Each has its JSON schema in ``schemas/``,
under the name that its ``_schemaURL`` says.
"""
# ruff: noqa: N815 - facet fields are named as they are on the wire

from __future__ import annotations

from typing import Any

import attr
from openlineage.client.facet_v2 import DatasetFacet, RunFacet

from openlineage_bridge_prefect.identity import PRODUCER

SCHEMAS = f"{PRODUCER}/schemas"


@attr.define
class FlowRunFacet(RunFacet):
    """``prefect_flowRun``: what Prefect knows about a flow run and no facet of the specification carries."""

    flowRunId: str
    flowName: str | None = None
    runCount: int | None = None
    stateType: str | None = None
    stateName: str | None = None
    stateMessage: str | None = None
    flowRunName: str | None = None
    flowId: str | None = None
    flowVersion: str | None = None
    deploymentId: str | None = None
    deploymentVersion: str | None = None
    workPoolName: str | None = None
    workQueueName: str | None = None
    idempotencyKey: str | None = None
    infrastructurePid: str | None = None
    autoScheduled: bool | None = None
    createdBy: str | None = None
    url: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMAS}/FlowRunFacet.json#/$defs/FlowRunFacet"


@attr.define
class TaskRunFacet(RunFacet):
    """``prefect_taskRun``: what Prefect knows about a task run and no facet of the specification carries."""

    taskRunId: str
    taskName: str | None = None
    runCount: int | None = None
    retries: int | None = None
    stateType: str | None = None
    stateName: str | None = None
    stateMessage: str | None = None
    taskRunName: str | None = None
    taskKey: str | None = None
    taskVersion: str | None = None
    dynamicKey: str | None = None
    flowName: str | None = None
    flowRunId: str | None = None
    flowRunRunCount: int | None = None
    cacheHit: bool | None = None
    materializedBy: str | None = None
    url: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMAS}/TaskRunFacet.json#/$defs/TaskRunFacet"


@attr.define
class ExecutionFacet(RunFacet):
    """``prefect_execution``: how and by whom a run is executed; told when it starts."""

    timeoutSeconds: float | None = None
    retries: int | None = None
    retryDelaySeconds: list[float] | None = None
    persistResult: bool | None = None
    cachePolicy: str | None = None
    taskRunner: str | None = None
    workerName: str | None = None
    workerType: str | None = None
    traceId: str | None = None
    labels: dict[str, str] | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMAS}/ExecutionFacet.json#/$defs/ExecutionFacet"


@attr.define
class DeploymentFacet(RunFacet):
    """``prefect_deployment``: the deployment that a flow run is of, as it was when the run started."""

    deploymentId: str
    name: str | None = None
    version: str | None = None
    description: str | None = None
    path: str | None = None
    entrypoint: str | None = None
    paused: bool | None = None
    schedules: list[dict[str, Any]] | None = None
    workPoolName: str | None = None
    workPoolType: str | None = None
    workQueueName: str | None = None
    concurrencyLimit: int | None = None
    concurrencyStrategy: str | None = None
    jobVariables: list[str] | None = None
    tags: list[str] | None = None
    createdBy: str | None = None
    url: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMAS}/DeploymentFacet.json#/$defs/DeploymentFacet"


@attr.define
class ArtifactsFacet(RunFacet):
    """``prefect_artifacts``: the artifacts that a run created, in the order of their creation."""

    artifacts: list[dict[str, str]]

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMAS}/ArtifactsFacet.json#/$defs/ArtifactsFacet"


@attr.define
class AssetFacet(DatasetFacet):
    """``prefect_asset``: the Prefect asset behind a dataset."""

    key: str
    name: str | None = None
    url: str | None = None
    metadata: dict[str, str] | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMAS}/AssetFacet.json#/$defs/AssetFacet"
