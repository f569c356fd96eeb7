"""From a recording to OpenLineage datasets and facets. Parsing happens here, off the user's thread.

The text of statements leaves the process without its literals, unless ``OPENLINEAGE_BRIDGE_SQL_LITERALS=keep``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    JobFacet,
    RunFacet,
    column_lineage_dataset,
    datasource_dataset,
    external_query_run,
    extraction_error_run,
    lifecycle_state_change_dataset,
    schema_dataset,
    sql_job,
    storage_dataset,
    symlinks_dataset,
)

from openlineage_bridge_capture import edges, log, versions
from openlineage_bridge_capture.datasets import Dataset
from openlineage_bridge_capture.edges import Identity
from openlineage_bridge_capture.files.facets import format_of
from openlineage_bridge_capture.recording import Recording, Statement
from openlineage_bridge_capture.sql import literals

if TYPE_CHECKING:
    from openlineage_bridge_capture.sql.effects import Output
    from openlineage_bridge_capture.sql.relations import Sources, Table
    from openlineage_bridge_capture.sql.script import Lineage

PRODUCER = versions.producer("openlineage_bridge_capture")
"""The ``_producer`` of every facet that comes from captured code."""

Facets = dict[str, DatasetFacet]
Mentions = dict[Identity, Facets]

INPUT_FACETS = frozenset(
    {"dataQualityAssertions", "dataQualityMetrics", "icebergScanReport", "inputStatistics"}
)
"""Facets that belong to reading a dataset in one run, not to the dataset (OpenLineage, InputDatasetFacet)."""

OUTPUT_FACETS = frozenset({"icebergCommitReport", "outputStatistics"})
"""Facets that belong to writing a dataset in one run (OpenLineage, OutputDatasetFacet)."""

ROLLED_BACK = "-- rolled back\n"
"""What stands in the ``sql`` facet before a statement whose writing was undone."""

TABLE_FORMATS = {"delta": "parquet", "iceberg": None}
"""Formats of tables that are made of files, and the format of those, where there is only one."""

MAX_SQL_IN_ERROR = 1_000
"""Characters of a statement that could not be parsed, as the extractionError facet repeats it."""


@attrs.frozen
class Description:
    """What a recording says, in OpenLineage's words.

    Args:
        inputs: Datasets read, each once, with their facets.
        outputs: Datasets written, each once, with ``schema`` and ``columnLineage`` where the SQL tells them.
        job_facets: ``sql`` when statements ran; ``lineage`` when it is known which inputs fed each of several outputs.
        run_facets: ``extractionError`` when a statement could not be parsed.
        sources: The inputs that fed an output, for each output of which all are known.
    """

    inputs: list[InputDataset] = attrs.field(factory=list)
    outputs: list[OutputDataset] = attrs.field(factory=list)
    job_facets: dict[str, JobFacet] = attrs.field(factory=dict)
    run_facets: dict[str, RunFacet] = attrs.field(factory=dict)
    sources: dict[Identity, frozenset[Identity]] = attrs.field(factory=dict)


def describe(recording: Recording) -> Description:
    """Total: a statement that cannot be parsed becomes an ``extractionError``, never an exception.

    Tables that the run created and dropped again, and temporary ones, are left out; a table that the run wrote
    before reading it is not an input. A table that was only dropped is an output when the run read nothing: beside
    inputs, a consumer would draw an edge to it. Facets that user code said win over what libraries told, and those over
    what the SQL tells.
    """
    lineage = _lineage(recording)
    reads, writes = _mentions(recording.inputs), _mentions(recording.outputs)
    _lay_under(reads, _mentions(recording.reads))
    _lay_under(writes, _mentions(recording.writes))
    if lineage is not None:
        _lay_under(reads, {_identity(table): _input_facets(table, lineage) for table in lineage.inputs})
        written = lineage.outputs.items()
        _lay_under(
            writes, {_identity(table): _output_facets(table, output, lineage) for table, output in written}
        )
    inputs = [_input(identity, facets) for identity, facets in reads.items()]
    outputs = [_output(identity, facets) for identity, facets in writes.items()]
    sources = _sources(recording, lineage)
    return Description(
        inputs=inputs,
        outputs=outputs,
        job_facets={**_sql_facet(recording, lineage), **_lineage_facet(inputs, outputs, sources)},
        run_facets=_error_facet(recording, lineage) | _query_facet(recording),
        sources=sources,
    )


def _lineage(recording: Recording) -> Lineage | None:
    """What the statements did; None without sqlglot, which is an extra."""
    if not recording.statements:
        return None
    try:
        from openlineage_bridge_capture.sql.script import lineage
    except ImportError:
        log.once(
            logging.WARNING,
            "SQL ran, but its lineage cannot be read without sqlglot: install openlineage-bridge[sql]",
        )
        return None
    return lineage(recording.statements, recording.catalog)


def _identity(table: Table) -> Identity:
    return table.namespace, table.name


def _sources(recording: Recording, lineage: Lineage | None) -> dict[Identity, frozenset[Identity]]:
    """What fed each output, where SQL alone filled it and all of it is known."""
    if lineage is None or lineage.failures or recording.left_out:
        return {}
    otherwise = {dataset.identity for dataset in recording.writes}
    return {
        _identity(table): frozenset(map(_identity, output.origin.tables)) - {_identity(table)}
        for table, output in lineage.outputs.items()
        if output.origin.complete and _identity(table) not in otherwise
    }


def _lineage_facet(
    inputs: list[InputDataset], outputs: list[OutputDataset], sources: dict[Identity, frozenset[Identity]]
) -> dict[str, JobFacet]:
    facet = edges.facet(inputs, outputs, sources, PRODUCER)
    return {"lineage": facet} if facet is not None else {}


def _input(identity: Identity, facets: Facets) -> InputDataset:
    own, of_reading = _split(facets, INPUT_FACETS)
    return InputDataset(*identity, facets=own, inputFacets=cast("Any", of_reading))


def _output(identity: Identity, facets: Facets) -> OutputDataset:
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


def _input_facets(table: Table, lineage: Lineage) -> Facets:
    """What is known of a table or file, whether it was read or written."""
    facets = _data_source(table) | _storage(table, lineage)
    known = lineage.schemas.get(table)
    if known:
        facets["schema"] = _schema(known)
    return facets


def _storage(table: Table, lineage: Lineage) -> Facets:
    """Of a file that a statement names: where it is and its format, as the function that reads it or its name tells."""
    if table not in lineage.files:
        return {}
    return _stored(table, lineage.files[table] or format_of(table.name))


def _stored(place: Table, file_format: str | None) -> Facets:
    layer = file_format if file_format in TABLE_FORMATS else place.namespace.partition(":")[0]
    facet = storage_dataset.StorageDatasetFacet(
        storageLayer=layer or "file",
        fileFormat=TABLE_FORMATS.get(file_format or "", file_format),
        producer=PRODUCER,
    )
    return {"storage": facet}


def _location(output: Output) -> Facets:
    """Of a table that keeps its data in a place of its own: that place as another name, and the format there."""
    if not output.locations:
        return {}
    identifiers = [
        symlinks_dataset.Identifier(namespace=place.namespace, name=place.name, type="LOCATION")
        for place in output.locations
    ]
    symlinks = symlinks_dataset.SymlinksDatasetFacet(identifiers=identifiers, producer=PRODUCER)
    return {"symlinks": symlinks, **_stored(output.locations[0], output.file_format)}


def _data_source(table: Table) -> Facets:
    if "://" not in table.namespace:
        return {}
    source = datasource_dataset.DatasourceDatasetFacet(
        name=table.namespace, uri=table.namespace, producer=PRODUCER
    )
    return {"dataSource": source}


def _output_facets(table: Table, output: Output, lineage: Lineage) -> Facets:
    facets = _input_facets(table, lineage)
    if output.schema:
        # What the run itself says of a column wins; the types that it leaves open are the catalog's.
        types = lineage.schemas.get(table, {})
        facets["schema"] = _schema({name: kind or types.get(name) for name, kind in output.schema.items()})
    facets |= _location(output)
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
    places: Sequence[int] = range(len(recording.statements))
    undone: frozenset[int] = frozenset()
    if lineage is not None:
        touching = lineage.touching | {failure.index for failure in lineage.failures}
        places, undone = sorted(touching), lineage.undone
    if not places:
        return {}
    texts = dict.fromkeys(
        f"{ROLLED_BACK if index in undone else ''}{_text(recording.statements[index])}" for index in places
    )
    dialects = {recording.statements[index].dialect for index in places}
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


def _query_facet(recording: Recording) -> dict[str, RunFacet]:
    """The database's own id of the run's query (OpenLineage, ExternalQueryRunFacet).

    There is one such facet, so it is the last query that wrote something, for that is the one people look for, else the last.
    """
    queries = [statement for statement in recording.statements if statement.query_id]
    if not queries:
        return {}
    query = next((each for each in reversed(queries) if _writes(each)), queries[-1])
    facet = external_query_run.ExternalQueryRunFacet(
        externalQueryId=str(query.query_id), source=query.namespace, producer=PRODUCER
    )
    return {"externalQuery": facet}


def _writes(statement: Statement) -> bool:
    lineage = _lineage(Recording(statements=(statement,)))
    return lineage is not None and bool(lineage.outputs) and not statement.rolled_back
