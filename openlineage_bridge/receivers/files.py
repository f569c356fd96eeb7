"""Event files of every shape that producers and people write, read in bounded memory, and from where a reader stopped.

The OpenLineage client's file transport writes JSON lines, or one document per file, indented in debug mode; people keep
arrays, and what other tools made of events (``receivers.wrapping``). A file has one of two shapes, told by its first lines:
**lines**, each of which stands for itself, so that a bad one costs no other; and **documents**, one behind another or in an
array, of any number of lines. What cannot be read is handed on as it is, with its place: the inbox refuses it and keeps it in
quarantine, and the rest of the file is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

import attrs

from openlineage_bridge.receivers.content import MOST_BYTES, Content, TooLongError
from openlineage_bridge.receivers.sources import Source
from openlineage_bridge.receivers.wrapping import unwrapped

HEAD = 4 * 1024 * 1024
"""Bytes that are looked at to tell the shape; what has no end of line in them is no JSON lines."""

MOST_PIECES = 100
"""Pieces without JSON in one file of documents; behind them it is taken for something else."""

KEPT_OF_NO_JSON = 64 * 1024
"""Bytes that are kept of a file that is something else altogether."""


class Shape(StrEnum):
    """How a file holds its events."""

    LINES = "lines"
    DOCUMENTS = "documents"


@attrs.frozen
class Position:
    """Where reading a file can go on.

    Args:
        shape: Of the file.
        offset: Inflated bytes before it.
        digest: Of these bytes: in a file that does not begin with them any more, it is no position.
        within: Whether it is inside an array of events.
        events: How many were met before it.
        refused: How many of those were refused.
    """

    shape: str
    offset: int
    digest: str
    within: bool = False
    events: int = 0
    refused: int = 0


@attrs.define
class Reading:
    """How far reading has come.

    Args:
        total: Bytes of all files; 0 when unknown.
        read: Bytes read so far, as they are stored.
        skipped: Bytes among them that were read before an interruption.
        before: Events that were met before it.
        refused_before: How many of those were refused.
        files: Files finished.
        empty: Files without anything in them.
        problems: What could not be read, in words.
    """

    total: int = 0
    read: int = 0
    skipped: int = 0
    before: int = 0
    refused_before: int = 0
    files: int = 0
    empty: list[str] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)

    def count(self, size: int) -> None:
        """So many stored bytes more."""
        self.read += size


@attrs.frozen
class Found:
    """One event in a file, not yet looked at.

    Args:
        where: ``file:line``; for a document of several lines, the line it starts on.
        body: The bytes.
        file: Where it was found; its ``position`` is behind this event until the next one is asked for.
    """

    where: str
    body: bytes
    file: EventFile = attrs.field(eq=False, repr=False)


def events_in(
    sources: Iterable[Source],
    reading: Reading | None = None,
    known: Callable[[Source], Position | None] = lambda _: None,
) -> Iterator[Found]:
    """The events of the files, in order. Reading goes on behind what cannot be read.

    Args:
        sources: The files.
        reading: Is told how far reading has come.
        known: Where a file was left the time before; None for its beginning.
    """
    reading = reading if reading is not None else Reading()
    for source in sources:
        try:
            file = EventFile(source, reading, known(source) if source.again else None)
            yield from file
        except OSError as error:
            reading.problems.append(f"{source.name}: {error.strerror or error}")
        reading.files += 1


class EventFile:
    """One file on its way through a reader.

    Args:
        source: The file.
        reading: Is told how far reading has come.
        left: Where it was left the time before.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, source: Source, reading: Reading, left: Position | None = None) -> None:
        self.source = source
        self._reading = reading
        self._resumed = left is not None
        self.events, self.refused = (left.events, left.refused) if left else (0, 0)
        self._within = False
        self._before: Position | None = None
        self._content = Content(source.open(), reading.count)
        if left and not self._go_on(left):
            self._start_over()

    def _go_on(self, left: Position) -> bool:
        """Skip what was read before; False when the file does not begin with it any more."""
        before = self._reading.read
        self._content.skip(left.offset)
        self._reading.skipped += self._reading.read - before
        if self._content.digest != left.digest:
            return False
        self._shape, self._within = Shape(left.shape), left.within
        self._reading.before += left.events
        self._reading.refused_before += left.refused
        return True

    def _start_over(self) -> None:
        self._content.close()
        self._content = Content(self.source.open(), self._reading.count)
        self._resumed, self.events, self.refused = False, 0, 0

    @property
    def position(self) -> Position:
        """Behind the event that was given last; before its line, where others of the same line are still to come."""
        return self._before or self._here()

    def _here(self) -> Position:
        content = self._content
        return Position(self._shape, content.offset, content.digest, self._within, self.events, self.refused)

    def __iter__(self) -> Iterator[Found]:
        try:
            if self._resumed or self._known_shape():
                yield from self._lines() if self._shape is Shape.LINES else self._documents()
        finally:
            self._content.close()
        if self._content.damage:
            self._problem(
                f"the compressed file is cut off or damaged ({self._content.damage}); what stood before is read"
            )

    def _known_shape(self) -> bool:
        """Tell the shape by the first two lines that are not blank: a whole document in one of them makes it lines."""
        head = self._content.first_lines(2, HEAD)
        self._shape = Shape.DOCUMENTS
        if not head and not self._content.data.strip():
            if not self._content.damage:
                self._reading.empty.append(self.source.name)
            return False
        self._content.skip_mark()
        if head and head[0].strip() != b"[" and any(unwrapped(line.strip()) is not None for line in head):
            self._shape = Shape.LINES
        return True

    def _problem(self, text: str) -> None:
        self._reading.problems.append(f"{self.source.name}: {text}")

    def _found(self, line: int, bodies: list[bytes], before: Position) -> Iterator[Found]:
        """The events of one line or document. Until the last of them is given, the position stays before the first."""
        where = f"{self.source.name}:{line}"
        for number, body in enumerate(bodies, 1):
            self._before = before if number < len(bodies) else None
            self.events += 1
            yield Found(where, body, self)

    # --- lines

    def _lines(self) -> Iterator[Found]:
        while True:
            number = self._content.lines + 1
            before = self._here()
            try:
                line = self._content.line()
            except TooLongError:
                self._content.skip_line()
                self._problem(f"line {number} has more than {MOST_BYTES >> 20} MiB and is left out")
                continue
            if not line or (self._content.damage and not line.endswith(b"\n")):
                return
            if text := line.strip():
                yield from self._found(number, _events(text), before)

    # --- documents

    def _documents(self) -> Iterator[Found]:
        """Values and what is between them; an array is not a value here, but the things in it are."""
        pieces = 0
        while first := self._skip_blank():
            line, before = self._content.lines + 1, self._here()
            if first in b"[]" and (first == b"[") != self._within:
                self._within = first == b"["
                self._content.take(1)
                continue
            try:
                value = first in b"{["
                body = self._content.take(self._end_of_value() if value else self._end_of_piece())
            except TooLongError:
                self._problem(
                    f"the document in line {line} has no end within {MOST_BYTES >> 20} MiB: the rest is left out"
                )
                return
            if self._content.damage and unwrapped(body) is None:
                return
            yield from self._found(line, _events(body.rstrip()), before)
            pieces += not value
            if pieces == MOST_PIECES or (not value and not before.offset):
                self._rest_is_no_json()
                return

    def _rest_is_no_json(self) -> None:
        if self._skip_blank():
            self._problem("neither JSON lines nor JSON documents; the rest is left out")

    def _skip_blank(self) -> bytes:
        """Take what is between values; the byte behind it, or nothing at the end."""
        content, between = self._content, _BETWEEN_ITEMS if self._within else _BETWEEN
        while True:
            end = between.match(content.data, content.at).end()  # type: ignore[union-attr]  # it matches the empty text
            content.take(end - content.at)
            if content.at < len(content.data):
                return content.data[content.at : content.at + 1]
            if not content.more():
                return b""

    def _end_of_value(self) -> int:
        """Length of the object or array that begins here; of everything that is left, when it does not end."""
        content, depth, scanned = self._content, 0, 0
        while True:
            for token in _TOKENS.finditer(content.data, content.at + scanned):
                if token["closed"] == b"":  # a text that goes on behind what is here
                    scanned = token.start() - content.at
                    break
                if token["bracket"] is not None:
                    depth += 1 if token["bracket"] in b"{[" else -1
                    if depth == 0:
                        return token.end() - content.at
            else:
                scanned = len(content.data) - content.at
            if not content.more():
                return len(content.data) - content.at

    def _end_of_piece(self) -> int:
        """Length of what is no object and no array, up to the end of the line, or of the item."""
        content = self._content
        if not content.offset:
            return min(len(content.data), KEPT_OF_NO_JSON)
        stop = _END_OF_ITEM if self._within else _END_OF_LINE
        while True:
            found = stop.search(content.data, content.at)
            if found:
                return max(found.start() - content.at, 1)
            if not content.more():
                return len(content.data) - content.at


_BETWEEN, _BETWEEN_ITEMS = re.compile(rb"\s*"), re.compile(rb"[\s,]*")
_END_OF_LINE, _END_OF_ITEM = re.compile(rb"\n"), re.compile(rb"[,\]\n]")
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?P<closed>"?)|(?P<bracket>[\[{\]}])', re.DOTALL)
"""What matters to the end of a JSON value: texts, which may hold brackets, and brackets."""


def _events(text: bytes) -> list[bytes]:
    """What is in it; what is no JSON is handed on whole, for the inbox to refuse."""
    events = unwrapped(text)
    return [text] if events is None else events
