"""Edges and column lineage in DataHub's words, shared by jobs and by lineage that stands on a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from openlineage_bridge.events import DatasetKey
from openlineage_bridge.lineage import Column, ColumnEdge, Influence, Lineage
from openlineage_bridge.translation import DatasetState, Use
from openlineage_bridge_datahub.encoding import field_urn
from openlineage_bridge_datahub.facets import facet_of, text_of
from openlineage_bridge_datahub.names import Fold
from openlineage_bridge_datahub.platforms import EPHEMERAL
from openlineage_bridge_datahub.schema import paths_by_name
from openlineage_bridge_datahub.urns import DatasetNaming, NamedDataset


@attrs.define
class Columns:
    """The schemaField URNs of one dataset's columns.

    Args:
        dataset: URN of the dataset; None where it has none, and so none of its columns has.
        fold: What the platform's connector does with the case of a column.
        nested: Field paths of columns by their dotted names, where the schema is nested.
    """

    dataset: str | None
    fold: Fold
    nested: Mapping[str, str]
    _prefix: str = attrs.field(init=False)

    @_prefix.default
    def _begin(self) -> str:
        return f"urn:li:schemaField:({self.dataset},"

    def urn(self, field: str) -> str | None:
        """The column's URN."""
        if self.dataset is None or not field:
            return None
        path = self.nested.get(field) or self.fold(field)
        # The short way for plain words, nearly all of them: this runs for every edge between columns.
        return f"{self._prefix}{path})" if path.isidentifier() else field_urn(self.dataset, path)


@attrs.define
class DatasetsOfJob:
    """The datasets that one job touches, named once each.

    Args:
        naming: The names.
        states: What is known of each dataset; one that only a facet names is named without symlinks.
    """

    naming: DatasetNaming
    states: Mapping[DatasetKey, DatasetState]
    _named: dict[DatasetKey, NamedDataset] = attrs.field(factory=dict, init=False)
    _columns: dict[DatasetKey, Columns] = attrs.field(factory=dict, init=False)

    def named(self, key: DatasetKey) -> NamedDataset:
        """The dataset's name in DataHub."""
        found = self._named.get(key)
        if found is None:
            state = self.states.get(key)
            found = self.naming.named(key.namespace, key.name, state.facets if state else None)
            self._named[key] = found
        return found

    def urns(self, keys: Iterable[DatasetKey]) -> list[str]:
        """The URNs of these datasets, sorted; one without a URN is left out."""
        return sorted({urn for key in keys if (urn := self.named(key).urn)})

    def unnamed(self, keys: Iterable[DatasetKey]) -> list[DatasetKey]:
        """Those that have no acceptable URN, sorted; what lives in memory only is none of them."""
        found = ((key, self.named(key)) for key in keys)
        return sorted({key for key, named in found if named.urn is None and named.platform not in EPHEMERAL})

    def column(self, column: Column) -> str | None:
        """The column's URN, in the spelling of its dataset's schema; None where it has none."""
        columns = self._columns.get(column.dataset)
        if columns is None:
            columns = self._columns[column.dataset] = self._columns_of(column.dataset)
        return columns.urn(column.field)

    def _columns_of(self, key: DatasetKey) -> Columns:
        named = self.named(key)
        return Columns(named.urn, named.fold_column, _nested_paths(self.states.get(key), named))


def datasets_of(naming: DatasetNaming, *uses: Iterable[Use]) -> DatasetsOfJob:
    """The datasets of a job's or a run's uses."""
    return DatasetsOfJob(naming, {use.dataset.key: use.dataset for each in uses for use in each})


def _nested_paths(state: DatasetState | None, named: NamedDataset) -> dict[str, str]:
    """Paths of nested columns; empty, at the price of one search, for the flat schemas that nearly all are."""
    raw = b"" if state is None else state.facets.raw.get("schema", b"")
    if state is None or (raw.count(b'"fields"') <= 1 and b"<" not in raw):
        return {}
    return paths_by_name(facet_of(state.facets, "schema"), named.fold_column)


def dataset_edges(
    urns: Iterable[str], properties: Mapping[str, Mapping[str, str]] | None = None
) -> list[dict[str, Any]]:
    """``Edge`` records. They carry no times: those of the hundredth run would differ from those of the first.

    Args:
        urns: The datasets.
        properties: What else is to be said of an edge, by URN.
    """
    if not properties:
        return [{"destinationUrn": urn} for urn in urns]
    return [
        {"destinationUrn": urn, "properties": dict(properties[urn])}
        if properties.get(urn)
        else {"destinationUrn": urn}
        for urn in urns
    ]


# --- what a product of inputs and outputs would hide ----------------------------------------------------------------


