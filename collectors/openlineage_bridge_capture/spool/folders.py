"""Where the files of a destination lie, how much they hold, and what its receiver refused."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import attrs

from openlineage_bridge_capture.spool.segments import Claim, segment_numbers, sent_until

REJECTED = "rejected.jsonl"
DESTINATION = "destination"

CONTINUED_BYTES = 1 << 20
"""A new process goes on writing where a dead one stopped, if no more than this lies there: a request or two."""


class SpoolError(OSError):
    """An event could not be spooled: the folder cannot be written; ``OPENLINEAGE_BRIDGE_SPOOL_FOLDER`` names another."""


class SpoolFullError(SpoolError):
    """An event was not spooled because ``max_bytes`` lie there already, waiting or set aside.

    See whether the receiver is there and what it refused, or raise the limit.
    """


@attrs.frozen
class Waiting:
    """What one writer still has to send.

    Args:
        writer: The name of its folder.
        alive: Whether a process owns it now.
        events: Lines that were not acknowledged yet.
        size: Their bytes.
    """

    writer: str
    alive: bool
    events: int
    size: int


@attrs.frozen
class Destination:
    """The folder of one URL.

    Args:
        folder: Where it is; made with ``make``.
    """

    folder: Path

    @classmethod
    def of(cls, base: Path, url: str) -> Destination:
        """The folder for a URL: two URLs never share one, and a URL can hold what no file name may."""
        return cls(base / hashlib.sha256(url.encode()).hexdigest()[:16])

    def make(self, url: str) -> None:
        """Make the folder, for the owner's eyes only, and note for people whose it is.

        Raises:
            OSError: The file system does not let us, or the user has no home for it to be in.
        """
        if self.folder.parts[:1] == ("~",):
            raise SpoolError("this user has no home folder")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        note = self.folder / DESTINATION
        if not note.exists():
            note.write_text(f"{without_credentials(url)}\n", "utf-8")

    @property
    def url(self) -> str:
        """Where its events go, as it was noted."""
        try:
            return (self.folder / DESTINATION).read_text("utf-8").strip()
        except OSError:
            return "?"

    def writers(self) -> list[Path]:
        """The folders of all writers, the oldest first."""
        try:
            return sorted(path for path in self.folder.iterdir() if path.is_dir())
        except FileNotFoundError:
            return []

    def claim(self) -> Claim:
        """A folder for this process to write in: one that a dead process left, if little is in it, else a new one.

        So a thousand short processes leave some folders while the receiver is away, and not a thousand.

        Raises:
            OSError: The file system does not let us.
        """
        for claim in self.adopt():
            if segment_numbers(claim.folder) and _used(claim.folder) <= CONTINUED_BYTES:
                return claim
            claim.release()
        return Claim.make(self.folder)

    def adopt(self) -> Iterator[Claim]:
        """Claim what dead processes left, the oldest first."""
        for folder in self.writers():
            if claim := Claim.take(folder):
                yield claim

    def used(self) -> int:
        """Bytes of all files; what vanishes while we look does not count."""
        return _used(self.folder)

    def waiting(self) -> list[Waiting]:
        """What each writer still has to send."""
        return [_waiting(folder) for folder in self.writers()]

    def reject(self, line: bytes, reason: str) -> None:
        """Set an event aside that the receiver will never take.

        Raises:
            OSError: It could not be written.
        """
        entry = {"rejected": datetime.now(UTC).isoformat(), "reason": reason, "event": _value(line)}
        descriptor = os.open(self.folder / REJECTED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with open(descriptor, "ab") as file:  # noqa: PTH123  # a descriptor, opened so that only the owner can read
            file.write(json.dumps(entry).encode() + b"\n")

    def rejected(self) -> int:
        """Events set aside."""
        try:
            with (self.folder / REJECTED).open("rb") as file:
                return sum(1 for _ in file)
        except FileNotFoundError:
            return 0


class Quota:
    """How much may still be spooled; looks at the disk now and then, because other processes spool too.

    Args:
        destination: Whose files count.
        max_bytes: How much they may hold in all.
    """

    LOOK_INTERVAL = 1.0
    """Seconds between two looks while there is no room."""

    def __init__(self, destination: Destination, max_bytes: int) -> None:
        self._destination = destination
        self._max = max_bytes
        self._granted = 0
        self._look_at = 0.0

    def take(self, size: int) -> bool:
        """Whether so many bytes may be written; they are counted as written then."""
        if size > self._granted and time.monotonic() >= self._look_at:
            self._look(size)
        if size > self._granted:
            return False
        self._granted -= size
        return True

    def _look(self, size: int) -> None:
        free = self._max - self._destination.used()
        self._granted = min(free, max(size, self._max // 16))
        self._look_at = time.monotonic() + self.LOOK_INTERVAL if size > free else 0.0


def destinations(base: Path) -> list[Destination]:
    """Every destination that was ever spooled to below this folder."""
    try:
        return [Destination(path) for path in sorted(base.iterdir()) if path.is_dir()]
    except FileNotFoundError:
        return []


def without_credentials(url: str) -> str:
    """The URL as it may be shown: neither user, password nor query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _waiting(folder: Path) -> Waiting:
    number, offset = sent_until(folder)
    lines = [
        line
        for each in segment_numbers(folder)
        if each >= number
        for line in _lines(folder, each, number, offset)
    ]
    return Waiting(folder.name, _alive(folder), len(lines), sum(lines))


def _lines(folder: Path, number: int, first: int, offset: int) -> Iterator[int]:
    """The lengths of a segment's complete lines that still wait."""
    try:
        with (folder / f"{number:08d}.jsonl").open("rb") as file:
            file.seek(offset if number == first else 0)
            yield from (len(line) for line in file if line.endswith(b"\n"))
    except FileNotFoundError:
        return


def _alive(folder: Path) -> bool:
    claim = Claim.take(folder)
    if claim is not None:
        claim.release()
    return claim is None


def _used(folder: Path) -> int:
    # Unlike pathlib's, os.walk passes over folders that other processes delete meanwhile.
    return sum(_size(Path(top, name)) for top, _, names in os.walk(folder) for name in names)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _value(line: bytes) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return line.decode("utf-8", "replace")
