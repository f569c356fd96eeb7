"""Every statement of a recording, in order → the lineage of the run.

Tables that the run made and dropped again, temporary ones and those of databases in memory are followed through to what
they were made of, and not reported.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from openlineage_bridge_capture.recording import Statement
from openlineage_bridge_capture.sql.effects import Effects, Output
from openlineage_bridge_capture.sql.parsing import UnreadableError, parse
from openlineage_bridge_capture.sql.relations import Sources, Table
from openlineage_bridge_capture.sql.statements import Performer
from openlineage_bridge_capture.sql.tables import IN_MEMORY, Names


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
        touching: Places of the statements that read or wrote anything.
        failures: Statements that could not be understood.
    """

    inputs: tuple[Table, ...] = ()
    outputs: dict[Table, Output] = attrs.field(factory=dict)
    touching: frozenset[int] = frozenset()
    failures: tuple[Failure, ...] = ()


def lineage(statements: Iterable[Statement]) -> Lineage:
    """Walk the statements in their order. Total: one that cannot be understood is a failure, and the rest goes on."""
    effects = Effects()
    touching: set[int] = set()
    failures: list[Failure] = []
    for index, statement in enumerate(statements):
        before = effects.mentions
        try:
            _perform(statement, effects)
        except Exception as error:
            failures.append(Failure(index, _reason(error)))
        if effects.mentions != before:
            touching.add(index)
    return Lineage(
        inputs=tuple(effects.inputs),
        outputs=_reported(effects),
        touching=frozenset(touching),
        failures=tuple(failures),
    )


def _perform(statement: Statement, effects: Effects) -> None:
    performer = Performer(Names.of(statement, effects.spelling), effects)
    unread: UnreadableError | None = None
    for tree in parse(statement.sql, statement.dialect):
        if isinstance(tree, UnreadableError):
            unread = unread or tree
        else:
            performer.perform(tree, {})
    if unread is not None:
        raise unread


def _reason(error: Exception) -> str:
    # Anything but the parser giving up is a defect of ours; its type helps whoever reads the report.
    return str(error) if isinstance(error, UnreadableError) else f"{type(error).__name__}: {error}"


def _reported(effects: Effects) -> dict[Table, Output]:
    """The outputs the world can see.

    A table that was only dropped is no output of data: were it listed beside inputs, a consumer would draw an edge from
    them to it. So DROP is reported when the run read nothing, and left out otherwise.
    """
    return {
        table: _visible(output)
        for table, output in effects.outputs.items()
        if table.namespace != IN_MEMORY and not (output.lifecycle == "DROP" and effects.inputs)
    }


def _visible(output: Output) -> Output:
    columns = {name: found for name, sources in output.columns.items() if (found := _outside(sources))}
    return attrs.evolve(output, columns=columns, indirect=_outside(output.indirect))


def _outside(sources: Sources) -> Sources:
    return {column: how for column, how in sources.items() if column[0].namespace != IN_MEMORY}
