"""google-cloud-bigquery: queries, load, copy and extract jobs that this process started, and rows that it inserted.

A job counts when the service has told that it is done without an error, whoever asked: ``result``, ``done``, ``to_dataframe``, the
DB-API, or another object that stands for the same job. Jobs of others that are only looked at do not count. It belongs to the
run that started it. A job that nobody asks after is not recorded. Nothing is asked of the service: what a job read and
wrote is in its configuration, and its statistics came with the answer. Of legacy SQL only jobs are recorded, because only they
tell which tables were read.
"""

from __future__ import annotations

import functools
import io
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.datasets import Dataset
from openlineage_bridge_capture.drivers import connections, dbapi, places, texts
from openlineage_bridge_capture.drivers.dbapi import After
from openlineage_bridge_capture.files import paths

PACKAGE = "google.cloud.bigquery"

NAMESPACE = "bigquery"
"""Of every table (OpenLineage, "Naming", BigQuery)."""

MAX_STARTED = 1_000
"""Jobs whose end is waited for; beyond it the oldest is forgotten."""

DONE = "DONE"
"""The state of a job that has ended, well or not."""

WRITES = {"WRITE_TRUNCATE": "OVERWRITE", "WRITE_TRUNCATE_DATA": "OVERWRITE"}
"""``writeDisposition`` → ``lifecycleStateChange``, where what was there before is gone."""

INTO_DESTINATION = {
    "WRITE_APPEND": "INSERT INTO `{}`\n{}",
    None: "CREATE TABLE `{}` AS\n{}",
    "WRITE_EMPTY": "CREATE TABLE `{}` AS\n{}",
    "WRITE_TRUNCATE": "CREATE OR REPLACE TABLE `{}` AS\n{}",
    "WRITE_TRUNCATE_DATA": "CREATE OR REPLACE TABLE `{}` AS\n{}",
}
"""``writeDisposition`` of a query with a destination table → the statement that says the same."""


_started: dict[tuple[str, str], Callable[[Any], None]] = {}
"""What records a job of this process, given the object of it that has learned of its success."""

_lock = threading.Lock()


def instrument_client(module: Any) -> None:
    """Record what clients of ``google.cloud.bigquery.client`` do; doing it again changes nothing."""
    for name, before in CLIENT.items():
        dbapi.watch(module.Client, name, PACKAGE, before)


def instrument_jobs(module: Any) -> None:
    """Follow the jobs of ``google.cloud.bigquery.job.base``; doing it again changes nothing."""
    kind = module._AsyncJob  # noqa: SLF001  # the class of all jobs
    dbapi.watch(kind, "_begin", PACKAGE, _beginning)
    if "set_result" in vars(kind):
        return
    inherited = kind.set_result

    # PollingFuture calls it once per object, when the service has told of success.
    @functools.wraps(inherited)
    def set_result(self: Any, result: Any) -> None:
        inherited(self, result)
        if _started:
            connections.guarded(PACKAGE, lambda: _ended(self))

    kind.set_result = set_result


def instrument_dbapi(module: Any) -> None:
    """Tell SQLAlchemy that connections of ``google.cloud.bigquery.dbapi`` are captured here."""
    connections.mark_recording(module.Connection)


def _beginning(job: Any, _args: tuple[Any, ...], _kwargs: Mapping[str, Any]) -> After | None:
    destination = getattr(job, "destination", None)
    return lambda _: _track(job, destination=destination)


