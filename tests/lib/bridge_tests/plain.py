"""Translators that say what they are given, so that tests see what the bridge derives without any catalog."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from openlineage_bridge.events import DatasetKey, Facets
from openlineage_bridge.translation import (
    Aspect,
    DatasetState,
    JobIdentity,
    JobState,
    Resolution,
    RunState,
    Use,
)


class PlainTranslator:
    """Calls a dataset by its symlink if it has one, and puts the whole state into one aspect per subject."""

    @classmethod
    def from_options(cls, options):
        return cls()

    def resolve(self, dataset: DatasetState) -> Resolution:
        identifiers = dataset.facets.get("symlinks", {}).get("identifiers") or [{}]
        key = DatasetKey(
            *(
                identifiers[0].get(part, own)
                for part, own in zip(("namespace", "name"), dataset.key, strict=True)
            )
        )
        urn = f"dataset:{key.namespace.replace('postgresql:', 'postgres:')}/{key.name}"
        return Resolution(urn, "plain", "plain", ())

    def job_urn(self, job: JobIdentity) -> str:
        return f"job:{job.parent.name if job.parent else ''}/{job.key.namespace}/{job.key.name}"

    def dataset(self, dataset: DatasetState) -> Iterable[Aspect]:
        yield Aspect(self.resolve(dataset).urn or "", "dataset", "is", dict(sorted(dataset.facets.items())))

    def job(self, job: JobState) -> Iterable[Aspect]:
        value = {
            "facets": dict(sorted(job.job.facets.items())),
            "lineage": repr(job.lineage),
            "inputs": self._uses(job.inputs),
            "outputs": self._uses(job.outputs),
        }
        yield Aspect(self.job_urn(job.job), "job", "does", value)

    def run(self, run: RunState) -> Iterable[Aspect]:
        urn = f"run:{run.run_id}"
        value = {
            "job": self.job_urn(run.job),
            "facets": dict(sorted(run.facets.items())),
            "result": run.result,
            "inputs": self._uses(run.inputs),
            "outputs": self._uses(run.outputs),
        }
        yield Aspect(urn, "run", "was", value)
        for moment in (run.started, run.ended):
            if moment:
                yield Aspect(urn, "run", "at", {"result": run.result}, timestamp_ms=moment // 1000)

    def _uses(self, uses: Iterable[Use]) -> list[object]:
        return [[self.resolve(use.dataset).urn, dict(sorted(use.facets.items()))] for use in uses]


@attrs.frozen
class NosyTranslator(PlainTranslator):
    """Keeps everything that the contract hands over, but for the fields it is told to overlook.

    Args:
        overlooks: ``Class.field`` names.
    """

    overlooks: frozenset[str] = frozenset()

    def job(self, job: JobState) -> Iterable[Aspect]:
        yield from super().job(job)
        yield Aspect(self.job_urn(job.job), "job", "everything", {"state": self._everything(job)})
        yield Aspect(  # each task also describes its flow
            f"flow:{job.job.parent}", "flow", "is", {"said by": repr(job.job.key)}, rank=len(job.job.facets)
        )

    def run(self, run: RunState) -> Iterable[Aspect]:
        yield from super().run(run)
        yield Aspect(f"run:{run.run_id}", "run", "everything", {"state": self._everything(run)})

    def _everything(self, value: object) -> object:
        """The state as JSON; facets as their decoded contents."""
        kind = type(value)
        if attrs.has(kind):
            names = (field.name for field in attrs.fields(kind))
            return {
                name: self._everything(getattr(value, name))
                for name in names
                if f"{kind.__name__}.{name}" not in self.overlooks
            }
        if isinstance(value, tuple):
            return [self._everything(item) for item in value]
        return dict(sorted(value.items())) if isinstance(value, Facets) else value
