"""A name in a statement → the dataset it names on that connection, or None when it names none."""

from __future__ import annotations

import attrs
from sqlglot import Dialect, exp
from sqlglot.dialects.dialect import NormalizationStrategy

from openlineage_bridge_capture.recording import Catalog, Statement
from openlineage_bridge_capture.sql import files
from openlineage_bridge_capture.sql.relations import Table

IN_MEMORY = "inmemory://"
"""Namespace of tables that only this process sees: followed through, never reported (OpenLineage, "Naming")."""

INTROSPECTION_SCHEMAS = frozenset({"information_schema", "pg_catalog", "pg_toast"})
SYSTEM_SCHEMAS = {
    "clickhouse": frozenset({"system"}),
    "mysql": frozenset({"mysql", "performance_schema", "sys"}),
    "oracle": frozenset({"sys"}),
    "tsql": frozenset({"sys"}),
}
"""Further schemas in which a database keeps what it knows about itself."""

DATABASE_FIRST = frozenset({"bigquery", "snowflake", "tsql"})
"""Dialects in which a bare ``USE x`` names a database rather than a schema."""

FIRST_SCHEMA = {"databricks": "default", "snowflake": "PUBLIC", "tsql": "dbo"}
"""The schema that unqualified names mean after ``USE`` of a database."""

SINGLE_ROW_TABLES = {"oracle": "dual", "mysql": "dual", "snowflake": "dual"}
"""The table of one row for queries that need none."""

CASE_KEPT = frozenset({"bigquery", "mysql", "sqlite", "tsql"})
"""Dialects that compare names without case and keep them as they were written: the first spelling in a run stands."""

CASE_SENSITIVE_TABLES = frozenset({"bigquery", "mysql"})
"""Dialects among these whose table names, unlike columns, are told apart by case (MySQL: on all systems but two)."""

PATH_FORMATS = frozenset({"avro", "binaryfile", "csv", "delta", "json", "orc", "parquet", "text"})
"""What stands before a path in Spark's and Databricks' ``parquet.`/path` ``."""

INTROSPECTION_TABLES = frozenset(
    {"sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema", "sqlite_sequence"}
)
DATA_FRAME = "__duckdb_source_"
"""How DuckDB's Python layer calls a data frame."""

