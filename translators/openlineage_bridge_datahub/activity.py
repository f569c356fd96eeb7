"""What happened to datasets at a moment: operations, profiles, checks, and whether a dataset is gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from openlineage_bridge.events import Facets
from openlineage_bridge.translation import Aspect, DatasetState, RunState, Use
from openlineage_bridge_datahub.assertions import Checked, assertions, tests
from openlineage_bridge_datahub.edges import DatasetsOfJob
from openlineage_bridge_datahub.encoding import instance_run_urn
from openlineage_bridge_datahub.facets import facet_of
from openlineage_bridge_datahub.jobs import NamedJob
from openlineage_bridge_datahub.operations import TELLING, Occasion, lifecycle, operation, previous
from openlineage_bridge_datahub.options import DatasetOptions
from openlineage_bridge_datahub.profiles import WHOLE_TABLE, PathOf, profile
from openlineage_bridge_datahub.schema import paths_by_name
from openlineage_bridge_datahub.urns import DatasetNaming, NamedDataset

ENTITY = "dataset"

_TO_MS = 1000


def run_activity(
    run: RunState, named: NamedJob, touched: DatasetsOfJob, options: DatasetOptions
) -> Iterator[Aspect]:
    """What a run of the job that is called so did to its datasets, at the time of its end; nothing while it runs.

    Checks and measurements count whatever the result, for a check that fails ends its run; only a completed run wrote.
    """
    if not run.ended or run.result is None:
        return
    wrote = run.result == "COMPLETE"
    for each in _datasets((use for use in run.inputs if _is_measured(use)), touched):
        checked = _checked(run, each, named.orchestrator)
        yield from _measured(each.urn, each.use, checked, options, wrote=False)
    properties = {"runId": run.run_id, "run": instance_run_urn(run.run_id), "job": named.urn}
    for each in _datasets((use for use in run.outputs if wrote or _is_measured(use)), touched):
        if not _MEASUREMENTS.isdisjoint(each.use.raw):
            checked = _checked(run, each, named.orchestrator)
            yield from _measured(each.urn, each.use, checked, options, wrote=wrote)
        if wrote:
            yield from _happened(each.urn, each.use, Occasion(run.ended, properties), touched.naming, options)
    yield from _tested(run, touched, named.orchestrator, options)


def dataset_activity(
    state: DatasetState, named: NamedDataset, datasets: DatasetNaming, options: DatasetOptions
) -> Iterator[Aspect]:
    """What DatasetEvents said of moments, each at the event's time."""
    if not state.times or named.urn is None:
        return
    path_of = _paths(state.facets, named)
    for facet, time in sorted(state.times.items()):
        if facet not in state.facets.raw:
            continue
        alone = Facets({facet: state.facets.raw[facet]})
        moment = time // _TO_MS
        checked = Checked(named.urn, moment, str(moment), named.platform, path_of, time)
        yield from _measured(named.urn, alone, checked, options, wrote=False)
        if lifecycle(alone):
            yield from _happened(named.urn, alone, Occasion(time), datasets, options)


# --- pieces ---------------------------------------------------------------------------------------------------------


class _Used:
    """One dataset of a run: its name in DataHub, and all that was said of its use."""

    def __init__(self, urn: str, named: NamedDataset, use: Use) -> None:
        self.urn, self.named, self.use, self.state = urn, named, use.facets, use.dataset


def _datasets(uses: Iterable[Use], touched: DatasetsOfJob) -> Iterator[_Used]:
    for use in uses:
        named = touched.named(use.dataset.key)
        if named.urn is not None:
            yield _Used(named.urn, named, use)


def _is_measured(use: Use) -> bool:
    return not _MEASUREMENTS.isdisjoint(use.facets.raw)


def _checked(run: RunState, used: _Used, orchestrator: str) -> Checked:
    assert run.ended is not None
    path_of = _paths(used.state.facets, used.named)
    return Checked(used.urn, run.ended // _TO_MS, run.run_id, orchestrator, path_of, run.ended)


def _paths(facets: Facets, named: NamedDataset) -> PathOf:
    """How the columns are called in the schema, as far as the schema is known."""
    nested = paths_by_name(facet_of(facets, "schema"), named.fold_column)
    return lambda column: nested.get(column) or named.fold_column(column)


_MEASUREMENTS = frozenset({"dataQualityMetrics", "dataQualityAssertions", "lifecycleStateChange"})


def _measured(
    urn: str, use: Facets, checked: Checked, options: DatasetOptions, *, wrote: bool
) -> Iterator[Aspect]:
    rewritten = wrote and lifecycle(use) in WHOLE_TABLE
    if options.profiles and (value := profile(use, checked.time_ms, checked.path_of, rewritten=rewritten)):
        yield Aspect(urn, ENTITY, "datasetProfile", value, checked.time_ms)
    if options.assertions:
        yield from assertions(use, checked)


def _tested(
    run: RunState, touched: DatasetsOfJob, orchestrator: str, options: DatasetOptions
) -> Iterator[Aspect]:
    """The run's own tests, where it is clear which dataset they tested."""
    if not options.assertions or "test" not in run.facets.raw:
        return
    only = {each.urn: each for each in _datasets((*run.inputs, *run.outputs), touched)}
    if len(only) == 1:
        [each] = only.values()
        yield from tests(run.facets, _checked(run, each, orchestrator))


def _happened(
    urn: str, use: Facets, occasion: Occasion, datasets: DatasetNaming, options: DatasetOptions
) -> Iterator[Aspect]:
    """The operation on a dataset, on the one that it was before a rename, and whether one is gone."""
    if TELLING.isdisjoint(use.raw):  # the short way: most producers say no more than that it is an output
        if options.operations:
            yield Aspect(urn, ENTITY, "operation", operation(use, occasion), occasion.time_ms)
        return
    stated, before = lifecycle(use), previous(use)
    old = datasets.resolve(*before).urn if stated == "RENAME" and before else None
    if options.operations:
        yield Aspect(urn, ENTITY, "operation", operation(use, occasion), occasion.time_ms)
        if old and old != urn:
            renamed = {**operation(Facets(), occasion), "operationType": "ALTER"}
            renamed["customProperties"] = {**occasion.properties, "renamedTo": urn}
            yield Aspect(old, ENTITY, "operation", renamed, occasion.time_ms)
    if options.dropped == "remove":
        if stated in ("DROP", "CREATE", "RENAME"):
            yield Aspect(urn, ENTITY, "status", {"removed": stated == "DROP"}, rank=occasion.time)
        if old and old != urn:
            yield Aspect(old, ENTITY, "status", {"removed": True}, rank=occasion.time)
