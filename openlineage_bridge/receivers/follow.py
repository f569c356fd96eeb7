"""The receiver that follows files as they grow, are rotated and truncated: each event once into the inbox (G20).

A file is what its device and inode say, and what it begins with, whatever it is called now: so a renamed file is read to
its end, a new one under its old name from the beginning, and one that was truncated or written again from the beginning
too. How far it was read is committed together with the events, so that nothing is left out or taken twice across a crash.
It looks instead of being told, which works on network and container volumes as well.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, Any, Self

import attrs

from openlineage_bridge.errors import RetryLater, StorageError
from openlineage_bridge.events import digest
from openlineage_bridge.receivers import Position, PositionedInbox
from openlineage_bridge.receivers.files import Reading, events_in
from openlineage_bridge.receivers.sources import Source
from openlineage_bridge.receivers.wrapping import unwrapped

READER = "follow"

LOOK, PAUSE = 0.5, 2.0
"""Seconds between two looks at the files; and after one at which the inbox would take nothing."""

QUIET = 2.0
"""Seconds without a change after which a last line without an end, or a file that is no JSON lines, is complete."""

HOLD = 600.0
"""Seconds without a change after which a file is closed; until then it can be read to its end even when it is deleted."""

HEAD = 1024
"""Most bytes by which a file is recognised."""

BATCH, CHUNK, MOST_LINE = 500, 1 << 20, 1 << 25
"""Lines at once; bytes read at once; bytes of a line, beyond which it is taken in parts, and refused."""

_ROTATED = r"(?:[.-][\d.T_:-]+)?(?:\.(?:gz|zst))?$"
"""What rotating appends to a name: ``.1``, ``-20260131``, ``.2.gz``."""

_IN_A_FOLDER = re.compile(r".+\.(?:json|jsonl|ndjson)(?:\.(?:gz|zst))?" + _ROTATED)
_PACKED = (".gz", ".zst")

log = logging.getLogger(__name__)


@attrs.define
class _File:
    """A file that is followed.

    Args:
        identity: Its device and inode.
        path: What it is called.
        offset: Bytes that were taken.
        line: Lines among them.
        head: How many bytes of its beginning ``digest`` is of.
        digest: By which it is recognised, in hexadecimal digits.
        whole: Whether it was taken as a whole: not JSON lines.
    """

    identity: str
    path: Path
    offset: int = 0
    line: int = 0
    head: int = 0
    digest: str = ""
    whole: bool = False
    opened: IO[bytes] | None = None
    seen: tuple[int, int] = (-1, -1)
    since: float = 0.0

    def look(self) -> int:
        """Open it, if need be, and see whether it changed; its size.

        Raises:
            OSError: It cannot be read.
        """
        if self.opened is None:
            self.opened = self.path.open("rb", buffering=0)
        state = os.fstat(self.opened.fileno())
        if (state.st_size, state.st_mtime_ns) != self.seen:
            self.seen, self.since = (state.st_size, state.st_mtime_ns), time.monotonic()
            if state.st_size < self.offset or self._digest(self.head) != self.digest:
                self.offset = self.line = self.head = 0
                self.digest, self.whole = "", False
        return state.st_size

    def unchanged(self, seconds: float) -> bool:
        """Whether nothing was written for so long."""
        return time.monotonic() - self.since >= seconds

    def ahead(self, size: int) -> bytes:
        """So many bytes behind what was taken."""
        return self._read(self.offset, size)

    def taken(self, size: int, lines: int) -> dict[str, Any]:
        """So much more was taken; the position behind it."""
        self.offset += size
        self.line += lines
        if self.head < HEAD:
            self.head = min(self.offset, HEAD)
            self.digest = self._digest(self.head)
        fields = attrs.asdict(self, filter=attrs.filters.include("offset", "line", "head", "digest", "whole"))
        return fields | {"path": str(self.path)}

    def again(self) -> IO[bytes]:
        """The same file from its beginning, whatever has its name now."""
        assert self.opened is not None
        return Path(f"/dev/fd/{self.opened.fileno()}").open("rb")

    def close(self) -> None:
        """Let it go; it is opened again when it changes."""
        if self.opened is not None:
            self.opened.close()
            self.opened = None

    def _digest(self, size: int) -> str:
        return digest(self._read(0, size)).hex() if size else ""

    def _read(self, start: int, size: int) -> bytes:
        assert self.opened is not None
        return os.pread(self.opened.fileno(), size, start)


class Follower:
    """Follows files and folders, on a thread of its own while it is open.

    Args:
        inbox: Where events go, and how far each file was read.
        paths: Files, with what is rotated away from them (``PATH.1``, ``PATH-20260131``, ``PATH.2.gz``), and folders of event
            files. They need not be there yet.
        counted: Told how many events were taken.
    """

    def __init__(
        self,
        inbox: PositionedInbox,
        paths: Sequence[Path],
        counted: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._inbox = inbox
        self._paths = paths
        self._counted = counted
        self._files: dict[str, _File] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="openlineage-bridge-follow")

    def __enter__(self) -> Self:
        if self._paths:
            log.info("following", extra={"paths": [str(path) for path in self._paths]})
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()
        with ExitStack() as closing:
            for file in self._files.values():
                closing.callback(file.close)

    def _run(self) -> None:
        pause = 0.0
        while not self._closing.wait(pause):
            pause = LOOK
            try:
                self.turn()
            except (RetryLater, StorageError) as error:
                log.warning("the files that are followed wait", extra={"reason": str(error)})
                pause = PAUSE
            except Exception:
                log.exception("following files failed and will be tried again")
                pause = PAUSE

    # --- which files

    def turn(self) -> int:
        """Take what is new in all the files; how many events.

        Raises:
            RetryLater: The inbox takes nothing now; what was not taken is there the next time.
            StorageError: The same.
        """
        present = {identity: path for target in self._paths for path, identity in _below(target)}
        taken = 0
        for identity, path in present.items():
            file = self._files.get(identity) or self._resumed(identity, path)
            file.path = path
            taken += self._read(file, gone=False)
        for identity in self._files.keys() - present.keys():
            taken += self._read(self._files[identity], gone=True)
        return taken

    def _resumed(self, identity: str, path: Path) -> _File:
        """A file that was not seen since the start, as the store knows it."""
        known = self._inbox.reached(READER, identity).result() or {}
        self._files[identity] = _File(identity, path, **{key: known[key] for key in known if key != "path"})
        return self._files[identity]

    def _read(self, file: _File, *, gone: bool) -> int:
        """What is new in a file; one that is gone is let go once nothing comes any more."""
        if gone and file.opened is None:
            del self._files[file.identity]
            return 0
        try:
            taken = self._take(file, file.look(), gone=gone)
        except OSError as error:
            log.warning(
                "cannot be read", extra={"path": str(file.path), "reason": error.strerror or str(error)}
            )
            return 0
        if gone and not taken and file.unchanged(QUIET):
            file.close()
            del self._files[file.identity]
        elif file.unchanged(HOLD):
            file.close()
        return taken

    # --- what is in them

    def _take(self, file: _File, size: int, *, gone: bool) -> int:
        if size == file.offset:
            return 0
        if not file.whole and not file.path.name.endswith(_PACKED):
            if file.offset or _is_lines(file.ahead(CHUNK)):
                return self._take_lines(file, gone=gone)
            if not gone and not _looks_complete(file.ahead(size)):
                return 0
        return self._take_whole(file, size) if gone or file.unchanged(QUIET) else 0

    def _take_lines(self, file: _File, *, gone: bool) -> int:
        taken = 0
        while left := self._end_of_lines(file, data := self._some_lines(file), gone=gone):
            lines = data[:left].split(b"\n")
            if not lines[-1]:
                lines.pop()
            for start in range(0, len(lines), BATCH):
                some = lines[start : start + BATCH]
                size = min(sum(len(line) + 1 for line in some), left)  # the last line may have no end
                taken += self._offer(file, some, size)
                left -= size
        return taken

    def _some_lines(self, file: _File) -> bytes:
        """Enough for a line, however long."""
        size = CHUNK
        while b"\n" not in (data := file.ahead(size)) and len(data) == size < MOST_LINE:
            size *= 2
        return data

    def _end_of_lines(self, file: _File, data: bytes, *, gone: bool) -> int:
        """Where the last line ends that is complete; 0 when none is."""
        end = data.rfind(b"\n") + 1
        if end or not data:
            return end
        complete = file.unchanged(QUIET) and (gone or unwrapped(data.strip()) is not None)
        return len(data) if complete or len(data) >= MOST_LINE else 0

    def _offer(self, file: _File, lines: list[bytes], size: int) -> int:
        bodies = [body for line in lines for body in _events(line)]
        where = f"{READER}:{file.path}:{file.line + 1}"
        before = attrs.evolve(file)
        position = Position(READER, file.identity, file.taken(size, len(lines)))
        try:
            self._inbox.accept(bodies, where, position).result()
        except BaseException:
            file.offset, file.line, file.head, file.digest = (
                before.offset,
                before.line,
                before.head,
                before.digest,
            )
            raise
        self._counted(len(bodies))
        return len(bodies)

    def _take_whole(self, file: _File, size: int) -> int:
        """A document, or a compressed file: read from its beginning; what was taken before is recognised by the inbox."""
        taken, reading = 0, Reading()
        found = events_in([Source(str(file.path), file.again, size)], reading)
        while some := list(islice(found, BATCH)):
            self._inbox.accept([each.body for each in some], f"{READER}:{some[0].where}", None).result()
            taken += len(some)
        for problem in reading.problems:
            log.warning("not all of a file can be read", extra={"problem": problem})
        file.whole = True
        position = Position(READER, file.identity, file.taken(size - file.offset, 0))
        self._inbox.accept([], str(file.path), position).result()
        self._counted(taken)
        return taken


def _below(target: Path) -> Iterator[tuple[Path, str]]:
    """The files that a path stands for, oldest first, with what they are."""
    if target.is_dir():
        found = [each for each in target.rglob("*") if _IN_A_FOLDER.fullmatch(each.name)]
    else:
        name = re.compile(re.escape(target.name) + _ROTATED)
        found = [each for each in target.parent.glob("*") if name.fullmatch(each.name)]
    states = []
    for path in found:
        try:
            state = path.stat()
        except OSError:
            continue  # it was renamed or removed meanwhile
        if path.is_file():
            states.append((state.st_mtime_ns, path, f"{state.st_dev}:{state.st_ino}"))
    return ((path, identity) for _, path, identity in sorted(states))


def _is_lines(data: bytes) -> bool:
    """Whether one of the first two lines is a document by itself; the only line may be without an end."""
    complete, _, rest = data.removeprefix(_BOM).rpartition(b"\n")
    lines = [line.strip() for line in (complete or rest).split(b"\n") if line.strip()][:2]
    return any(
        line.startswith((b"{", b"[")) and line != b"[" and unwrapped(line) is not None for line in lines
    )


def _looks_complete(data: bytes) -> bool:
    """Whether it is more than the beginning of a line, and ends as JSON does."""
    return b"\n" in data and data.rstrip()[-1:] in {b"}", b"]"}


def _events(line: bytes) -> list[bytes]:
    """The events of a line; what is no JSON is handed on as it is, for the inbox to refuse."""
    text = line.removeprefix(_BOM).strip()
    return ((unwrapped(text) if text else []) or [text]) if text else []


_BOM = b"\xef\xbb\xbf"
