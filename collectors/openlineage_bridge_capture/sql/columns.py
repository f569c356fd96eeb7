"""An expression → the columns it is made of, and how it depends on each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import attrs
from sqlglot import exp

from openlineage_bridge_capture.sql.relations import (
    AGGREGATION,
    CONDITIONAL,
    FILTER,
    NOTHING,
    TRANSFORMATION,
    WINDOW,
    Relation,
    Sources,
    merge,
    through,
)

Kinds = type[exp.Expr] | tuple[type[exp.Expr], ...]
Normal = Callable[[exp.Expr | None], str]


@attrs.define
class Scope:
    """What the names in an expression can mean: the relations of FROM by alias, and those of the query around.

    ``scalars`` are names of single values: ClickHouse's ``WITH 1 AS x``, the variables of a comprehension. ``left_out`` are the
    columns of joined relations that ``*`` does not repeat.
    """

    sources: dict[str, Relation] = attrs.field(factory=dict)
    parent: Scope | None = None
    scalars: dict[str, Sources] = attrs.field(factory=dict)
    left_out: dict[str, frozenset[str]] = attrs.field(factory=dict)

    def in_star(self) -> Iterable[Relation]:
        """What ``*`` gives of each relation."""
        for alias, relation in self.sources.items():
            left_out = self.left_out.get(alias, frozenset())
            columns = {name: made_of for name, made_of in relation.columns.items() if name not in left_out}
            yield attrs.evolve(relation, columns=columns) if left_out else relation

    def find(self, parts: list[str]) -> Sources:
        """What ``a``, ``t.a``, ``schema.t.a`` or the struct access ``a.field`` is made of; empty when nobody knows."""
        scope: Scope | None = self
        while scope is not None:
            if parts[0] in scope.scalars:
                return _field_of(scope.scalars[parts[0]], parts[1:])
            for index, part in enumerate(parts[:-1]):
                if part in scope.sources:
                    found = scope.sources[part].column(parts[index + 1]) or NOTHING
                    return _field_of(found, parts[index + 2 :])
            scope = scope.parent
        return _field_of(self._unqualified(parts[0]), parts[1:])

    def type_of(self, parts: list[str]) -> str | None:
        """The type of a column as far as the relations know it."""
        name = parts[-1]
        places = [self.sources[part] for part in parts[:-1] if part in self.sources] or self.sources.values()
        return next((relation.types[name] for relation in places if name in relation.types), None)

    def _unqualified(self, name: str) -> Sources:
        """The innermost relation that has the column; failing that, the only one in a query that may have it."""
        known = [relation.columns[name] for relation in self.sources.values() if name in relation.columns]
        if known:
            return known[0]
        guesses = [
            guess for relation in self.sources.values() if (guess := relation.column(name)) is not None
        ]
        if guesses:
            return guesses[0] if len(guesses) == 1 else NOTHING
        return self.parent._unqualified(name) if self.parent else NOTHING  # noqa: SLF001  # same class


def _field_of(sources: Sources, fields: list[str]) -> Sources:
    return through(TRANSFORMATION, sources) if fields else sources


def parts_of(column: exp.Column, normal: Normal) -> list[str]:
    """The parts of a column's name, outermost first."""
    return [normal(part) for part in column.parts]


def _named_window(node: exp.Window) -> exp.Expr | None:
    """The definition behind ``OVER w``."""
    name, select = node.args.get("alias"), node.find_ancestor(exp.Select)
    windows = (select.args.get("windows") or []) if name is not None and select is not None else []
    return next((each for each in windows if each.name.lower() == node.alias.lower()), None)


