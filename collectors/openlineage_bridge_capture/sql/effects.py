"""What the statements of a run did so far: what was read and written, and what is known of the tables on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import attrs

from openlineage_bridge_capture.sql.relations import (
    IDENTITY,
    NOTHING,
    UNNAMED,
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
    """

    columns: dict[str, Sources] = attrs.field(factory=dict)
    indirect: Sources = attrs.field(factory=dict)
    schema: dict[str, str | None] | None = None
    lifecycle: str | None = None
    previous: Table | None = None
    created: bool = False

    def add(self, relation: Relation) -> None:
        """More rows, made of this."""
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
        mentions: How many reads and writes there were.
    """

    inputs: dict[Table, None] = attrs.field(factory=dict)
    outputs: dict[Table, Output] = attrs.field(factory=dict)
    relations: dict[Table, Relation] = attrs.field(factory=dict)
    schemas: dict[Table, dict[str, str | None]] = attrs.field(factory=dict)
    spelling: dict[str, str] = attrs.field(factory=dict)
    stages: dict[str, str] = attrs.field(factory=dict)
    mentions: int = 0

    def read(self, table: Table) -> Relation:
        """A table is read: an input, unless the run itself produced what is in it."""
        self.mentions += 1
        if table in self.relations:
            return self.relations[table]
        if table.namespace == IN_MEMORY:
            return Relation()
        self.inputs[table] = None
        known = self.schemas.get(table)
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
        self.mentions += 1
        output = Output(created=True)
        output.add(relation)
        output.lifecycle = self._lifecycle(table, "OVERWRITE" if replace else "CREATE") if certain else None
        if relation.complete:
            output.schema = {name: relation.types.get(name) for name in relation.columns}
            self.schemas[table] = output.schema
        self.outputs[table] = output
        self.relations[table] = relation

    def declare(
        self, table: Table, schema: Mapping[str, str | None], *, replace: bool, certain: bool
    ) -> None:
        """A table is made from column definitions; with ``IF NOT EXISTS`` it may well have been there, with data."""
        self.schemas[table] = dict(schema)
        if certain:
            empty = Relation(
                columns=dict.fromkeys(schema, NOTHING), types={n: t for n, t in schema.items() if t}
            )
            self.create(table, empty, replace=replace, certain=True)
            self.outputs[table].columns.clear()

    def append(self, table: Table, relation: Relation) -> None:
        """Rows are added to a table."""
        self.mentions += 1
        self.outputs.setdefault(table, Output()).add(relation)
        before = self.relations.get(table)
        self.relations[table] = before.beside_by_name(relation) if before else relation

    def overwrite(self, table: Table, relation: Relation) -> None:
        """The content of a table is replaced (``INSERT OVERWRITE``, a file that is written)."""
        self.mentions += 1
        output = Output(lifecycle=self._lifecycle(table, "OVERWRITE"))
        output.add(relation)
        self.outputs[table] = output
        self.relations[table] = relation

    def change(self, table: Table, relation: Relation) -> None:
        """Rows of a table are changed or deleted: what was in it before is still what it is made of."""
        self.mentions += 1
        self.outputs.setdefault(table, Output()).add(relation)
        if table in self.relations:
            self.relations[table] = self.relations[table].beside_by_name(relation)

    def truncate(self, table: Table) -> None:
        """A table is emptied; what is read from it later was put there by the run."""
        self.mentions += 1
        self.outputs[table] = Output(
            lifecycle=self._lifecycle(table, "TRUNCATE"), created=self._created(table)
        )
        self.relations[table] = Relation()

    def alter(self, table: Table, added: Mapping[str, str | None] | None) -> None:
        """The definition of a table changes: columns are added, or in a way that leaves its columns unknown."""
        self.mentions += 1
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
        self.mentions += 1
        output = self.outputs.pop(table, None)
        self.relations.pop(table, None)
        self.schemas.pop(table, None)
        if not (output and (output.created or output.previous)):
            self.outputs[table] = Output(lifecycle="DROP")

    def rename(self, old: Table, new: Table) -> None:
        """A table gets another name, and takes everything known of it along."""
        self.mentions += 1
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
        self.mentions += 1
        first, second = (self.outputs.pop(table, Output()) for table in (one, other))
        for table, content, before in ((one, second, first), (other, first, second)):
            lifecycle = before.lifecycle if before.created else "OVERWRITE"
            self.outputs[table] = attrs.evolve(content, lifecycle=lifecycle, created=before.created)
        _swap_keys(self.relations, one, other)
        _swap_keys(self.schemas, one, other)

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


def _swap_keys(known: dict[Table, _Known], one: Table, other: Table) -> None:
    first, second = known.pop(one, None), known.pop(other, None)
    if first is not None:
        known[other] = first
    if second is not None:
        known[one] = second
