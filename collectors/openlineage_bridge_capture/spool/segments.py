"""The files of one writer: appended to by the process that owns them, read and deleted by whoever sends them.

A writer's folder holds ``lock``, whose flock says who owns it, the numbered segments ``00000001.jsonl`` …, one event
per line, and ``offset``: how far sending has come. A line without its newline is one whose ``emit`` never returned.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from pathlib import Path
from typing import Self

import attrs

from openlineage_bridge_capture import log

SEGMENT_BYTES = 16 << 20
"""A segment that has grown past this is followed by the next, so that what was sent can be deleted."""

READ_BYTES = 1 << 17
"""How much is read from a segment at a time: Python's own few kilobytes hold an event or two."""

LOCK, OFFSET, SUFFIX = "lock", "offset", ".jsonl"

Position = tuple[int, int]
"""Number of the segment and byte within it: how far writing or sending has come."""

START: Position = (1, 0)


def _segment(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}{SUFFIX}"


def segment_numbers(folder: Path) -> list[int]:
    """The segments that a writer's folder holds, in their order; none when it is gone."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    return sorted(int(name.removesuffix(SUFFIX)) for name in names if name.endswith(SUFFIX))


def sent_until(folder: Path) -> Position:
    """Up to where a writer's events were sent; the start where that is unknown, because sending twice is harmless."""
    try:
        number, offset = (folder / OFFSET).read_text("ascii").split()
        return int(number), int(offset)
    except (OSError, ValueError):
        return START


@attrs.frozen
class Claim:
    """The ownership of a writer's folder: an exclusive flock that ends with the process, however it ends.

    Args:
        folder: The writer's folder.
        descriptor: The open lock file. A forked child shares the lock until it closes its copy.
    """

    folder: Path
    descriptor: int

    @classmethod
    def take(cls, folder: Path) -> Self | None:
        """Claim a folder that nobody alive owns; None when somebody does or it is gone."""
        try:
            descriptor = os.open(folder / LOCK, os.O_RDWR)
        except FileNotFoundError:
            # Its maker died before the lock was there, or it is being deleted; the maker of a new one tries again.
            with contextlib.suppress(OSError):
                folder.rmdir()
            return None
        return cls._locked(folder, descriptor)

    @classmethod
    def make(cls, destination: Path) -> Self:
        """A new folder of this process.

        Raises:
            OSError: The file system does not let us.
        """
        while True:
            folder = destination / f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}"
            folder.mkdir(mode=0o700)
            # Somebody who looks for left-overs may be quicker than we are, and remove the folder or hold its lock.
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
                if claim := cls._locked(folder, descriptor):
                    return claim

    @classmethod
    def _locked(cls, folder: Path, descriptor: int) -> Self | None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever owned it may have deleted it between our opening and our locking.
            if os.fstat(descriptor).st_nlink:
                return cls(folder, descriptor)
        except BlockingIOError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def release(self) -> None:
        """Let the next process have what is left."""
        os.close(self.descriptor)

    def delete(self) -> None:
        """Delete the folder; the lock goes last, so that nobody adopts what is half deleted."""
        for number in segment_numbers(self.folder):
            _segment(self.folder, number).unlink(missing_ok=True)
        for name in (OFFSET, f"{OFFSET}.new", LOCK):
            (self.folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()
        os.close(self.descriptor)


class Appender:
    """The writing side of a claimed folder; the caller sees to it that one thread appends at a time.

    Args:
        claim: The folder.
        fsync: Whether each line is forced to the disk.
        segment_bytes: How large a segment grows.
    """

    def __init__(self, claim: Claim, *, fsync: bool = False, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = claim.folder
        self._segment_bytes = segment_bytes
        self._fsync = fsync
        # After what a dead process left there, the last line of which may be torn.
        self._number = max(segment_numbers(claim.folder), default=0)
        self._size = 0
        self._descriptor = -1
        self._next_segment()

    @property
    def position(self) -> Position:
        """The end of what was appended."""
        return self._number, self._size

    def append(self, line: bytes) -> None:
        """Hand a line to the kernel, whole or not at all.

        Raises:
            OSError: It did not fit or could not be written; the file is as it was.
        """
        if self._size >= self._segment_bytes:
            self._next_segment()
        written = os.write(self._descriptor, line)
        if written < len(line):
            self._take_back()
            raise OSError(f"only {written} of {len(line)} bytes could be written; is the disk full?")
        self._size += written
        if self._fsync:
            os.fdatasync(self._descriptor)

    def _take_back(self) -> None:
        os.ftruncate(self._descriptor, self._size)

    def _next_segment(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        descriptor = os.open(_segment(self._folder, self._number + 1), flags, 0o600)
        self.close()
        self._number, self._size, self._descriptor = self._number + 1, 0, descriptor
        if self._fsync:
            _sync_folder(self._folder)

    def close(self) -> None:
        """Close the file; what was appended stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _sync_folder(folder: Path) -> None:
    """Make a new file's name survive a power cut, and its folder's, and that one's folder's."""
    for each in (folder, folder.parent, folder.parent.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Backlog:
    """The reading side of a claimed folder: what still has to be sent, in the order it was written."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.position = sent_until(claim.folder)

    def peek(self, events: int, size: int) -> tuple[list[bytes], list[Position]]:
        """The next lines, without their newlines, and the position after each; none when all was sent.

        Args:
            events: At most so many lines, of one segment.
            size: At most about so many bytes, but at least one line.
        """
        while True:
            # Asked before reading: once the next segment is there, nothing is added to this one.
            followed = self.followed
            lines, ends = self._read(events, size)
            if lines or not followed:
                return lines, ends
            self._advance()

    def commit(self, position: Position) -> None:
        """Everything before this position needs no sending any more; survives the process from now on.

        On a full disk only this process knows it: a later one may send again, which is harmless.
        """
        self.position = position
        target = self.claim.folder / OFFSET
        draft = target.with_name(f"{OFFSET}.new")
        try:
            draft.write_text(f"{position[0]} {position[1]}\n", "ascii")
            draft.replace(target)
        except OSError:
            log.logger.debug("Could not note how far a spool was sent", exc_info=True)

    @property
    def followed(self) -> bool:
        """Whether there is a segment after the one that is being sent."""
        return any(number > self.position[0] for number in segment_numbers(self.claim.folder))

    def _advance(self) -> None:
        finished = self.position[0]
        self.commit((finished + 1, 0))
        for number in segment_numbers(self.claim.folder):
            if number <= finished:
                _segment(self.claim.folder, number).unlink(missing_ok=True)

    def _read(self, events: int, size: int) -> tuple[list[bytes], list[Position]]:
        number, offset = self.position
        lines: list[bytes] = []
        ends: list[Position] = []
        try:
            with _segment(self.claim.folder, number).open("rb", buffering=READ_BYTES) as file:
                file.seek(offset)
                while len(lines) < events and offset - self.position[1] < size:
                    line = file.readline()
                    if not line.endswith(b"\n"):
                        break
                    offset += len(line)
                    lines.append(line[:-1])
                    ends.append((number, offset))
        except FileNotFoundError:
            pass
        return lines, ends
