"""What each run has read and written so far, attributed through the host's own context.

A *host* is an orchestrator in this process. It registers a function that names the run whose code is executing
(Prefect: the innermost task or flow run id; Dagster: the step's), or None outside any run. Everything recorded
while that function names a run belongs to that run, exactly; what happens outside every run is counted, never guessed.

A host registers only when it has somewhere to report to, so "nothing configured" is "no host", and costs a look at an
empty list. Memory is bounded: per run by ``MAX_STATEMENTS`` and ``MAX_DATASETS``, over runs that nobody takes by ``MAX_RUNS``.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

import attrs

from openlineage_bridge_capture import log
from openlineage_bridge_capture.datasets import Dataset
from openlineage_bridge_capture.recording import NOTHING, Columns, Recording, Statement

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


@attrs.define(eq=False)
class _Tally:
    """How the executions of one statement went: how many there were, and how many of them were undone."""

    executions: int = 0
    rolled_back: int = 0
    query_id: str | None = None
    repeated: Execution | None = None
    """What stands for each execution but the first: they differ in nothing."""

    def told(self, statement: Statement) -> Statement:
        undone = 0 < self.executions == self.rolled_back
        if not undone and self.query_id is None:
            return statement
        return attrs.evolve(statement, query_id=self.query_id, rolled_back=undone)


@attrs.frozen(eq=False)
class Execution:
    """One execution of a statement that was recorded.

    Args:
        first: Whether it is the run's first of this statement, which is when a driver may look into the catalog.
        recording: The number of the recording that it is part of; a run that starts again has another one.
    """

    first: bool
    recording: int
    _tally: _Tally

    @property
    def subject(self) -> int:
        """The same for every execution of one statement in one run, while any of them is kept."""
        return id(self._tally)

    def roll_back(self, times: int = 1) -> None:
        """Its transaction was rolled back, after all: it read, but wrote nothing.

        Args:
            times: How many executions of the statement this one stands for.
        """
        with _lock:
            self._tally.rolled_back += times


@attrs.define
class _Tape:
    """A recording while it grows: dictionaries keep the order of first occurrence and make repetition free."""

    inputs: dict[tuple[str, str], Dataset] = attrs.field(factory=dict)
    outputs: dict[tuple[str, str], Dataset] = attrs.field(factory=dict)
    reads: dict[tuple[str, str], Dataset] = attrs.field(factory=dict)
    writes: dict[tuple[str, str], Dataset] = attrs.field(factory=dict)
    catalog: dict[tuple[str, str], Columns] = attrs.field(factory=dict)
    statements: dict[Statement, _Tally] = attrs.field(factory=dict)
    left_out: int = 0
    number: int = attrs.field(factory=itertools.count(1).__next__)

    def add_dataset(self, into: dict[tuple[str, str], Dataset], dataset: Dataset) -> None:
        known = into.get(dataset.identity)
        if known is None and len(into) >= MAX_DATASETS:
            self.left_out += 1
        else:
            into[dataset.identity] = known.merged(dataset) if known else dataset

    def add_read(self, dataset: Dataset) -> None:
        """What the run itself put there is no input; its other sources are."""
        if dataset.identity in self.reads or dataset.identity not in self.writes:
            self.add_dataset(self.reads, dataset)

    def add_columns(self, table: Columns) -> None:
        if len(self.catalog) < MAX_DATASETS:
            self.catalog[table.namespace, table.name] = table

    def add_statement(self, statement: Statement, query_id: str | None) -> Execution | None:
        tally = self.statements.get(statement)
        if tally is None:
            return self._add_first(statement, query_id)
        tally.executions += 1
        tally.query_id = query_id or tally.query_id
        if tally.repeated is None:
            tally.repeated = Execution(first=False, recording=self.number, tally=tally)
        return tally.repeated

    def _add_first(self, statement: Statement, query_id: str | None) -> Execution | None:
        if len(self.statements) >= MAX_STATEMENTS or len(statement.sql) > MAX_SQL_LENGTH:
            self.left_out += 1
            return None
        tally = self.statements[statement] = _Tally(executions=1, query_id=query_id)
        return Execution(first=True, recording=self.number, tally=tally)

    def recording(self) -> Recording:
        return Recording(
            inputs=tuple(self.inputs.values()),
            outputs=tuple(self.outputs.values()),
            statements=tuple(tally.told(statement) for statement, tally in self.statements.items()),
            reads=tuple(self.reads.values()),
            writes=tuple(self.writes.values()),
            catalog=tuple(self.catalog.values()),
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


def attributed_run() -> RunKey | None:
    """The current run, for something to record; None with nobody listening, and outside every run, which is counted.

    Drivers ask it before they look closer at a statement that only moves data.
    """
    if not _hosts:
        return None
    run = current_run()
    if run is None:
        _count_unattributed()
    return run


def inputs(*datasets: Dataset | str | PurePath) -> None:
    """Say that the current run read these datasets, which may be URIs or paths (``Dataset.from_uri``).

    Outside a run, or with nothing configured, nothing happens. What names no dataset is said in the log, never raised.
    """
    _record_datasets("inputs", datasets)


def outputs(*datasets: Dataset | str | PurePath) -> None:
    """Say that the current run wrote these datasets; as ``inputs``."""
    _record_datasets("outputs", datasets)


def read(*datasets: Dataset) -> None:
    """Record that the current run was seen reading these datasets; called by what watches libraries."""
    _record_datasets("reads", datasets)


def wrote(*datasets: Dataset) -> None:
    """Record that the current run was seen writing these datasets; called by what watches libraries."""
    _record_datasets("writes", datasets)


def statement(
    statement: Statement, query_id: str | None = None, *, run: RunKey | None = None
) -> Execution | None:
    """Record a statement that succeeded; called by the drivers, cheap, never raises.

    Args:
        statement: The same object each time, where a driver can: a repeated statement is looked up by it.
        query_id: The database's own id of this execution; else the statement's own.
        run: What ``attributed_run`` said of it, where it was asked already.

    Returns:
        This execution of it; None when there is no run to record it for, or it is only counted.
    """
    run = run or attributed_run()
    if run is None:
        return None
    with _lock:
        return _tape(run).add_statement(statement, query_id or statement.query_id)


def columns(*tables: Columns) -> None:
    """Record what a connection's catalog says of tables that the current run's statements mention; the latest counts."""
    run = attributed_run()
    if run is None:
        return
    with _lock:
        tape = _tape(run)
        for table in tables:
            tape.add_columns(table)


def peek(run: RunKey) -> Recording:
    """What the run has done so far; the recording goes on."""
    with _lock:
        tape = _tapes.get(run)
        return tape.recording() if tape else NOTHING


def take(run: RunKey) -> Recording:
    """What the run did, and forget it: called once, when the run ends. A local file that it wrote and removed is no output."""
    with _lock:
        tape = _tapes.pop(run, None)
    if tape is None:
        return NOTHING
    recording = tape.recording()
    return attrs.evolve(recording, writes=tuple(filter(_still_there, recording.writes)))


def _still_there(dataset: Dataset) -> bool:
    # Names that no file can have are answered too, unlike by pathlib.
    return dataset.namespace != "file" or os.path.exists(dataset.name)  # noqa: PTH110


def unattributed() -> int:
    """How many statements and datasets were recorded outside every run since this process started."""
    return _unattributed


def active() -> bool:
    """Whether any host listens: what a driver asks before it does any work of its own."""
    return bool(_hosts)


def _record_datasets(direction: str, datasets: tuple[Any, ...]) -> None:
    valid = [dataset for each in datasets if (dataset := _dataset(direction, each)) is not None]
    run = attributed_run() if valid else None
    if run is None:
        return
    with _lock:
        tape = _tape(run)
        for dataset in valid:
            if direction == "reads":
                tape.add_read(dataset)
            else:
                tape.add_dataset(getattr(tape, direction), dataset)


def _dataset(direction: str, value: object) -> Dataset | None:
    if isinstance(value, Dataset):
        return value
    try:
        if isinstance(value, (str, PurePath)):
            return Dataset.from_uri(value)
        reason = f"a {type(value).__name__} is none"
    except ValueError as error:
        reason = str(error)
    # Not the value itself: a URI may hold a password.
    log.once(
        logging.WARNING,
        "%s() takes datasets, URIs and paths, one argument each; left one out: %s",
        direction,
        reason,
    )
    return None


def _tape(run: RunKey) -> _Tape:
    tape = _tapes.get(run)
    if tape is None:
        if len(_tapes) >= MAX_RUNS:
            _tapes.pop(next(iter(_tapes)))
        tape = _tapes[run] = _Tape()
    return tape


def _count_unattributed() -> None:
    global _unattributed  # noqa: PLW0603  # a counter of the process, as the recordings are
    count = _unattributed = _unattributed + 1
    if count == 1:
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
