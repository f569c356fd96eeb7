"""What the statements of a run did so far: what was read and written, and what is known of the tables on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

import attrs

from openlineage_bridge_capture.sql.knowledge import Knowledge, Schema
from openlineage_bridge_capture.sql.relations import (
    IDENTITY,
    NOTHING,
    NOWHERE,
    UNNAMED,
    Origin,
    Relation,
    Sources,
    Table,
    merge,
)
from openlineage_bridge_capture.sql.tables import IN_MEMORY

_Known = TypeVar("_Known")


@attrs.define
class Output:
    """What the run did to one table.

    Args:
        columns: What its columns were made of, as far as the SQL tells.
        indirect: What the choice, order and number of its rows depended on.
        schema: All its columns with their types, when the run itself defined them.
        lifecycle: ``CREATE``, ``OVERWRITE``, … of the lifecycleStateChange facet; None when only rows changed.
        previous: What it was called before ``RENAME``.
        created: Whether the run brought the table into being.
        origin: Which tables its new rows came from.
        locations: Where the data of an external table is: the same thing by another name.
        file_format: The format of it, where the statement tells.
    """

    columns: dict[str, Sources] = attrs.field(factory=dict)
    indirect: Sources = attrs.field(factory=dict)
    schema: dict[str, str | None] | None = None
    lifecycle: str | None = None
    previous: Table | None = None
    created: bool = False
    origin: Origin = NOWHERE
    locations: tuple[Table, ...] = ()
    file_format: str | None = None

    def add(self, relation: Relation) -> None:
        """More rows, made of this."""
        self.origin = self.origin.with_(relation.origin)
        for name, sources in relation.columns.items():
            if not name.startswith(UNNAMED):
                self.columns[name] = merge(self.columns.get(name, NOTHING), sources)
        self.indirect = merge(self.indirect, relation.indirect)


@attrs.define
class Effects:
    """The state that the statements of one recording share, in their order.

    Args:
        inputs: Tables read that the run did not fill itself.
        outputs: Tables written, hidden ones included.
        relations: What the tables that the run filled are made of.
        schemas: All columns of tables whose definition was seen.
        spelling: Names that are the same in any case, by lower case, as the run wrote them first.
        stages: Where Snowflake's stages are that the run itself defined.
        knowledge: What the connections' catalogs said.
        defined: How often each table was defined so far.
        learned: Columns of files that went whole into a table of which the catalog knows the columns.
        files: The files among all these, with the format where a statement tells it.
        mentions: How many reads and writes there were.
        writes: How many of them were writes.
    """

    inputs: dict[Table, None] = attrs.field(factory=dict)
    outputs: dict[Table, Output] = attrs.field(factory=dict)
    relations: dict[Table, Relation] = attrs.field(factory=dict)
    schemas: dict[Table, dict[str, str | None]] = attrs.field(factory=dict)
    spelling: dict[str, str] = attrs.field(factory=dict)
    stages: dict[str, str] = attrs.field(factory=dict)
    knowledge: Knowledge = attrs.field(factory=Knowledge)
    defined: Counter[Table] = attrs.field(factory=Counter)
    learned: dict[Table, Schema] = attrs.field(factory=dict)
    files: dict[Table, str | None] = attrs.field(factory=dict)
    mentions: int = 0
    writes: int = 0
    _normal: Callable[[str], str] = str
    _read: dict[Table, None] = attrs.field(factory=dict)
    _sources: int = 0
    _elsewhere: bool = False

    def begin(self, normal: Callable[[str], str]) -> None:
        """The next statement comes; ``normal`` is how its names compare with those of a catalog."""
        self._normal = normal
        self._read, self._sources, self._elsewhere = {}, 0, False

    @property
    def read_by_statement(self) -> tuple[Table, ...]:
        """What the statement reads that the run did not produce itself, and what that which it did was made of."""
        return tuple(self._read)

    def read_elsewhere(self) -> None:
        """The statement takes data from where no table is: a data frame, a stream, a stage."""
        self._elsewhere = True

    def file(self, table: Table, file_format: str | None = None) -> Table:
        """Note that a dataset is a file, and its format if the statement tells it."""
        self.files[table] = file_format or self.files.get(table)
        return table

    def columns_of(self, table: Table) -> Schema | None:
        """All columns of a table as far as they are known now: from the run's own definitions, else from the catalog."""
        return self.schemas.get(table) or self._in_catalog(table)

    def schema_of(self, table: Table) -> Schema | None:
        """The columns that a table has in the end, spelled as the database does."""
        return self.knowledge.of_table(table, self.defined[table]) or self.learned.get(table)

    def spelled(self, table: Table, column: str) -> str:
        """A column as the database spells it, as far as a catalog told."""
        known = self.knowledge.schemas.get(table) or self.learned.get(table) or {}
        if column in known:
            return column
        return next((name for name in known if name.lower() == column.lower()), column)

    def _in_catalog(self, table: Table) -> Schema | None:
        known = self.knowledge.of_table(table, self.defined[table])
        return {self._normal(name): kind for name, kind in known.items()} if known else None

    def read(self, table: Table) -> Relation:
        """A table is read: an input, unless the run itself produced what is in it."""
        self.mentions += 1
        self._sources += 1
        if table in self.relations:
            relation = self.relations[table]
            self._read |= dict.fromkeys(sorted(relation.origin.tables))
            self._elsewhere = self._elsewhere or not relation.origin.complete
            return relation
        if table.namespace == IN_MEMORY:
            self.read_elsewhere()
            return Relation()
        self.inputs[table] = self._read[table] = None
        known = self.columns_of(table)
        if known is None:
            return Relation(rest=((table,),))
        return Relation(
            columns={name: {(table, name): frozenset({IDENTITY})} for name in known},
            types={name: kind for name, kind in known.items() if kind},
        )

    def create(self, table: Table, relation: Relation, *, replace: bool, certain: bool) -> None:
        """A table is made from a query: what it held before is gone.

        Args:
            table: The new table.
            relation: What it is made of.
            replace: ``CREATE OR REPLACE``.
            certain: False for ``IF NOT EXISTS``, which says nothing about whether it was there.
        """
        self._written(table, definition=True)
        if certain:
            relation = self._with_columns_of(table, relation)
        relation = self._with_origin(relation)
        output = Output(created=True)
        output.add(relation)
        output.lifecycle = self._lifecycle(table, "OVERWRITE" if replace else "CREATE") if certain else None
        if relation.complete:
            output.schema = {name: relation.types.get(name) for name in relation.columns}
            self.schemas[table] = output.schema
        else:
            self.schemas.pop(table, None)
        self.outputs[table] = output
        self.relations[table] = relation

    def declare(
        self, table: Table, schema: Mapping[str, str | None], *, replace: bool, certain: bool
    ) -> None:
        """A table is made from column definitions; with ``IF NOT EXISTS`` it may well have been there, with data."""
        if not certain:
            self.defined[table] += 1
            self.schemas[table] = dict(self._in_catalog(table) or schema)
            return
        empty = Relation(columns=dict.fromkeys(schema, NOTHING), types={n: t for n, t in schema.items() if t})
        self.create_empty(table, empty, replace=replace)
        self.outputs[table].columns.clear()
        self.outputs[table].schema = self.schemas[table] = dict(schema)

    def create_empty(self, table: Table, relation: Relation, *, replace: bool) -> None:
        """A table is made that holds nothing yet."""
        self.create(table, relation, replace=replace, certain=True)
        self.outputs[table].origin = NOWHERE
        self.relations[table] = attrs.evolve(self.relations[table], origin=NOWHERE)

    def append(self, table: Table, relation: Relation) -> None:
        """Rows are added to a table."""
        self._written(table)
        relation = self._with_origin(relation)
        self.outputs.setdefault(table, Output()).add(relation)
        before = self.relations.get(table)
        self.relations[table] = before.beside_by_name(relation) if before else relation

    def overwrite(self, table: Table, relation: Relation) -> None:
        """The content of a table is replaced (``INSERT OVERWRITE``, a file that is written)."""
        self._written(table)
        relation = self._with_origin(relation)
        output = Output(lifecycle=self._lifecycle(table, "OVERWRITE"))
        output.add(relation)
        if table in self.files and relation.complete:
            output.schema = {name: relation.types.get(name) for name in relation.columns}
        self.outputs[table] = output
        self.relations[table] = relation

    def change(self, table: Table, relation: Relation) -> None:
        """Rows of a table are changed or deleted: what was in it before is still what it is made of."""
        self._written(table)
        # DELETE has no columns, and brings no data.
        relation = self._with_origin(relation, brings_data=bool(relation.columns))
        self.outputs.setdefault(table, Output()).add(relation)
        if table in self.relations:
            self.relations[table] = self.relations[table].beside_by_name(relation)

    def truncate(self, table: Table) -> None:
        """A table is emptied; what is read from it later was put there by the run."""
        self._written(table)
        self.outputs[table] = Output(
            lifecycle=self._lifecycle(table, "TRUNCATE"), created=self._created(table)
        )
        self.relations[table] = Relation()

    def alter(self, table: Table, added: Mapping[str, str | None] | None) -> None:
        """The definition of a table changes: columns are added, or in a way that leaves its columns unknown."""
        self._written(table, definition=True)
        output = self.outputs.setdefault(table, Output())
        output.lifecycle = self._lifecycle(table, "ALTER")
        known = self.schemas.pop(table, None)
        if added is None or known is None:
            output.schema = None
            return
        self.schemas[table] = {**known, **added}
        output.schema = self.schemas[table] if output.schema is not None else None

    def drop(self, table: Table) -> None:
        """A table goes: one that the run made leaves no trace but its upstreams; another one is reported as dropped."""
        self._written(table, definition=True)
        output = self.outputs.pop(table, None)
        self.relations.pop(table, None)
        self.schemas.pop(table, None)
        if not (output and (output.created or output.previous)):
            self.outputs[table] = Output(lifecycle="DROP")

    def rename(self, old: Table, new: Table) -> None:
        """A table gets another name, and takes everything known of it along."""
        self._written(old, definition=True)
        self._written(new, definition=True)
        if old in self.relations:
            self.relations[new] = self.relations.pop(old)
        if old in self.schemas:
            self.schemas[new] = self.schemas.pop(old)
        output = self.outputs.pop(old, None)
        if output is None or not output.created:
            output = output or Output()
            output.lifecycle, output.previous = "RENAME", old
        elif self._dropped(new):
            output.lifecycle = "OVERWRITE"
        self.outputs[new] = output

    def swap(self, one: Table, other: Table) -> None:
        """Two tables exchange their names: what is known of either goes with its content."""
        self._written(one, definition=True)
        self._written(other, definition=True)
        first, second = (self.outputs.pop(table, Output()) for table in (one, other))
        for table, content, before in ((one, second, first), (other, first, second)):
            lifecycle = before.lifecycle if before.created else "OVERWRITE"
            self.outputs[table] = attrs.evolve(content, lifecycle=lifecycle, created=before.created)
        _swap_keys(self.relations, one, other)
        _swap_keys(self.schemas, one, other)

    def _written(self, table: Table, *, definition: bool = False) -> None:
        self.mentions += 1
        self.writes += 1
        if definition:
            self.defined[table] += 1

    def _with_origin(self, relation: Relation, *, brings_data: bool = True) -> Relation:
        """What the statement writes, with all that it has read until now."""
        known = not self._elsewhere and (self._sources > 0 or not brings_data)
        return attrs.evolve(relation, origin=Origin(frozenset(self._read), known))

    def _with_columns_of(self, table: Table, relation: Relation) -> Relation:
        """What a new table is made of, under the columns that its catalog shows.

        By position where the query tells how many there are, by name where it takes all columns of one table.
        """
        known = self._in_catalog(table)
        if known is None:
            return relation
        if not relation.rest and not relation.anything:
            if not relation.columns:
                relation = Relation(columns=dict.fromkeys(known, NOTHING), indirect=relation.indirect)
            if len(known) != len(relation.columns):
                return relation
            return _typed(relation.renamed(known), known)
        if len(relation.rest) != 1 or relation.anything or any(map(_unnamed, relation.columns)):
            return relation
        if len(relation.rest[0]) == 1 and not relation.columns and relation.rest[0][0].namespace != IN_MEMORY:
            self._learn(relation.rest[0][0], table)
        columns = {name: relation.column(name) or NOTHING for name in known}
        return _typed(Relation(columns=columns, indirect=relation.indirect), known)

    def _learn(self, source: Table, table: Table) -> None:
        schema = self.knowledge.of_table(table, self.defined[table])
        if schema is not None and source not in self.knowledge.schemas:
            self.learned[source] = schema

    def _lifecycle(self, table: Table, now: str) -> str:
        before = self.outputs.get(table)
        if before is None or before.lifecycle is None:
            return now
        if before.lifecycle == "DROP":
            return "OVERWRITE"
        return before.lifecycle if before.lifecycle in ("CREATE", "OVERWRITE") else now

    def _created(self, table: Table) -> bool:
        return table in self.outputs and self.outputs[table].created

    def _dropped(self, table: Table) -> bool:
        return table in self.outputs and self.outputs[table].lifecycle == "DROP"


def _typed(relation: Relation, known: Schema) -> Relation:
    """With the catalog's types: what a query gives is for the database to say."""
    types = {name: kind for name, kind in known.items() if kind}
    return attrs.evolve(relation, types={**relation.types, **types})


def _unnamed(column: str) -> bool:
    return column.startswith(UNNAMED)


def _swap_keys(known: dict[Table, _Known], one: Table, other: Table) -> None:
    first, second = known.pop(one, None), known.pop(other, None)
    if first is not None:
        known[other] = first
    if second is not None:
        known[one] = second
