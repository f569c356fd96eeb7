"""From the text of a statement to syntax trees: placeholders made harmless, results cached, silence of the parser."""

from __future__ import annotations

import functools
import logging
import re
import threading

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from openlineage_bridge_capture.sql.rewrites import Rewritten, rewrite, split

FORMAT_PARAMSTYLE = frozenset({"postgres", "redshift", "mysql", "snowflake"})
"""Dialects whose drivers take ``%s`` and ``%(name)s`` and double every other percent sign (PEP 249 ``format``)."""

_QUOTED = r"""(?P<other>'(?:[^'\\]|''|\\.)*'|"[^"]*"|--[^\n]*|/\*.*?\*/)"""
_PLACEHOLDER = re.compile(rf"{_QUOTED}|%\(\w+\)s|%s|%%", re.DOTALL)
_NUMBERED = {
    "oracle": re.compile(rf"{_QUOTED}|(?<![\w:\]]):\d+\b", re.DOTALL),
    "sqlite": re.compile(rf"{_QUOTED}|\?\d+\b", re.DOTALL),
}
"""Placeholders by number that the parser does not know: ``:1`` and ``?1`` (PEP 249 ``numeric``)."""

_ON_COMMIT = re.compile(r"\bON\s+COMMIT\s+(?:DROP|PRESERVE\s+ROWS|DELETE\s+ROWS)\b", re.IGNORECASE)

DATA_COMMANDS = frozenset(
    {"CREATE", "INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "UNLOAD", "LOAD", "ALTER", "SELECT", "WITH"}
)
"""First words of statements that move data; when the parser gives up on one of these, its lineage is missing."""


class UnreadableError(ValueError):
    """The parser does not understand the statement; its lineage is missing."""


MAX_CACHED = 20_000
"""Characters of a text whose syntax trees are worth keeping: trees are many times its size."""


Trees = tuple[exp.Expr | UnreadableError, ...]
"""The statements of a text; where one of several cannot be understood, why."""


def parse(sql: str, dialect: str) -> Trees:
    """The statements of a text. They are shared with later calls and must not be changed.

    Raises:
        UnreadableError: The text as a whole cannot be understood.
    """
    return _parse(sql, dialect) if len(sql) <= MAX_CACHED else _parse.__wrapped__(sql, dialect)


@functools.lru_cache(maxsize=1024)
def _parse(sql: str, dialect: str) -> Trees:
    _silence.on = True
    try:
        return _trees(prepare(sql, dialect), dialect)
    finally:
        _silence.on = False


def _trees(sql: str, dialect: str) -> Trees:
    try:
        statements = list(split(sql, dialect))
    except Exception as error:
        raise _unreadable(error) from error
    rewritten = [rewrite(statement, dialect) for statement in statements]
    if all(meaning is None for meaning in rewritten):
        whole = _read(sql, dialect)
        if len(statements) == 1 or not any(isinstance(tree, UnreadableError) for tree in whole):
            return whole
    # One by one: the statement that cannot be read must not hide the others.
    return tuple(
        tree
        for statement, meaning in zip(statements, rewritten, strict=True)
        for tree in _meant(statement, meaning, dialect)
    )


def _meant(statement: str, meaning: Rewritten | None, dialect: str) -> Trees:
    if isinstance(meaning, list):
        return tuple(meaning)
    return _read(statement if meaning is None else meaning, dialect)


def _read(sql: str, dialect: str) -> Trees:
    try:
        trees = sqlglot.parse(sql, read=dialect)
    except Exception as error:
        # Not only ParseError: deep nesting ends in RecursionError.
        return (_unreadable(error),)
    return tuple(_unless_unread(tree) for tree in trees if tree is not None)


def _unreadable(error: Exception) -> UnreadableError:
    """Why, without a word of the statement: what it says may be a secret."""
    kind = type(error).__name__
    if isinstance(error, ParseError) and error.errors:
        first = error.errors[0]
        what = first["description"].split(" but got")[0]
        return UnreadableError(f"{kind}: {what} Line {first['line']}, column {first['col']}.")
    if isinstance(error, SqlglotError):
        return UnreadableError(f"{kind}: the parser cannot tell the words of the statement apart")
    return UnreadableError(f"{kind}: {error}")


def prepare(sql: str, dialect: str) -> str:
    """The text with the driver's placeholders replaced by NULL, outside quotes and comments."""
    if dialect in FORMAT_PARAMSTYLE and "%" in sql:
        sql = _PLACEHOLDER.sub(_without_placeholder, sql)
    if dialect in _NUMBERED:
        sql = _NUMBERED[dialect].sub(_without_placeholder, sql)
    # sqlglot gives up on the whole statement for the sake of this clause, which says nothing about lineage.
    return _ON_COMMIT.sub("", sql) if dialect in FORMAT_PARAMSTYLE else sql


def _without_placeholder(match: re.Match[str]) -> str:
    if match["other"] is not None:
        return match["other"]
    return "%" if match[0] == "%%" else "NULL"


def _unless_unread(statement: exp.Expr) -> exp.Expr | UnreadableError:
    if isinstance(statement, exp.Command) and str(statement.this).upper() in DATA_COMMANDS:
        return UnreadableError(f"the parser does not know this form of {str(statement.this).upper()}")
    return statement


class _Silence(threading.local):
    """Whether this thread is parsing for us: what sqlglot warns of then is ours to report, not the user's to read."""

    on = False


_silence = _Silence()
logging.getLogger("sqlglot").addFilter(lambda _: not _silence.on)
