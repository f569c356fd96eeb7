"""What lineage is made of: a table, what a column comes from, and a relation, which is what a query or a table gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs


@attrs.frozen(order=True)
class Table:
    """A table, view or file: an OpenLineage dataset by its identity."""

    namespace: str
    name: str


@attrs.frozen(order=True)
class Transformation:
    """How a value depends on a column (columnLineage facet 1-2-0: ``type`` and ``subtype``)."""

    type: str
    subtype: str


IDENTITY = Transformation("DIRECT", "IDENTITY")
TRANSFORMATION = Transformation("DIRECT", "TRANSFORMATION")
AGGREGATION = Transformation("DIRECT", "AGGREGATION")
CONDITIONAL = Transformation("INDIRECT", "CONDITIONAL")
FILTER = Transformation("INDIRECT", "FILTER")
GROUP_BY = Transformation("INDIRECT", "GROUP_BY")
JOIN = Transformation("INDIRECT", "JOIN")
SORT = Transformation("INDIRECT", "SORT")
WINDOW = Transformation("INDIRECT", "WINDOW")

_STRENGTH = {IDENTITY: 0, TRANSFORMATION: 1, AGGREGATION: 2}

Column = tuple[Table, str]
Sources = Mapping[Column, frozenset[Transformation]]
"""What a value is made of: the columns of tables outside, and how it depends on each."""

NOTHING: Sources = {}

UNNAMED = "?column?"
"""Start of the key of a column whose name only the database knows; it keeps its place and is never reported."""


def merge(*several: Sources) -> Sources:
    """What depends on all of these depends on their union."""
    if len(several) == 1:
        return several[0]
    union: dict[Column, frozenset[Transformation]] = {}
    for sources in several:
        for column, how in sources.items():
            union[column] = union[column] | how if column in union else how
    return union


def through(outer: Transformation, sources: Sources) -> Sources:
    """These sources after one more step: an indirect step makes all indirect, a direct one the stronger of both."""
    if outer == IDENTITY:
        return sources
    return {column: frozenset(_compose(outer, inner) for inner in how) for column, how in sources.items()}


def _compose(outer: Transformation, inner: Transformation) -> Transformation:
    if outer.type == "INDIRECT":
        return outer
    if inner.type == "INDIRECT":
        return inner
    return max(outer, inner, key=_STRENGTH.__getitem__)


@attrs.frozen
class Origin:
    """Where the rows of a table came from.

    Args:
        tables: The tables and files that they were made of.
        complete: Whether these are all there were: no data frame, parameter or stream brought any.
    """

    tables: frozenset[Table] = frozenset()
    complete: bool = True

    def with_(self, other: Origin) -> Origin:
        """Of rows of both origins."""
        return Origin(self.tables | other.tables, self.complete and other.complete)


NOWHERE = Origin()


@attrs.frozen
class Relation:
    """What a table or query gives to whoever selects from it.

    Args:
        columns: What each known column is made of, in order.
        rest: Tables whose columns pass through without being known (``SELECT *``): each group stands for one
            such table, or for the tables of a ``UNION``, which all feed the column.
        anything: What any other column is made of, e.g. those of an ``UNNEST``.
        indirect: What the choice, order and number of the rows depends on (columnLineage 1-2-0: ``dataset``).
        types: Types of columns as far as they are known.
        origin: Which tables its rows came from, once a table was filled with them.
    """

    columns: Mapping[str, Sources] = attrs.field(factory=dict)
    rest: tuple[tuple[Table, ...], ...] = ()
    anything: Sources = attrs.field(factory=dict)
    indirect: Sources = attrs.field(factory=dict)
    types: Mapping[str, str] = attrs.field(factory=dict)
    origin: Origin = attrs.field(factory=lambda: NOWHERE)

    def column(self, name: str) -> Sources | None:
        """What the column is made of; None when the relation has no such column or nobody can tell."""
        if name in self.columns:
            return self.columns[name]
        if len(self.rest) == 1:
            return {(table, name): frozenset({IDENTITY}) for table in self.rest[0]}
        return self.anything or None

    @property
    def everything(self) -> Sources:
        """All that any column is made of, as far as columns are known."""
        return merge(self.anything, *self.columns.values())

    @property
    def complete(self) -> bool:
        """Whether every column is known by name."""
        return (
            bool(self.columns)
            and not (self.rest or self.anything)
            and not any(name.startswith(UNNAMED) for name in self.columns)
        )

    def renamed(self, names: Iterable[str]) -> Relation:
        """The same columns, the first of them under these names: ``AS t(a, b)``; names take the place of unknown ones."""
        wanted = list(names)
        old = list(self.columns)
        columns = {
            new: self.columns[old[i]] if i < len(old) else self.anything for i, new in enumerate(wanted)
        }
        columns |= {name: self.columns[name] for name in old[len(wanted) :]}
        types = {new: self.types[name] for new, name in zip(wanted, old, strict=False) if name in self.types}
        types |= {name: self.types[name] for name in old[len(wanted) :] if name in self.types}
        return attrs.evolve(self, columns=columns, types=types, anything=NOTHING)

    def beside(self, other: Relation) -> Relation:
        """``UNION``: rows of both, columns by position where both are known, by name else."""
        mine, theirs = list(self.columns), list(other.columns)
        if self.rest or other.rest or len(mine) != len(theirs):
            return self.beside_by_name(other)
        columns = {name: merge(self.columns[name], other.columns[theirs[i]]) for i, name in enumerate(mine)}
        return self._united(other, columns)

    def beside_by_name(self, other: Relation) -> Relation:
        """``UNION BY NAME``, and all that can be said when one side's columns are not known."""
        columns = {
            name: merge(self.column(name) or NOTHING, other.column(name) or NOTHING)
            for name in dict.fromkeys([*self.columns, *other.columns])
        }
        return self._united(other, columns)

    def _united(self, other: Relation, columns: Mapping[str, Sources]) -> Relation:
        tables = dict.fromkeys(table for group in (*self.rest, *other.rest) for table in group)
        return Relation(
            columns=columns,
            rest=(tuple(tables),) if tables else (),
            anything=merge(self.anything, other.anything),
            indirect=merge(self.indirect, other.indirect),
            types={**other.types, **self.types},
            origin=self.origin.with_(other.origin),
        )
