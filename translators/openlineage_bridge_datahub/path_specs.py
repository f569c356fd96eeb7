"""DataHub path specs: which folder of a data lake is the table (``data_lake_common/path_spec.py``)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_TABLE = "{table}"
# What the connectors strip before they make a name: schemes, and the host of an Azure account.
_PREFIX = re.compile(r"^(?:[a-z0-9]+://)?(?:[^/]+\.(?:blob|dfs)\.core\.windows\.net/)?")
_VARIABLE = re.compile(r"\{[^}]*\}|\*+")


def table_folder(path: str, specs: Iterable[str]) -> str | None:
    """The part of ``path`` that is the table by the first spec that fits.

    A spec that describes the whole path wins over one that only describes the way to the table's folder: producers name
    folders where the connector reads files.

    Args:
        path: ``bucket/key`` or an absolute path.
        specs: As in a recipe: ``s3://bucket/data/{table}/*.parquet``.

    Returns:
        None where no spec with ``{table}`` fits.
    """
    patterns = [_patterns(spec) for spec in specs if _TABLE in spec]
    for kind in ("whole", "folder"):
        for pattern in patterns:
            if found := pattern[kind].fullmatch(path):
                return found["table"]
    return None


@lru_cache(maxsize=1024)
def _patterns(spec: str) -> dict[str, re.Pattern[str]]:
    above, _, below = _PREFIX.sub("", spec).partition(_TABLE)
    table = f"(?P<table>{_text(above)}[^/]+?)"
    return {"whole": re.compile(table + _text(below)), "folder": re.compile(f"{table}(?:/.*)?")}


def _text(spec: str) -> str:
    """A regular expression for a piece of a spec: variables and stars stand for anything, as in the connector."""
    literals = _VARIABLE.split(spec)
    return ".+?".join(map(re.escape, literals))
