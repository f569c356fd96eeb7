"""Forms of statements that the parser does not know, and what it knows that does the same to data, by dialect."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import attrs
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

Rewritten = str | list[exp.Expr]
"""Another text for the parser, or the syntax trees themselves."""

_PART = r"""(?:"[^"]*"|`[^`]*`|\[[^\]]*\]|[\w$#@-]+)"""
_NAME = rf"{_PART}(?:\s*\.\s*{_PART})*"
_PATH = r"'[^']*'"

ANY: frozenset[str] = frozenset()
MYSQL = frozenset({"mysql"})
CLICKHOUSE = frozenset({"clickhouse"})


@attrs.frozen
class Rewrite:
    """One form and its meaning.

    Args:
        dialects: Where it exists; empty for everywhere.
        pattern: Matches a whole statement.
        meaning: A template for the match, or a function of the match and the dialect.
    """

    dialects: frozenset[str]
    pattern: re.Pattern[str]
    meaning: str | Callable[[re.Match[str], str], Rewritten]

    def apply(self, statement: str, dialect: str) -> Rewritten | None:
        """What the statement means; None when it is not of this form."""
        if self.dialects and dialect not in self.dialects:
            return None
        match = self.pattern.fullmatch(statement)
        if match is None:
            return None
        return match.expand(self.meaning) if isinstance(self.meaning, str) else self.meaning(match, dialect)


def _rewrite(
    dialects: frozenset[str], pattern: str, meaning: str | Callable[[re.Match[str], str], Rewritten]
) -> Rewrite:
    flags = re.IGNORECASE | re.DOTALL
    return Rewrite(
        dialects, re.compile(pattern.replace("NAME", _NAME).replace("PATH", _PATH), flags), meaning
    )


def _renames(match: re.Match[str], dialect: str) -> Rewritten:
    """``RENAME TABLE a TO b, c TO d`` is one ``ALTER TABLE … RENAME TO`` after the other."""
    pairs = re.findall(rf"({_NAME})\s+TO\s+({_NAME})", match[1], re.IGNORECASE)
    return [_altered(old, exp.AlterRename, new, dialect) for old, new in pairs]


def _exchange(match: re.Match[str], dialect: str) -> Rewritten:
    return [_altered(match[1], exp.SwapTable, match[2], dialect)]


def _altered(table: str, action: type[exp.Expr], other: str, dialect: str) -> exp.Expr:
    actions = [action(this=exp.to_table(other, dialect=dialect))]
    return exp.Alter(this=exp.to_table(table, dialect=dialect), kind="TABLE", actions=actions)


def _use_first(match: re.Match[str], dialect: str) -> Rewritten:
    """``SET search_path TO a, b`` makes unqualified names mean the first schema; ``"$user"`` is none that we know."""
    names = [name.strip().strip("'\"") for name in match[1].split(",")]
    first = next((name for name in names if name and name != "$user"), None)
    # An identifier by itself: quotes around it say nothing about case here.
    return [exp.Use(this=exp.to_table(first, dialect=dialect))] if first else []


def _use(match: re.Match[str], _dialect: str) -> Rewritten:
    return [exp.Use(this=exp.Table(this=exp.to_identifier(match[1])))]


def _unload(match: re.Match[str], _dialect: str) -> Rewritten:
    """Redshift has the query as a string literal, Trino's relatives as it is."""
    query = match[1].strip()
    if query.startswith("$$"):
        query = query.strip("$")
    elif query.startswith("'"):
        query = query[1:-1].replace("''", "'").replace("\\'", "'")
    return f"COPY ({query}) TO {match[2]}"


def _refresh(match: re.Match[str], dialect: str) -> Rewritten:
    return [exp.Refresh(this=exp.to_table(match[1], dialect=dialect), kind="MATERIALIZED VIEW")]


