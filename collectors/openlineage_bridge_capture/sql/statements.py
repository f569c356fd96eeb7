"""One statement → its effects, one function per kind of statement.

What counts as written data: ``CREATE … AS``, ``INSERT``, ``COPY … FROM``. Reading such a table later in the run reads the
run's own work, so it is no input. ``UPDATE``, ``DELETE`` and ``MERGE`` change a table that others filled: it is an output, and
still an input of whoever reads it afterwards.
The target of ``UPDATE``, ``DELETE`` and ``MERGE`` is not itself an input: the row that is changed is not a source of data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from sqlglot import exp

from openlineage_bridge_capture.sql.columns import Scope
from openlineage_bridge_capture.sql.effects import Effects
from openlineage_bridge_capture.sql.queries import Ctes, Queries, entries_of, nested_entries
from openlineage_bridge_capture.sql.relations import (
    FILTER,
    JOIN,
    NOTHING,
    Relation,
    Sources,
    Table,
    merge,
    through,
)
from openlineage_bridge_capture.sql.tables import IN_MEMORY, Names

DATA_KINDS = frozenset({"TABLE", "VIEW"})
"""What CREATE, DROP and ALTER may be about that holds data."""

STANDARD_STREAMS = frozenset({"stdin", "stdout", "/dev/stdin", "/dev/stdout"})
"""What COPY reads or writes when it is the client's own stream."""


THE_TARGET = Table(IN_MEMORY, "the row that is changed")
"""Stands for the target's own columns in SET and WHERE; in memory, so never reported."""


