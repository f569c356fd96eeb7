"""One statement → its effects, one function per kind of statement.

What counts as written data: ``CREATE … AS``, ``INSERT``, ``COPY … FROM``. Reading such a table later in the run reads the
run's own work, so it is no input. ``UPDATE``, ``DELETE`` and ``MERGE`` change a table that others filled: it is an output, and
still an input of whoever reads it afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import attrs
from sqlglot import exp

from openlineage_bridge_capture.sql.changes import Changes
from openlineage_bridge_capture.sql.columns import Scope
from openlineage_bridge_capture.sql.effects import Effects
from openlineage_bridge_capture.sql.functions import file_arguments, is_stage, stage_path
from openlineage_bridge_capture.sql.locations import file_format, locations
from openlineage_bridge_capture.sql.queries import Ctes, Queries
from openlineage_bridge_capture.sql.relations import (
    FILTER,
    UNNAMED,
    Relation,
    Table,
    merge,
    through,
)
from openlineage_bridge_capture.sql.tables import IN_MEMORY, Names
from openlineage_bridge_capture.sql.transfers import Transfers

DATA_KINDS = frozenset({"TABLE", "VIEW"})
"""What CREATE, DROP and ALTER may be about that holds data."""

EMPTY = Table(IN_MEMORY, "nothing yet")
"""Stands for the rows of a new table of unknown columns; in memory, so never reported."""


class Performer:
    """Performs statements: each changes the effects and the names that the next one sees."""

    def __init__(self, names: Names, effects: Effects) -> None:
        self.names = names
        self.effects = effects
        self.queries = Queries(names, self._read, self._read_file, self.perform)
        self._changes = Changes(names, effects, self.queries, self._resolve)
        self._transfers = Transfers(names, effects, self.queries, self._resolve)

    def perform(self, node: exp.Expr, ctes: Ctes) -> Relation:
        """Perform a statement, or a part of one; the relation is what a query or ``RETURNING`` gives."""
        if isinstance(node, exp.Query):
            return self._query(node, ctes)
        handle = self._HANDLERS.get(type(node))
        return (handle(self, node, self.queries.with_ctes(node, ctes)) if handle else None) or Relation()

    def _query(self, node: exp.Expr, ctes: Ctes) -> Relation:
        relation = self.queries.relation(node, ctes)
        into = node.args.get("into")
        if into is not None and isinstance(into.this, exp.Table):
            self._made(into.this, relation, temporary=bool(into.args.get("temporary")))
        return relation

    def _made(self, named: exp.Table, relation: Relation, *, temporary: bool) -> None:
        target = self._created_table(named, temporary=temporary)
        if target is not None:
            self.effects.create(target, relation, replace=False, certain=True)

    def _create(self, node: exp.Create, ctes: Ctes) -> None:
        if node.kind == "STAGE":
            self._stage(node)
        if node.kind not in DATA_KINDS:
            return
        named, columns = _target(node.this)
        # The query comes first: in CREATE TEMP TABLE t AS SELECT … FROM t the second t is the permanent one.
        relation = self._content(node, ctes)
        temporary = _is_temporary(node)
        target = self._created_table(named, temporary=temporary)
        if target is None:
            return
        replace, certain = bool(node.args.get("replace")), temporary or not node.args.get("exists")
        if relation is None:
            self._declare(target, self._columns_of(node, columns), replace=replace, certain=certain)
        else:
            relation = relation.renamed([self.names.normal(_identifier(column)) for column in columns])
            self.effects.create(target, relation, replace=replace, certain=certain)
            self._fill_target_of_view(node, relation)
        self._locate(node, target)

    def _locate(self, node: exp.Create, target: Table) -> None:
        """Note where an external table, or one with a location of its own, keeps its data."""
        output, properties = self.effects.outputs.get(target), node.args.get("properties")
        if output is None or properties is None:
            return
        paths = [
            stage_path(path, self.effects.stages) if path[:1] == "@" else path
            for path in locations(properties)
        ]
        output.locations = tuple(self.names.file(path) for path in paths if path)
        output.file_format = file_format(properties) if output.locations else None

    def _content(self, node: exp.Create, ctes: Ctes) -> Relation | None:
        """What a new table holds: a query, another table's rows, files; None when it starts empty."""
        query, clone = node.args.get("expression"), node.args.get("clone")
        if isinstance(query, exp.Table) and self.names.dialect == "clickhouse":
            # CREATE TABLE a AS b takes the columns and no rows.
            return Relation(rest=((EMPTY,),))
        if query is not None:
            return self.queries.relation(query, ctes)
        if clone is not None:
            return self._read(clone.this)
        properties = node.args.get("properties")
        paths = [
            each.args["value"].name
            for each in (properties.find_all(exp.Property) if properties and _is_temporary(node) else ())
            if each.name.lower() == "path"
        ]
        return self._read_file(paths[0]) if paths else None

    def _fill_target_of_view(self, node: exp.Create, relation: Relation) -> None:
        """ClickHouse's ``CREATE MATERIALIZED VIEW … TO target`` writes to the target."""
        properties = node.args.get("properties")
        to = properties.find(exp.ToTableProperty) if properties else None
        target = self._resolve(to.this) if to is not None else None
        if target is not None:
            self.effects.append(target, relation)

    def _stage(self, node: exp.Create) -> None:
        """Snowflake's ``CREATE STAGE … URL = '…'`` says where a stage is."""
        properties = node.args.get("properties")
        for each in properties.expressions if properties else ():
            if each.name.upper() == "URL":
                self.effects.stages[node.this.name.upper()] = each.args["value"].name

    def _columns_of(self, node: exp.Create, columns: list[exp.Expr]) -> dict[str, str | None] | None:
        """The columns of a table made from definitions or ``LIKE`` another one; None when they are not known."""
        like = node.find(exp.LikeProperty)
        if like is None:
            return self._schema(column for column in columns if isinstance(column, exp.ColumnDef))
        model = self._resolve(like.this)
        known = self.effects.columns_of(model) if model is not None else None
        return dict(known) if known else None

    def _declare(
        self, target: Table, schema: dict[str, str | None] | None, *, replace: bool, certain: bool
    ) -> None:
        if schema:
            self.effects.declare(target, schema, replace=replace, certain=certain)
        elif certain:
            # Relation() would be a table that is known to have no columns.
            self.effects.create_empty(target, Relation(rest=((EMPTY,),)), replace=replace)

    def _schema(self, definitions: Iterable[exp.ColumnDef]) -> dict[str, str | None]:
        return {
            self.names.normal(column.this): column.kind.sql(self.names.dialect) if column.kind else None
            for column in definitions
        }

    def _insert(self, node: exp.Insert, ctes: Ctes) -> Relation:
        if node.args.get("expression") is None:
            target = self._resolve(node.this) if node.args.get("default") else None
            if target is not None:
                self.effects.append(target, Relation())
            return Relation()
        relation = self.queries.relation(node.expression, ctes)
        if isinstance(node.this, (exp.Directory, exp.Func)):
            return self._insert_into_file(node.this, relation)
        named, columns = _target(node.this)
        target = self._resolve(named)
        if target is None:
            return relation
        relation = self._aligned(relation, target, columns, by_name=bool(node.args.get("by_name")))
        write = self.effects.overwrite if node.args.get("overwrite") else self.effects.append
        write(target, relation)
        return self._changes.returning(node, named, relation, ctes)

    def _insert_into_file(self, place: exp.Expr, relation: Relation) -> Relation:
        """``INSERT OVERWRITE DIRECTORY 'path'`` and ClickHouse's ``INSERT INTO FUNCTION s3('path')``."""
        paths = [place.this.name] if isinstance(place, exp.Directory) else list(file_arguments(place))
        for path in paths:
            self.effects.overwrite(self.effects.file(self.names.file(path)), relation)
        return relation

    def _insert_many(self, node: exp.MultitableInserts, ctes: Ctes) -> None:
        """``INSERT ALL`` and ``INSERT FIRST`` (Snowflake, Oracle), and Spark's ``FROM t INSERT … INSERT …``."""
        source = node.args["source"]
        for each in node.expressions:
            insert = each.this if isinstance(each, exp.ConditionalInsert) else each
            if isinstance(insert.args.get("expression"), exp.Select):
                whole = insert.copy()
                whole.expression.set("from_", exp.From(this=source.copy()))
                self._insert(whole, ctes)
            else:
                self._insert_row(each, insert, self.queries.relation(source, ctes), ctes)

    def _insert_row(self, each: exp.Expr, insert: exp.Insert, source: Relation, ctes: Ctes) -> None:
        named, columns = _target(insert.this)
        target = self._resolve(named)
        if target is None:
            return
        read, scope = self.queries.expressions(ctes).sources, Scope({"": source})
        condition = each.args.get("expression") if isinstance(each, exp.ConditionalInsert) else None
        indirect = merge(source.indirect, through(FILTER, read(condition, scope)))
        relation = source
        values = insert.args.get("expression")
        if values is not None:
            made_of = [read(value, scope) for value in values.expressions[0].expressions]
            relation = Relation(
                columns={f"{UNNAMED}{index}": sources for index, sources in enumerate(made_of)}
            )
        relation = self._aligned(relation, target, columns, by_name=False)
        self.effects.append(target, attrs.evolve(relation, indirect=indirect))

    def _aligned(
        self, relation: Relation, target: Table, columns: list[exp.Expr], *, by_name: bool
    ) -> Relation:
        """The inserted columns under the names of the target's: the list if there is one, else its known columns."""
        wanted = [self.names.normal(_identifier(column)) for column in columns]
        if not wanted and not by_name:
            wanted = list(self.effects.columns_of(target) or ())
        if relation.rest or not wanted:
            return relation
        return relation.renamed(wanted[: len(relation.columns)])

    def _update(self, node: exp.Update, ctes: Ctes) -> Relation:
        return self._changes.update(node, ctes)

    def _delete(self, node: exp.Delete, ctes: Ctes) -> Relation:
        return self._changes.delete(node, ctes)

    def _merge(self, node: exp.Merge, ctes: Ctes) -> None:
        self._changes.merge(node, ctes)

    def _copy(self, node: exp.Copy, ctes: Ctes) -> None:
        self._transfers.copy(node, ctes)

    def _export(self, node: exp.Export, ctes: Ctes) -> None:
        self._transfers.export(node, ctes)

    def _load(self, node: exp.LoadData, ctes: Ctes) -> None:
        self._transfers.load(node, ctes)

    def _refresh(self, node: exp.Refresh, _ctes: Ctes) -> None:
        target = self._resolve(node.this) if "VIEW" in node.text("kind") else None
        if target is not None:
            # What the view selects was said when it was made.
            self.effects.read_elsewhere()
            self.effects.change(target, Relation())

    def _drop(self, node: exp.Drop, _ctes: Ctes) -> None:
        if node.kind not in DATA_KINDS:
            return
        for named in node.args.get("tables") or [node.this]:
            target = self._resolve(named)
            if target is not None:
                self.effects.drop(target)

    def _truncate(self, node: exp.TruncateTable, _ctes: Ctes) -> None:
        for named in node.expressions:
            target = self._resolve(named)
            if target is not None:
                self.effects.truncate(target)

    def _alter(self, node: exp.Alter, _ctes: Ctes) -> None:
        target = self._resolve(node.this) if node.kind in DATA_KINDS else None
        if target is None:
            return
        actions = node.args.get("actions") or []
        swaps = [action for action in actions if isinstance(action, exp.SwapTable)]
        other = self._resolve(swaps[0].this) if swaps else None
        if other is not None:
            self.effects.swap(target, other)
            return
        renames = [action for action in actions if isinstance(action, exp.AlterRename)]
        if renames:
            self.effects.rename(target, self._beside(node.this, renames[0].this))
            return
        added = [action for action in actions if isinstance(action, exp.ColumnDef)]
        self.effects.alter(target, self._schema(added) if len(added) == len(actions) else None)

    def _beside(self, old: exp.Table, new: exp.Table) -> Table:
        """What ``RENAME TO name`` means: the same place, another name."""
        moved = old.copy()
        moved.set("this", new.this.copy())
        target = self._resolve(moved)
        return target or self.names.temporary(moved)

    def _use(self, node: exp.Use, _ctes: Ctes) -> None:
        kind = node.text("kind").upper()
        if isinstance(node.this, exp.Table) and kind not in {"ROLE", "SECONDARY ROLES", "WAREHOUSE"}:
            self.names.use(node.this, kind)

    def _read(self, named: exp.Table) -> Relation:
        if is_stage(named.this):
            path = stage_path(named.this.name, self.effects.stages)
            return self._read_file(path) if path else self._read_elsewhere()
        target = self._resolve(named)
        if target is None:
            return self._read_elsewhere() if self.names.is_data_frame(named) else Relation()
        return self.effects.read(target)

    def _read_elsewhere(self) -> Relation:
        self.effects.read_elsewhere()
        return Relation()

    def _read_file(self, path: str | None, file_format: str | None = None) -> Relation:
        if path is None:
            return self._read_elsewhere()
        return self.effects.read(self.effects.file(self.names.file(path), file_format))

    def _resolve(self, named: exp.Table) -> Table | None:
        """The table a name means here: a temporary one of this run hides one of the database."""
        named = self.names.plain(named)
        if not isinstance(named.this, exp.Identifier):
            return None
        temporary = self.names.temporary(named)
        unqualified = not named.args.get("db")
        if self.names.is_temporary_schema(named) or (unqualified and temporary in self.effects.relations):
            return temporary
        found = self.names.resolve(named)
        if found is not None and self.names.is_file(named):
            self.effects.file(found, named.db.lower() or None)
        return found

    def _created_table(self, named: exp.Table, *, temporary: bool) -> Table | None:
        if temporary or self.names.is_temporary_schema(named):
            return self.names.temporary(named)
        return self.names.resolve(named)

    _HANDLERS: ClassVar[dict[type[exp.Expr], Callable[[Performer, Any, Ctes], Relation | None]]] = {
        exp.Alter: _alter,
        exp.Copy: _copy,
        exp.Create: _create,
        exp.Delete: _delete,
        exp.Drop: _drop,
        exp.Export: _export,
        exp.Insert: _insert,
        exp.LoadData: _load,
        exp.Merge: _merge,
        exp.MultitableInserts: _insert_many,
        exp.Pivot: _query,
        exp.Refresh: _refresh,
        exp.TruncateTable: _truncate,
        exp.Update: _update,
        exp.Use: _use,
        exp.Values: _query,
    }
    """What each kind of statement does; the others (transactions, pragmas, indexes, …) do nothing to data."""


def _target(node: exp.Expr) -> tuple[exp.Table, list[exp.Expr]]:
    """The table that a statement writes, and the columns it names behind it."""
    if isinstance(node, exp.Schema):
        return node.this, node.expressions
    return node, []  # type: ignore[return-value]  # a statement that writes something else is not performed


def _identifier(node: exp.Expr) -> exp.Expr:
    return node.this if isinstance(node, (exp.Column, exp.ColumnDef)) else node


def _is_temporary(node: exp.Create) -> bool:
    properties = node.args.get("properties")
    return bool(properties and properties.find(exp.TemporaryProperty))