REWRITES: dict[str, tuple[Rewrite, ...]] = {
    "ALTER": (
        # Redshift, "ALTER TABLE APPEND"
        _rewrite(
            frozenset({"redshift"}),
            r"ALTER\s+TABLE\s+(NAME)\s+APPEND\s+FROM\s+(NAME)\b.*",
            r"INSERT INTO \1 SELECT * FROM \2",
        ),
        # ClickHouse, "Mutations" and "Manipulating Partitions"
        _rewrite(
            CLICKHOUSE,
            r"ALTER\s+TABLE\s+(NAME)(?:\s+ON\s+CLUSTER\s+\S+)?\s+UPDATE\s+(.*)",
            r"UPDATE \1 SET \2",
        ),
        _rewrite(
            CLICKHOUSE,
            r"ALTER\s+TABLE\s+(NAME)(?:\s+ON\s+CLUSTER\s+\S+)?\s+DELETE\s+(WHERE\b.*)",
            r"DELETE FROM \1 \2",
        ),
        _rewrite(
            CLICKHOUSE,
            r"ALTER\s+TABLE\s+(NAME)\s+(?:REPLACE|ATTACH)\s+PARTITION\s+.*\sFROM\s+(NAME)",
            r"INSERT INTO \1 SELECT * FROM \2",
        ),
        _rewrite(
            CLICKHOUSE,
            r"ALTER\s+TABLE\s+(NAME)\s+MOVE\s+PARTITION\s+.*\sTO\s+TABLE\s+(NAME)",
            r"INSERT INTO \2 SELECT * FROM \1",
        ),
        # Oracle, "ALTER SESSION"
        _rewrite(
            frozenset({"oracle"}),
            r"ALTER\s+SESSION\s+SET\s+CURRENT_SCHEMA\s*=\s*\"?([\w$#]+)\"?",
            _use,
        ),
    ),
    "BULK": (
        # Transact-SQL, "BULK INSERT"
        _rewrite(frozenset({"tsql"}), r"BULK\s+INSERT\s+(NAME)\s+FROM\s+(PATH)(?:\s.*)?", r"COPY \1 FROM \2"),
    ),
    "CREATE": (
        # PostgreSQL, "CREATE MATERIALIZED VIEW", "CREATE TABLE AS"
        _rewrite(ANY, r"(CREATE\b.*?)\s+WITH\s+(?:NO\s+)?DATA", r"\1"),
        # DuckDB, "PIVOT statement": simplified form
        _rewrite(frozenset({"duckdb"}), r"(CREATE\b.*?\bAS)\s+((?:UN)?PIVOT\b.*)", r"\1 SELECT * FROM (\2)"),
        # BigQuery, "CREATE SNAPSHOT TABLE"; Databricks, "CREATE TABLE CLONE"
        _rewrite(frozenset({"bigquery"}), r"CREATE\s+SNAPSHOT\s+(TABLE\b.*)", r"CREATE \1"),
        _rewrite(
            frozenset({"databricks", "spark"}),
            r"(CREATE\b.*?)\s+(?:DEEP\s+)?CLONE\s+(NAME)\b.*",
            r"\1 CLONE \2",
        ),
        # Oracle, "CREATE TABLE": physical properties
        _rewrite(
            frozenset({"oracle"}),
            r"(CREATE\s+(?:GLOBAL\s+TEMPORARY\s+)?TABLE\s+NAME)\s+[^()']*?\s+(AS\s+(?:SELECT|WITH)\b.*)",
            r"\1 \2",
        ),
        # SQLite, "CREATE TABLE": table options
        _rewrite(
            frozenset({"sqlite"}),
            r"(CREATE\b.*\))\s*(?:(?:WITHOUT\s+ROWID|STRICT)\s*,?\s*)+",
            r"\1",
        ),
    ),
    "DELETE": (
        # Transact-SQL, "OUTPUT clause"
        _rewrite(
            frozenset({"tsql"}),
            r"(DELETE\b.*?)\sOUTPUT\s+.*?\sINTO\s+(NAME)(?:\s*\([^)]*\))?(\s.*)?",
            r"\1\3; INSERT INTO \2 SELECT NULL",
        ),
    ),
    "EXCHANGE": (
        # ClickHouse, "EXCHANGE Statement"
        _rewrite(CLICKHOUSE, r"EXCHANGE\s+TABLES\s+(NAME)\s+AND\s+(NAME)(?:\s.*)?", _exchange),
    ),
    "INSERT": (
        # Spark, "INSERT OVERWRITE DIRECTORY"
        _rewrite(
            frozenset({"databricks", "spark"}),
            r"(INSERT\s+OVERWRITE\s+(?:LOCAL\s+)?DIRECTORY\s+PATH)\s+USING\s+\w+(?:\s+OPTIONS\s*\([^)]*\))?\s+(.*)",
            r"\1 \2",
        ),
    ),
    "LOAD": (
        # MySQL, "LOAD DATA Statement"
        _rewrite(
            MYSQL,
            r"LOAD\s+DATA\s+(?:\w+\s+)*?INFILE\s+(PATH)\s+(?:\w+\s+)?INTO\s+TABLE\s+(NAME)(?:\s.*)?",
            r"COPY \2 FROM \1",
        ),
    ),
    "MERGE": (
        # Oracle, "MERGE": the DELETE WHERE clause of an update
        _rewrite(
            frozenset({"oracle"}),
            r"(MERGE\b.*?\bUPDATE\s+SET\b.*?)\sDELETE\s+WHERE\b.*?(\sWHEN\s+NOT\b.*)?",
            r"\1\2",
        ),
    ),
    "REFRESH": (
        # PostgreSQL, "REFRESH MATERIALIZED VIEW"
        _rewrite(ANY, r"REFRESH\s+MATERIALIZED\s+VIEW\s+(?:CONCURRENTLY\s+)?(NAME)(?:\s.*)?", _refresh),
    ),
    "RENAME": (
        # MySQL, "RENAME TABLE Statement"; ClickHouse, "RENAME Statement"
        _rewrite(ANY, r"RENAME\s+TABLES?\s+(.*)", _renames),
    ),
    "REPLACE": (
        # MySQL, "REPLACE Statement"; SQLite, "REPLACE"
        _rewrite(ANY, r"REPLACE\s+(?:LOW_PRIORITY\s+|DELAYED\s+)?(?:INTO\s+)?(.*)", r"INSERT INTO \1"),
    ),
    "SELECT": (
        # MySQL, "SELECT ... INTO Statement"; ClickHouse, "INTO OUTFILE Clause"
        _rewrite(
            MYSQL,
            r"(SELECT\b.*?)\sINTO\s+(?:OUTFILE|DUMPFILE)\s+(PATH)(?:\s.*?)??(\sFROM\b.*)?",
            r"COPY (\1\3) TO \2",
        ),
        _rewrite(CLICKHOUSE, r"(SELECT\b.*?)\sINTO\s+OUTFILE\s+(PATH)(?:\s.*)?", r"COPY (\1) TO \2"),
    ),
    "SET": (
        # PostgreSQL, "SET": search_path
        _rewrite(
            ANY,
            r"SET\s+(?:SESSION\s+|LOCAL\s+)?(?:search_path|schema)\s*(?:=|\sTO\s)\s*(.*)",
            _use_first,
        ),
    ),
    "UNLOAD": (
        # Redshift, "UNLOAD"; Athena, "UNLOAD"
        _rewrite(
            ANY,
            r"UNLOAD\s*\(\s*('(?:[^'\\]|''|\\.)*'|\$\$.*?\$\$|SELECT\b.*?|WITH\b.*?)\s*\)\s*TO\s+(PATH)(?:\s.*)?",
            _unload,
        ),
    ),
    "USE": (
        # A database may be called what the parser takes for a kind.
        _rewrite(ANY, r"USE\s+(WAREHOUSE|DATABASE|SCHEMA|CATALOG|ROLE)", _use),
    ),
}
"""By first word, with the page of the language's documentation that says the form."""


def rewrite(statement: str, dialect: str) -> Rewritten | None:
    """What a statement of an unknown form means; None when the parser may have it as it is."""
    word = re.match(r"\w+", statement)
    for each in REWRITES.get(word[0].upper(), ()) if word else ():
        meaning = each.apply(statement, dialect)
        if meaning is not None:
            return meaning
    return None


def split(sql: str, dialect: str) -> Iterator[str]:
    """The statements of a script, without the semicolons and comments between them."""
    start: int | None = None
    end = 0
    for token in Dialect.get_or_raise(dialect).tokenize(sql):
        if token.token_type.name == "SEMICOLON":
            if start is not None:
                yield sql[start:end]
            start = None
            continue
        start = token.start if start is None else start
        end = token.end + 1
    if start is not None:
        yield sql[start:end]
