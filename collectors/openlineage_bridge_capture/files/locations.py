"""Where a library was told to read or write: from a path, an open file or a file system to the datasets it names."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from openlineage_bridge_capture.files import paths

PLAIN = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "oss": "oss", "hf": "hf"}
"""Protocols of fsspec whose paths start with the bucket, and the scheme of their datasets."""

AZURE = frozenset({"abfs", "abfss", "az", "adl"})
LOCAL = frozenset({"file", "local"})
WITHIN = frozenset({"blockcache", "cached", "dir", "filecache", "simplecache"})
"""File systems of fsspec that stand in front of another one."""

ACCOUNT_OPTIONS = ("account_name", "azure_storage_account_name")
"""How the options of a library name an account of Azure Storage (adlfs; object_store, which polars uses)."""

LAYERS = ("buffer", "fileobj", "io")
"""Attributes under which a file object has the one below it (text streams, compression, ``pandas.ExcelFile``)."""

KNOWN_AS = ("path", "base_path", "table_uri")
"""Attributes under which objects say where they are (files, folders of partitions, Delta tables)."""

_VERSION = re.compile(r"\?versionId=.*|#\d+$")
_TEXT = re.compile(r"\s*[\[{<]|.*\n", re.DOTALL)
"""Some readers of JSON and XML take the document itself instead of its path."""


@attrs.frozen
class Place:
    """A dataset that a call named.

    Args:
        namespace: Its OpenLineage namespace.
        name: Its name there.
        path: The very file or folder on this machine; None elsewhere, and where the dataset is more than that.
        whole: Whether the call named all of the dataset rather than a partition of it, or some files of a folder.
    """

    namespace: str
    name: str
    path: str | None = None
    whole: bool = True

    def size(self) -> int | None:
        """Bytes of a local file; None where only reading or listing would tell."""
        if self.path is None:
            return None
        try:
            found = os.stat(self.path)  # noqa: PTH116  # as cheap as it gets
        except OSError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None


def places(target: Any, options: Any = None, filesystem: Any = None) -> tuple[Place, ...]:
    """The datasets that ``target`` names: a path, a URL, an open file, or several of them.

    Nothing for what has no name (streams), and for what only this process can see (memory, files of ``tempfile``).

    Args:
        target: What the user gave the library.
        options: The library's ``storage_options``, which may hold the account of a container.
        filesystem: The file system of fsspec or Arrow in which ``target`` is a path.
    """
    several = target if isinstance(target, list | tuple | set | frozenset) else [target]
    urls = [url for each in several if (url := _url(each, filesystem)) and paths.visible(url)]
    account = _account(options)
    return _distinct(_place(paths.azure(url, account)) for url in paths.folded(urls))


def of_fsspec(filesystem: Any, path: str) -> str | None:
    """The URL of a path in a file system of fsspec; None where its kind is not known to have names for others."""
    protocol = _protocol(filesystem)
    if protocol in WITHIN:
        joined = filesystem._join(path) if protocol == "dir" else path  # noqa: SLF001  # there is no public way
        return of_fsspec(filesystem.fs, joined)
    path = str(filesystem._strip_protocol(path))  # noqa: SLF001  # part of fsspec's interface for implementations
    if protocol in LOCAL or protocol in {"http", "https"}:
        return path
    if protocol in PLAIN:
        return f"{PLAIN[protocol]}://{_VERSION.sub('', path)}"
    if protocol in AZURE:
        return paths.azure(f"abfss://{path}", getattr(filesystem, "account_name", None))
    return _of_host(protocol, filesystem, path)


def of_arrow(filesystem: Any, path: str) -> str | None:
    """The URL of a path in a file system of Arrow; None where Arrow does not tell where it is (HDFS)."""
    kind = str(filesystem.type_name)
    if kind == "subtree":
        return of_arrow(filesystem.base_fs, posixpath.join(filesystem.base_path, path))
    if kind.startswith("py::"):
        inner = getattr(filesystem.handler, "fs", None)
        return of_fsspec(inner, path) if inner is not None else None
    if kind == "local":
        return path
    if kind == "abfs":
        return paths.azure(f"abfss://{path}", _account(filesystem.__reduce__()[1][0]))
    return f"{PLAIN[kind]}://{path}" if kind in PLAIN else None


def _url(target: Any, filesystem: Any) -> str | None:
    target = innermost(target)
    if isinstance(target, str | os.PathLike):
        text = os.fspath(target)
        return _in(filesystem, text) if isinstance(text, str) and not _TEXT.match(text) else None
    partitioned = getattr(target, "_pl_partition_by", target)  # where polars.PartitionBy has its folder
    for known in KNOWN_AS:
        if isinstance(path := getattr(partitioned, known, None), str):
            own = getattr(target, "fs", None)
            return path if own is None else of_fsspec(own, path)
    name = getattr(target, "name", None)
    return name if isinstance(name, str) and hasattr(target, "fileno") and name[:1] != "<" else None


def innermost(target: Any) -> Any:
    """The file below text, compression or a workbook, which knows where it is."""
    for layer in LAYERS:
        inner = getattr(target, layer, None)
        if inner is not None and not callable(inner):
            return innermost(inner)
    return target


def _in(filesystem: Any, path: str) -> str | None:
    """A path as the file system takes it; without one, of a chain (``simplecache::s3://…``) what lies below."""
    if filesystem is None:
        return path.rpartition("::")[2]
    if hasattr(filesystem, "type_name"):
        return of_arrow(filesystem, path)
    return of_fsspec(filesystem, path) if hasattr(filesystem, "protocol") else None


def _protocol(filesystem: Any) -> str:
    protocol = filesystem.protocol
    return str(protocol if isinstance(protocol, str) else protocol[0])


def _of_host(protocol: str, filesystem: Any, path: str) -> str | None:
    """Names of file servers (SFTP, FTP, SMB, HDFS): by their host."""
    host = getattr(filesystem, "host", None)
    if not isinstance(host, str) or not host:
        return None
    port = getattr(filesystem, "port", None)
    return f"{protocol}://{host}{f':{port}' if port else ''}/{path.lstrip('/')}"


def _account(options: Any) -> str | None:
    if not isinstance(options, Mapping):
        return None
    return next((str(options[key]) for key in ACCOUNT_OPTIONS if options.get(key)), None)


def _place(url: str) -> Place:
    here = os.getcwd()  # noqa: PTH109  # text, as every name
    namespace, name = paths.identity(url, here)
    whole = paths.is_whole(url)
    if namespace != "file" or not whole:
        return Place(namespace, name, whole=whole)
    local = posixpath.expanduser(url.removeprefix("file://").removeprefix("file:"))
    exact = name == posixpath.normpath(posixpath.join(here, local))
    return Place(namespace, name, path=name if exact else None)


def _distinct(found: Iterable[Place]) -> tuple[Place, ...]:
    """Each dataset once; several parts of one are a part of it."""
    by_name: dict[tuple[str, str], Place] = {}
    for place in found:
        key = (place.namespace, place.name)
        by_name[key] = attrs.evolve(place, whole=False, path=None) if key in by_name else place
    return tuple(by_name.values())
