"""Where event files are: on this machine, in folders, archives and object stores, behind globs, on standard input, in Marquez.

An argument of a command becomes sources in a stable order. A source that is read again begins with the same bytes, unless
somebody changed it; ``-`` cannot be read again.
"""

from __future__ import annotations

import glob
import io
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

import attrs

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.receivers.marquez import EVENTS, Pages

STDIN = "-"
KINDS = (".json", ".jsonl", ".ndjson")
SUFFIXES = (*KINDS, *(kind + packed for kind in KINDS for packed in (".gz", ".zst")), ".zip")
"""Files that are taken from a folder or an archive; one that is named itself is read whatever it is called."""

BLOCK = 4 * 1024 * 1024
"""Bytes asked of an object store at once."""


@attrs.frozen
class Source:
    """Something that holds events.

    Args:
        name: What people call it: a path, a URL, ``archive.zip!member``.
        open: Gives its bytes from the beginning, as they are stored.
        size: How many bytes; 0 when unknown.
        again: Whether it can be opened again, so that an interrupted reader can go on.
    """

    name: str
    open: Callable[[], IO[bytes]] = attrs.field(eq=False, repr=False)
    size: int = 0
    again: bool = True


def find(arguments: Sequence[str]) -> list[Source]:
    """The sources behind the arguments.

    Raises:
        ConfigError: There is nothing of this name, a folder holds no event file, or an object store needs what is not installed.
    """
    return [source for argument in arguments for source in _expand(argument)]


def _expand(argument: str) -> Iterator[Source]:
    if argument == STDIN:
        return iter([Source("<stdin>", lambda: sys.stdin.buffer, again=False)])
    url = urlsplit(argument)
    if url.scheme in {"http", "https"} and url.path.endswith(EVENTS):
        return iter([Source(argument, lambda: cast("IO[bytes]", Pages(argument)))])
    if url.scheme == "file":
        return _local(url.path)
    return _remote(argument) if "://" in argument else _local(argument)


# --- on this machine ------------------------------------------------------------------------------------------------


def _local(argument: str) -> Iterator[Source]:
    place = Path(argument).expanduser()
    if place.is_dir():
        return _files(_some(argument, sorted(each for each in place.rglob("*") if _wanted(each.name))))
    if place.exists():
        return _files([place])
    return _files(_matching(argument))


def _wanted(name: str) -> bool:
    return name.endswith(SUFFIXES)


def _matching(argument: str) -> list[Path]:
    """What a pattern stands for, or, behind the path that the client's file transport was given, the files that it made of it.

    OpenLineage client, ``FileTransport``: without ``append`` each event is a file ``{log_file_path}-{time}….json``.
    """
    pattern = argument if glob.has_magic(argument) else f"{glob.escape(argument)}-*.json"
    found = sorted(Path(each) for each in glob.glob(pattern, recursive=True) if Path(each).is_file())  # noqa: PTH207  - Path.glob takes no absolute pattern
    if not found:
        raise ConfigError(f"there is no file or folder {argument}")
    return found


def _some(argument: str, found: list[Any]) -> list[Any]:
    if not found:
        raise ConfigError(
            f"no event file in {argument}: looked for {', '.join('*' + each for each in SUFFIXES)}"
        )
    return found


def _files(paths: Sequence[Path]) -> Iterator[Source]:
    for path in paths:
        if path.suffix == ".zip" and zipfile.is_zipfile(path):
            yield from _members(path)
        else:
            yield Source(str(path), _opener(path), path.stat().st_size)


def _opener(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: path.open("rb")


def _members(archive: Path) -> Iterator[Source]:
    with zipfile.ZipFile(archive) as opened:
        members = [each for each in opened.infolist() if not each.is_dir()]
    wanted = [each for each in members if _wanted(each.filename)] or members
    for member in sorted(wanted, key=lambda each: each.filename):
        yield Source(f"{archive}!{member.filename}", _member(archive, member.filename), member.file_size)


def _member(archive: Path, name: str) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        try:
            return zipfile.ZipFile(archive).open(name)  # closing the member closes the archive, too
        except (RuntimeError, zipfile.BadZipFile) as error:  # encrypted, or damaged
            raise OSError(str(error)) from None

    return opened


# --- in an object store ---------------------------------------------------------------------------------------------


def _remote(argument: str) -> Iterator[Source]:
    """Through fsspec, which finds the credentials where the store's own tools find them.

    Raises:
        ConfigError: fsspec, or its file system for this scheme, is not installed; or nothing is there.
    """
    try:
        import fsspec

        files, path = fsspec.core.url_to_fs(argument)
        found = _some(argument, _remote_paths(files, path))
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"{argument}: {error}; openlineage-bridge[files] and the file system's package (s3fs, gcsfs, adlfs) are needed"
        ) from None
    except OSError as error:
        raise ConfigError(f"{argument}: {error.strerror or error}") from None
    return (_object(files, each) for each in found)


def _remote_paths(files: Any, path: str) -> list[str]:
    if glob.has_magic(path):
        return sorted(each for each in files.glob(path) if files.isfile(each))
    if files.isfile(path):
        return [path]
    return sorted(each for each in files.find(path) if _wanted(each))


def _object(files: Any, path: str) -> Source:
    def opened() -> IO[bytes]:
        return cast(
            "IO[bytes]", io.BufferedReader(files.open(path, "rb", block_size=BLOCK), buffer_size=1 << 18)
        )

    return Source(files.unstrip_protocol(path), opened, int(files.size(path) or 0))
