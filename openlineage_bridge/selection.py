"""Which events are wanted: by their time, by namespace, by job; and in which rhythm they are given out."""

from __future__ import annotations

import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from hashlib import blake2b

import attrs

from openlineage_bridge.events import NO_TIME, DatasetEvent, Event


@attrs.frozen
class Selection:
    """What an event must be to be wanted; nothing said means every event.

    Args:
        since: Event time from which on, in microseconds since the epoch.
        until: Event time before which.
        namespaces: Patterns (``*``, ``?``, ``[…]``) of which one must fit the namespace of its job, or, where it is about no job,
            of its dataset.
        jobs: Patterns of which one must fit the name of its job; an event about no job fits none.
    """

    since: int | None = None
    until: int | None = None
    namespaces: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Stands for what was said."""
        return blake2b(repr(attrs.astuple(self)).encode(), digest_size=8).hexdigest()

    def wants(self, event: Event) -> bool:
        """Whether it is wanted. An event without a time that can be read is in no span of time."""
        return self._in_time(event.time) and self._by_name(event)

    def _in_time(self, moment: int) -> bool:
        if self.since is None and self.until is None:
            return True
        if moment == NO_TIME:
            return False
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)

    def _by_name(self, event: Event) -> bool:
        if isinstance(event, DatasetEvent):
            return not self.jobs and _fits(event.dataset.key.namespace, self.namespaces)
        return _fits(event.job.namespace, self.namespaces) and _fits(event.job.name, self.jobs)


def _fits(text: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)


@attrs.define
class Rhythm:
    """Gives events out in the rhythm of their times, faster or slower.

    Args:
        speed: Seconds between events that pass in one second: 60 shows an hour in a minute.
        clock: Seconds that go on evenly.
    """

    speed: float
    clock: Callable[[], float] = time.monotonic
    _began: tuple[float, int] | None = attrs.field(default=None, init=False)

    def wait(self, moment: int) -> float:
        """Seconds until an event of that time (microseconds) is due; 0 for one that is late, or has no time."""
        if moment == NO_TIME:
            return 0.0
        if self._began is None:
            self._began = (self.clock(), moment)
        at, first = self._began
        return max(0.0, at + (moment - first) / 1e6 / self.speed - self.clock())
