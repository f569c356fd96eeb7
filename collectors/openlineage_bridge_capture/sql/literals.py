"""The literals of a statement taken out of its text, without a parser: what they say may be somebody's secret.

Strings go whole, and so do numbers of three digits and more; shorter ones are mostly places and sizes (``GROUP BY 1``,
``LIMIT 10``, ``varchar(20)``) and name nobody. ``OPENLINEAGE_BRIDGE_SQL_LITERALS=keep`` in the environment of the task
leaves the text as it is.
"""

from __future__ import annotations

import functools
import os
import re

VARIABLE = "OPENLINEAGE_BRIDGE_SQL_LITERALS"

BACKSLASH = frozenset({"bigquery", "clickhouse", "databricks", "mysql", "redshift", "snowflake", "spark"})
"""Dialects in which a backslash in a string takes the next character along."""

DOUBLE_QUOTED = frozenset({"bigquery", "databricks", "mysql", "spark"})
"""Dialects in which ``"x"`` is a string and not a name."""

_COMMENT = r"--[^\n]*|/\*.*?(?:\*/|\Z)"
_BEFORE = r"(?:\b[eEnNbBrRxX]|\b[uU]&|\b[rR][bB]|\b[bB][rR])?"
_ORACLE = r"\b[nN]?[qQ]'(?:\[.*?\]|\(.*?\)|\{.*?\}|<.*?>|(?P<quote>[^\s\w]).*?(?P=quote))'"
_DOLLAR = r"(?<![\w$])\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z)"
_TRIPLE = r"'''.*?(?:'''|\Z)|\"\"\".*?(?:\"\"\"|\Z)"
_NUMBER = r"(?<![\w.$@:#?])(?:0[xX][0-9a-fA-F]+|\d{3,}(?:\.\d*)?|\d*\.\d+|\d+)(?:[eE][+-]?\d+)?\b"


def kept() -> bool:
    """Whether the user asks for literals."""
    return os.environ.get(VARIABLE, "").strip().lower() == "keep"


def redact(sql: str, dialect: str) -> str:
    """The text with ``?`` in the place of each literal, and without comments, which may hold literals too."""
    return _pattern(dialect).sub(_without, sql)


def _without(match: re.Match[str]) -> str:
    text = match[0]
    if match["name"]:
        return text
    if match["comment"]:
        return " "
    return text if text.isdigit() and len(text) < 3 else "?"


@functools.lru_cache
def _pattern(dialect: str) -> re.Pattern[str]:
    """What to look for; an unclosed string goes to the end of the text."""
    inside = r"\\.|" if dialect in BACKSLASH else ""
    single = rf"{_BEFORE}'(?:{inside}''|[^'])*(?:'|\Z)"
    escaped = r"\b[eE]'(?:\\.|''|[^'])*(?:'|\Z)"
    double = rf"{_BEFORE}\"(?:{inside}\"\"|[^\"])*(?:\"|\Z)"
    literals = [_ORACLE, _DOLLAR, escaped, single, _NUMBER]
    names = [r"`[^`]*`"]
    if dialect in DOUBLE_QUOTED:
        literals = [_TRIPLE, *literals, double]
    else:
        names.append(r"\"(?:\"\"|[^\"])*\"")
    if dialect in {"sqlite", "tsql"}:
        names.append(r"\[[^\]]*\]")
    return re.compile(rf"(?P<name>{'|'.join(names)})|(?P<comment>{_COMMENT})|{'|'.join(literals)}", re.DOTALL)
