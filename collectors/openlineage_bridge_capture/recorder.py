"""What each run has read and written so far, attributed through the host's own context.

A *host* is an orchestrator in this process. It registers a function that names the run whose code is executing
(Prefect: the innermost task or flow run id; Dagster: the step's), or None outside any run. Everything recorded
while that function names a run belongs to that run, exactly; what happens outside every run is counted, never guessed.

A host registers only when it has somewhere to report to, so "nothing configured" is "no host", and costs a look at an
empty list. Memory is bounded: per run by ``MAX_STATEMENTS`` and ``MAX_DATASETS``, over runs that nobody takes by ``MAX_RUNS``.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import attrs

from openlineage_bridge_capture import log
from openlineage_bridge_capture.datasets import Dataset

RunKey = str
"""The host's own id of the run whose code is executing."""

MAX_STATEMENTS = 200
"""Distinct statements kept per run; the rest is counted in ``Recording.left_out``."""

MAX_SQL_LENGTH = 262_144
"""Characters of a statement that is kept; a longer one (data in the text) is counted in ``Recording.left_out``."""

MAX_DATASETS = 10_000
"""Datasets kept per run and direction; the rest is counted in ``Recording.left_out``."""

MAX_RUNS = 10_000
"""Runs recorded at a time; beyond it the oldest run that nobody took is forgotten."""


@attrs.frozen
class Catalog:
    """A database that a connection reaches beside its own: DuckDB's ``ATTACH``, for one.

    Args:
        alias: What statements on this connection call it.
        namespace: OpenLineage namespace of its tables.
        name: What everyone calls it, so that two processes with different aliases name the same table.
    """

    alias: str
    namespace: str
    name: str


@attrs.frozen
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
    """

    sql: str
    dialect: str
    namespace: str
    catalog: str | None = None
    schema: str | None = None
    catalogs: tuple[Catalog, ...] = ()
    ephemeral: tuple[str, ...] = ()
    directory: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types, without the fields that say nothing."""
        fields = attrs.asdict(self, filter=lambda _, value: value is not None and value != ())
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
                Catalog(each["alias"], each["namespace"], each["name"]) for each in data.get("catalogs", ())
            ),
            ephemeral=tuple(data.get("ephemeral", ())),
            directory=data.get("directory"),
        )


