"""DataHub path specs: which folder of a data lake is the table (``data_lake_common/path_spec.py``)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_TABLE = "{table}"
# What the connectors strip before they make a name: schemes, and the host of an Azure account.
_SCHEME = re.compile(r"^[a-z][a-z0-9]+:/*")
_AZURE = re.compile(r"^(?:(?P<container>[^/@]+)@)?[^/]+\.(?:blob|dfs)\.core\.windows\.net/")
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
    bare = path.lstrip("/")
    for kind in ("whole", "folder"):
        for pattern in patterns:
            if found := pattern[kind].fullmatch(bare):
                return path[: len(path) - len(bare)] + found["table"]
    return None


@lru_cache(maxsize=1024)
def _patterns(spec: str) -> dict[str, re.Pattern[str]]:
    above, _, below = _bare(spec).partition(_TABLE)
    table = f"(?P<table>{_text(above)}[^/]+?)"
    return {"whole": re.compile(table + _text(below)), "folder": re.compile(f"{table}(?:/.*)?")}


def _bare(spec: str) -> str:
    """``bucket/key`` of a spec, however it spells scheme and account."""
    without_scheme = _SCHEME.sub("", spec).lstrip("/")
    return _AZURE.sub(lambda found: f"{found['container']}/" if found["container"] else "", without_scheme)


def _text(spec: str) -> str:
    """A regular expression for a piece of a spec: variables and stars stand for anything, as in the connector."""
    literals = _VARIABLE.split(spec)
    return ".+?".join(map(re.escape, literals))
