"""What a run did, as values: statements, datasets and the columns of tables, as they travel in a host's event log."""

from __future__ import annotations

from typing import Any

import attrs

from openlineage_bridge_capture.datasets import Dataset


@attrs.frozen(cache_hash=True)
class Catalog:
    """A database that a connection reaches beside its own: DuckDB's ``ATTACH``, for one.

    Args:
        alias: What statements on this connection call it.
        namespace: OpenLineage namespace of its tables.
        name: What everyone calls it, so that two processes with different aliases name the same table.
        schema: Schema of its tables that are named without one.
    """

    alias: str
    namespace: str
    name: str
    schema: str = "main"


@attrs.frozen(cache_hash=True)
class Statement:
    """One SQL statement that succeeded, with what is needed to name its tables.

    Args:
        sql: The text as the driver got it.
        dialect: sqlglot's name of the dialect, e.g. ``duckdb``.
        namespace: OpenLineage namespace of the connection, e.g. ``duckdb:///data/w.duckdb``; tables in
            ``inmemory://`` are left out of the lineage, because no other process can see them.
        catalog: Catalog (database) of an unqualified name on this connection.
        schema: Schema of an unqualified name on this connection.
        catalogs: Every catalog of the connection that has a namespace of its own.
        ephemeral: Unqualified names that are no tables of any database: data frames and the like.
        directory: Where relative paths in the text start, when it may hold any.
        query_id: The database's own id of the latest execution, e.g. Snowflake's; no part of what makes two statements
            the same.
        rolled_back: Whether every execution was rolled back, so that it read but wrote nothing; no part of that either.
    """

    sql: str
    dialect: str
    namespace: str
    catalog: str | None = None
    schema: str | None = None
    catalogs: tuple[Catalog, ...] = ()
    ephemeral: tuple[str, ...] = ()
    directory: str | None = None
    query_id: str | None = attrs.field(default=None, eq=False)
    rolled_back: bool = attrs.field(default=False, eq=False)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types, without the fields that say nothing."""
        fields = attrs.asdict(self, filter=lambda _, value: value not in (None, (), False))
        return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Statement:
        """The inverse of ``to_json``; unknown keys are ignored."""
        return cls(
            sql=data["sql"],
            dialect=data["dialect"],
            namespace=data["namespace"],
            catalog=data.get("catalog"),
            schema=data.get("schema"),
            catalogs=tuple(
                Catalog(each["alias"], each["namespace"], each["name"], each.get("schema", "main"))
                for each in data.get("catalogs", ())
            ),
            ephemeral=tuple(data.get("ephemeral", ())),
            directory=data.get("directory"),
            query_id=data.get("query_id"),
            rolled_back=data.get("rolled_back", False),
        )


@attrs.frozen
class Columns:
    """What a connection's catalog says of one table: what ``SELECT *`` gives, and the ``schema`` facet.

    Args:
        namespace: OpenLineage namespace of the table.
        name: Its name there, as the lineage of the statement spells it.
        columns: Name and native type of each column, in order; the type is None where the catalog does not tell.
    """

    namespace: str
    name: str
    columns: tuple[tuple[str, str | None], ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "namespace": self.namespace,
            "name": self.name,
            "columns": [list(column) for column in self.columns],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Columns:
        """The inverse of ``to_json``; unknown keys are ignored."""
        return cls(data["namespace"], data["name"], tuple((name, kind) for name, kind in data["columns"]))


@attrs.frozen
class Recording:
    """Everything one run did, in order of first occurrence, without repetition.

    Args:
        inputs: Datasets that user code said it read.
        outputs: Datasets that user code said it wrote.
        statements: SQL that succeeded.
        reads: Datasets that libraries were seen reading: files, for the most part.
        writes: Datasets that libraries were seen writing.
        catalog: What the connections' catalogs said of tables that the statements mention, each table once.
        left_out: How many further statements and datasets there were beyond the bounds of this module.
    """

    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()
    statements: tuple[Statement, ...] = ()
    reads: tuple[Dataset, ...] = ()
    writes: tuple[Dataset, ...] = ()
    catalog: tuple[Columns, ...] = ()
    left_out: int = 0

    def __bool__(self) -> bool:
        """Whether anything was recorded at all."""
        return bool(self.inputs or self.outputs or self.statements or self.reads or self.writes)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types, to travel in a host's own event log."""
        return {
            "inputs": [dataset.to_json() for dataset in self.inputs],
            "outputs": [dataset.to_json() for dataset in self.outputs],
            "statements": [statement.to_json() for statement in self.statements],
            "reads": [dataset.to_json() for dataset in self.reads],
            "writes": [dataset.to_json() for dataset in self.writes],
            "catalog": [table.to_json() for table in self.catalog],
            "left_out": self.left_out,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recording:
        """The inverse of ``to_json``; unknown keys are ignored, so that a newer writer may add some."""
        return cls(
            inputs=tuple(Dataset.from_json(dataset) for dataset in data.get("inputs", ())),
            outputs=tuple(Dataset.from_json(dataset) for dataset in data.get("outputs", ())),
            statements=tuple(Statement.from_json(statement) for statement in data.get("statements", ())),
            reads=tuple(Dataset.from_json(dataset) for dataset in data.get("reads", ())),
            writes=tuple(Dataset.from_json(dataset) for dataset in data.get("writes", ())),
            catalog=tuple(Columns.from_json(table) for table in data.get("catalog", ())),
            left_out=data.get("left_out", 0),
        )


NOTHING = Recording()
"""What most runs read and write, as far as anybody sees; and those that go on."""
