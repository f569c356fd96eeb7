"""From a recording to OpenLineage datasets and facets. Parsing happens here, off the user's thread.

The text of statements leaves the process without its literals, unless ``OPENLINEAGE_BRIDGE_SQL_LITERALS=keep``.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    JobFacet,
    RunFacet,
    column_lineage_dataset,
    datasource_dataset,
    extraction_error_run,
    lifecycle_state_change_dataset,
    schema_dataset,
    sql_job,
)

from openlineage_bridge_capture import log
from openlineage_bridge_capture.datasets import Dataset
from openlineage_bridge_capture.recording import Recording, Statement
from openlineage_bridge_capture.sql import literals

if TYPE_CHECKING:
    from openlineage_bridge_capture.sql.effects import Output
    from openlineage_bridge_capture.sql.relations import Sources, Table
    from openlineage_bridge_capture.sql.script import Lineage

VERSION = importlib.metadata.version("openlineage-bridge")

PRODUCER = f"https://github.com/openlineage-bridge/openlineage-bridge/tree/{VERSION}/collectors/openlineage_bridge_capture"
"""The ``_producer`` of every facet that comes from captured code."""

Facets = dict[str, DatasetFacet]
Mentions = dict[tuple[str, str], Facets]

INPUT_FACETS = frozenset(
    {"dataQualityAssertions", "dataQualityMetrics", "icebergScanReport", "inputStatistics"}
)
"""Facets that belong to reading a dataset in one run, not to the dataset (OpenLineage, InputDatasetFacet)."""

OUTPUT_FACETS = frozenset({"icebergCommitReport", "outputStatistics"})
"""Facets that belong to writing a dataset in one run (OpenLineage, OutputDatasetFacet)."""

MAX_SQL_IN_ERROR = 1_000
"""Characters of a statement that could not be parsed, as the extractionError facet repeats it."""


@attrs.frozen
class Description:
    """What a recording says, in OpenLineage's words.

    Args:
        inputs: Datasets read, each once, with their facets.
        outputs: Datasets written, each once, with ``schema`` and ``columnLineage`` where the SQL tells them.
        job_facets: ``sql`` when statements ran.
        run_facets: ``extractionError`` when a statement could not be parsed.
    """

    inputs: list[InputDataset] = attrs.field(factory=list)
    outputs: list[OutputDataset] = attrs.field(factory=list)
    job_facets: dict[str, JobFacet] = attrs.field(factory=dict)
    run_facets: dict[str, RunFacet] = attrs.field(factory=dict)


def describe(recording: Recording) -> Description:
    """Total: a statement that cannot be parsed becomes an ``extractionError``, never an exception.

    Tables that the run created and dropped again, and temporary ones, are left out; a table that the run wrote
    before reading it is not an input. A table that was only dropped is an output when the run read nothing: beside
    inputs, a consumer would draw an edge to it. Facets that user code said win over what libraries told, and those over
    what the SQL tells.
    """
    lineage = _lineage(recording.statements)
    reads, writes = _mentions(recording.inputs), _mentions(recording.outputs)
    _lay_under(reads, _mentions(recording.reads))
    _lay_under(writes, _mentions(recording.writes))
    if lineage is not None:
        _lay_under(reads, {(table.namespace, table.name): _data_source(table) for table in lineage.inputs})
        written = lineage.outputs.items()
        _lay_under(
            writes,
            {(table.namespace, table.name): _output_facets(table, output) for table, output in written},
        )
    return Description(
        inputs=[_input(identity, facets) for identity, facets in reads.items()],
        outputs=[_output(identity, facets) for identity, facets in writes.items()],
        job_facets=_sql_facet(recording, lineage),
        run_facets=_error_facet(recording, lineage),
    )


def _lineage(statements: tuple[Statement, ...]) -> Lineage | None:
    """What the statements did; None without sqlglot, which is an extra."""
    if not statements:
        return None
    try:
        from openlineage_bridge_capture.sql.script import lineage
    except ImportError:
        log.once(
            logging.WARNING,
            "SQL ran, but its lineage cannot be read without sqlglot: install openlineage-bridge[sql]",
        )
        return None
    return lineage(statements)


def _input(identity: tuple[str, str], facets: Facets) -> InputDataset:
    own, of_reading = _split(facets, INPUT_FACETS)
    return InputDataset(*identity, facets=own, inputFacets=cast("Any", of_reading))


def _output(identity: tuple[str, str], facets: Facets) -> OutputDataset:
    own, of_writing = _split(facets, OUTPUT_FACETS)
    return OutputDataset(*identity, facets=own, outputFacets=cast("Any", of_writing))


def _split(facets: Facets, apart: frozenset[str]) -> tuple[Facets, Facets]:
    """The dataset's own facets, and those of this use of it."""
    own = {key: facet for key, facet in facets.items() if key not in apart}
    return own, {key: facet for key, facet in facets.items() if key in apart}


