"""What the text of a DuckDB statement alone tells the driver; the same texts come again and again."""

from __future__ import annotations

import functools
import re

import attrs

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.drivers import catalogs, transactions
from openlineage_bridge_capture.drivers.transactions import Step

_NO_DATA = re.compile(
    r"\s*(?:begin|start|commit|rollback|abort|pragma|explain|describe|show|summarize|use|set|reset|install|load|attach"
    r"|detach|checkpoint|vacuum|analyze|create\s+(?:or\s+replace\s+)?(?:persistent\s+|temporary\s+)?secret)\b[^;]*;?\s*",
    re.IGNORECASE,
)
"""Single statements that move no data; some carry credentials, which therefore never reach a recording."""

_CHANGES_STATE = re.compile(r"\b(use|set|attach|detach|temp|temporary)\b", re.IGNORECASE)
_ATTACH = re.compile(r"\b(attach|detach)\b", re.IGNORECASE)
_READ_NAME = re.compile(r'(?:\bfrom|\bjoin|,)\s*"?([^\W\d]\w*)"?', re.IGNORECASE)
_RELATION = re.compile(r"\b(unnamed_relation_|__duckdb_source_)[0-9a-f]+(?:_\d+)?\b")
_READ_OF_RELATION = re.compile(
    r'SELECT \* FROM \(\n(.*)\n\) AS "unnamed_relation_[0-9a-f]+"(?: LIMIT \d+)?', re.DOTALL
)


@attrs.frozen
class Text:
    """A statement as its text describes it.

    Args:
        sql: The text without DuckDB's random names.
        moves_data: Whether it may read or write a table.
        changes_state: Whether it may change what later names mean.
        attaches: Whether it may attach or detach a database.
        read_names: Names that may be data frames.
        holds_paths: Whether it may hold paths of files.
        names: What may name a table in it, in lower case.
        defines: Whether it may change what columns a table has.
        steps: What its statements mean to the transaction around them.
        controls: Whether it begins or ends a transaction, or a part of one.
        is_plain: Whether it moves data and nothing else: the connection is after it as it was before.
        says_nothing: Whether it may be forgotten: it moves no data and changes nothing that the next statement depends on.
        only_controls: Whether it does nothing but to begin and end transactions.
    """

    sql: str
    moves_data: bool
    changes_state: bool
    attaches: bool
    read_names: frozenset[str]
    holds_paths: bool
    names: frozenset[str]
    defines: bool
    steps: tuple[Step, ...]
    controls: bool = attrs.field(init=False)
    is_plain: bool = attrs.field(init=False)
    says_nothing: bool = attrs.field(init=False)
    only_controls: bool = attrs.field(init=False)

    @controls.default
    def _controls(self) -> bool:
        return self.steps != transactions.ONE_OF_DATA

    @is_plain.default
    def _is_plain(self) -> bool:
        return self.moves_data and not (self.changes_state or self.attaches or self.controls)

    @says_nothing.default
    def _says_nothing(self) -> bool:
        return not (self.moves_data or self.changes_state or self.controls)

    @only_controls.default
    def _only_controls(self) -> bool:
        return all(step.meaning != transactions.DATA for step in self.steps)


@functools.lru_cache(maxsize=512)
def _read(sql: str) -> Text:
    return Text(
        sql=_stable(sql),
        moves_data=not _NO_DATA.fullmatch(sql),
        changes_state=bool(_CHANGES_STATE.search(sql)),
        attaches=bool(_ATTACH.search(sql)),
        read_names=frozenset(_READ_NAME.findall(sql)),
        holds_paths="'" in sql,
        names=frozenset(name.lower() for name in catalogs.names_in(sql)),
        defines=catalogs.defines(sql),
        steps=transactions.steps(sql),
    )


def read(sql: str) -> Text:
    """What this text tells. One full of data is only going to be counted, and is not worth a place in the cache."""
    return _read(sql) if len(sql) <= recorder.MAX_SQL_LENGTH else _read.__wrapped__(sql)


def _stable(sql: str) -> str:
    """The text without DuckDB's random names, so that the same code gives the same text in every run.

    Reading a relation that ``sql()`` made is the query of that relation, which is recorded already.
    """
    if "unnamed_relation_" not in sql and "__duckdb_source_" not in sql:
        return sql
    if read := _READ_OF_RELATION.fullmatch(sql):
        return _stable(read[1])
    seen: dict[str, str] = {}
    return _RELATION.sub(lambda match: seen.setdefault(match[0], f"{match[1]}{len(seen) + 1}"), sql)
