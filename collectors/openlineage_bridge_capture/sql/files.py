"""A path in a statement → the dataset it names."""

from __future__ import annotations

from openlineage_bridge_capture.files import paths
from openlineage_bridge_capture.sql.relations import Table

EXTENSIONS = (
    ".parquet",
    ".csv",
    ".tsv",
    ".json",
    ".jsonl",
    ".ndjson",
    ".xlsx",
    ".arrow",
    ".feather",
    ".avro",
)
_COMPRESSIONS = (".gz", ".zst", ".bz2", ".snappy")


def looks_like_path(name: str) -> bool:
    """Whether a quoted name in FROM is a file to DuckDB rather than a table."""
    lowered = name.lower()
    for compression in _COMPRESSIONS:
        lowered = lowered.removesuffix(compression)
    return lowered.endswith(EXTENSIONS) or "://" in name or "/" in name


def dataset(path: str, directory: str | None) -> Table:
    """The dataset of a path or URL; a relative path starts from ``directory``."""
    return Table(*paths.identity(path, directory))
