"""The custom facets of this collector: what no facet of the specification carries.

Each has its JSON schema in ``schemas/``, under the name that its ``_schemaURL`` says.
"""
# ruff: noqa: N815 - facet fields are named as they are on the wire

from __future__ import annotations

import attr
from openlineage.client.facet_v2 import DatasetFacet, JobFacet, RunFacet

from openlineage_bridge_dagster.producer import PRODUCER

SCHEMAS = f"{PRODUCER}/schemas"


@attr.define
class DagsterRunFacet(RunFacet):
    """``dagster_run``: what Dagster knows of a run, told of the run and of its steps."""

    runId: str
    jobName: str
    location: str | None = None
    repository: str | None = None
    module: str | None = None
    deployment: str | None = None
    rootRunId: str | None = None
    parentRunId: str | None = None
    runUrl: str | None = None
    jobUrl: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMAS}/DagsterRunFacet.json#/$defs/DagsterRunFacet"


@attr.define
class DagsterStepFacet(RunFacet):
    """``dagster_step``: one attempt of one step."""

    stepKey: str
    nodePath: str
    attempt: int
    opName: str | None = None
    stepUrl: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMAS}/DagsterStepFacet.json#/$defs/DagsterStepFacet"


@attr.define
class DagsterAssetFacet(DatasetFacet):
    """``dagster_asset``: the asset behind a dataset, as far as its code says more than its key."""

    assetKey: list[str]
    group: str | None = None
    kinds: list[str] | None = None
    codeVersion: str | None = None
    assetUrl: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMAS}/DagsterAssetFacet.json#/$defs/DagsterAssetFacet"


@attr.define
class JobReference:
    """A job by namespace and name."""

    namespace: str
    name: str


@attr.define
class RootReference:
    """The job at the top of a chain of parents."""

    job: JobReference


@attr.define
class ParentJobFacet(JobFacet):
    """``openlineageBridge_parent``: the job that a declared job is a part of.

    In the specification only runs have a parent; the step of a job that has never run belongs to it all the same.
    """

    job: JobReference
    root: RootReference

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMAS}/ParentJobFacet.json#/$defs/ParentJobFacet"


CUSTOM = {
    "dagster_run": DagsterRunFacet,
    "dagster_step": DagsterStepFacet,
    "dagster_asset": DagsterAssetFacet,
    "openlineageBridge_parent": ParentJobFacet,
}
"""Every custom facet by its key in an event."""
