"""What a connection's open transaction has executed, so that it can be taken back when the transaction is.

A driver tells a ``Transaction`` what was executed inside it, and every ``COMMIT``, ``ROLLBACK`` and savepoint that it sees. What
runs outside transactions is never told: it commits itself. Savepoints are exact; a script of several statements counts as
one, and as written when only a part of it was rolled back. A connection that is closed or forgotten with a transaction open
rolls it back, as every database does.
"""

from __future__ import annotations

import re
import weakref
from typing import Any

import attrs

from openlineage_bridge_capture.recorder import Execution

MAX_SAVEPOINTS = 1_000
"""Savepoints that are told apart; beyond it the oldest are taken for one, so that nothing is taken back by mistake."""

BEGIN, COMMIT, ROLLBACK, SAVEPOINT, RELEASE, ROLLBACK_TO, DATA = (
    "begin",
    "commit",
    "rollback",
    "savepoint",
    "release",
    "rollback to",
    "data",
)
"""What one statement means to the transaction around it."""

_NOISE = re.compile(
    r"'(?:[^']|'')*'|(?<![\w$])\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/",
    re.DOTALL,
)
_MAY_CONTROL = re.compile(
    r"\b(?:begin|start|commit|end|rollback|abort|savepoint|release|save|prepare)\b", re.IGNORECASE
)
_NAME = r"(?P<name>\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*\]|\w+)"
_MODES = r"(?:work|tran(?:saction)?|deferred|immediate|exclusive|concurrent|isolation|read|not|deferrable)"
_FORMS = tuple(
    (meaning, re.compile(rf"\s*(?:{form})\s*", re.IGNORECASE | re.DOTALL))
    for meaning, form in (
        (ROLLBACK_TO, rf"rollback(?:\s+(?:work|transaction|tran))?\s+to(?:\s+savepoint)?\s+{_NAME}"),
        (SAVEPOINT, rf"(?:savepoint|save\s+tran(?:saction)?)\s+{_NAME}"),
        (RELEASE, rf"release(?:\s+savepoint)?\s+{_NAME}"),
        (ROLLBACK, r"(?:rollback|abort)(?:\s+(?:work|transaction|tran|and\s+no\s+chain|prepared)\b.*)?"),
        (COMMIT, r"(?:commit|end)(?:\s+(?:work|transaction|tran|and\s+no\s+chain|prepared)\b.*)?"),
        (COMMIT, r"prepare\s+transaction\b.*"),
        (BEGIN, rf"(?:begin|start\s+transaction)(?:\s+{_MODES}\b.*)?"),
    )
)
"""Two-phase commit: what is prepared is taken for committed, because its fate is decided elsewhere."""


@attrs.frozen
class Step:
    """One statement of a text as the transaction sees it: its meaning and the savepoint that it names."""

    meaning: str
    name: str = ""


ONE_OF_DATA = (Step(DATA),)
"""The steps of nearly every text."""


def steps(sql: str) -> tuple[Step, ...]:
    """What the statements of a text mean to the transaction around them, in order."""
    if not _MAY_CONTROL.search(sql):
        return ONE_OF_DATA
    return tuple(_step(each) for each in _NOISE.sub(_blank, sql).split(";") if each.strip())


def _blank(match: re.Match[str]) -> str:
    return " " if match[0].startswith(("--", "/*")) else "''"


def _step(statement: str) -> Step:
    for meaning, form in _FORMS:
        if match := form.fullmatch(statement):
            return Step(meaning, _plain(match.groupdict().get("name") or ""))
    return Step(DATA)


def _plain(name: str) -> str:
    return name[1:-1] if name[:1] in {'"', "`", "["} else name.lower()


@attrs.define
class _Part:
    """What was executed since a savepoint, each statement once with its number of executions."""

    savepoint: str | None = None
    executions: dict[int, tuple[Execution, int]] = attrs.field(factory=dict)

    def add(self, execution: Execution, times: int = 1) -> None:
        subject = execution.subject
        _, before = self.executions.get(subject, (execution, 0))
        self.executions[subject] = execution, before + times

    def take(self, other: _Part) -> None:
        for execution, times in other.executions.values():
            self.add(execution, times)

    def roll_back(self) -> None:
        for execution, times in self.executions.values():
            execution.roll_back(times)
        self.executions.clear()


