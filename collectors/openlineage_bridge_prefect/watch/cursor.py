"""How far the watcher and the back-fill have come, as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import attrs

from openlineage_bridge_capture import statefile
from openlineage_bridge_capture.statefile import StateFileError

State = TypeVar("State")

VERSION = 1

MAX_SEEN = 100_000
"""Events that are remembered; of more than that in the overlap, the oldest are said once more."""


@attrs.define
class Sign:
    """The last sign of life of a running flow run.

    Args:
        time: When it was given, by the run's own clock.
        heard: When the server heard of it.
        beats: Whether it sends heartbeats.
        gap: The longest time between two heartbeats so far, seconds.
    """

    time: datetime
    heard: datetime
    beats: bool = False
    gap: float = 0.0


@attrs.define
class Left:
    """A flow run that ended; its tasks are looked after once ``due``."""

    ended: datetime
    due: datetime
    state: str


@attrs.define
class Cursor:
    """What must survive a restart.

    Args:
        born: Where the watcher began.
        position: Newest time of an event that was dealt with.
        seen: Ids of the events since a while before, with their times.
        signs: Running flow runs.
        left: Flow runs whose tasks may have been left behind.
        closed: Runs that were said to have ended although Prefect does not say so, and when.
    """

    born: datetime
    position: datetime
    seen: dict[str, datetime] = attrs.field(factory=dict)
    signs: dict[UUID, Sign] = attrs.field(factory=dict)
    left: dict[UUID, Left] = attrs.field(factory=dict)
    closed: dict[UUID, datetime] = attrs.field(factory=dict)

    def handled(self, event_id: str, time: datetime) -> None:
        """An event was dealt with, and what it asked for was delivered."""
        self.seen[event_id] = time
        self.position = max(self.position, time)

    def forget(self, before: datetime, closed_before: datetime) -> None:
        """Drop what cannot come again."""
        recent = [(key, time) for key, time in self.seen.items() if time >= before]
        self.seen = dict(recent[-MAX_SEEN:])
        self.closed = {run: time for run, time in self.closed.items() if time >= closed_before}

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "version": VERSION,
            "born": self.born.isoformat(),
            "position": self.position.isoformat(),
            "seen": {key: time.isoformat() for key, time in self.seen.items()},
            "signs": {
                str(run): [sign.time.isoformat(), sign.heard.isoformat(), sign.beats, sign.gap]
                for run, sign in self.signs.items()
            },
            "left": {
                str(run): [left.ended.isoformat(), left.due.isoformat(), left.state]
                for run, left in self.left.items()
            },
            "closed": {str(run): time.isoformat() for run, time in self.closed.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cursor:
        """The inverse of ``to_json``.

        Raises:
            KeyError, TypeError, ValueError: Something else wrote it.
        """
        read = datetime.fromisoformat
        return cls(
            born=read(data["born"]),
            position=read(data["position"]),
            seen={key: read(time) for key, time in data["seen"].items()},
            signs={
                UUID(run): Sign(read(time), read(heard), beats, gap)
                for run, (time, heard, beats, gap) in data["signs"].items()
            },
            left={
                UUID(run): Left(read(ended), read(due), state)
                for run, (ended, due, state) in data["left"].items()
            },
            closed={UUID(run): read(time) for run, time in data["closed"].items()},
        )


@attrs.define
class BackfillMark:
    """How far a back-fill has come.

    Args:
        since: Where it began.
        until: Where it is to end.
        done: Everything before was delivered.
    """

    since: datetime
    until: datetime
    done: datetime

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"version": VERSION} | {key: time.isoformat() for key, time in attrs.asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BackfillMark:
        """The inverse of ``to_json``.

        Raises:
            KeyError, TypeError, ValueError: Something else wrote it.
        """
        return cls(*(datetime.fromisoformat(data[key]) for key in ("since", "until", "done")))


def default_path(api: str, what: str) -> Path:
    """Where the state of a watcher of this API is kept: one file for each API."""
    return statefile.default_path(f"prefect-{what}", api)


def load(path: Path) -> dict[str, Any] | None:
    """What was saved; None when there is nothing yet.

    Raises:
        StateFileError: It is not a state file of this version.
    """
    text = statefile.load(path)
    if text is None:
        return None
    try:
        data = json.loads(text)
    except ValueError as error:
        raise StateFileError(
            f"{path} cannot be read as state: {error}; move it away to start anew"
        ) from error
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise StateFileError(f"{path} is not a state file of this version; move it away to start anew")
    return data


def parsed(read: Callable[[Mapping[str, Any]], State], data: Mapping[str, Any]) -> State:
    """What a state file says.

    Raises:
        StateFileError: It says something else.
    """
    try:
        return read(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateFileError(
            f"The state file is damaged ({type(error).__name__}: {error}); move it away to start anew"
        ) from error


def save(path: Path, data: Mapping[str, Any]) -> None:
    """Replace what was saved, at once and as a whole.

    Raises:
        StateFileError: The file cannot be written.
    """
    statefile.save(path, json.dumps(data, separators=(",", ":")))
