"""What the connections' catalogs said of tables, and from when on it holds.

A catalog is asked after a statement, so it shows what the run itself has done by then, and the last answer is the one that was
kept. It therefore holds for a table only once the run changes its definition no more: from the start for a table that the run
never defines, after the last definition for the others, and never for one whose definition was rolled back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import attrs

from openlineage_bridge_capture.recording import Columns
from openlineage_bridge_capture.sql.relations import Table

Schema = Mapping[str, str | None]
"""The type of each column, in order."""

SPELLED_AS_DEFINED = "sqlite://"
"""Namespace of databases whose names are the same in any case: the catalog's spelling is everybody's."""


@attrs.frozen
class Knowledge:
    """The catalogs' answers.

    Args:
        schemas: The columns of each table, spelled as the database does.
        definitions: How often the statements of the run define each table, those rolled back included.
    """

    schemas: Mapping[Table, Schema] = attrs.field(factory=dict)
    definitions: Mapping[Table, int] = attrs.field(factory=Counter)

    @classmethod
    def of(cls, catalog: Iterable[Columns], spelling: dict[str, str]) -> Knowledge:
        """What a recording's catalog says; the spelling of names that have one of several is settled by it."""
        return cls({_table(entry, spelling): dict(entry.columns) for entry in catalog})

    def of_table(self, table: Table, defined: int) -> Schema | None:
        """The columns of a table, when the run has defined it this many times already; None while it may still change."""
        return self.schemas.get(table) if self.definitions.get(table, 0) == defined else None


def _table(entry: Columns, spelling: dict[str, str]) -> Table:
    if not entry.namespace.startswith(SPELLED_AS_DEFINED):
        return Table(entry.namespace, entry.name)
    for column, _ in entry.columns:
        spelling.setdefault(column.lower(), column)
    parts = (spelling.setdefault(part.lower(), part) for part in entry.name.split("."))
    return Table(entry.namespace, ".".join(parts))
