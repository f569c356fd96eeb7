"""A path or URL → the namespace and name of its dataset, by the OpenLineage naming specification (object stores and files).

Pure text, and the one truth for it: the same file is the same dataset whether a statement, a data frame or fsspec reads it.
"""

from __future__ import annotations

import os
import posixpath
import re
import tempfile
from collections.abc import Iterable

SCHEMES = {
    "abfs": "abfss",
    "adl": "abfss",
    "az": "abfss",
    "gcs": "gs",
    "s3a": "s3",
    "s3n": "s3",
    "wasb": "wasbs",
}
"""Other spellings of a scheme, and the one the specification has."""

FOR_THIS_PROCESS_ONLY = frozenset({"memory", "data", "fd", "inmemory"})
"""Schemes of what no other process can see: no dataset."""

MANY = 20
"""Files of one folder that a single call names one by one before they are the folder."""

_ADDRESSES = (
    (re.compile(r"https://([^./]+)\.s3[.-][^/]*amazonaws\.com/?([^?#]*).*"), r"s3://\1/\2"),
    (re.compile(r"https://s3[.-][^/]*amazonaws\.com/([^/?#]+)/?([^?#]*).*"), r"s3://\1/\2"),
    (re.compile(r"https://storage\.googleapis\.com/([^/?#]+)/?([^?#]*).*"), r"gs://\1/\2"),
    (
        re.compile(r"(?:azure|https)://([^./]+\.blob\.core\.windows\.net)/([^/?#]+)/?([^?#]*).*"),
        r"wasbs://\2@\1/\3",
    ),
    (
        re.compile(r"https://([^./]+\.dfs\.core\.windows\.net)/([^/?#]+)/?([^?#]*).*"),
        r"abfss://\2@\1/\3",
    ),
)
"""Addresses of objects over HTTP, and the object's own name (Amazon S3, Google Cloud Storage, Azure Storage)."""

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://([^/]*)/?(.*)", re.IGNORECASE | re.DOTALL)
_CREDENTIALS = re.compile(r"^.*@")
_QUERY = re.compile(r"[?#].*", re.DOTALL)
_PARAMETERS = re.compile(r"\?[\w-]+=.*", re.DOTALL)
"""What DuckDB and s3fs put behind a key (``?s3_region=…``, ``?versionId=…``); a bare ``?`` is a pattern."""

_ANY_FILE = re.compile(r"[*?]+(?:\.[\w.*?]+)?")
_GLOB = re.compile(r"[*?\[{]")
_PARTITION = re.compile(r"[^=/]+=[^=/]*")
_OF_TEMPFILE = re.compile(r"tmp[a-z0-9_]{8}(?!\w)")
"""How ``tempfile`` names what it makes (``tempfile.template`` and eight characters)."""

_WITH_CONTAINER = frozenset({"abfss", "wasbs"})
"""Where ``container@account`` stands before the host; anywhere else an ``@`` ends credentials."""


def identity(path: str, directory: str | None = None) -> tuple[str, str]:
    """Namespace and name of the dataset that a path or URL is; a relative path starts from ``directory``.

    A pattern that takes every file of a folder (``data/*.parquet``) names the folder, as partitioned writers do;
    a more selective one (``data/orders_*.csv``) stays as it is, because the folder may hold other data too. A
    partition (``data/day=1/part-0.parquet``) is part of the dataset above it. Query strings and credentials of URLs
    are left out; symbolic links are not followed.
    """
    for address, own in _ADDRESSES:
        path = address.sub(own, path)
    url = _URL.fullmatch(path)
    if url and url[1].lower() != "file":
        return _remote(url[1].lower(), url[2], url[3])
    local = f"/{url[3]}" if url else posixpath.expanduser(path.removeprefix("file:"))
    absolute = posixpath.normpath(posixpath.join(directory or "/", local))
    # POSIX leaves a leading "//" alone; every system that we run on takes it for "/".
    return "file", _whole(absolute.replace("//", "/", 1) if absolute.startswith("//") else absolute) or "/"


def is_whole(path: str) -> bool:
    """Whether a path or URL names all of its dataset: itself, or every file in it, but not a partition of it.

    The files of a partition lack the columns that are its name; so do those that are found by a pattern for folders.
    """
    parts = path.split("/")
    if any(_is_partition(part, last=index == len(parts) - 1) for index, part in enumerate(parts)):
        return False
    rest = next((parts[index:] for index, part in enumerate(parts) if _GLOB.search(part)), [])
    return all(part == "**" for part in rest[:-1]) and all(_ANY_FILE.fullmatch(part) for part in rest)


def azure(path: str, account: str | None) -> str:
    """A URL of Azure Storage with the account that its client was given, which the short form leaves out."""
    url = _URL.fullmatch(path)
    if not account or url is None or "@" in url[2]:
        return path
    scheme = SCHEMES.get(url[1].lower(), url[1].lower())
    return f"{scheme}://{url[2]}@{account}.dfs.core.windows.net/{url[3]}" if scheme == "abfss" else path


def visible(path: str) -> bool:
    """Whether other processes can ever see it: neither this process's memory nor one of ``tempfile``'s files."""
    scheme, separator, rest = path.partition("://")
    if separator and scheme.lower() != "file":
        return scheme.lower() not in FOR_THIS_PROCESS_ONLY
    below = os.path.relpath(rest if separator else path, tempfile.gettempdir())
    return not _OF_TEMPFILE.match(below)


def is_local(path: str) -> bool:
    """Whether the text is a path of this machine rather than a URL of another place."""
    url = _URL.fullmatch(path)
    return url is None or url[1].lower() == "file"


def folded(paths: Iterable[str]) -> list[str]:
    """The files that one call names, where many of one folder are the folder."""
    folders: dict[str, list[str]] = {}
    for path in dict.fromkeys(paths):
        folders.setdefault(posixpath.dirname(path), []).append(path)
    return [
        each
        for folder, inside in folders.items()
        for each in ([folder] if len(inside) > MANY and folder else inside)
    ]


def _remote(scheme: str, host: str, path: str) -> tuple[str, str]:
    scheme = SCHEMES.get(scheme, scheme)
    if scheme not in _WITH_CONTAINER:
        host = _CREDENTIALS.sub("", host)
    if scheme in ("http", "https"):
        host, path = _QUERY.sub("", host).lower(), _QUERY.sub("", path)
    path = _PARAMETERS.sub("", path)
    return f"{scheme}://{host}", _whole(path).rstrip("/") or "/"


def _whole(path: str) -> str:
    """The path up to the first component that stands for whatever is there, or for one part of it."""
    parts = path.split("/")
    for index, part in enumerate(parts):
        if _ANY_FILE.fullmatch(part) or _is_partition(part, last=index == len(parts) - 1):
            return "/".join(parts[:index])
        if _GLOB.search(part):
            return path
    return path


def _is_partition(part: str, *, last: bool) -> bool:
    """Hive's ``key=value`` folders; a file whose own name holds a ``=`` is none."""
    return bool(_PARTITION.fullmatch(part)) and not (last and posixpath.splitext(part)[1])
