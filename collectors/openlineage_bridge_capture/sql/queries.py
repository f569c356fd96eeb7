"""A query → a relation: what each of its columns is made of, and what its rows depend on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping

import attrs
from sqlglot import exp

from openlineage_bridge_capture.sql import relations
from openlineage_bridge_capture.sql.columns import Expressions, Scope, parts_of
from openlineage_bridge_capture.sql.functions import (
    FILE_FUNCTIONS,
    file_arguments,
    function_name,
    is_stage,
)
from openlineage_bridge_capture.sql.relations import (
    FILTER,
    NOTHING,
    TRANSFORMATION,
    UNNAMED,
    Relation,
    Sources,
    merge,
    through,
)
from openlineage_bridge_capture.sql.tables import Names

Ctes = Mapping[str, Relation]
Entries = Iterable[tuple[exp.Expr, exp.Join | None]]

_QUERIES = (exp.Select, exp.SetOperation, exp.Subquery, exp.Paren, exp.Table, exp.Values, exp.Pivot)

ROW_CLAUSES = (
    ("prewhere", relations.FILTER),
    ("where", relations.FILTER),
    ("having", relations.FILTER),
    ("qualify", relations.FILTER),
    ("group", relations.GROUP_BY),
    ("order", relations.SORT),
)
"""Clauses that decide which rows there are and in what order, and how columnLineage calls that."""


@attrs.frozen
class Queries:
    """Reads queries.

    Args:
        names: The names of the connection.
        read: Gives the relation of a table, and notes that it was read.
        read_file: The same for a file, by path and format; None for what the text does not tell.
        perform: Performs a statement that stands where a query may (``WITH x AS (INSERT … RETURNING …)``).
    """

    names: Names
    read: Callable[[exp.Table], Relation]
    read_file: Callable[[str | None, str | None], Relation]
    perform: Callable[[exp.Expr, Ctes], Relation]

    def relation(self, node: exp.Expr, ctes: Ctes, parent: Scope | None = None) -> Relation:
        """What a query gives."""
        if not isinstance(node, _QUERIES):
            return self.perform(node, ctes)
        ctes = self.with_ctes(node, ctes, parent)
        if isinstance(node, exp.Select):
            return self._select(node, ctes, parent)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, ctes, parent)
        return self._source(node, Scope(parent=parent), ctes)[1]

    def with_ctes(self, node: exp.Expr, ctes: Ctes, parent: Scope | None = None) -> Ctes:
        """The CTEs that hold inside this node: those around it and its own, each of which sees the earlier ones."""
        clause = node.args.get("with_")
        if clause is None:
            return ctes
        known = dict(ctes)
        for cte in clause.expressions:
            if cte.args.get("scalar"):
                continue
            name = self.names.normal(cte.args["alias"].this)
            if clause.args.get("recursive") and isinstance(cte.this, exp.SetOperation):
                # The recursive branch sees what the other one gives; it adds reads, and its columns come round again.
                known[name] = self._renamed(self.relation(cte.this.this, known, parent), cte)
            known[name] = self._renamed(self.relation(cte.this, known, parent), cte)
        return known

    def expressions(self, ctes: Ctes) -> Expressions:
        """A reader of expressions whose subqueries see these CTEs."""
        return Expressions(self.names.normal, lambda node, scope: self.relation(node, ctes, scope))

    def scope(
        self,
        entries: Entries,
        ctes: Ctes,
        parent: Scope | None = None,
        known: Mapping[str, Relation] | None = None,
    ) -> tuple[Scope, Sources]:
        """The relations of FROM, JOIN and LATERAL beside those known, and what joining them depends on."""
        scope = Scope(dict(known or {}), parent)
        indirect: list[Sources] = []
        for source, join in entries:
            alias, relation = self._source(source, scope, ctes)
            alias = alias or f"{UNNAMED}{len(scope.sources)}"
            if join is not None:
                scope.left_out[alias] = self._left_out_of_star(join, relation, scope)
            scope.sources[alias] = relation
            indirect.append(relation.indirect)
            if join is not None:
                indirect.append(through(relations.JOIN, self._join_condition(join, scope, ctes)))
        return scope, merge(*indirect)

    def _left_out_of_star(self, join: exp.Join, joined: Relation, scope: Scope) -> frozenset[str]:
        """Which columns of a joined table ``*`` does not give: they are there already, or only filter."""
        if join.kind.upper() in {"SEMI", "ANTI"}:
            return frozenset(joined.columns)
        if join.method.upper() == "NATURAL":
            before = {name for relation in scope.sources.values() for name in relation.columns}
            return frozenset(before & set(joined.columns))
        return frozenset(self.names.normal(column) for column in join.args.get("using") or [])

    def _join_condition(self, join: exp.Join, scope: Scope, ctes: Ctes) -> Sources:
        using = [self.names.normal(column) for column in join.args.get("using") or []]
        shared = [
            found for name in using for relation in scope.sources.values() if (found := relation.column(name))
        ]
        return merge(self.expressions(ctes).sources(join.args.get("on"), scope), *shared)

    def _select(self, node: exp.Select, ctes: Ctes, parent: Scope | None) -> Relation:
        scope, joined = self.scope(entries_of(node), ctes, parent)
        self._name_scalars(node, scope, ctes)
        items = self.items(node.expressions, scope, ctes)
        indirect = [joined, *self._rows_depend_on(node, items, scope, ctes)]
        return attrs.evolve(items, indirect=merge(*indirect))

    def _name_scalars(self, node: exp.Select, scope: Scope, ctes: Ctes) -> None:
        """ClickHouse's ``WITH expression AS name``."""
        clause = node.args.get("with_")
        for cte in clause.expressions if clause is not None else []:
            if cte.args.get("scalar"):
                name = self.names.normal(cte.args["alias"].this)
                scope.scalars[name] = self.expressions(ctes).sources(cte.this, scope)

    def _rows_depend_on(self, node: exp.Expr, items: Relation, scope: Scope, ctes: Ctes) -> Iterator[Sources]:
        expressions = self.expressions(ctes)
        # All but WHERE may use the names that SELECT gives to its columns.
        inside = Scope({"": attrs.evolve(items, rest=(), anything={})}, scope)
        for clause, how in ROW_CLAUSES:
            for each in _parts_of_clause(node, clause):
                if isinstance(each, exp.Literal) and each.is_int:
                    yield through(how, _item(items, int(each.name)))
                else:
                    yield through(
                        how, expressions.sources(each, scope if clause in {"where", "prewhere"} else inside)
                    )

    def items(self, selected: Iterable[exp.Expr], scope: Scope, ctes: Ctes) -> Relation:
        """The columns of SELECT or RETURNING, stars expanded as far as columns are known."""
        expressions = self.expressions(ctes)
        result = Relation()
        for item in selected:
            if stars := self._star(item, scope, expressions):
                for relation in stars:
                    result = _beside_in_select(result, relation)
                continue
            name = self._name_of(item)
            if not name or name in result.columns:
                name = f"{UNNAMED}{len(result.columns)}"
            columns = {name: expressions.sources(item, scope)}
            result = _beside_in_select(
                result, Relation(columns=columns, types=self._type_of(name, item, scope))
            )
        return result

    def _star(self, item: exp.Expr, scope: Scope, expressions: Expressions) -> list[Relation]:
        """What ``*``, ``t.*`` or ``COLUMNS(*)`` stands for; empty when the item is none of them."""
        if isinstance(item, exp.Columns):
            item = item.this
        if isinstance(item, exp.Star):
            star, of = item, list(scope.in_star())
        elif isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
            star, of = (
                item.this,
                [
                    scope.sources[name]
                    for name in [self.names.normal(item.args["table"])]
                    if name in scope.sources
                ],
            )
        else:
            return []
        return [self._changed_star(star, relation, scope, expressions) for relation in of]

    def _changed_star(
        self, star: exp.Star, relation: Relation, scope: Scope, expressions: Expressions
    ) -> Relation:
        """The columns of one source after EXCLUDE, REPLACE and RENAME."""
        excluded = {self.names.normal(_identifier(each)) for each in star.args.get("except_") or []}
        replaced = {
            self.names.normal(each.args["alias"]): each.this for each in star.args.get("replace") or []
        }
        renamed = {
            self.names.normal(_identifier(each.this)): self.names.normal(each.args["alias"])
            for each in star.args.get("rename") or []
        }
        columns = {
            renamed.get(name, name): expressions.sources(replaced[name], scope)
            if name in replaced
            else sources
            for name, sources in relation.columns.items()
            if name not in excluded
        }
        if relation.rest:
            columns |= {name: expressions.sources(value, scope) for name, value in replaced.items()}
        types = {
            renamed.get(name, name): kind for name, kind in relation.types.items() if name not in replaced
        }
        return attrs.evolve(relation, columns=columns, types=types, indirect={})

    def _name_of(self, item: exp.Expr) -> str:
        """The name the database gives a column of SELECT; empty when only it knows."""
        if isinstance(item, exp.Alias):
            return self.names.normal(item.args["alias"])
        if isinstance(item, exp.Column):
            return self.names.normal(item.this)
        if isinstance(item, exp.Dot):
            return self.names.normal(item.expression)
        if self.names.dialect in {"postgres", "redshift"} and isinstance(item, exp.Cast):
            return self._name_of(item.this)
        return ""

    def _type_of(self, name: str, item: exp.Expr, scope: Scope) -> dict[str, str]:
        value = item.unalias()
        if isinstance(value, exp.Cast):
            return {name: value.to.sql(self.names.dialect)}
        if isinstance(value, exp.Column) and not isinstance(value.this, exp.Star):
            kind = scope.type_of(parts_of(value, self.names.normal))
            return {name: kind} if kind else {}
        return {}

    def _set_operation(self, node: exp.SetOperation, ctes: Ctes, parent: Scope | None) -> Relation:
        left = self.relation(node.this, ctes, parent)
        right = self.relation(node.expression, ctes, parent)
        if isinstance(node, exp.Except):
            return attrs.evolve(
                left, indirect=merge(left.indirect, right.indirect, through(FILTER, right.everything))
            )
        united = left.beside_by_name(right) if node.args.get("by_name") else left.beside(right)
        scope = Scope({"": united}, parent)
        sorting = merge(*self._rows_depend_on(node, united, scope, ctes))
        return attrs.evolve(united, indirect=merge(united.indirect, sorting))

    def _source(self, node: exp.Expr, scope: Scope, ctes: Ctes) -> tuple[str, Relation]:
        """One entry of FROM: its alias, and what it gives; pivots applied, columns renamed."""
        alias, relation = self._plain_source(node, scope, ctes)
        for pivot in node.args.get("pivots") or []:
            relation = self._pivoted(pivot, relation, ctes)
            alias = self.names.normal(_alias_of(pivot)) or alias
        return self.names.normal(_alias_of(node)) or alias, self._renamed(relation, node)

    def _plain_source(self, node: exp.Expr, scope: Scope, ctes: Ctes) -> tuple[str, Relation]:
        if isinstance(node, exp.Final):
            return self._source(node.this, scope, ctes)
        if isinstance(node, exp.Table):
            return self._table(self.names.plain(node), scope, ctes)
        if isinstance(node, (exp.Subquery, exp.Paren)) and isinstance(node.this, exp.Table):
            return self._source(node.this, scope, ctes)
        return "", self._unnamed_source(node, scope, ctes)

    def _unnamed_source(self, node: exp.Expr, scope: Scope, ctes: Ctes) -> Relation:
        if isinstance(node, (exp.Subquery, exp.Paren)):
            return self.relation(node.this, self.with_ctes(node, ctes), scope.parent)
        if isinstance(node, exp.Lateral) and isinstance(node.this, exp.Query):
            return self.relation(node.this, ctes, scope)
        if isinstance(node, (exp.Alias, exp.Column)):
            # ClickHouse's ARRAY JOIN.
            made_of = through(TRANSFORMATION, self.expressions(ctes).sources(node, scope))
            return Relation(columns={self._name_of(node): made_of})
        if isinstance(node, exp.Values):
            return self._values(node, scope, ctes)
        if isinstance(node, exp.Pivot) and node.this:
            return self._pivoted(node, self._source(node.this, scope, ctes)[1], ctes)
        # UNNEST, GENERATE_SERIES and other functions: all their columns come from their arguments.
        return self._function(node, scope, ctes)

    def _values(self, node: exp.Values, scope: Scope, ctes: Ctes) -> Relation:
        read = self.expressions(ctes).sources
        rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
        width = max(map(len, rows), default=0)
        return Relation(
            columns={
                f"col{index}": merge(NOTHING, *(read(row[index], scope) for row in rows if index < len(row)))
                for index in range(width)
            }
        )

    def _function(self, node: exp.Expr, scope: Scope, ctes: Ctes) -> Relation:
        arguments = self.expressions(ctes).all_of(node.iter_expressions(), scope)
        return Relation(anything=through(TRANSFORMATION, arguments))

    def _table(self, node: exp.Table, scope: Scope, ctes: Ctes) -> tuple[str, Relation]:
        if node.this is None:
            return "", self._function(node, scope, ctes)
        if not isinstance(node.this, exp.Identifier):
            if is_stage(node.this):
                return "", self.read(node)
            return self._table_function(node.this, scope, ctes)
        name = self.names.normal(node.this)
        if not node.args.get("db") and name in ctes:
            return name, ctes[name]
        return name, self.read(node)

    def _table_function(self, node: exp.Expr, scope: Scope, ctes: Ctes) -> tuple[str, Relation]:
        name = function_name(node)
        if name in FILE_FUNCTIONS:
            paths: list[str | None] = [*file_arguments(node)]
            relations = [self.read_file(path, FILE_FUNCTIONS[name]) for path in paths or [None]]
            return name, functools.reduce(Relation.beside, relations)
        return name, self._function(node, scope, ctes)

    def _pivoted(self, pivot: exp.Pivot, relation: Relation, ctes: Ctes) -> Relation:
        """After PIVOT: grouping columns stay, every new column is made of what is aggregated."""
        used = [*pivot.expressions, *(pivot.args.get("fields") or []), *(pivot.args.get("using") or [])]
        scope = Scope({"": relation})
        made_of = self.expressions(ctes).all_of(used, scope)
        spent = {self.names.normal(column.this) for each in used for column in each.find_all(exp.Column)}
        kept = {name: sources for name, sources in relation.columns.items() if name not in spent}
        for column in _parts_of_clause(pivot, "group"):
            kept[self._name_of(column)] = self.expressions(ctes).sources(column, scope)
        return Relation(columns=kept, anything=made_of, indirect=relation.indirect, types=relation.types)

    def _renamed(self, relation: Relation, node: exp.Expr) -> Relation:
        alias = node.args.get("alias")
        columns = list(alias.columns) if isinstance(alias, exp.TableAlias) else []
        offset = node.args.get("offset")
        if columns and isinstance(node, exp.Unnest) and isinstance(offset, exp.Identifier):
            columns.append(offset)
        return relation.renamed(self.names.normal(column) for column in columns) if columns else relation