@attrs.frozen
class Expressions:
    """Reads expressions; a query inside one is read by the function that reads queries.

    Args:
        normal: The dialect's case rules.
        query: Reads a query inside an expression, in the scope around it.
    """

    normal: Normal
    query: Callable[[exp.Expr, Scope], Relation]

    def sources(self, node: exp.Expr | None, scope: Scope) -> Sources:
        """The columns that the value of an expression depends on."""
        if node is None:
            return NOTHING
        for kind, visit in self._VISITORS:
            if isinstance(node, kind):
                return visit(self, node, scope)
        return through(TRANSFORMATION, self.all_of(node.iter_expressions(), scope))

    def all_of(self, nodes: Iterable[exp.Expr | None], scope: Scope) -> Sources:
        """The union over several expressions."""
        return merge(*(self.sources(node, scope) for node in nodes))

    def _column(self, node: exp.Column, scope: Scope) -> Sources:
        if isinstance(node.this, exp.Star):
            return merge(NOTHING, *(relation.everything for relation in scope.sources.values()))
        return scope.find(parts_of(node, self.normal))

    def _transparent(self, node: exp.Expr, scope: Scope) -> Sources:
        return self.sources(node.this, scope)

    def _aggregate(self, node: exp.Expr, scope: Scope) -> Sources:
        return through(AGGREGATION, self.all_of(node.iter_expressions(), scope))

    def _filtered(self, node: exp.Filter, scope: Scope) -> Sources:
        return merge(self.sources(node.this, scope), through(FILTER, self.sources(node.expression, scope)))

    def _window(self, node: exp.Window, scope: Scope) -> Sources:
        over = _named_window(node) or node
        frame = [*(over.args.get("partition_by") or []), over.args.get("order")]
        return merge(
            through(TRANSFORMATION, self.sources(node.this, scope)),
            through(WINDOW, self.all_of(frame, scope)),
        )

    def _combined(self, node: exp.CombinedAggFunc, scope: Scope) -> Sources:
        """ClickHouse's combinator ``If``: the last argument chooses the rows."""
        if not node.name.endswith("If"):
            return through(AGGREGATION, self.all_of(node.expressions, scope))
        *values, condition = node.expressions
        chosen = through(FILTER, self.sources(condition, scope))
        return merge(through(AGGREGATION, self.all_of(values, scope)), chosen)

    def _case(self, node: exp.Case, scope: Scope) -> Sources:
        branches = node.args.get("ifs") or []
        conditions = [node.this, *(branch.this for branch in branches)]
        values = [*(branch.args.get("true") for branch in branches), node.args.get("default")]
        return self._conditional(conditions, values, scope)

    def _if(self, node: exp.If, scope: Scope) -> Sources:
        return self._conditional([node.this], [node.args.get("true"), node.args.get("false")], scope)

    def _conditional(
        self,
        conditions: Iterable[exp.Expr | None],
        values: Iterable[exp.Expr | None],
        scope: Scope,
    ) -> Sources:
        return merge(
            through(TRANSFORMATION, self.all_of(values, scope)),
            through(CONDITIONAL, self.all_of(conditions, scope)),
        )

    def _subquery(self, node: exp.Expr, scope: Scope) -> Sources:
        relation = self.query(node, scope)
        return through(TRANSFORMATION, merge(relation.everything, relation.indirect))

    def _comprehension(self, node: exp.Comprehension, scope: Scope) -> Sources:
        bound = {self.normal(each): NOTHING for each in [node.expression] if each is not None}
        inner = Scope(parent=scope, scalars=bound)
        values = self.all_of([node.this, node.args.get("condition")], inner)
        return through(TRANSFORMATION, merge(values, self.sources(node.args["iterator"], scope)))

    def _nothing(self, _node: exp.Expr, _scope: Scope) -> Sources:
        return NOTHING

    _VISITORS: ClassVar[tuple[tuple[Kinds, Callable[[Expressions, Any, Scope], Sources]], ...]] = (
        (exp.Column, _column),
        ((exp.Star, exp.Literal, exp.DataType, exp.Identifier), _nothing),
        ((exp.Alias, exp.Paren, exp.Ordered, exp.Where), _transparent),
        (exp.Query, _subquery),
        (exp.Filter, _filtered),
        (exp.Window, _window),
        (exp.CombinedAggFunc, _combined),
        (exp.AggFunc, _aggregate),
        (exp.Case, _case),
        (exp.Comprehension, _comprehension),
        (exp.If, _if),
    )
    """How each kind of node is read; the first that fits. Everything else is a transformation of its parts."""
