"""The bytes of a source, inflated, taken piece by piece from the front; it knows how many were taken and what they were.

Memory is bounded by ``MOST_BYTES`` for what is looked at and not yet taken, whatever the size of the source.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable
from hashlib import blake2b
from typing import IO, Any, cast

from openlineage_bridge.errors import ConfigError

CHUNK = 256 * 1024
MOST_BYTES = 64 * 1024 * 1024
"""The longest line, or document of several lines, that is taken for an event."""

_BOM = b"\xef\xbb\xbf"


class TooLongError(Exception):
    """What was to be looked at is longer than ``MOST_BYTES``."""


class Content:
    """Inflated bytes and how far they were taken.

    Args:
        stored: The bytes as they are stored; gzip and Zstandard are told by how they begin.
        counted: Is told how many stored bytes were read.
    """

    def __init__(self, stored: IO[bytes], counted: Callable[[int], None]) -> None:
        self._stored = stored
        self._buffered: io.BufferedReader = io.BufferedReader(_Tap(stored, counted), CHUNK)
        self._inflating: Inflating | None = None
        self._taken = blake2b(digest_size=16)
        self.data = b""
        self.at = 0
        self.offset = 0
        self.lines = 0
        self.damage = ""
        """What is wrong with the compressed bytes; empty when nothing was met."""

    def close(self) -> None:
        """Give the source back."""
        self._stored.close()

    @property
    def digest(self) -> str:
        """Stands for everything that was taken."""
        return self._taken.hexdigest()

    def more(self) -> bool:
        """Look further ahead; False at the end. ``data[at:]`` is what is ahead, and ``at`` may change.

        Raises:
            TooLongError: It looks as far as it can.
        """
        ahead = len(self.data) - self.at
        if ahead > MOST_BYTES:
            raise TooLongError
        part = self._read(max(CHUNK, ahead))
        self.data, self.at = self.data[self.at :] + part, 0
        return bool(part)

    def take(self, count: int) -> bytes:
        """The next bytes, of those that are ahead."""
        piece = self.data[self.at : self.at + count]
        self.at += len(piece)
        self._note(piece)
        return piece

    def line(self) -> bytes:
        """The next line with its end; empty at the end of the source.

        Raises:
            TooLongError: There is none as far as it can look.
        """
        searched = self.at
        while (end := self.data.find(b"\n", searched)) < 0:
            ahead = len(self.data) - self.at
            if not self.more():
                return self.take(ahead)
            searched = self.at + ahead
        return self.take(end + 1 - self.at)

    def first_lines(self, count: int, most: int) -> list[bytes]:
        """The first lines that are not blank, without taking them; fewer when they are longer than ``most`` bytes together."""
        while True:
            lines = self.data.removeprefix(_BOM).split(b"\n")
            full = [line for line in lines[:-1] if line.strip()]
            if len(full) >= count or len(self.data) > most:
                return full[:count]
            if not self.more():
                return (full + [line for line in lines[-1:] if line.strip()])[:count]

    def skip_mark(self) -> None:
        """Take a byte order mark, if the source begins with one."""
        if self.data.startswith(_BOM, self.at):
            self.take(len(_BOM))

    def skip(self, count: int) -> None:
        """Take that many bytes, or what there is, and keep none of them."""
        while count > 0 and (self.at < len(self.data) or self.more()):
            count -= len(self.take(min(count, CHUNK)))

    def skip_line(self) -> None:
        """Take what is left of a line, however long it is."""
        while True:
            end = self.data.find(b"\n", self.at)
            self.take((end + 1 if end >= 0 else len(self.data)) - self.at)
            if end >= 0 or not self.more():
                return

    def _note(self, piece: bytes) -> None:
        self._taken.update(piece)
        self.offset += len(piece)
        self.lines += piece.count(b"\n")

    def _read(self, size: int) -> bytes:
        """At least one byte, unless the source is at its end or damaged."""
        if self.damage:
            return b""
        damages: tuple[type[Exception], ...] = (zipfile.BadZipFile,)  # it may be a member of an archive
        try:
            self._inflating = self._inflating or _inflated(self._buffered)
            read, further = self._inflating
            damages += further
            return read(size)
        except damages as error:
            self.damage = str(error)
            return b""


# --- as they are stored ---------------------------------------------------------------------------------------------


Inflating = tuple[Callable[[int], bytes], tuple[type[Exception], ...]]
"""What reads inflated bytes, and what it raises where the compressed ones are cut off or are not what they say."""


def _inflated(stored: io.BufferedReader) -> Inflating:
    head = stored.peek(4)[:4]
    opener = next((opener for magic, opener in _PACKED.items() if head.startswith(magic)), _plain)
    return opener(stored)


def _plain(stored: io.BufferedReader) -> Inflating:
    return stored.read1, (EOFError, zlib.error)


def _gzip(stored: io.BufferedReader) -> Inflating:
    return gzip.GzipFile(fileobj=stored).read1, (EOFError, zlib.error, gzip.BadGzipFile)


def _zstandard(stored: io.BufferedReader) -> Inflating:
    try:
        import zstandard
    except ModuleNotFoundError:
        raise ConfigError("a file is compressed with Zstandard: install openlineage-bridge[files]") from None
    frames = zstandard.ZstdDecompressor().stream_reader(cast("Any", stored), read_across_frames=True)
    return frames.read, (zstandard.ZstdError,)


_PACKED: dict[bytes, Callable[[io.BufferedReader], Inflating]] = {
    b"\x1f\x8b": _gzip,
    b"\x28\xb5\x2f\xfd": _zstandard,
}
"""By the bytes with which they begin."""


class _Tap(io.RawIOBase):
    """Reads through to another file and reports how much."""

    def __init__(self, source: IO[bytes], report: Callable[[int], None]) -> None:
        self._read = getattr(source, "read1", source.read)
        self._report = report

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # bytes-like is all io asks for
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        self._report(len(data))
        return len(data)