@attrs.frozen
class Endpoints:
    """The datasets at both ends of a job.

    Args:
        inputs: Their URNs, sorted.
        outputs: Their URNs, sorted.
        skipped: Why there are fewer than the job reads and writes; empty where there are not.
    """

    inputs: list[str]
    outputs: list[str]
    skipped: str = ""


def endpoints(
    lineage: Lineage,
    inputs: Iterable[DatasetKey],
    outputs: Iterable[DatasetKey],
    datasets: DatasetsOfJob,
    most: int,
) -> Endpoints:
    """The datasets at both ends.

    DataHub takes every input of a job for an upstream of every output: where nobody said which input fed which output,
    and the pairs are more than ``most``, only those that column lineage names.
    """
    every = Endpoints(datasets.urns(inputs), datasets.urns(outputs))
    read, written = len(every.inputs), len(every.outputs)
    if lineage.pairs is not None or not most or min(read, written) < 2 or read * written <= most:
        return every
    return Endpoints(
        datasets.urns({column.dataset for edge in lineage.columns for column in edge.inputs}),
        datasets.urns({edge.output.dataset for edge in lineage.columns}),
        f"{read} inputs and {written} outputs without a word on which fed which are more than {most} pairs: "
        "only column lineage is told",
    )


def edge_properties(lineage: Lineage, datasets: DatasetsOfJob) -> dict[str, dict[str, str]]:
    """What is known of an input beyond that the job reads it, by URN.

    ``openlineage.outputs``: the outputs that it feeds, where those are not all; ``openlineage.lineage``: ``INDIRECT``
    for one that only decides (filters, joins); ``openlineage.influences``: how it decides whole outputs.
    """
    deciding = {each.dataset for edge in lineage.columns if edge.indirect for each in edge.inputs}
    deciding |= {each.source.dataset for each in lineage.influences}
    if lineage.pairs is None and not deciding:
        return {}
    direct = {each.dataset for edge in lineage.columns if not edge.indirect for each in edge.inputs}
    found: dict[str, dict[str, str]] = {}
    for key in lineage.inputs:
        properties = _feeds(key, lineage)
        if key in deciding - direct:
            properties["openlineage.lineage"] = "INDIRECT"
        if words := sorted({_influence(each) for each in lineage.influences if each.source.dataset == key}):
            properties["openlineage.influences"] = text_of(", ".join(words))
        urn = datasets.named(key).urn
        if urn and properties:
            found.setdefault(urn, {}).update(properties)
    return found


def _feeds(key: DatasetKey, lineage: Lineage) -> dict[str, str]:
    if lineage.pairs is None:
        return {}
    fed = [output.name for source, output in lineage.pairs if source == key]
    return {"openlineage.outputs": text_of(", ".join(fed))} if 0 < len(fed) < len(lineage.outputs) else {}


def _influence(each: Influence) -> str:
    how = each.transformation or "INDIRECT"
    return f"{how} ({each.source.field})" if each.source.field else how


# --- columns --------------------------------------------------------------------------------------------------------

INDIRECT = 0.5
"""``confidenceScore`` of what only decides a value; of what gives it, it is DataHub's default, 1."""


def fine_grained(
    edges: Iterable[ColumnEdge], datasets: DatasetsOfJob, *, indirect: bool, query: str | None = None
) -> list[dict[str, Any]]:
    """``FineGrainedLineage`` records, one downstream column each: GMS cannot patch an entry with several.

    One record per pair of columns; what only decides is one record per output column and transformation, because there
    a query with twenty filters repeats all of them for each of its columns.

    Args:
        edges: What is stated.
        datasets: Names the columns.
        indirect: Whether columns that only decide are told.
        query: URN of the query that did it.
    """
    found: dict[tuple[str, str, str | None], dict[str, Any]] = {}
    for edge in edges:
        if edge.indirect and not indirect:
            continue
        downstream = datasets.column(edge.output)
        upstreams = [urn for each in edge.inputs if (urn := datasets.column(each))]
        if downstream is None or not upstreams:
            continue
        together = edge.indirect and len(upstreams) > 1
        for group in [sorted(set(upstreams))] if together else [[urn] for urn in upstreams]:
            record: dict[str, Any] = {
                "upstreamType": "FIELD_SET",
                "upstreams": group,
                "downstreamType": "FIELD",
                "downstreams": [downstream],
            }
            if edge.indirect:
                record["confidenceScore"] = INDIRECT
            if edge.transformation:
                record["transformOperation"] = edge.transformation
            if query:
                record["query"] = query
            # Two columns of OpenLineage may be one in DataHub, in a platform that folds case.
            found.setdefault((downstream, group[0], edge.transformation), record)
    return list(found.values())
