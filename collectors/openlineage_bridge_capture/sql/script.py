"""Every statement of a recording, in order → the lineage of the run.

Tables that the run made and dropped again, temporary ones and those of databases in memory are followed through to what
they were made of, and not reported. A statement that was rolled back is followed in a world of its own, in which the others
happened too: what it read there is an input, what it did stays there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from openlineage_bridge_capture.recording import Columns, Statement
from openlineage_bridge_capture.sql.effects import Effects, Output
from openlineage_bridge_capture.sql.knowledge import Knowledge, Schema
from openlineage_bridge_capture.sql.parsing import UnreadableError, parse
from openlineage_bridge_capture.sql.relations import Origin, Sources, Table
from openlineage_bridge_capture.sql.statements import Performer
from openlineage_bridge_capture.sql.tables import IN_MEMORY, Names

Spelled = Callable[[Table, str], str]
"""A column of a table as the database spells it."""


@attrs.frozen
class Failure:
    """A statement whose lineage is missing: its place among the statements, and why."""

    index: int
    reason: str


@attrs.frozen
class Lineage:
    """What the statements of a run read and wrote.

    Args:
        inputs: Tables and files that were there before and were read.
        outputs: Tables and files that were written, with what their columns are made of.
        schemas: The columns of inputs and outputs that a connection's catalog told.
        files: The files among them, with the format where the statement itself tells it.
        touching: Places of the statements that read or wrote anything.
        undone: Places of the statements that would have written, had they not been rolled back.
        failures: Statements that could not be understood.
    """

    inputs: tuple[Table, ...] = ()
    outputs: dict[Table, Output] = attrs.field(factory=dict)
    schemas: dict[Table, Schema] = attrs.field(factory=dict)
    files: dict[Table, str | None] = attrs.field(factory=dict)
    touching: frozenset[int] = frozenset()
    undone: frozenset[int] = frozenset()
    failures: tuple[Failure, ...] = ()


@attrs.define
class _Walk:
    """A walk through the statements of a run.

    Args:
        facts: What those did that were not rolled back.
        world: The same with those that were, when there are any.
    """

    facts: Effects
    world: Effects | None
    inputs: dict[Table, None] = attrs.field(factory=dict)
    touching: set[int] = attrs.field(factory=set)
    undone: set[int] = attrs.field(factory=set)
    failures: list[Failure] = attrs.field(factory=list)

    def step(self, index: int, statement: Statement) -> None:
        """Perform one statement; one that cannot be understood is a failure."""
        if not statement.rolled_back:
            self._perform(index, statement, self.facts)
        if self.world is not None:
            self._perform(index, statement, self.world, only_reads=statement.rolled_back)

    def _perform(
        self, index: int, statement: Statement, effects: Effects, *, only_reads: bool = False
    ) -> None:
        mentions, writes = effects.mentions, effects.writes
        read: dict[Table, None] = {}
        try:
            _perform(statement, effects, read)
        except Exception as error:
            self._fail(Failure(index, _reason(error)))
        if effects is self.facts or only_reads:
            self.inputs |= read
        if effects.mentions != mentions:
            self.touching.add(index)
        if only_reads and effects.writes != writes:
            self.undone.add(index)

    def _fail(self, failure: Failure) -> None:
        if failure not in self.failures:
            self.failures.append(failure)


def lineage(statements: Iterable[Statement], catalog: Iterable[Columns] = ()) -> Lineage:
    """Walk the statements in their order. Total: one that cannot be understood is a failure, and the rest goes on.

    Args:
        statements: What the run executed.
        catalog: What the connections' catalogs said of the tables in it.
    """
    statements = tuple(statements)
    spelling: dict[str, str] = {}
    knowledge = Knowledge.of(catalog, spelling)
    if knowledge.schemas:
        knowledge = attrs.evolve(knowledge, definitions=_definitions(statements, dict(spelling)))
    undoing = any(statement.rolled_back for statement in statements)
    walk = _Walk(
        Effects(spelling=spelling, knowledge=knowledge),
        Effects(spelling=spelling, knowledge=knowledge) if undoing else None,
    )
    for index, statement in enumerate(statements):
        walk.step(index, statement)
    return _found(walk)


def _definitions(statements: Sequence[Statement], spelling: dict[str, str]) -> dict[Table, int]:
    """How often each table is defined, as a first walk tells that knows of no catalog."""
    walk = _Walk(Effects(spelling=spelling), None)
    for index, statement in enumerate(statements):
        walk.step(index, attrs.evolve(statement, rolled_back=False))
    return walk.facts.defined


def _found(walk: _Walk) -> Lineage:
    outputs = _reported(walk)
    return Lineage(
        inputs=tuple(walk.inputs),
        outputs=outputs,
        schemas={
            table: schema
            for table in (*walk.inputs, *outputs)
            if (schema := walk.facts.schema_of(table)) and not _gone(outputs.get(table))
        },
        files={**(walk.world.files if walk.world else {}), **walk.facts.files},
        touching=frozenset(walk.touching),
        undone=frozenset(walk.undone),
        failures=tuple(walk.failures),
    )


def _perform(statement: Statement, effects: Effects, read: dict[Table, None]) -> None:
    """Perform a text; ``read`` gets what it reads that the run has not produced itself."""
    names = Names.of(statement, effects.spelling)
    performer = Performer(names, effects)
    unread: UnreadableError | None = None
    for tree in parse(statement.sql, statement.dialect):
        if isinstance(tree, UnreadableError):
            unread = unread or tree
            continue
        effects.begin(names.column)
        try:
            performer.perform(tree, {})
        finally:
            read |= dict.fromkeys(effects.read_by_statement)
    if unread is not None:
        raise unread


def _reason(error: Exception) -> str:
    # Anything but the parser giving up is a defect of ours; its type helps whoever reads the report.
    return str(error) if isinstance(error, UnreadableError) else f"{type(error).__name__}: {error}"


def _reported(walk: _Walk) -> dict[Table, Output]:
    """The outputs the world can see.

    A table that was only dropped is no output of data: were it listed beside inputs, a consumer would draw an edge from
    them to it. So DROP is reported when the run read nothing, and left out otherwise.
    """
    return {
        table: _visible(table, output, walk.facts.spelled)
        for table, output in walk.facts.outputs.items()
        if table.namespace != IN_MEMORY and not (_gone(output) and walk.inputs)
    }


def _gone(output: Output | None) -> bool:
    return output is not None and output.lifecycle == "DROP"


def _visible(table: Table, output: Output, spelled: Spelled) -> Output:
    columns = {
        spelled(table, name): found
        for name, sources in output.columns.items()
        if (found := _outside(sources, spelled))
    }
    schema = output.schema and {spelled(table, name): kind for name, kind in output.schema.items()}
    tables = frozenset(source for source in output.origin.tables if source.namespace != IN_MEMORY)
    return attrs.evolve(
        output,
        columns=columns,
        indirect=_outside(output.indirect, spelled),
        schema=schema,
        origin=Origin(tables, output.origin.complete),
    )


def _outside(sources: Sources, spelled: Spelled) -> Sources:
    return {
        (table, spelled(table, column)): how
        for (table, column), how in sources.items()
        if table.namespace != IN_MEMORY
    }
