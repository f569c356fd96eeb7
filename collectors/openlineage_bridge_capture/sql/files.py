"""A path in a statement → the dataset it names, by the OpenLineage naming specification ("Naming", object stores and files)."""

from __future__ import annotations

import posixpath
import re

from openlineage_bridge_capture.sql.relations import Table

SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfs": "abfss"}
"""Other spellings of a scheme, and the one the specification has."""

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

_HOSTS = (
    (re.compile(r"https://([^./]+)\.s3[.-][^/]*amazonaws\.com/?(.*)"), r"s3://\1/\2"),
    (re.compile(r"https://s3[.-][^/]*amazonaws\.com/([^/]+)/?(.*)"), r"s3://\1/\2"),
    (re.compile(r"https://storage\.googleapis\.com/([^/]+)/?(.*)"), r"gs://\1/\2"),
    (
        re.compile(r"(?:azure|https)://([^./]+\.blob\.core\.windows\.net)/([^/]+)/?(.*)"),
        r"wasbs://\2@\1/\3",
    ),
)
"""Addresses of objects over HTTP, and the object's own name (Amazon S3, Google Cloud Storage, Azure Blob Storage)."""

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://([^/]*)/?(.*)", re.IGNORECASE)
_ANY_FILE = re.compile(r"[*?]+(?:\.[\w.*?]+)?")
_GLOB = re.compile(r"[*?\[{]")


def looks_like_path(name: str) -> bool:
    """Whether a quoted name in FROM is a file to DuckDB rather than a table."""
    lowered = name.lower()
    for compression in _COMPRESSIONS:
        lowered = lowered.removesuffix(compression)
    return lowered.endswith(EXTENSIONS) or "://" in name or "/" in name


def dataset(path: str, directory: str | None) -> Table:
    """The dataset of a path or URL; a relative path starts from ``directory``.

    A pattern that takes every file of a folder (``data/*.parquet``) names the folder, as partitioned writers do;
    a more selective one (``data/orders_*.csv``) stays as it is, because the folder may hold other data too.
    """
    for address, own in _HOSTS:
        path = address.sub(own, path)
    url = _URL.fullmatch(path)
    if url and url[1].lower() != "file":
        scheme = url[1].lower()
        return Table(
            f"{SCHEMES.get(scheme, scheme)}://{url[2]}", _without_any_file(url[3]).rstrip("/") or "/"
        )
    local = f"/{url[3]}" if url else path.removeprefix("file:")
    absolute = posixpath.normpath(posixpath.join(directory or "/", local))
    return Table("file", _without_any_file(absolute) or "/")


def _without_any_file(path: str) -> str:
    """The path up to the first component that stands for whatever is there."""
    parts = path.split("/")
    for index, part in enumerate(parts):
        if _ANY_FILE.fullmatch(part):
            return "/".join(parts[:index])
        if _GLOB.search(part):
            return path
    return path
