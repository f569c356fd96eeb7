"""Reads ``sql_cases.txt``: statements with the tables and columns they read and write, for the tests and ``bench/sql.py``."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

PLACES = {
    "bigquery": ("proj", "ds"),
    "clickhouse": (None, "db"),
    "databricks": ("cat", "sch"),
    "duckdb": ("db", "main"),
    "mysql": (None, "shop"),
    "oracle": ("ORCL", "APP"),
    "postgres": ("db", "public"),
    "redshift": ("db", "public"),
    "snowflake": ("DB", "PUBLIC"),
    "spark": (None, "sch"),
    "sqlite": (None, "main"),
    "trino": ("cat", "sch"),
    "tsql": ("db", "dbo"),
}
"""Catalog and schema of unqualified names, as the text file says them."""

Columns = dict[str, tuple[frozenset[str], frozenset[str]]]
"""What each column is made of, and what it depends on indirectly: names like ``db.public.t.a``."""


@dataclass(frozen=True)
class Case:
    """One entry of the table.

    ``outputs`` holds None for a table whose columns are not judged; a column made of nothing is left out.
    """

    dialect: str
    title: str
    sql: str
    inputs: frozenset[str]
    outputs: dict[str, Columns | None]

    @property
    def name(self) -> str:
        """For a test report."""
        return f"{self.dialect}: {self.title}"


def load() -> list[Case]:
    """All cases, in the order of the file."""
    text = Path(__file__).with_suffix(".txt").read_text("utf-8")
    return [_case(block) for block in re.split(r"^== ", text, flags=re.MULTILINE)[1:]]


def _case(block: str) -> Case:
    lines = block.strip().split("\n")
    dialect, title = lines[0].split(": ", 1)
    sql = [line for line in lines[1:] if not line.startswith(("<-", "->"))]
    read = next(line for line in lines if line.startswith("<-"))
    return Case(
        dialect=dialect,
        title=title,
        sql="\n".join(sql),
        inputs=frozenset(full(dialect, name) for name in shlex.split(read[2:])),
        outputs=dict(_output(dialect, line[3:]) for line in lines if line.startswith("->")),
    )


def _output(dialect: str, line: str) -> tuple[str, Columns | None]:
    name, judged, columns = re.fullmatch(r"(.*?)(:(?= |$)\s*(.*))?", line).groups()
    if judged is None:
        return full(dialect, name), None
    entries = [entry.split("=", 1) for entry in columns.split(";") if entry.strip()]
    read = {column.strip(): _sources(dialect, sources) for column, sources in entries}
    return full(dialect, name), {column: sources for column, sources in read.items() if any(sources)}


def _sources(dialect: str, text: str) -> tuple[frozenset[str], frozenset[str]]:
    direct, _, indirect = text.partition("~")
    return tuple(
        frozenset(full(dialect, name.strip(), column=True) for name in part.split(",") if name.strip())
        for part in (direct, indirect)
    )


def full(dialect: str, name: str, *, column: bool = False) -> str:
    """A name with the place that it leaves out."""
    if "://" in name or name.startswith("file:") or name.count(".") > int(column):
        return name
    return ".".join(part for part in (*PLACES[dialect], name) if part)
