"""Edges and column lineage in DataHub's words, shared by jobs and by lineage that stands on a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from openlineage_bridge.events import DatasetKey
from openlineage_bridge.lineage import ColumnEdge
from openlineage_bridge.translation import DatasetState, Use
from openlineage_bridge_datahub.encoding import field_urn
from openlineage_bridge_datahub.facets import facet_of
from openlineage_bridge_datahub.names import Fold
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
        path = self.nested[field] if field in self.nested else self.fold(field)
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

    def columns(self, key: DatasetKey) -> Columns:
        """The dataset's columns, in the spelling of its schema."""
        found = self._columns.get(key)
        if found is None:
            named = self.named(key)
            nested = _nested_paths(self.states.get(key), named)
            found = self._columns[key] = Columns(named.urn, named.fold_column, nested)
        return found


def datasets_of(naming: DatasetNaming, *uses: Iterable[Use]) -> DatasetsOfJob:
    """The datasets of a job's or a run's uses."""
    return DatasetsOfJob(naming, {use.dataset.key: use.dataset for each in uses for use in each})


def _nested_paths(state: DatasetState | None, named: NamedDataset) -> dict[str, str]:
    """Paths of nested columns; empty, at the price of one search, for the flat schemas that nearly all are."""
    raw = b"" if state is None else state.facets.raw.get("schema", b"")
    if state is None or (raw.count(b'"fields"') <= 1 and b"<" not in raw):
        return {}
    return paths_by_name(facet_of(state.facets, "schema"), named.fold_column)


def dataset_edges(urns: Iterable[str]) -> list[dict[str, Any]]:
    """``Edge`` records. They carry no times: those of the hundredth run would differ from those of the first."""
    return [{"destinationUrn": urn} for urn in urns]


def fine_grained(
    edges: Iterable[ColumnEdge], datasets: DatasetsOfJob, *, indirect: bool
) -> list[dict[str, Any]]:
    """``FineGrainedLineage`` records, one downstream column each: GMS cannot patch an entry with several."""
    found = []
    columns = datasets.columns
    for edge in edges:
        if edge.indirect and not indirect:
            continue
        downstream = columns(edge.output.dataset).urn(edge.output.field)
        upstreams = [urn for each in edge.inputs if (urn := columns(each.dataset).urn(each.field))]
        if downstream is None or not upstreams:
            continue
        record: dict[str, Any] = {
            "upstreamType": "FIELD_SET",
            "upstreams": upstreams if len(upstreams) == 1 else sorted(set(upstreams)),
            "downstreamType": "FIELD",
            "downstreams": [downstream],
        }
        if edge.transformation:
            record["transformOperation"] = edge.transformation
        found.append(record)
    return found