def _mentions(datasets: Iterable[Dataset]) -> Mentions:
    return {
        dataset.identity: {key: _completed(facet) for key, facet in dataset.facets.items()}
        for dataset in datasets
    }


def _completed(facet: Any) -> Any:
    """A plain JSON facet with the two fields that every facet must have (OpenLineage, BaseFacet).

    It stays a dictionary: the client serialises those inside an event as they are, whatever their keys.
    """
    if not isinstance(facet, Mapping):
        return facet
    return {"_producer": PRODUCER, "_schemaURL": DatasetFacet._get_schema(), **facet}  # noqa: SLF001  # generated code's only way


def _lay_under(said: Mentions, captured: Mentions) -> None:
    for identity, facets in captured.items():
        said[identity] = {**facets, **said.get(identity, {})}


def _data_source(table: Table) -> Facets:
    if "://" not in table.namespace:
        return {}
    source = datasource_dataset.DatasourceDatasetFacet(
        name=table.namespace, uri=table.namespace, producer=PRODUCER
    )
    return {"dataSource": source}


def _output_facets(table: Table, output: Output) -> Facets:
    facets = _data_source(table)
    if output.schema is not None:
        facets["schema"] = _schema(output.schema)
    if output.columns or output.indirect:
        facets["columnLineage"] = _column_lineage(output)
    if output.lifecycle is not None:
        facets["lifecycleStateChange"] = _lifecycle(output)
    return facets


def _schema(columns: Mapping[str, str | None]) -> schema_dataset.SchemaDatasetFacet:
    fields = [
        schema_dataset.SchemaDatasetFacetFields(name=name, type=kind, ordinal_position=position)
        for position, (name, kind) in enumerate(columns.items(), start=1)
    ]
    return schema_dataset.SchemaDatasetFacet(fields=fields, producer=PRODUCER)


def _column_lineage(output: Output) -> column_lineage_dataset.ColumnLineageDatasetFacet:
    fields = {
        name: column_lineage_dataset.Fields(inputFields=_input_fields(sources))
        for name, sources in output.columns.items()
    }
    return column_lineage_dataset.ColumnLineageDatasetFacet(
        fields=fields, dataset=_input_fields(output.indirect), producer=PRODUCER
    )


def _input_fields(sources: Sources) -> list[column_lineage_dataset.InputField]:
    return [
        column_lineage_dataset.InputField(
            namespace=table.namespace,
            name=table.name,
            field=field,
            transformations=[
                column_lineage_dataset.Transformation(type=each.type, subtype=each.subtype)
                for each in sorted(how)
            ],
        )
        for (table, field), how in sorted(sources.items())
    ]


def _lifecycle(output: Output) -> DatasetFacet:
    previous = None
    if output.previous is not None:
        previous = lifecycle_state_change_dataset.PreviousIdentifier(
            name=output.previous.name, namespace=output.previous.namespace
        )
    return lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(
        lifecycleStateChange=lifecycle_state_change_dataset.LifecycleStateChange(output.lifecycle),
        previousIdentifier=previous,
        producer=PRODUCER,
    )


def _sql_facet(recording: Recording, lineage: Lineage | None) -> dict[str, JobFacet]:
    """The statements that touched data, or may have; transactions and settings are left out."""
    kept = recording.statements
    if lineage is not None:
        places = lineage.touching | {failure.index for failure in lineage.failures}
        kept = tuple(statement for index, statement in enumerate(kept) if index in places)
    if not kept:
        return {}
    texts = dict.fromkeys(_text(statement) for statement in kept)
    dialects = {statement.dialect for statement in kept}
    facet = sql_job.SQLJobFacet(
        query=";\n".join(texts), dialect=dialects.pop() if len(dialects) == 1 else None, producer=PRODUCER
    )
    return {"sql": facet}


def _text(statement: Statement) -> str:
    """What is told of a statement."""
    text = statement.sql if literals.kept() else literals.redact(statement.sql, statement.dialect)
    return text.strip().rstrip(";")


def _error_facet(recording: Recording, lineage: Lineage | None) -> dict[str, RunFacet]:
    failures = lineage.failures if lineage is not None else ()
    errors = [
        extraction_error_run.Error(
            errorMessage=failure.reason,
            task=_text(recording.statements[failure.index])[:MAX_SQL_IN_ERROR],
            taskNumber=failure.index,
        )
        for failure in failures
    ]
    if recording.left_out:
        message = (
            f"{recording.left_out} further statements or datasets of this run were counted, but not kept"
        )
        errors.append(extraction_error_run.Error(errorMessage=message))
    if not errors:
        return {}
    facet = extraction_error_run.ExtractionErrorRunFacet(
        totalTasks=len(recording.statements) + recording.left_out,
        failedTasks=len(failures) + recording.left_out,
        errors=errors,
        producer=PRODUCER,
    )
    return {"extractionError": facet}