def entries_of(node: exp.Expr) -> Entries:
    """The entries of FROM, JOIN and LATERAL VIEW, with their join where they have one."""
    start = node.args.get("from_")
    if start is not None:
        yield from nested_entries(start.this)
    for join in node.args.get("joins") or []:
        yield from nested_entries(join.this, join)
    for lateral in node.args.get("laterals") or []:
        yield lateral, None


def nested_entries(node: exp.Expr, join: exp.Join | None = None) -> Entries:
    """One entry of FROM and those joined inside it: ``(a JOIN b)``."""
    bracketed = (
        isinstance(node, (exp.Paren, exp.Subquery)) and isinstance(node.this, exp.Table) and not node.alias
    )
    entry = node.this if bracketed else node
    yield entry, join
    for nested in [*(entry.args.get("joins") or []), *((node.args.get("joins") or []) if bracketed else [])]:
        yield from nested_entries(nested.this, nested)


def _parts_of_clause(node: exp.Expr, clause: str) -> list[exp.Expr]:
    part = node.args.get(clause)
    if part is None:
        return []
    if isinstance(part, exp.Group) and part.args.get("all"):
        return [item for item in node.expressions if not item.find(exp.AggFunc)]
    if isinstance(part, (exp.Group, exp.Order)):
        return [each.this if isinstance(each, exp.Ordered) else each for each in part.iter_expressions()]
    return [part.this]


def _item(items: Relation, position: int) -> Sources:
    sources = list(items.columns.values())
    return sources[position - 1] if 0 < position <= len(sources) and not items.rest else {}


def _beside_in_select(left: Relation, right: Relation) -> Relation:
    """The columns of both, one after the other; of two with the same name the first has it."""
    columns = dict(left.columns)
    for name, sources in right.columns.items():
        columns[f"{UNNAMED}{len(columns)}" if name in columns else name] = sources
    return Relation(
        columns=columns,
        rest=(*left.rest, *right.rest),
        anything=merge(left.anything, right.anything),
        types={**right.types, **left.types},
    )


def _identifier(node: exp.Expr) -> exp.Expr:
    return node.this if isinstance(node, exp.Column) else node


def _alias_of(node: exp.Expr) -> exp.Expr | None:
    alias = node.args.get("alias")
    return alias.this if isinstance(alias, exp.TableAlias) else alias
