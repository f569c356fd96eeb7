"""The explicit ``lineage`` facet of a run with several outputs: which inputs fed which output (OpenLineage 2026-08, #4804).

Without it a consumer takes every input for a source of every output. Where it is present it is the complete picture, so it
is made only when the sources of every output are known and every input is one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import lineage

Identity = tuple[str, str]
"""Namespace and name of a dataset."""


def facet(
    inputs: Iterable[InputDataset],
    outputs: Iterable[OutputDataset],
    sources: Mapping[Identity, Iterable[Identity]],
    producer: str,
) -> lineage.LineageJobFacet | None:
    """The facet, or None where less is known than it would say.

    Args:
        inputs: Everything that the run read.
        outputs: Everything that it wrote.
        sources: What fed an output, for each output of which that is known.
        producer: The facet's ``_producer``.
    """
    written = {(output.namespace, output.name): output for output in outputs}
    read = {(each.namespace, each.name) for each in inputs}
    if len(written) < 2 or not read or not written.keys() <= sources.keys():
        return None
    if not read <= {source for identity in written for source in sources[identity]}:
        return None
    entries = [_entry(output, sorted(sources[identity])) for identity, output in written.items()]
    return lineage.LineageJobFacet(entries=list(entries), producer=producer)


def _entry(output: OutputDataset, sources: list[Identity]) -> lineage.LineageDatasetEntry:
    column_lineage = (output.facets or {}).get("columnLineage")
    fields: Mapping[str, Any] = getattr(column_lineage, "fields", None) or {}
    whole = getattr(column_lineage, "dataset", None) or []
    return lineage.LineageDatasetEntry(
        namespace=output.namespace,
        name=output.name,
        type="DATASET",
        inputs=[*(_dataset(identity) for identity in sources), *map(_field, whole)],
        fields={
            column: lineage.LineageFieldEntry(inputs=[_field(each) for each in field.inputFields])
            for column, field in fields.items()
        },
    )


def _dataset(identity: Identity) -> lineage.LineageDatasetInput:
    return lineage.LineageDatasetInput(namespace=identity[0], name=identity[1], type="DATASET")


def _field(source: Any) -> lineage.LineageDatasetInput:
    """A column of columnLineage, in the words of this facet."""
    return lineage.LineageDatasetInput(
        namespace=source.namespace,
        name=source.name,
        type="DATASET",
        field=source.field,
        transformations=[
            lineage.LineageTransformation(type=each.type, subtype=each.subtype)
            for each in source.transformations or []
        ],
    )
