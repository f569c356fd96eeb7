"""Proposals as a JSON array in a file, or one file after the other, which DataHub's ``file`` source reads.

Every file is a valid document after every send.
"""

from __future__ import annotations

import fcntl
import glob
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.translation import Delivered, Outcome, Proposal, Retry

_OPENING = b"["
_CLOSING = b"\n]\n"


class FileSink:
    """Appends proposals to a JSON array, one per line.

    Every ``send`` writes over the closing bracket and is on disk before it returns. A tail that a crash tore off is cut
    back to the last whole proposal when the file is opened again.

    Args:
        path: The file; made when it does not exist. One process writes it at a time.
        most_bytes: A file that has become larger is put aside as ``NAME-000001.json`` and so on, and a new one is begun;
            None for one file that grows for ever.

    Raises:
        ConfigError: The file cannot be opened, is another program's, or another process writes it.
    """

    def __init__(self, path: Path | str, most_bytes: int | None = None) -> None:
        self.path = Path(path)
        self._most_bytes = most_bytes
        self._open()

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        except OSError as error:
            raise ConfigError(f"cannot write {self.path}: {error.strerror}") from error
        try:
            self._lock()
            self._end = self._recover()
        except BaseException:
            self._file.close()
            raise

    @classmethod
    def from_options(cls, section: Mapping[str, Any]) -> FileSink:
        """The sink that the ``datahub`` section of the configuration describes.

        Raises:
            ConfigError: ``path`` is missing, or cannot be written.
        """
        if not section.get("path"):
            raise ConfigError("datahub.path: the file sink needs the path of the JSON file to write")
        most = section.get("most_bytes")
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
            raise ConfigError(f"datahub.most_bytes: use a number of bytes, not {most!r}")
        return cls(section["path"], most)

    @property
    def destination(self) -> str:
        """The file's absolute path as a URI: a new name is a new destination, which gets everything."""
        return self.path.absolute().as_uri()

    def send(self, proposals: Sequence[Proposal]) -> list[Outcome]:
        """Append the proposals; when the disk refuses, none is in the file and all are tried again."""
        if not proposals:
            return []
        try:
            self._roll()
        except (OSError, ConfigError) as error:
            return [Retry(f"{self.path}: {getattr(error, 'strerror', None) or error}")] * len(proposals)
        separator = b"\n" if self._end == len(_OPENING) else b",\n"
        data = separator + b",\n".join(proposal.to_mcp() for proposal in proposals)
        try:
            self._write(self._end, data + _CLOSING)
        except OSError as error:
            self._undo()
            return [Retry(f"{self.path}: {error.strerror}")] * len(proposals)
        self._end += len(data)
        return [Delivered()] * len(proposals)

    def close(self) -> None:
        """Close the file; it is whole already."""
        self._file.close()

    def _roll(self) -> None:
        """Put the file aside when it is full, and begin a new one."""
        if not self._file.closed:
            if self._most_bytes is None or self._end <= max(self._most_bytes, len(_OPENING)):
                return
            self.path.rename(self._next_aside())
            self._file.close()
        self._open()

    def _next_aside(self) -> Path:
        stem, suffix = self.path.stem, self.path.suffix
        taken = [
            each.stem[len(stem) + 1 :] for each in self.path.parent.glob(f"{glob.escape(stem)}-*{suffix}")
        ]
        last = max((int(number) for number in taken if number.isdecimal()), default=0)
        return self.path.with_name(f"{stem}-{last + 1:06}{suffix}")

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"{self.path} is being written by another process") from error

    def _write(self, position: int, data: bytes) -> None:
        self._file.seek(position)
        self._file.write(data)
        self._file.truncate()
        self._file.flush()
        os.fsync(self._file.fileno())

    def _undo(self) -> None:
        try:
            self._write(self._end, _CLOSING)
        except OSError:
            # The closing bracket is back with the next send that succeeds, or when the file is opened again.
            return

    def _recover(self) -> int:
        """The position behind the last whole proposal; a torn tail behind it is replaced by the closing bracket."""
        self._file.seek(0)
        opening = self._file.readline()
        if opening.rstrip(b"\n\0") not in (b"", _OPENING):
            raise self._foreign()
        end, position = len(_OPENING), len(opening)
        for line in self._file:
            if line == _CLOSING.lstrip():
                return end
            text = line.rstrip(b"\n").removesuffix(b",")
            if not _is_object(text):
                # A line of ours is torn at its end; a line that is whole and no proposal is not ours to cut.
                if line.endswith(b"\n") and not text.startswith((b'{"', b"\0")):
                    raise self._foreign()
                break
            end = position + len(text)
            position += len(line)
        if opening != _OPENING + b"\n":
            self._write(0, _OPENING)
        self._write(end, _CLOSING)
        return end

    def _foreign(self) -> ConfigError:
        return ConfigError(f"{self.path} was not written by this sink; name another file")


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