INTROSPECTION_PREFIXES = {
    "duckdb": ("duckdb_", "pragma_", DATA_FRAME, "pg_"),
    "postgres": ("pg_",),
    "redshift": ("pg_", "stl_", "svv_", "stv_"),
}
"""Unqualified names that ask the database about itself, and data frames."""

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
    spelling: dict[str, str]

    @classmethod
    def of(cls, statement: Statement, spelling: dict[str, str]) -> Names:
        """The names that hold where this statement was executed; ``spelling`` is shared by the whole run."""
        return cls(
            dialect=statement.dialect,
            namespace=statement.namespace,
            catalog=statement.catalog,
            schema=statement.schema,
            catalogs={catalog.alias.lower(): catalog for catalog in statement.catalogs},
            ephemeral=frozenset(name.lower() for name in statement.ephemeral),
            directory=statement.directory,
            strategy=Dialect.get_or_raise(statement.dialect).normalization_strategy,
            spelling=spelling,
        )

    def normal(self, identifier: exp.Expr | None) -> str:
        """An identifier as the database compares it: the dialect's case rules, quotes considered."""
        if not isinstance(identifier, exp.Expr):
            return ""
        name = identifier.name
        if self.dialect in CASE_KEPT:
            return self.spelling.setdefault(name.lower(), name)
        if self.strategy is NormalizationStrategy.CASE_INSENSITIVE:
            return name.lower()
        if self.strategy is NormalizationStrategy.CASE_SENSITIVE or identifier.args.get("quoted"):
            return name
        return name.upper() if self.strategy is NormalizationStrategy.UPPERCASE else name.lower()

    def column(self, name: str) -> str:
        """A column's name as a catalog has it, as ``normal`` gives the same column of a statement."""
        if self.dialect in CASE_KEPT:
            return self.spelling.setdefault(name.lower(), name)
        return name.lower() if self.strategy is NormalizationStrategy.CASE_INSENSITIVE else name

    def is_data_frame(self, table: exp.Table) -> bool:
        """Whether this is no table of any database: a data frame of the process and the like."""
        name = table.name.lower()
        return not table.args.get("db") and (name in self.ephemeral or name.startswith(DATA_FRAME))

    def _place(self, identifier: exp.Expr | None) -> str:
        """A part of a table's name."""
        if self.dialect in CASE_SENSITIVE_TABLES and isinstance(identifier, exp.Expr):
            return identifier.name
        return self.normal(identifier)

    def plain(self, table: exp.Table) -> exp.Table:
        """A name said in another way, as a name: Snowflake's ``IDENTIFIER('a.b')``, Transact-SQL's ``@variable``."""
        inner = table.this
        if isinstance(inner, exp.DynamicIdentifier) and isinstance(inner.this, exp.Literal):
            return exp.to_table(inner.this.name, dialect=self.dialect)
        if isinstance(inner, exp.Dot) and self.dialect == "tsql":
            # server.database.schema.table: the parser has the last two in one.
            parts = {"this": inner.expression, "db": inner.this or None, "catalog": table.args.get("db")}
            return exp.Table(**parts, server=table.args.get("catalog"), alias=table.args.get("alias"))
        if isinstance(inner, exp.Parameter) and self.dialect == "tsql":
            return exp.Table(this=exp.to_identifier(f"@{inner.name}"))
        return table

    def is_file(self, table: exp.Table) -> bool:
        """Whether this is DuckDB's ``FROM 'file.parquet'`` or Spark's ``FROM parquet.`/path` ``."""
        quoted = bool(table.this.args.get("quoted")) if table.this else False
        if self.dialect in {"databricks", "spark"}:
            return quoted and "/" in table.name and table.db.lower() in PATH_FORMATS | {""}
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
        """Whether the name itself says that the table is temporary: ``pg_temp.t``, ``#t``, ``@t``."""
        if self.dialect in {"redshift", "tsql"} and isinstance(table.this, exp.Identifier):
            marked = table.this.args.get("temporary") or table.this.args.get("global_")
            if marked or table.name.startswith(("#", "@")):
                return True
        return self.normal(table.args.get("db")) in TEMPORARY_SCHEMAS

    def resolve(self, table: exp.Table) -> Table | None:
        """The dataset that a table name means; None for introspection and data frames."""
        if self.is_file(table):
            return self.file(table.name)
        catalog, schema, name = (self._place(table.args.get(part)) for part in ("catalog", "db", "this"))
        if not name or self._says_nothing_of_data(schema, name):
            return None
        if schema and not catalog and schema in self.catalogs:
            catalog, schema = schema, self.catalogs[schema].schema
        if catalog and not schema and self.dialect == "snowflake":
            schema = "PUBLIC"
        found = self._qualified(catalog or self.catalog, schema or self.schema, name)
        server = table.args.get("server")
        return self._on_linked_server(server, found) if server is not None else found

    def _on_linked_server(self, server: exp.Expr, table: Table) -> Table:
        """A table of a linked server, which mostly is called as its host is; only the server knows for certain."""
        scheme = self.namespace.partition("://")[0]
        return Table(f"{scheme}://{server.name.lower()}", table.name)

    def use(self, target: exp.Table, kind: str = "") -> None:
        """``USE``: from here on unqualified names mean this place.

        Args:
            target: The place.
            kind: What the statement calls it, ``SCHEMA`` for one; empty when it does not say.
        """
        outer, inner = self._place(target.args.get("db")), self._place(target.this)
        if outer:
            self.catalog, self.schema = outer, inner
        elif inner in self.catalogs:
            self.catalog, self.schema = inner, self.catalogs[inner].schema
        elif kind == "SCHEMA" or (kind != "CATALOG" and self.dialect not in DATABASE_FIRST):
            self.schema = inner
        else:
            self.catalog = inner
            self.schema = FIRST_SCHEMA.get(self.dialect, self.schema)

    def _qualified(self, catalog: str | None, schema: str | None, name: str) -> Table:
        known = self.catalogs.get(catalog.lower()) if catalog else None
        namespace = known.namespace if known else self.namespace
        place = known.name if known else catalog
        foreign = known is not None and not namespace.startswith("duckdb:")
        if namespace == IN_MEMORY or (self.dialect == "duckdb" and not foreign):
            # DuckDB compares names without case; so does everyone who names the same file.
            place = place.lower() if place else place
        return Table(namespace, ".".join(part for part in (place, schema, name) if part))

    def _says_nothing_of_data(self, schema: str, name: str) -> bool:
        lowered = name.lower()
        inside = schema.lower()
        if inside in INTROSPECTION_SCHEMAS or inside in SYSTEM_SCHEMAS.get(self.dialect, ()):
            return True
        if lowered in INTROSPECTION_TABLES or lowered.startswith("information_schema."):
            return True
        if lowered == SINGLE_ROW_TABLES.get(self.dialect):
            return True
        if schema:
            return False
        return lowered in self.ephemeral or lowered.startswith(
            INTROSPECTION_PREFIXES.get(self.dialect, ("\0",))
        )