def _querying(client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    destination = _configured(client, args, kwargs, "destination")
    return lambda job: _track(job, destination=destination)


def _querying_and_waiting(client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    """Most queries need no job at all, so there is only what was asked and the rows."""
    sql = dbapi.text_of(args, kwargs)
    told = functools.partial(_configured, client, args, kwargs)
    if sql is None or told("dry_run") or told("use_legacy_sql"):
        return None
    project = kwargs.get("project") or client.project
    text = _into(sql, told("destination"), told("write_disposition"))
    default = told("default_dataset")
    return lambda rows: _record_query(text, project, default, _query_id(rows, project))


def _configured(client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str) -> Any:
    """A setting of a query: of its own configuration, else of the client's."""
    own = kwargs.get("job_config", args[1] if len(args) > 1 else None)
    value = getattr(own, name, None)
    return getattr(client.default_query_job_config, name, None) if value is None else value


def _uploading(_client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    file = args[0] if args else kwargs.get("file_obj")
    # What fsspec opens has a name too, but not on this machine; and a descriptor is no name.
    name = file.name if isinstance(file, (io.BufferedReader, io.BufferedRandom, io.FileIO)) else None
    files = (_file(os.path.abspath(name)),) if isinstance(name, str) else ()  # noqa: PTH100  # symbolic links stay
    return lambda job: _track(job, files=files)


def _converting(_client: Any, _args: tuple[Any, ...], _kwargs: Mapping[str, Any]) -> After | None:
    # What is uploaded is a temporary file of the client's own making.
    return _track


def _inserting(client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    table = _table(args[0] if args else kwargs.get("table"), client, kwargs.get("template_suffix") or "")

    def inserted(errors: Any) -> None:
        # One bad row keeps all others out, unless they may be skipped.
        if table is not None and (not errors or kwargs.get("skip_invalid_rows")):
            recorder.wrote(table)

    return inserted


def _listing(client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> After | None:
    table = _table(args[0] if args else kwargs.get("table"), client)
    return None if table is None else lambda _: recorder.read(table)


CLIENT: Mapping[str, dbapi.Before] = {
    "query": _querying,
    "query_and_wait": _querying_and_waiting,
    "load_table_from_file": _uploading,
    "load_table_from_dataframe": _converting,
    "load_table_from_json": _converting,
    "insert_rows_json": _inserting,
    "list_rows": _listing,
}
"""Methods of a client. ``load_table_from_uri``, ``copy_table`` and ``extract_table`` begin a job; ``insert_rows`` and
``insert_rows_from_dataframe`` insert JSON."""


def _track(job: Any, *, files: tuple[Dataset, ...] = (), destination: Any = None) -> None:
    """Record a job that was started here when it has succeeded, which may be now."""
    if getattr(job, "dry_run", False) or job.job_type not in JOBS:
        return
    record = functools.partial(_record, files=files, destination=destination)
    if job.state == DONE:
        if job.error_result is None:
            record(job)
        return
    with _lock:
        if len(_started) >= MAX_STARTED:
            _started.pop(next(iter(_started)))
        _started[_key(job)] = dbapi.later(record)


def _ended(job: Any) -> None:
    with _lock:
        record = _started.pop(_key(job), None)
    if record is not None:
        record(job)


def _key(job: Any) -> tuple[str, str]:
    return str(job.project), str(job.job_id)


def _record(job: Any, *, files: tuple[Dataset, ...], destination: Any) -> None:
    JOBS[job.job_type](job, files, destination)


def _record_query_job(job: Any, _files: tuple[Dataset, ...], destination: Any) -> None:
    if job.use_legacy_sql:
        # Another language, which nobody here reads; the service has told which tables it read.
        recorder.read(*_tables(job.referenced_tables))
        recorder.wrote(*_tables([destination], _overwriting(job)))
        return
    text = _into(job.query, destination, job.write_disposition)
    _record_query(text, job.project, job.default_dataset, _query_id(job, job.project))


def _record_query(sql: str, project: str, default: Any, query_id: str | None) -> None:
    """The project of the default dataset is that of every unqualified name, though a query may mix it with its own."""
    text = texts.read(sql)
    if text.moves_data:
        place = places.bigquery(
            default.project if default else project, default.dataset_id if default else None
        )
        recorder.statement(place.statement(sql), query_id)


def _record_load(job: Any, files: tuple[Dataset, ...], _destination: Any) -> None:
    rows, size = getattr(job, "output_rows", None), getattr(job, "output_bytes", None)
    facets = _overwriting(job)
    if rows is not None:
        facets["outputStatistics"] = {"rowCount": rows, **({} if size is None else {"size": size})}
    recorder.read(*files, *map(_file, job.source_uris or ()))
    recorder.wrote(*_tables([job.destination], facets))


def _record_copy(job: Any, _files: tuple[Dataset, ...], _destination: Any) -> None:
    recorder.read(*_tables(job.sources))
    recorder.wrote(*_tables([job.destination], _overwriting(job)))


def _record_extract(job: Any, _files: tuple[Dataset, ...], _destination: Any) -> None:
    recorder.read(*_tables([job.source]))
    recorder.wrote(*map(_file, job.destination_uris or ()))


JOBS: Mapping[str, Callable[[Any, tuple[Dataset, ...], Any], None]] = {
    "query": _record_query_job,
    "load": _record_load,
    "copy": _record_copy,
    "extract": _record_extract,
}
"""By ``job_type``."""


def _into(sql: str, destination: Any, disposition: str | None) -> str:
    """A query whose result goes to a table, as the statement that says so; any other text as it is."""
    named = _tables([destination])
    return (
        INTO_DESTINATION.get(disposition, INTO_DESTINATION[None]).format(named[0].name, sql) if named else sql
    )


def _overwriting(job: Any) -> dict[str, Any]:
    change = WRITES.get(job.write_disposition or "")
    return {"lifecycleStateChange": {"lifecycleStateChange": change}} if change else {}


def _query_id(job: Any, project: str) -> str | None:
    """``project:location.job`` as the service writes it (OpenLineage, ExternalQueryRunFacet); a query without a job has its own."""
    if job.job_id is None:
        query_id = getattr(job, "query_id", None)
        return str(query_id) if query_id else None
    return f"{project}:{job.location}.{job.job_id}" if job.location else f"{project}.{job.job_id}"


def _table(table: Any, client: Any, suffix: str = "") -> Dataset | None:
    """What a method of the client was given as a table: an object, or a name with or without the project."""
    if isinstance(table, str):
        name = table if table.count(".") > 1 else f"{client.project}.{table}"
        return Dataset(NAMESPACE, _undecorated(name) + suffix)
    found = _tables([table])
    return Dataset(NAMESPACE, found[0].name + suffix) if found else None


def _tables(references: Any, facets: Mapping[str, Any] | None = None) -> list[Dataset]:
    """Datasets of table references; models, and the service's own temporary tables (``_…``), are none."""
    return [
        Dataset(NAMESPACE, _undecorated(f"{each.project}.{each.dataset_id}.{each.table_id}"), facets or {})
        for each in references or ()
        if getattr(each, "table_id", None) and not each.dataset_id.startswith("_")
    ]


def _undecorated(name: str) -> str:
    """Without partition (``$20260101``) and time (``@-3600000``)."""
    return name.partition("$")[0].partition("@")[0]


def _file(path: str) -> Dataset:
    return Dataset(*paths.identity(path))
