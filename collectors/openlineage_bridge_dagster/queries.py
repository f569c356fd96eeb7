"""``Query`` metadata of a materialization: the statement that built the table, said by user code, as lineage of its step.

Where it only reads it says nothing: Dagster's database IO managers write the read-back of the table there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import DatasetFacet, column_lineage_dataset, schema_dataset

from openlineage_bridge_capture import Dataset
from openlineage_bridge_capture.describe import Description
from openlineage_bridge_capture.recording import Recording, Statement
from openlineage_bridge_capture.urns import NAMESPACE as URNS
from openlineage_bridge_capture.urns import dataset_urn

KEY = "Query"

DIALECTS = {
    "awsathena": "athena",
    "bigquery": "bigquery",
    "clickhouse": "clickhouse",
    "databricks": "databricks",
    "dremio": "dremio",
    "duckdb": "duckdb",
    "hive": "hive",
    "mssql": "tsql",
    "mysql": "mysql",
    "oracle": "oracle",
    "postgres": "postgres",
    "presto": "presto",
    "redshift": "redshift",
    "snowflake": "snowflake",
    "sqlite": "sqlite",
    "teradata": "teradata",
    "trino": "trino",
}
"""sqlglot's dialect by the scheme of the table's namespace, or DataHub's platform."""

FOLDS_UP = frozenset({"oracle", "snowflake"})
"""Databases that write unquoted names in upper case, where people write lower case into asset keys."""

_URN = re.compile(r"urn:li:dataset:\(urn:li:dataPlatform:([^,]+),([^,]+),([^,]+)\)")

_Rename = Callable[[Dataset], Dataset]


def described(
    metadata: Mapping[str, Any], table: Dataset, describe: Callable[[Recording], Description]
) -> Description | None:
    """What the query does, its tables named like the one that it built; None where it builds nothing.

    Args:
        metadata: Of the materialization.
        table: The dataset that was materialized: its database stands in for what the query leaves out.
        describe: From a recording to datasets.
    """
    sql, place = metadata.get(KEY), _place(table)
    if not isinstance(sql, str) or place is None:
        return None
    found = describe(Recording(statements=(place.statement(sql),)))
    return _renamed(found, place.rename, lower=place.lower) if found.outputs else None


@attrs.frozen
class _Place:
    """Where a query runs.

    Args:
        platform: The database system.
        namespace: OpenLineage namespace of its tables.
        parents: What an unqualified name lacks, from the table that the query built.
        lower: Whether names are to be written in lower case again, as that table's is.
        env: Environment of the URNs that name the tables; None where names do.
    """

    platform: str
    namespace: str
    parents: tuple[str, ...]
    lower: bool
    env: str | None

    def statement(self, sql: str) -> Statement:
        catalog, schema = (None, None, *self.parents)[-2:]
        return Statement(sql, DIALECTS[self.platform], self.namespace, catalog=catalog, schema=schema)

    def rename(self, dataset: Dataset) -> Dataset:
        if dataset.namespace != self.namespace:
            return dataset
        name = _lower(dataset.name) if self.lower else dataset.name
        if self.env is None:
            return Dataset(self.namespace, name)
        return Dataset(URNS, dataset_urn(self.platform, name, self.env))


def _place(table: Dataset) -> _Place | None:
    urn = _URN.fullmatch(table.name) if table.namespace == URNS else None
    namespace, name = (urn[1], urn[2]) if urn else (table.namespace, table.name)
    platform = namespace.partition(":")[0]
    if platform not in DIALECTS:
        return None
    return _Place(
        platform,
        namespace,
        tuple(name.split(".")[:-1]),
        lower=platform in FOLDS_UP and name == name.lower(),
        env=urn[3] if urn else None,
    )


def _lower(name: str) -> str:
    return ".".join(part.lower() if part == part.upper() else part for part in name.split("."))


def _renamed(found: Description, rename: _Rename, *, lower: bool) -> Description:
    column = _lower if lower else str
    inputs = [(rename(Dataset(each.namespace, each.name)), each) for each in found.inputs]
    outputs = [(rename(Dataset(each.namespace, each.name)), each) for each in found.outputs]
    return Description(
        inputs=[InputDataset(new.namespace, new.name, facets=each.facets) for new, each in inputs],
        outputs=[
            OutputDataset(
                new.namespace,
                new.name,
                facets=_facets(each.facets or {}, rename, column),
                outputFacets=each.outputFacets,
            )
            for new, each in outputs
        ],
        job_facets={key: facet for key, facet in found.job_facets.items() if key != "lineage"},
        run_facets=found.run_facets,
        sources={
            rename(Dataset(*output)).identity: frozenset(rename(Dataset(*each)).identity for each in sources)
            for output, sources in found.sources.items()
        },
    )


def _facets(
    facets: Mapping[str, DatasetFacet], rename: _Rename, column: Callable[[str], str]
) -> dict[str, DatasetFacet]:
    schema, told = facets.get("schema"), facets.get("columnLineage")
    if isinstance(schema, schema_dataset.SchemaDatasetFacet):
        columns = [attrs.evolve(each, name=column(each.name)) for each in schema.fields or ()]
        facets = {**facets, "schema": attrs.evolve(schema, fields=columns)}
    if not isinstance(told, column_lineage_dataset.ColumnLineageDatasetFacet):
        return dict(facets)
    fields = {
        column(name): attrs.evolve(
            field, inputFields=[_source(each, rename, column) for each in field.inputFields]
        )
        for name, field in told.fields.items()
    }
    whole = [_source(each, rename, column) for each in told.dataset or ()]
    return {**facets, "columnLineage": attrs.evolve(told, fields=fields, dataset=whole)}


def _source(
    field: column_lineage_dataset.InputField, rename: _Rename, column: Callable[[str], str]
) -> column_lineage_dataset.InputField:
    dataset = rename(Dataset(field.namespace, field.name))
    return attrs.evolve(field, namespace=dataset.namespace, name=dataset.name, field=column(field.field))
