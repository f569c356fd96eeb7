"""What a driver asks a connection's own catalog: the columns of the tables that a statement mentions.

``OPENLINEAGE_BRIDGE_SQL_CATALOG=false`` in the environment of the task switches it off. Then tables have a schema, and ``SELECT *``
columns, only where the run's own statements tell them.

Only DuckDB, SQLite and PostgreSQL (psycopg, psycopg2) are asked, where it takes about a millisecond and changes nothing: after the
run's first execution of a statement, in one question by the words in its text, at most once per table, connection and run
(and again after a statement that may have changed the definition), and for ``MAX_TABLES`` tables at most. Snowflake, BigQuery and whatever
else is reached through SQLAlchemy are never asked: there a question costs money, time, or locks.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable

import attrs

from openlineage_bridge_capture import log, recorder
from openlineage_bridge_capture.recording import Columns

VARIABLE = "OPENLINEAGE_BRIDGE_SQL_CATALOG"

MAX_TABLES = 200
"""Tables of which the columns are taken per connection and run."""

MAX_NAMES = 1_000
"""Different words in a text that may name tables; one with more is full of data, and nothing is asked for it."""

MAX_ROWS = 20_000
"""Columns that one question may give."""

_NAME = re.compile(r"\"((?:[^\"]|\"\")+)\"|`([^`]+)`|\[([^\]]+)\]|'(?:[^']|'')*'|([^\W\d][\w$]*)")
_DEFINES = re.compile(r"\b(?:create|alter|drop|rename)\b|\bselect\b.*?\binto\b", re.IGNORECASE | re.DOTALL)

Row = tuple[str, str, str, str | None]
"""OpenLineage namespace and name of a table, a column's name and its type."""


def wanted() -> bool:
    """Whether the user lets catalogs be asked."""
    return os.environ.get(VARIABLE, "").strip().lower() not in {"0", "false", "no", "off"}


def names_in(sql: str) -> frozenset[str]:
    """What in a text may name a table, schema or catalog: words and quoted names, as written and in lower case."""
    found = {
        double.replace('""', '"') or back or bracket or word
        for double, back, bracket, word in _NAME.findall(sql)
    } - {""}
    if len(found) > MAX_NAMES:
        return frozenset()
    return frozenset(found | {name.lower() for name in found})


def defines(sql: str) -> bool:
    """Whether a text may change what columns a table has."""
    return bool(_DEFINES.search(sql))


def worth_asking(execution: recorder.Execution | None) -> bool:
    """Whether it is the run's first execution of a statement: what drivers look at before anything that costs time."""
    return execution is not None and execution.first


@attrs.define
class Questions:
    """What one connection's catalog was asked for the current run."""

    _recording: int = 0
    _asked: set[str] = attrs.field(factory=set)
    _known: set[tuple[str, str]] = attrs.field(factory=set)

    def to_ask(
        self, execution: recorder.Execution | None, names: frozenset[str], *, again: bool
    ) -> list[str]:
        """The names to ask for after this execution; none when there is nothing to ask.

        Args:
            execution: Of the statement.
            names: What its text mentions.
            again: Whether it may have changed what was answered before.
        """
        if execution is None or not worth_asking(execution) or not names or not wanted():
            return []
        if execution.recording != self._recording:
            self._recording = execution.recording
            self._asked, self._known = set(), set()
        if not again and names <= self._asked:
            return []
        # All of them: a schema that was mentioned before belongs to the name of a table that was not.
        self._asked |= names
        return sorted(names)

    def record(self, rows: Iterable[Row]) -> None:
        """Hand an answer over to the recorder."""
        tables: dict[tuple[str, str], list[tuple[str, str | None]]] = {}
        for namespace, name, column, kind in rows:
            tables.setdefault((namespace, name), []).append((column, kind))
        kept = []
        for identity, columns in tables.items():
            if identity in self._known or len(self._known) < MAX_TABLES:
                self._known.add(identity)
                kept.append(Columns(*identity, tuple(columns)))
        if kept:
            recorder.columns(*kept)


def guarded(driver: str, ask: Callable[[], None]) -> None:
    """Ask; without an answer there is less to say, and that is all."""
    try:
        ask()
    except Exception:
        complain(driver)


def complain(driver: str) -> None:
    """Say once that a question failed."""
    log.once(logging.DEBUG, "The catalog of %s could not be asked for columns", driver, exc_info=True)