@attrs.frozen
class Recording:
    """Everything one run did, in order of first occurrence, without repetition.

    Args:
        inputs: Datasets that user code said it read.
        outputs: Datasets that user code said it wrote.
        statements: SQL that succeeded.
        left_out: How many further statements and datasets there were beyond the bounds of this module.
    """

    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()
    statements: tuple[Statement, ...] = ()
    left_out: int = 0

    def __bool__(self) -> bool:
        """Whether anything was recorded at all."""
        return bool(self.inputs or self.outputs or self.statements)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types, to travel in a host's own event log."""
        return {
            "inputs": [dataset.to_json() for dataset in self.inputs],
            "outputs": [dataset.to_json() for dataset in self.outputs],
            "statements": [statement.to_json() for statement in self.statements],
            "left_out": self.left_out,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recording:
        """The inverse of ``to_json``; unknown keys are ignored, so that a newer writer may add some."""
        return cls(
            inputs=tuple(Dataset.from_json(dataset) for dataset in data.get("inputs", ())),
            outputs=tuple(Dataset.from_json(dataset) for dataset in data.get("outputs", ())),
            statements=tuple(Statement.from_json(statement) for statement in data.get("statements", ())),
            left_out=data.get("left_out", 0),
        )


@attrs.define
class _Tape:
    """A recording while it grows: dictionaries keep the order of first occurrence and make repetition free."""

    inputs: dict[tuple[str, str], Dataset] = attrs.field(factory=dict)
    outputs: dict[tuple[str, str], Dataset] = attrs.field(factory=dict)
    statements: dict[Statement, None] = attrs.field(factory=dict)
    left_out: int = 0

    def add_dataset(self, into: dict[tuple[str, str], Dataset], dataset: Dataset) -> None:
        known = into.get(dataset.identity)
        if known is None and len(into) >= MAX_DATASETS:
            self.left_out += 1
        else:
            into[dataset.identity] = known.merged(dataset) if known else dataset

    def add_statement(self, statement: Statement) -> None:
        if statement in self.statements:
            return
        if len(self.statements) >= MAX_STATEMENTS or len(statement.sql) > MAX_SQL_LENGTH:
            self.left_out += 1
        else:
            self.statements[statement] = None

    def recording(self) -> Recording:
        return Recording(
            inputs=tuple(self.inputs.values()),
            outputs=tuple(self.outputs.values()),
            statements=tuple(self.statements),
            left_out=self.left_out,
        )


_hosts: list[Callable[[], RunKey | None]] = []
_tapes: dict[RunKey, _Tape] = {}
_lock = threading.RLock()
_unattributed = 0


def attribute_with(current_run: Callable[[], RunKey | None]) -> None:
    """Register a host: from now on ``current_run()`` is asked who is executing. Registering twice is one registration."""
    if current_run not in _hosts:
        _hosts.append(current_run)


def attribute_no_longer_with(current_run: Callable[[], RunKey | None]) -> None:
    """Take a host's registration back; unknown ones are ignored."""
    if current_run in _hosts:
        _hosts.remove(current_run)


def current_run() -> RunKey | None:
    """The run whose code is executing on this thread or task, as the first host that knows says; None outside any."""
    for host in _hosts:
        try:
            run = host()
        except Exception:
            log.once(
                logging.WARNING,
                "A host could not name the current run; what it did is not recorded",
                exc_info=True,
            )
            continue
        if run is not None:
            return run
    return None


def inputs(*datasets: Dataset) -> None:
    """Say that the current run read these datasets. Outside a run, or with nothing configured, nothing happens."""
    _record_datasets("inputs", datasets)


def outputs(*datasets: Dataset) -> None:
    """Say that the current run wrote these datasets. Outside a run, or with nothing configured, nothing happens."""
    _record_datasets("outputs", datasets)


def statement(statement: Statement) -> None:
    """Record a statement that succeeded, for the current run; called by the drivers, cheap, never raises."""
    if not _hosts:
        return
    run = current_run()
    if run is None:
        _count_unattributed()
        return
    with _lock:
        _tape(run).add_statement(statement)


def peek(run: RunKey) -> Recording:
    """What the run has done so far; the recording goes on."""
    with _lock:
        tape = _tapes.get(run)
        return tape.recording() if tape else Recording()


def take(run: RunKey) -> Recording:
    """What the run did, and forget it: called once, when the run ends."""
    with _lock:
        tape = _tapes.pop(run, None)
        return tape.recording() if tape else Recording()


def unattributed() -> int:
    """How many statements and datasets were recorded outside every run since this process started."""
    return _unattributed


def active() -> bool:
    """Whether any host listens: what a driver asks before it does any work of its own."""
    return bool(_hosts)


def _record_datasets(direction: str, datasets: tuple[Any, ...]) -> None:
    valid = [dataset for dataset in datasets if _is_dataset(direction, dataset)]
    if not (_hosts and valid):
        return
    run = current_run()
    if run is None:
        _count_unattributed()
        return
    with _lock:
        tape = _tape(run)
        for dataset in valid:
            tape.add_dataset(getattr(tape, direction), dataset)


def _is_dataset(direction: str, value: object) -> bool:
    if isinstance(value, Dataset):
        return True
    log.once(
        logging.WARNING,
        "%s() takes Dataset(namespace, name) objects, one argument each; ignored a %s: %.100r",
        direction,
        type(value).__name__,
        value,
    )
    return False


def _tape(run: RunKey) -> _Tape:
    tape = _tapes.get(run)
    if tape is None:
        if len(_tapes) >= MAX_RUNS:
            _tapes.pop(next(iter(_tapes)))
        tape = _tapes[run] = _Tape()
    return tape


def _count_unattributed() -> None:
    global _unattributed  # noqa: PLW0603  # a counter of the process, as the recordings are
    _unattributed += 1
    log.once(
        logging.INFO,
        "SQL ran or datasets were named outside every run; they belong to no job and are only counted",
    )


def _start_afresh_in_child() -> None:
    """After a fork: what happened before it is the parent's to report, and its lock may be held for ever."""
    global _lock, _unattributed  # noqa: PLW0603  # the process's own state, and this is a new process
    _lock = threading.RLock()
    _unattributed = 0
    _tapes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh_in_child)