@attrs.define(eq=False)
class Transaction:
    """The open transaction of one connection, if there is one."""

    is_open: bool = False
    _parts: list[_Part] = attrs.field(factory=lambda: [_Part()])

    @property
    def holds_anything(self) -> bool:
        """Whether something was executed that may still be rolled back, or a savepoint is set."""
        return len(self._parts) > 1 or bool(self._parts[0].executions)

    def begin(self) -> None:
        """A transaction starts; what an earlier one executed, whose end was not seen, stays as it is."""
        self.commit()
        self.is_open = True

    def add(self, execution: Execution | None) -> None:
        """Something was executed inside the transaction."""
        if execution is not None:
            self._parts[-1].add(execution)

    def commit(self) -> None:
        """All that was executed is there to stay."""
        self.is_open = False
        if self.holds_anything:
            self._parts = [_Part()]

    def roll_back(self) -> None:
        """All that was executed wrote nothing."""
        for part in self._parts:
            part.roll_back()
        self.commit()

    def save(self, name: str) -> None:
        """``SAVEPOINT name``."""
        self._parts.append(_Part(name))
        if len(self._parts) > MAX_SAVEPOINTS:
            self._parts[0].take(self._parts.pop(1))

    def release(self, name: str) -> None:
        """``RELEASE name``: what came after it belongs to what is around it."""
        position = self._position(name)
        if position is not None:
            for part in self._parts[position:]:
                self._parts[position - 1].take(part)
            del self._parts[position:]

    def roll_back_to(self, name: str) -> None:
        """``ROLLBACK TO name``: what came after it wrote nothing; the savepoint remains."""
        position = self._position(name)
        if position is not None:
            for part in self._parts[position:]:
                part.roll_back()
            del self._parts[position + 1 :]

    def _position(self, name: str) -> int | None:
        """Of the youngest savepoint of that name; names that differ in case only are one, as in most databases."""
        for position in range(len(self._parts) - 1, 0, -1):
            if (self._parts[position].savepoint or "").lower() == name.lower():
                return position
        return None

    def follow(
        self, found: tuple[Step, ...], execution: Execution | None, *, autocommit: bool = True
    ) -> None:
        """A text was executed: its data statements and its transaction control, in their order.

        Args:
            found: The steps of the text.
            execution: What was recorded of it.
            autocommit: Whether a statement outside an explicit transaction commits itself.
        """
        if found == ONE_OF_DATA:
            if self.is_open or not autocommit:
                self.add(execution)
            return
        todo = execution
        data = [index for index, step in enumerate(found) if step.meaning == DATA]
        if todo is not None and data and _has_boundary(found[data[0] : data[-1]]):
            # Only part of the text may be undone, and a part is written.
            todo = None
        for step in found:
            if step.meaning == DATA:
                if self.is_open or not autocommit:
                    self.add(todo)
                todo = None
            else:
                self.control(step)

    def control(self, step: Step) -> None:
        """One statement of transaction control."""
        if step.meaning == BEGIN:
            self._begin_unless_open()
        elif step.meaning == COMMIT:
            self.commit()
        elif step.meaning == ROLLBACK:
            self.roll_back()
        elif step.meaning == SAVEPOINT:
            self.is_open = True
            self.save(step.name)
        elif step.meaning == RELEASE:
            self.release(step.name)
        elif step.meaning == ROLLBACK_TO:
            self.roll_back_to(step.name)

    def _begin_unless_open(self) -> None:
        # PostgreSQL warns of BEGIN inside a transaction, and goes on with it.
        if not self.is_open:
            self.begin()


def _has_boundary(found: tuple[Step, ...]) -> bool:
    return any(step.meaning in {COMMIT, ROLLBACK, ROLLBACK_TO, BEGIN} for step in found)


def of(connection: Any) -> Transaction:
    """A transaction that is rolled back when its connection is garbage; it holds no reference to the connection."""
    transaction = Transaction()
    finalizer = weakref.finalize(connection, transaction.roll_back)
    # At exit the process's recordings are gone already.
    finalizer.atexit = False
    return transaction
