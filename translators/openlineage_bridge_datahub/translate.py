"""The translator: from what OpenLineage now says about a dataset, a job or a run to DataHub's aspects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from openlineage_bridge.translation import (
    Aspect,
    DatasetState,
    JobIdentity,
    JobState,
    Resolution,
    RunState,
)
from openlineage_bridge_datahub.activity import run_activity
from openlineage_bridge_datahub.dataset_aspects import dataset_aspects
from openlineage_bridge_datahub.edges import datasets_of
from openlineage_bridge_datahub.job_aspects import job_aspects
from openlineage_bridge_datahub.jobs import JobNaming
from openlineage_bridge_datahub.options import Options, options
from openlineage_bridge_datahub.proposing import propose
from openlineage_bridge_datahub.run_aspects import run_aspects
from openlineage_bridge_datahub.urns import DatasetNaming


@attrs.frozen
class DataHubTranslator:
    """Implements ``openlineage_bridge.translation.Translator`` for DataHub.

    Aspects are plain dicts: the same JSON as acryl-datahub's classes, which are the judge in the tests, at a
    fraction of their cost. They may share parts with each other: treat them as read-only.
    """

    options: Options = attrs.field(factory=Options)
    _datasets: DatasetNaming = attrs.field(init=False)
    _jobs: JobNaming = attrs.field(init=False)

    @_datasets.default
    def _name_datasets(self) -> DatasetNaming:
        return DatasetNaming(self.options.namespaces, self.options.env)

    @_jobs.default
    def _name_jobs(self) -> JobNaming:
        return JobNaming(self.options.namespaces, self.options.env, self.options.job_urns)

    @classmethod
    def from_options(cls, section: Mapping[str, Any]) -> DataHubTranslator:
        """The translator that the ``datahub`` section of the configuration describes.

        Raises:
            ConfigError: A key is unknown or a value impossible.
        """
        return cls(options(section))

    def resolve(self, dataset: DatasetState) -> Resolution:
        """How this dataset is called in DataHub; ``urn`` is None where GMS would refuse it."""
        return self._datasets.resolve(dataset.key.namespace, dataset.key.name, dataset.facets)

    def job_urn(self, job: JobIdentity) -> str:
        """The DataFlow of a flow, the DataJob of a task."""
        return self._jobs.named(job).urn

    def dataset(self, dataset: DatasetState) -> Iterable[Aspect]:
        """Aspects of the dataset itself; none where it has no URN."""
        return dataset_aspects(dataset, self._datasets, self.options)

    def job(self, job: JobState) -> Iterable[Aspect]:
        """Aspects of the job, its flow, and its lineage."""
        return job_aspects(job, self._jobs, self._datasets, self.options)

    def run(self, run: RunState) -> Iterable[Aspect]:
        """Aspects of one run, and of what it did to datasets."""
        named = self._jobs.named(run.job)
        touched = datasets_of(self._datasets, run.inputs, run.outputs)
        yield from run_aspects(run, named, touched)
        yield from run_activity(run, named, touched, self.options.datasets)

    def propose(self, namespace: str, named: Sequence[tuple[DatasetState, str]]) -> Mapping[str, Any] | None:
        """The rule under which these datasets get these URNs; None where no simple one does."""
        return propose(self._datasets, namespace, named)
