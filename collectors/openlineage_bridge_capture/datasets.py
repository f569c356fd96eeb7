"""A dataset as user code names it, by the OpenLineage naming specification."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
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

    @classmethod
    def from_uri(cls, uri: str | PurePath, facets: Mapping[str, Any] | None = None) -> Dataset:
        """The dataset that a URI, a path or a database's URL with a table means, named as OpenLineage names it.

        ``s3://bucket/key``, ``snowflake://account/database/schema/table``, ``postgresql+psycopg://user@host/db#schema.table``,
        ``bigquery://project/dataset/table``, ``duckdb:///file.duckdb#schema.table``, ``kafka://broker/topic``, an absolute
        path, a ``pathlib.Path`` and the like. User, password and options do not become part of it.

        Args:
            uri: See ``openlineage_bridge_capture.uris.identity``.
            facets: OpenLineage dataset facets by key.

        Raises:
            ValueError: It names no dataset, or not all of one; the reason says what to write.
        """
        from openlineage_bridge_capture import uris  # which a process that names none need not load

        namespace, name = uris.identity(uri)
        return cls(namespace, name, facets or {})

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
