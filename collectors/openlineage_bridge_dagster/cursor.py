"""How far a tail has come: small, plain JSON, the only state that must survive a restart."""

from __future__ import annotations

import json
from typing import Any

import attrs

VERSION = 1


@attrs.define
class RunMark:
    """How far one run was delivered.

    Args:
        last: Storage id of the last record whose events were all delivered, -1 before the first.
        updated: Dagster's update time of the run when it was last seen, seconds since the epoch.
        done: When its end was delivered (or it was given up), seconds since the epoch; 0 before.
        fed: Records folded up to the end: at the end of the grace time the log must hold as many.
        failures: Ticks in which the run could not be read, folded or accepted.
    """

    last: int = -1
    updated: float = 0.0
    done: float = 0.0
    fed: int = 0
    failures: int = 0


@attrs.define
class Cursor:
    """How far a tail has come.

    Args:
        born: When the tail started, seconds since the epoch.
        start: Runs created before are left alone; 0 takes all of history.
        watermark: Newest update time of a run that discovery has seen.
        runless: Storage id of the last runless record that was delivered.
        runs: Marks by run id; those of finished runs stay until discovery cannot find them again.
        announced: Digest of the declared graph that was announced last, by repository.
    """

    born: float
    start: float
    watermark: float
    runless: int = -1
    runs: dict[str, RunMark] = attrs.field(factory=dict)
    announced: dict[str, str] = attrs.field(factory=dict)

    def to_json(self) -> str:
        """As a line of JSON, about 80 bytes for each run."""
        return json.dumps(
            {
                "v": VERSION,
                "born": self.born,
                "start": self.start,
                "wm": self.watermark,
                "runless": self.runless,
                "runs": {run_id: list(attrs.astuple(mark)) for run_id, mark in self.runs.items()},
                **({"announced": self.announced} if self.announced else {}),
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Cursor:
        """The inverse of ``to_json``.

        Raises:
            ValueError: It was written by another version, or by something else.
        """
        data: Any = json.loads(text)
        if not isinstance(data, dict) or data.get("v") != VERSION:
            raise ValueError(
                "The cursor was not written by this version; reset the sensor's cursor to start anew"
            )
        return cls(
            born=data["born"],
            start=data["start"],
            watermark=data["wm"],
            runless=data["runless"],
            runs={run_id: RunMark(*mark) for run_id, mark in data["runs"].items()},
            announced=dict(data.get("announced", {})),
        )
