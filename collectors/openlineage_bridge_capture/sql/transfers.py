"""Statements that move data between tables and files: COPY, UNLOAD, EXPORT and LOAD of every dialect → their effects."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from sqlglot import exp

from openlineage_bridge_capture.sql.effects import Effects
from openlineage_bridge_capture.sql.functions import is_stage, stage_path
from openlineage_bridge_capture.sql.queries import Ctes, Queries
from openlineage_bridge_capture.sql.relations import NOTHING, Relation, Table, merge
from openlineage_bridge_capture.sql.tables import Names

STANDARD_STREAMS = frozenset({"stdin", "stdout", "/dev/stdin", "/dev/stdout"})
"""What COPY reads or writes when it is the client's own stream."""


@attrs.frozen
class Transfers:
    """Performs transfers.

    Args:
        names: The names of the connection.
        effects: What changes.
        queries: Reads what is exported.
        resolve: The table that a name means.
    """

    names: Names
    effects: Effects
    queries: Queries
    resolve: Callable[[exp.Table], Table | None]

    def copy(self, node: exp.Copy, ctes: Ctes) -> None:
        """``COPY t FROM 'file'``, ``COPY … TO 'file'``, and Snowflake's ``COPY INTO`` of a table or a location."""
        named, columns = _target(node.this)
        places = [each for each in node.args.get("files") or [] if each.name.lower() not in STANDARD_STREAMS]
        if not node.args.get("kind"):
            relation = self._exported(node.this, named, columns, ctes)
            for place in places:
                self._write(place, relation)
        elif not isinstance(named.this, exp.Identifier):
            for place in places:
                self._write(named.this, self.queries.relation(_unwrapped(place), ctes))
        else:
            self._load(named, columns, [self._source(place, ctes) for place in places])

    def export(self, node: exp.Export, ctes: Ctes) -> None:
        """BigQuery's ``EXPORT DATA OPTIONS (uri = …) AS SELECT …``."""
        relation = self.queries.relation(node.this, ctes)
        for path in _option(node.args.get("options"), "uri"):
            self.effects.overwrite(self.effects.file(self.names.file(path)), relation)

    def load(self, node: exp.LoadData, _ctes: Ctes) -> None:
        """BigQuery's ``LOAD DATA INTO t FROM FILES (uris = […])`` and Hive's ``LOAD DATA INPATH``."""
        path = node.args.get("inpath")
        paths = [path.name] if path is not None else _option(node.args.get("files"), "uris")
        named, columns = _target(node.this)
        self._load(
            named, columns, [self.effects.read(self.effects.file(self.names.file(path))) for path in paths]
        )

    def _source(self, place: exp.Expr, ctes: Ctes) -> Relation:
        if isinstance(place, exp.Subquery):
            return self.queries.relation(_unwrapped(place), ctes)
        path = self._path(place)
        if path:
            return self.effects.read(self.effects.file(self.names.file(path)))
        self.effects.read_elsewhere()
        return Relation()

    def _write(self, place: exp.Expr, relation: Relation) -> None:
        path = self._path(place)
        if path:
            self.effects.overwrite(self.effects.file(self.names.file(path)), relation)

    def _path(self, place: exp.Expr) -> str | None:
        inner = place.this if isinstance(place, exp.Table) else place
        return stage_path(inner.name, self.effects.stages) if is_stage(inner) else inner.name

    def _load(self, named: exp.Table, columns: list[exp.Expr], relations: list[Relation]) -> None:
        target = self.resolve(named)
        if target is None:
            return
        wanted = [self.names.normal(_identifier(column)) for column in columns]
        wanted = wanted or list(self.effects.columns_of(target) or ())
        by_position = all(each.columns and not each.rest for each in relations)
        if by_position:
            made_of = {n: s for each in relations for n, s in each.renamed(wanted).columns.items()}
        else:
            made_of = {name: merge(*(each.column(name) or NOTHING for each in relations)) for name in wanted}
        rest = tuple(group for relation in relations for group in relation.rest)
        self.effects.append(target, Relation(columns=made_of) if wanted else Relation(rest=rest))

    def _exported(self, what: exp.Expr, named: exp.Table, columns: list[exp.Expr], ctes: Ctes) -> Relation:
        if not isinstance(what, (exp.Table, exp.Schema)):
            return self.queries.relation(what, ctes)
        relation = self.queries.read(named)
        wanted = [self.names.normal(_identifier(column)) for column in columns]
        if not wanted:
            return relation
        return Relation(columns={name: relation.column(name) or NOTHING for name in wanted})


def _target(node: exp.Expr) -> tuple[exp.Table, list[exp.Expr]]:
    if isinstance(node, exp.Schema):
        return node.this, node.expressions
    return node, []  # type: ignore[return-value]  # what is not a table is looked at before it is used as one


def _unwrapped(place: exp.Expr) -> exp.Expr:
    """The query in brackets, or the table."""
    return place.this if isinstance(place, exp.Subquery) else place


def _identifier(node: exp.Expr) -> exp.Expr:
    return node.this if isinstance(node, exp.Column) else node


def _option(options: exp.Expr | None, name: str) -> list[str]:
    """The strings that an option of the statement holds."""
    for each in options.expressions if options is not None else []:
        if isinstance(each, exp.Property) and each.name.lower() == name:
            return [literal.name for literal in each.args["value"].find_all(exp.Literal)]
    return []
