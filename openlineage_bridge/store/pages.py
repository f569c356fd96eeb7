"""The records in a damaged SQLite file, read page by page without SQLite, which refuses the whole file for one bad page.

Every page of a table or an index stands for itself (https://www.sqlite.org/fileformat2.html §1.6): what a damaged page
does not hold can be read, whatever became of the header, of the schema, or of the pages that lead there. A record comes
out as often as it stands somewhere, in pages that SQLite would not look at any more too; whoever takes the records has to
recognise those that are worth having.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

PAGE = 4096
"""Bytes of a page; every store has pages of this size (``database``)."""

Value = None | int | float | str | bytes
Record = tuple[Value, ...]

_TABLE_LEAF, _INDEX_LEAF, _INDEX_INTERIOR = 0x0D, 0x0A, 0x02
_HEADERS = {_TABLE_LEAF: 8, _INDEX_LEAF: 8, _INDEX_INTERIOR: 12}
"""Length of the header, by kind of the pages that hold records."""

_FILE_HEADER = 100  # of page 1
_WAL_HEADER, _WAL_SALT, _FRAME_HEADER = 32, 16, 24
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""Bytes of an integer, by serial type."""

_UNREADABLE = (IndexError, KeyError, ValueError, struct.error)  # UnicodeDecodeError is a ValueError


class Pages:
    """A database file with its write-ahead log, open for reading.

    Args:
        path: The file; it may be missing, and so may the log beside it.
    """

    def __init__(self, path: Path) -> None:
        self._open = ExitStack()
        self._file = self._map(path)
        self._log = self._map(path.with_name(f"{path.name}-wal"))
        self._frames = dict(self._in_log())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def records(self) -> Iterator[Record]:
        """Every record of which a page holds the beginning, in order of the pages; first the file's, then the log's."""
        for start in range(0, len(self._file) - PAGE + 1, PAGE):
            yield from self._records(self._file[start : start + PAGE], _FILE_HEADER if start == 0 else 0)
        yield from self.records_in_log()

    def records_in_log(self) -> Iterator[Record]:
        """Every record of which a page in the log holds the beginning, oldest first."""
        for number, start in self._in_log():
            yield from self._records(self._log[start : start + PAGE], _FILE_HEADER if number == 1 else 0)

    def _map(self, path: Path) -> mmap.mmap | bytes:
        if not path.is_file() or not path.stat().st_size:
            return b""
        file = self._open.enter_context(path.open("rb"))
        return self._open.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def _in_log(self) -> Iterator[tuple[int, int]]:
        """Page number and place of every page in the log, oldest first.

        Not what is left of an older log in the same file, which has another salt; but also behind a frame whose checksum is
        wrong: it may be the only damaged one.
        """
        step = _FRAME_HEADER + PAGE
        salts = {self._log[_WAL_SALT : _WAL_SALT + 8], self._log[_WAL_HEADER + 8 : _WAL_HEADER + 16]}
        for start in range(_WAL_HEADER, len(self._log) - step + 1, step):
            if self._log[start + 8 : start + 16] in salts:
                yield int.from_bytes(self._log[start : start + 4]), start + _FRAME_HEADER

    def _page(self, number: int) -> bytes:
        """The newest version of a page."""
        if number in self._frames:
            return bytes(self._log[self._frames[number] : self._frames[number] + PAGE])
        start = (number - 1) * PAGE
        page = bytes(self._file[start : start + PAGE]) if number > 0 else b""
        if len(page) < PAGE:
            raise IndexError(f"there is no page {number}")
        return page

    def _records(self, page: bytes, header: int) -> Iterator[Record]:
        kind = page[header]
        if kind not in _HEADERS:
            return
        cells = header + _HEADERS[kind]
        count = int.from_bytes(page[header + 3 : header + 5])
        for place in range(cells, min(cells + 2 * count, PAGE - 1), 2):
            try:
                yield _decoded(self._payload(page, kind, int.from_bytes(page[place : place + 2])))
            except _UNREADABLE:
                continue  # this one is damaged, or part of it stood on a page that is

    def _payload(self, page: bytes, kind: int, at: int) -> bytes:
        """The bytes of the record that a cell holds, those on overflow pages included."""
        if kind == _INDEX_INTERIOR:
            at += 4  # the page to the left
        size, at = _varint(page, at)
        if kind == _TABLE_LEAF:
            _, at = _varint(page, at)  # the rowid
        here = _local(size, kind)
        payload = page[at : at + here]
        if here == size:
            return payload
        return payload + self._overflow(size - here, int.from_bytes(page[at + here : at + here + 4]))

    def _overflow(self, size: int, number: int) -> bytes:
        if size > len(self._file) + len(self._log):
            raise ValueError("longer than the file")
        parts = bytearray()
        while len(parts) < size:
            page = self._page(number)
            number = int.from_bytes(page[:4])
            parts += page[4:]
        return bytes(parts[:size])


def _local(size: int, kind: int) -> int:
    """How many bytes of a payload stand on the page itself (file format §1.6)."""
    most = PAGE - 35 if kind == _TABLE_LEAF else (PAGE - 12) * 64 // 255 - 23
    if size <= most:
        return size
    least = (PAGE - 12) * 32 // 255 - 23
    fitting = least + (size - least) % (PAGE - 4)
    return fitting if fitting <= most else least


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer, and where it ends (file format §1.6)."""
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    return value << 8 | data[at + 8], at + 9


def _decoded(payload: bytes) -> Record:
    """The values of a record (file format §2.1).

    Raises:
        ValueError: It is none.
    """
    end, at = _varint(payload, 0)
    values: list[Value] = []
    start = end
    while at < end:
        serial, at = _varint(payload, at)
        value, start = _value(payload, start, serial)
        values.append(value)
    if at != end or start != len(payload):
        raise ValueError("the lengths do not match")
    return tuple(values)


def _value(payload: bytes, start: int, serial: int) -> tuple[Value, int]:
    if serial in {0, 8, 9}:
        return (None if serial == 0 else serial - 8), start
    if serial == 7:
        return struct.unpack_from(">d", payload, start)[0], start + 8
    size = _INTEGERS[serial] if serial < 12 else (serial - 12) // 2
    data = payload[start : start + size]
    if len(data) < size:
        raise ValueError("the record ends too early")
    if serial < 12:
        return int.from_bytes(data, signed=True), start + size
    return (data.decode() if serial % 2 else data), start + size
