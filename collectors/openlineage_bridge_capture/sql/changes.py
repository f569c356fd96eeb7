"""Statements that change rows of a table, UPDATE, DELETE and MERGE of every dialect → their effects.

The target is not itself an input: the row that is changed is not a source of data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import attrs
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

THE_TARGET = Table(IN_MEMORY, "the row that is changed")
"""Stands for the target's own columns in SET and WHERE; in memory, so never reported."""


@attrs.frozen
class Changes:
    """Performs changes.

    Args:
        names: The names of the connection.
        effects: What changes.
        queries: Reads what the new values are made of.
        resolve: The table that a name means.
    """

    names: Names
    effects: Effects
    queries: Queries
    resolve: Callable[[exp.Table], Table | None]

    def update(self, node: exp.Update, ctes: Ctes) -> Relation:
        """``UPDATE`` with FROM, joins, an alias for the target, several targets; the relation is what RETURNING gives."""
        assigned = {self.names.normal(column.args.get("table")) for column in _assigned_columns(node)}
        entries = [*nested_entries(node.this), *entries_of(node)]
        # More than one table of MySQL's ``UPDATE a, b SET a.x = …, b.y = …`` may be written.
        aliases = [entry for entry, _ in entries if self._alias(entry) in assigned - {""}]
        scope, joined, targets = self._changing([node.this, *aliases], entries, ctes)
        indirect = merge(joined, self._filter(node, scope, ctes))
        for alias, target in targets.items():
            mine = [
                each
                for each in node.expressions
                if self._qualifier(each) in ({alias} if len(targets) > 1 else {alias, ""})
                or self._qualifier(each) not in targets
            ]
            self.effects.change(
                target, Relation(columns=self._assigned(mine, scope, ctes), indirect=indirect)
            )
        relation = Relation(columns=self._assigned(node.expressions, scope, ctes), indirect=indirect)
        return self.returning(node, node.this, relation, ctes)

    def delete(self, node: exp.Delete, ctes: Ctes) -> Relation:
        """``DELETE`` with USING, joins, several targets; the relation is what RETURNING gives."""
        # BigQuery and Oracle may leave FROM out, and the parser has the table elsewhere then.
        mine = list(nested_entries(node.this)) if isinstance(node.this, exp.Table) else []
        used = [entry for each in node.args.get("using") or [] for entry in nested_entries(each)]
        # MySQL: DELETE a, b FROM a JOIN b JOIN c; DELETE FROM a, b USING a JOIN b JOIN c.
        named = node.args.get("tables") or [entry for entry, _ in mine]
        scope, joined, targets = self._changing(named, [*mine, *used], ctes)
        relation = Relation(indirect=merge(joined, self._filter(node, scope, ctes)))
        for target in targets.values():
            self.effects.change(target, relation)
        return self.returning(node, named[0], Relation(), ctes)

    def merge(self, node: exp.Merge, ctes: Ctes) -> None:
        """``MERGE``: all that its branches write."""
        target = self.resolve(node.this)
        scope, _ = self.queries.scope(nested_entries(node.args["using"]), ctes)
        source = next(iter(scope.sources.values()))
        # Sources first: an unqualified name in VALUES is a column of the source.
        inserted = Scope(dict(scope.sources))
        scope = self._with_target(node.this, scope)
        columns: dict[str, Sources] = {}
        for when in node.args["whens"].expressions:
            then = when.args.get("then")
            inside = inserted if isinstance(then, exp.Insert) else scope
            for name, sources in self._merged(then, source, inside, ctes).items():
                columns[name] = merge(columns.get(name, NOTHING), sources)
        on = through(JOIN, self.queries.expressions(ctes).sources(node.args.get("on") or None, scope))
        if target is not None:
            self.effects.change(target, Relation(columns=columns, indirect=merge(source.indirect, on)))

    def returning(self, node: exp.Expr, named: exp.Table, relation: Relation, ctes: Ctes) -> Relation:
        """What ``RETURNING`` gives of the rows that were written."""
        clause = node.args.get("returning")
        if clause is None:
            return Relation()
        scope = Scope({self.names.normal(_alias_or_name(named)): relation})
        return self.queries.items(clause.expressions, scope, ctes)

    def _changing(
        self, named: list[exp.Expr], entries: list[tuple[exp.Expr, exp.Join | None]], ctes: Ctes
    ) -> tuple[Scope, Sources, dict[str, Table]]:
        """The scope of a statement that changes rows, what its joins depend on, and the tables that it changes.

        A target may be named by its alias in FROM (``UPDATE p SET … FROM products p``).
        """
        aliases = dict.fromkeys(self._alias(each) for each in named)
        behind = {self._alias(each): each for each in named if isinstance(each, exp.Table)}
        behind |= {self._alias(entry): entry for entry in _tables(reversed(entries))}
        behind |= {self._alias(entry): entry for entry in _tables(entries) if entry.args.get("alias")}
        places = {alias: self.resolve(behind[alias]) for alias in aliases}
        known = {alias: Relation(rest=((THE_TARGET,),)) for alias in aliases}
        others = [(entry, join) for entry, join in entries if self._alias(entry) not in aliases]
        scope, joined = self.queries.scope(others, ctes, known=known)
        conditions = [
            through(JOIN, self.queries.expressions(ctes).sources(join.args.get("on"), scope))
            for entry, join in entries
            if join is not None and self._alias(entry) in aliases
        ]
        targets = {alias: place for alias, place in places.items() if place is not None}
        return scope, merge(joined, *conditions), targets

    def _alias(self, entry: exp.Expr) -> str:
        return self.names.normal(_alias_or_name(entry)) if isinstance(entry, exp.Table) else ""

    def _qualifier(self, assignment: exp.Expr) -> str:
        return self.names.normal(assignment.this.args.get("table")) if assignment.this else ""

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
            if isinstance(value, exp.Tuple):
                made_of = [read(each, scope) for each in value.expressions]
            elif isinstance(value, exp.Subquery) and len(targets) > 1:
                row = self.queries.relation(value.this, ctes, scope)
                made_of = [merge(each, row.indirect) for each in row.columns.values()]
            else:
                made_of = [read(value, scope)] * len(targets)
            for column, sources in zip(targets, made_of, strict=False):
                columns[self.names.normal(_identifier(column))] = sources
        return columns

    def _filter(self, node: exp.Expr, scope: Scope, ctes: Ctes) -> Sources:
        return through(FILTER, self.queries.expressions(ctes).sources(node.args.get("where"), scope))

    def _with_target(self, named: exp.Table, scope: Scope) -> Scope:
        """The scope with the target in it, so that its columns are not taken for somebody else's."""
        name = self.names.normal(_alias_or_name(named))
        return Scope({**scope.sources, name: Relation(rest=((THE_TARGET,),))}, scope.parent)


def _assigned_columns(node: exp.Update) -> Iterable[exp.Column]:
    """The columns on the left of SET."""
    for assignment in node.expressions:
        inner = assignment.this
        yield from inner.find_all(exp.Column) if inner is not None else ()


def _identifier(node: exp.Expr) -> exp.Expr:
    return node.this if isinstance(node, exp.Column) else node


def _alias_or_name(named: exp.Table) -> exp.Expr:
    alias = named.args.get("alias")
    inner: exp.Expr = alias.this if isinstance(alias, exp.TableAlias) and alias.this else named.this
    return inner


def _tables(entries: Iterable[tuple[exp.Expr, exp.Join | None]]) -> Iterator[exp.Table]:
    return (entry for entry, _ in entries if isinstance(entry, exp.Table))
