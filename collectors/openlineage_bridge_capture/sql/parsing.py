"""From the text of a statement to syntax trees: placeholders made harmless, results cached, silence of the parser."""

from __future__ import annotations

import functools
import logging
import re
import threading

import sqlglot
from sqlglot import exp

FORMAT_PARAMSTYLE = frozenset({"postgres", "redshift", "mysql", "snowflake"})
"""Dialects whose drivers take ``%s`` and ``%(name)s`` and double every other percent sign (PEP 249 ``format``)."""

_PLACEHOLDER = re.compile(
    r"""(?P<other>'(?:[^'\\]|''|\\.)*'|"[^"]*"|--[^\n]*|/\*.*?\*/)|%\(\w+\)s|%s|%%""", re.DOTALL
)
_ON_COMMIT = re.compile(r"\bON\s+COMMIT\s+(?:DROP|PRESERVE\s+ROWS|DELETE\s+ROWS)\b", re.IGNORECASE)

DATA_COMMANDS = frozenset(
    {"CREATE", "INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "UNLOAD", "LOAD", "ALTER", "SELECT", "WITH"}
)
"""First words of statements that move data; when the parser gives up on one of these, its lineage is missing."""


class UnreadableError(ValueError):
    """The parser does not understand the statement; its lineage is missing."""


MAX_CACHED = 20_000
"""Characters of a text whose syntax trees are worth keeping: trees are many times its size."""


def parse(sql: str, dialect: str) -> tuple[exp.Expr, ...]:
    """The statements of a text. They are shared with later calls and must not be changed.

    Raises:
        UnreadableError: The text, or one statement in it, cannot be understood.
    """
    return _parse(sql, dialect) if len(sql) <= MAX_CACHED else _parse.__wrapped__(sql, dialect)


@functools.lru_cache(maxsize=1024)
def _parse(sql: str, dialect: str) -> tuple[exp.Expr, ...]:
    _silence.on = True
    try:
        trees = sqlglot.parse(prepare(sql, dialect), read=dialect)
    except Exception as error:
        # Not only ParseError: the tokenizer has its own, and deep nesting ends in RecursionError.
        raise UnreadableError(f"{type(error).__name__}: {str(error)[:500]}") from error
    finally:
        _silence.on = False
    statements = tuple(tree for tree in trees if tree is not None)
    for statement in statements:
        _refuse_unread_data_command(statement)
    return statements


def prepare(sql: str, dialect: str) -> str:
    """The text with the driver's placeholders replaced by NULL, outside quotes and comments."""
    if dialect in FORMAT_PARAMSTYLE and "%" in sql:
        sql = _PLACEHOLDER.sub(_without_placeholder, sql)
    # sqlglot gives up on the whole statement for the sake of this clause, which says nothing about lineage.
    return _ON_COMMIT.sub("", sql) if dialect in FORMAT_PARAMSTYLE else sql


def _without_placeholder(match: re.Match[str]) -> str:
    if match["other"] is not None:
        return match["other"]
    return "%" if match[0] == "%%" else "NULL"


def _refuse_unread_data_command(statement: exp.Expr) -> None:
    if isinstance(statement, exp.Command) and str(statement.this).upper() in DATA_COMMANDS:
        text = f"{statement.this} {statement.args.get('expression') or ''}"
        raise UnreadableError(f"the parser does not know this form of {statement.this}: {text[:200]}")


class _Silence(threading.local):
    """Whether this thread is parsing for us: what sqlglot warns of then is ours to report, not the user's to read."""

    on = False


_silence = _Silence()
logging.getLogger("sqlglot").addFilter(lambda _: not _silence.on)
