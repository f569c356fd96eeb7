"""A dataset as user code names it, by the OpenLineage naming specification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen
class Dataset:
    """A table, file, topic: anything that a run reads or writes.

    Args:
        namespace: Where it lives, e.g. ``postgres://db.acme.io:5432``, ``s3://bucket``, ``duckdb:///data/w.duckdb``
            (OpenLineage, "Naming").
        name: Its name there, e.g. ``shop.public.orders``.
        facets: OpenLineage dataset facets by key, as facet objects of the client or as plain JSON objects.
    """

    namespace: str = attrs.field(validator=attrs.validators.min_len(1))
    name: str = attrs.field(validator=attrs.validators.min_len(1))
    facets: Mapping[str, Any] = attrs.field(factory=dict, hash=False)

    @property
    def identity(self) -> tuple[str, str]:
        """What makes two mentions the same dataset (OpenLineage: namespace and name)."""
        return self.namespace, self.name

    def merged(self, newer: Dataset) -> Dataset:
        """This dataset with the facets of a newer mention of it laid over its own."""
        return attrs.evolve(self, facets={**self.facets, **newer.facets})

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types; facet objects of the client become what they are on the wire."""
        facets = {key: facet_json(facet) for key, facet in self.facets.items()}
        return {"namespace": self.namespace, "name": self.name, **({"facets": facets} if facets else {})}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Dataset:
        """The inverse of ``to_json``; facets come back as plain JSON objects."""
        return cls(data["namespace"], data["name"], dict(data.get("facets") or {}))


def facet_json(facet: Any) -> Any:
    """A facet as plain JSON: the client's own serialisation for its objects, anything else untouched."""
    if not attrs.has(type(facet)):
        return facet
    from openlineage.client.serde import (
        Serde,  # a third of a second, which a process that emits nothing need not pay
    )

    return Serde.to_dict(facet)
