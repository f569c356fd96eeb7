"""A name in a statement → the dataset it names on that connection, or None when it names none."""

from __future__ import annotations

import attrs
from sqlglot import Dialect, exp
from sqlglot.dialects.dialect import NormalizationStrategy

from openlineage_bridge_capture.recorder import Catalog, Statement
from openlineage_bridge_capture.sql import files
from openlineage_bridge_capture.sql.relations import Table

IN_MEMORY = "inmemory://"
"""Namespace of tables that only this process sees: followed through, never reported (OpenLineage, "Naming")."""

INTROSPECTION_SCHEMAS = frozenset({"information_schema", "pg_catalog", "pg_toast"})
INTROSPECTION_TABLES = frozenset(
    {"sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema", "sqlite_sequence"}
)
INTROSPECTION_PREFIXES = {
    "duckdb": ("duckdb_", "pragma_", "__duckdb_source_", "pg_"),
    "postgres": ("pg_",),
    "redshift": ("pg_", "stl_", "svv_", "stv_"),
}
"""Unqualified names that ask the database about itself (and what DuckDB's Python layer calls data frames)."""

TEMPORARY_SCHEMAS = frozenset({"temp", "pg_temp", "tempdb"})


@attrs.define
class Names:
    """The names of one connection, as its statements see them: defaults, attached databases, case."""

    dialect: str
    namespace: str
    catalog: str | None
    schema: str | None
    catalogs: dict[str, Catalog]
    ephemeral: frozenset[str]
    directory: str | None
    strategy: NormalizationStrategy

    @classmethod
    def of(cls, statement: Statement) -> Names:
        """The names that hold where this statement was executed."""
        return cls(
            dialect=statement.dialect,
            namespace=statement.namespace,
            catalog=statement.catalog,
            schema=statement.schema,
            catalogs={catalog.alias.lower(): catalog for catalog in statement.catalogs},
            ephemeral=frozenset(name.lower() for name in statement.ephemeral),
            directory=statement.directory,
            strategy=Dialect.get_or_raise(statement.dialect).normalization_strategy,
        )

    def normal(self, identifier: exp.Expr | None) -> str:
        """An identifier as the database compares it: the dialect's case rules, quotes considered."""
        if identifier is None:
            return ""
        name = identifier.name
        if self.strategy is NormalizationStrategy.CASE_INSENSITIVE:
            return name.lower()
        if self.strategy is NormalizationStrategy.CASE_SENSITIVE or identifier.args.get("quoted"):
            return name
        return name.upper() if self.strategy is NormalizationStrategy.UPPERCASE else name.lower()

    def is_file(self, table: exp.Table) -> bool:
        """Whether this is DuckDB's ``FROM 'file.parquet'``."""
        quoted = bool(table.this.args.get("quoted")) if table.this else False
        return (
            self.dialect == "duckdb"
            and quoted
            and not table.args.get("db")
            and files.looks_like_path(table.name)
        )

    def file(self, path: str) -> Table:
        """The dataset of a path in a statement."""
        return files.dataset(path, self.directory)

    def temporary(self, table: exp.Table) -> Table:
        """The identity of a temporary table: its name, hidden in memory."""
        return Table(IN_MEMORY, f"temp.{self.normal(table.this)}")

    def is_temporary_schema(self, table: exp.Table) -> bool:
        """Whether the name itself says that the table is temporary: ``pg_temp.t``."""
        return self.normal(table.args.get("db")) in TEMPORARY_SCHEMAS

    def resolve(self, table: exp.Table) -> Table | None:
        """The dataset that a table name means; None for introspection and data frames."""
        if self.is_file(table):
            return self.file(table.name)
        catalog, schema, name = (self.normal(table.args.get(part)) for part in ("catalog", "db", "this"))
        if not name or self._says_nothing_of_data(schema, name):
            return None
        if schema and not catalog and schema in self.catalogs:
            catalog, schema = schema, "main"
        return self._qualified(catalog or self.catalog, schema or self.schema, name)

    def use(self, target: exp.Table) -> None:
        """``USE``: from here on unqualified names mean this place."""
        outer, inner = self.normal(target.args.get("db")), self.normal(target.this)
        if outer:
            self.catalog, self.schema = outer, inner
        elif inner in self.catalogs:
            self.catalog, self.schema = inner, "main"
        elif self.dialect in {"snowflake", "bigquery", "databricks", "tsql"}:
            self.catalog, self.schema = inner, self.schema
        else:
            self.schema = inner

    def _qualified(self, catalog: str | None, schema: str | None, name: str) -> Table:
        known = self.catalogs.get(catalog.lower()) if catalog else None
        namespace = known.namespace if known else self.namespace
        place = known.name if known else catalog
        if namespace == IN_MEMORY or self.dialect == "duckdb":
            # DuckDB compares names without case; so does everyone who names the same file.
            place = place.lower() if place else place
        return Table(namespace, ".".join(part for part in (place, schema, name) if part))

    def _says_nothing_of_data(self, schema: str, name: str) -> bool:
        lowered = name.lower()
        if schema.lower() in INTROSPECTION_SCHEMAS or lowered in INTROSPECTION_TABLES:
            return True
        if schema:
            return False
        return lowered in self.ephemeral or lowered.startswith(
            INTROSPECTION_PREFIXES.get(self.dialect, ("\0",))
        )
