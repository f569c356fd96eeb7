"""What the text of a statement alone tells a driver; the same texts come again and again."""

from __future__ import annotations

import functools
import re

import attrs

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.drivers import catalogs, transactions
from openlineage_bridge_capture.drivers.transactions import Step

_COMMENTS = r"(?:\s|--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*\*/)*"

_NO_DATA = re.compile(
    _COMMENTS
    + r"(?:begin(?=\s*(?:;|$|tran|work|deferred|immediate|exclusive|isolation|read))|start\s+transaction|commit|end|rollback|abort|savepoint|release|pragma|explain|describe|show|use|set|reset"
    r"|discard|attach|detach|checkpoint|vacuum|analyze|reindex|listen|unlisten|notify|lock|grant|revoke|comment|prepare"
    r"|deallocate|fetch|close|(?:create|alter|drop)\s+(?:user|role|database|schema|extension|index|unique\s+index))\b"
    r"[^;]*;?\s*",
    re.IGNORECASE,
)
"""Single statements that move no data; some carry credentials, which therefore never reach a recording."""

_TEMPORARY = re.compile(
    r'\bcreate\s+(?:(?:global|local)\s+)?temp(?:orary)?\s+(?:table|view)\s+(?:if\s+not\s+exists\s+)?"?(\w+)',
    re.IGNORECASE,
)
_SEARCH_PATH = re.compile(
    r"\bsearch_path\b|\b(?:set|reset)\s+(?:session\s+|local\s+)?(?:role|schema|session\s+authorization)\b|\bdiscard\b",
    re.IGNORECASE,
)
_ATTACH = re.compile(r"\b(?:attach|detach)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d]\w*")


@attrs.frozen
class Text:
    """A statement as its text describes it.

    Args:
        sql: The text.
        moves_data: Whether it may read or write a table.
        temporary: Lower-case names of temporary tables that it makes.
        words: Lower-case words in it: what temporary tables are looked for among.
        moves_names: Whether the schema of unqualified names may be another one afterwards (PostgreSQL's ``search_path``).
        attaches: Whether it may attach or detach a database (SQLite).
        names: What may name a table in it, as written and in lower case.
        defines: Whether it may change what columns a table has.
        steps: What its statements mean to the transaction around them.
        controls: Whether it begins or ends a transaction, or a part of one.
        is_plain: Whether it moves data and nothing else: the connection is after it as it was before.
    """

    sql: str
    moves_data: bool
    temporary: frozenset[str]
    words: frozenset[str]
    moves_names: bool
    attaches: bool
    names: frozenset[str]
    defines: bool
    steps: tuple[Step, ...]
    controls: bool = attrs.field(init=False)
    is_plain: bool = attrs.field(init=False)

    @controls.default
    def _controls(self) -> bool:
        return self.steps != transactions.ONE_OF_DATA

    @is_plain.default
    def _is_plain(self) -> bool:
        changes = self.temporary or self.moves_names or self.attaches or self.controls
        return self.moves_data and not changes

    def among(self, names: set[str]) -> tuple[str, ...]:
        """Which of these names the text mentions."""
        return tuple(sorted(self.words & names)) if names else ()


@functools.lru_cache(maxsize=512)
def _read(sql: str) -> Text:
    return Text(
        sql=sql,
        moves_data=not _NO_DATA.fullmatch(sql),
        temporary=frozenset(name.lower() for name in _TEMPORARY.findall(sql)),
        words=frozenset(word.lower() for word in _WORD.findall(sql)),
        moves_names=bool(_SEARCH_PATH.search(sql)),
        attaches=bool(_ATTACH.search(sql)),
        names=catalogs.names_in(sql),
        defines=catalogs.defines(sql),
        steps=transactions.steps(sql),
    )


def read(sql: str) -> Text:
    """What this text tells. One full of data is only going to be counted, and is not worth a place in the cache."""
    return _read(sql) if len(sql) <= recorder.MAX_SQL_LENGTH else _read.__wrapped__(sql)
