"""Event files of every shape that producers and people write: JSON lines, one JSON document, arrays, gzip, folders.

The OpenLineage client's file transport writes JSON lines, or one document per file, indented in debug mode; people keep
arrays. A file tells its shape by its first line. What cannot be read is handed on as it is, with its place: the inbox
refuses it and keeps it in quarantine, and the rest of the file is read.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, Self

import attrs

from openlineage_bridge.errors import ConfigError, RejectedEvent
from openlineage_bridge.events import split

STDIN = "-"
SUFFIXES = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")
"""Files that are taken from a folder; a file that is named itself is read whatever it is called."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


@attrs.frozen
class Found:
    """One event in a file, not yet looked at.

    Args:
        where: ``path:line``; for a document of several lines, the line it starts on.
        body: The bytes.
    """

    where: str
    body: bytes


@attrs.define
class Reading:
    """How far reading has come.

    Args:
        total: Bytes of all files; 0 when unknown (standard input).
        read: Bytes read so far, as they are on the disk.
        files: Files finished.
        problems: What could not be read, in words, by file.
    """

    total: int = 0
    read: int = 0
    files: int = 0
    problems: list[str] = attrs.field(factory=list)


def find(paths: Sequence[str]) -> list[Path | None]:
    """The files behind the arguments, folders searched through, in a stable order; None stands for standard input.

    Raises:
        ConfigError: There is no such path, or a folder holds no event file.
    """
    return [file for path in paths for file in _expand(path)]


def _expand(path: str) -> list[Path | None]:
    if path == STDIN:
        return [None]
    place = Path(path)
    if place.is_dir():
        found: list[Path | None] = [file for file in sorted(place.rglob("*")) if file.name.endswith(SUFFIXES)]
        if not found:
            raise ConfigError(
                f"no event file in {path}: looked for {', '.join('*' + each for each in SUFFIXES)}"
            )
        return found
    if not place.exists():
        raise ConfigError(f"there is no file or folder {path}")
    return [place]


def events_in(files: Iterable[Path | None], reading: Reading | None = None) -> Iterator[Found]:
    """The events of the files, in order; arrays are taken apart. Reading goes on behind what cannot be read."""
    reading = reading if reading is not None else Reading()
    for file in files:
        name = str(file) if file else "<stdin>"
        try:
            with _Counted(file, reading) as source:
                yield from _events(name, source.lines(), reading)
        except OSError as error:
            reading.problems.append(f"{name}: {error.strerror or error}")
        reading.files += 1


def _events(name: str, lines: Iterator[bytes], reading: Reading) -> Iterator[Found]:
    """Tell the shape by the first two lines that are not blank: a whole document in one of them makes it JSON lines."""
    numbered = (
        (number, line) for number, line in enumerate(_until_cut_off(name, lines, reading), 1) if line.strip()
    )
    head = list(islice(numbered, 2))
    if not head:
        reading.problems.append(f"{name}: the file is empty")
    elif any(_apart(line) is not None for _, line in head):
        for number, line in chain(head, numbered):
            yield from _line(name, number, line)
    else:
        document = b"".join(line for _, line in chain(head, numbered))
        yield from (Found(f"{name}:{head[0][0]}", part) for part in _parts(document))


def _line(name: str, number: int, line: bytes) -> Iterator[Found]:
    yield from (Found(f"{name}:{number}", part) for part in _parts(line.strip()))


def _parts(body: bytes) -> list[bytes]:
    """The events of a document; what is no JSON is handed on whole, for the inbox to refuse."""
    parts = _apart(body)
    return [body] if parts is None else parts


def _apart(body: bytes) -> list[bytes] | None:
    """The events of a JSON document; None when it is no JSON."""
    try:
        return split(body)
    except RejectedEvent:
        return None


def _until_cut_off(name: str, lines: Iterator[bytes], reading: Reading) -> Iterator[bytes]:
    try:
        yield from lines
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        reading.problems.append(
            f"{name}: the compressed file is cut off or damaged ({error}); what stood before is read"
        )


class _Counted:
    """A file, or standard input, that counts what is read of it, inflated when it is gzip."""

    def __init__(self, file: Path | None, reading: Reading) -> None:
        self._file = file
        self._reading = reading
        self._opened: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._opened = self._file.open("rb") if self._file else sys.stdin.buffer
        return self

    def __exit__(self, *_: object) -> None:
        if self._file and self._opened:
            self._opened.close()

    def lines(self) -> Iterator[bytes]:
        """The lines, without a byte order mark."""
        assert self._opened is not None
        counted = io.BufferedReader(_Tap(self._opened, self._count), buffer_size=1 << 18)
        compressed = counted.peek(2)[:2] == _GZIP
        lines: Iterable[bytes] = gzip.GzipFile(fileobj=counted) if compressed else counted
        for number, line in enumerate(lines):
            yield line.removeprefix(_BOM) if number == 0 else line

    def _count(self, size: int) -> None:
        self._reading.read += size


class _Tap(io.RawIOBase):
    """Reads through to another file and reports how much."""

    def __init__(self, source: IO[bytes], report: Callable[[int], None]) -> None:
        self._source = source
        self._report = report

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # bytes-like is all io asks for
        data = (
            self._source.read1(len(buffer))
            if hasattr(self._source, "read1")
            else self._source.read(len(buffer))
        )
        buffer[: len(data)] = data
        self._report(len(data))
        return len(data)
