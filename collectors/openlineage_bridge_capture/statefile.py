"""How far a process of its own has come: one small file, replaced as a whole, and held by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path


class StateFileError(ValueError):
    """The state file cannot be used; the message says what to do."""


def default_path(what: str, observed: str) -> Path:
    """Where the state is kept: below the XDG state folder, one file for each thing that is observed.

    Args:
        what: Which state, e.g. ``dagster-tail``.
        observed: What tells the observed thing apart from others of its kind.
    """
    state = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
    name = hashlib.sha256(observed.encode()).hexdigest()[:12]
    return state / "openlineage-bridge" / f"{what}-{name}.json"


def load(path: Path) -> str | None:
    """What was saved; None when there is nothing yet.

    Raises:
        StateFileError: It is there and cannot be read.
    """
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StateFileError(
            f"{path} cannot be read as state: {error}; move it away to start anew"
        ) from error


def save(path: Path, text: str) -> None:
    """Replace what was saved, at once and as a whole: a crash leaves the old or the new, never a half.

    Raises:
        StateFileError: The file cannot be written.
    """
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise StateFileError(f"The state cannot be kept in {path}: {error}") from error


def keeper(path: Path) -> Callable[[str], None]:
    """Saves what has changed."""
    last: list[str] = []

    def keep(text: str) -> None:
        if last != [text]:
            save(path, text)
            last[:] = [text]

    return keep


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep the state to this process, by a lock that ends with it however it ends.

    Raises:
        StateFileError: Another process has it, or its folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock_file(path).open("a")
    except OSError as error:
        raise StateFileError(f"The state cannot be kept in {path}: {error}") from error
    with lock:
        if not _taken(lock.fileno()):
            raise StateFileError(
                f"Another process is at work with the state {path}; give --state to run one more"
            )
        yield


def is_held(path: Path) -> bool:
    """Whether a process is at work with this state."""
    try:
        with _lock_file(path).open("r") as lock:
            return not _taken(lock.fileno())
    except OSError:
        return False


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