class Performer:
    """Performs statements: each changes the effects and the names that the next one sees."""

    def __init__(self, names: Names, effects: Effects) -> None:
        self.names = names
        self.effects = effects
        self.queries = Queries(names, self._read, self._read_file, self.perform)

    def perform(self, node: exp.Expr, ctes: Ctes) -> Relation:
        """Perform one statement; the relation is what a query or ``RETURNING`` gives."""
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
        if node.kind not in DATA_KINDS:
            return
        named, columns = _target(node.this)
        query = node.args.get("expression")
        # The query comes first: in CREATE TEMP TABLE t AS SELECT … FROM t the second t is the permanent one.
        relation = self.queries.relation(query, ctes) if query is not None else None
        temporary = _is_temporary(node)
        target = self._created_table(named, temporary=temporary)
        if target is None:
            return
        replace, certain = bool(node.args.get("replace")), temporary or not node.args.get("exists")
        if relation is None:
            self._declare(target, columns, replace=replace, certain=certain)
        else:
            relation = relation.renamed([self.names.normal(_identifier(column)) for column in columns])
            self.effects.create(target, relation, replace=replace, certain=certain)

    def _declare(self, target: Table, columns: list[exp.Expr], *, replace: bool, certain: bool) -> None:
        definitions = [column for column in columns if isinstance(column, exp.ColumnDef)]
        self.effects.declare(target, self._schema(definitions), replace=replace, certain=certain)

    def _schema(self, definitions: Iterable[exp.ColumnDef]) -> dict[str, str | None]:
        return {
            self.names.normal(column.this): column.kind.sql(self.names.dialect) if column.kind else None
            for column in definitions
        }

    def _insert(self, node: exp.Insert, ctes: Ctes) -> Relation:
        if isinstance(node.this, exp.Directory) or node.args.get("expression") is None:
            return Relation()
        named, columns = _target(node.this)
        relation = self.queries.relation(node.expression, ctes)
        target = self._resolve(named)
        if target is None:
            return relation
        relation = self._aligned(relation, target, columns, by_name=bool(node.args.get("by_name")))
        write = self.effects.overwrite if node.args.get("overwrite") else self.effects.append
        write(target, relation)
        return self._returning(node, named, relation, ctes)

    def _aligned(
        self, relation: Relation, target: Table, columns: list[exp.Expr], *, by_name: bool
    ) -> Relation:
        """The inserted columns under the names of the target's: the list if there is one, else its known columns."""
        wanted = [self.names.normal(_identifier(column)) for column in columns]
        if not wanted and not by_name:
            wanted = list(self.effects.schemas.get(target, ()))
        if relation.rest or not wanted:
            return relation
        return relation.renamed(wanted[: len(relation.columns)])

    def _returning(self, node: exp.Expr, named: exp.Table, relation: Relation, ctes: Ctes) -> Relation:
        clause = node.args.get("returning")
        if clause is None:
            return Relation()
        scope = Scope({self.names.normal(_alias_or_name(named)): relation})
        return self.queries.items(clause.expressions, scope, ctes)

    def _update(self, node: exp.Update, ctes: Ctes) -> Relation:
        target = self._resolve(node.this)
        scope, joined = self.queries.scope(entries_of(node), ctes)
        scope = self._with_target(node.this, scope)
        relation = Relation(
            columns=self._assigned(node.expressions, scope, ctes),
            indirect=merge(joined, self._filter(node, scope, ctes)),
        )
        if target is not None:
            self.effects.change(target, relation)
        return self._returning(node, node.this, relation, ctes)

    def _delete(self, node: exp.Delete, ctes: Ctes) -> Relation:
        target = self._resolve(node.this)
        entries = [entry for each in node.args.get("using") or [] for entry in nested_entries(each)]
        scope, joined = self.queries.scope(entries, ctes)
        scope = self._with_target(node.this, scope)
        relation = Relation(indirect=merge(joined, self._filter(node, scope, ctes)))
        if target is not None:
            self.effects.change(target, relation)
        return self._returning(node, node.this, Relation(), ctes)

    def _merge(self, node: exp.Merge, ctes: Ctes) -> None:
        target = self._resolve(node.this)
        scope, _ = self.queries.scope(nested_entries(node.args["using"]), ctes)
        source = next(iter(scope.sources.values()))
        scope = self._with_target(node.this, scope)
        columns: dict[str, Sources] = {}
        for when in node.args["whens"].expressions:
            for name, sources in self._merged(when.args.get("then"), source, scope, ctes).items():
                columns[name] = merge(columns.get(name, NOTHING), sources)
        on = through(JOIN, self.queries.expressions(ctes).sources(node.args.get("on") or None, scope))
        if target is not None:
            self.effects.change(target, Relation(columns=columns, indirect=merge(source.indirect, on)))

    def _merged(
        self, then: exp.Expr | None, source: Relation, scope: Scope, ctes: Ctes
    ) -> dict[str, Sources]:
        """What one WHEN writes: ``UPDATE SET …``, ``INSERT (…) VALUES (…)``, or every column of the source."""
        if isinstance(then, exp.Update):
            assignments = then.args.get("expressions")
            return (
                self._assigned(assignments, scope, ctes)
                if isinstance(assignments, list)
                else dict(source.columns)
            )
        if isinstance(then, exp.Insert):
            values = then.args.get("expression")
            if not isinstance(values, exp.Tuple) or not isinstance(then.this, exp.Tuple):
                return dict(source.columns)
            read = self.queries.expressions(ctes).sources
            pairs = zip(then.this.expressions, values.expressions, strict=False)
            return {self.names.normal(_identifier(column)): read(value, scope) for column, value in pairs}
        return {}

    def _assigned(self, assignments: Iterable[exp.Expr], scope: Scope, ctes: Ctes) -> dict[str, Sources]:
        """What ``SET a = …, (b, c) = (…)`` makes of each column."""
        columns: dict[str, Sources] = {}
        read = self.queries.expressions(ctes).sources
        for assignment in assignments:
            targets = (
                assignment.this.expressions if isinstance(assignment.this, exp.Tuple) else [assignment.this]
            )
            value = assignment.expression
            values = value.expressions if isinstance(value, exp.Tuple) else [value] * len(targets)
            for column, each in zip(targets, values, strict=False):
                columns[self.names.normal(_identifier(column))] = read(each, scope)
        return columns

    def _filter(self, node: exp.Expr, scope: Scope, ctes: Ctes) -> Sources:
        return through(FILTER, self.queries.expressions(ctes).sources(node.args.get("where"), scope))

    def _with_target(self, named: exp.Table, scope: Scope) -> Scope:
        """The scope with the target in it, so that its columns are not taken for somebody else's."""
        name = self.names.normal(_alias_or_name(named))
        return Scope({**scope.sources, name: Relation(rest=((THE_TARGET,),))}, scope.parent)

    def _copy(self, node: exp.Copy, ctes: Ctes) -> None:
        paths = [
            each.name for each in node.args.get("files") or [] if each.name.lower() not in STANDARD_STREAMS
        ]
        named, columns = _target(node.this)
        if node.args.get("kind"):
            self._copy_in(named, columns, paths)
        else:
            relation = self._copied(node.this, named, columns, ctes)
            for path in paths:
                self.effects.overwrite(self.names.file(path), relation)

    def _copy_in(self, named: exp.Table, columns: list[exp.Expr], paths: list[str]) -> None:
        relations = [self._read_file(path) for path in paths]
        target = self._resolve(named)
        if target is None:
            return
        wanted = [self.names.normal(_identifier(column)) for column in columns]
        wanted = wanted or list(self.effects.schemas.get(target, ()))
        made_of = {name: merge(*(each.column(name) or NOTHING for each in relations)) for name in wanted}
        rest = tuple(group for relation in relations for group in relation.rest)
        self.effects.append(target, Relation(columns=made_of) if wanted else Relation(rest=rest))

    def _copied(self, what: exp.Expr, named: exp.Table, columns: list[exp.Expr], ctes: Ctes) -> Relation:
        if not isinstance(what, (exp.Table, exp.Schema)):
            return self.queries.relation(what, ctes)
        relation = self._read(named)
        wanted = [self.names.normal(_identifier(column)) for column in columns]
        if not wanted:
            return relation
        return Relation(columns={name: relation.column(name) or NOTHING for name in wanted})

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
        if isinstance(node.this, exp.Table):
            self.names.use(node.this)

    def _set(self, node: exp.Set, _ctes: Ctes) -> None:
        """``SET schema = 'x'`` and ``SET search_path = 'x'`` are a ``USE`` of the first schema named."""
        for item in node.expressions:
            assignment = item.this
            if isinstance(assignment, exp.EQ) and assignment.this.name.lower() in {"schema", "search_path"}:
                first = assignment.expression.name.split(",")[0].strip()
                self.names.use(exp.to_table(first, dialect=self.names.dialect))

    def _read(self, named: exp.Table) -> Relation:
        target = self._resolve(named)
        return self.effects.read(target) if target is not None else Relation()

    def _read_file(self, path: str) -> Relation:
        return self.effects.read(self.names.file(path))

    def _resolve(self, named: exp.Table) -> Table | None:
        """The table a name means here: a temporary one of this run hides one of the database."""
        if not isinstance(named.this, exp.Identifier):
            return None
        temporary = self.names.temporary(named)
        unqualified = not named.args.get("db")
        if self.names.is_temporary_schema(named) or (unqualified and temporary in self.effects.relations):
            return temporary
        return self.names.resolve(named)

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
        exp.Insert: _insert,
        exp.Merge: _merge,
        exp.Pivot: _query,
        exp.Set: _set,
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


def _alias_or_name(named: exp.Table) -> exp.Expr:
    alias = named.args.get("alias")
    inner: exp.Expr = alias.this if isinstance(alias, exp.TableAlias) and alias.this else named.this
    return inner


def _is_temporary(node: exp.Create) -> bool:
    properties = node.args.get("properties")
    return bool(properties and properties.find(exp.TemporaryProperty))
