"""The background thread of the spool: sends in turns, waits longer after each failure, adopts what dead processes left."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable
from itertools import islice
from queue import Empty, SimpleQueue

import attrs

from openlineage_bridge_capture import log
from openlineage_bridge_capture.spool.folders import Destination
from openlineage_bridge_capture.spool.receiver import BATCH_BYTES, Receiver
from openlineage_bridge_capture.spool.segments import Backlog, Claim, Position

THREAD_NAME = "openlineage-spool"

LINGER = 0.05
"""Seconds that a first event waits for company, so that a burst goes out in batches."""

REST = 1.0
"""Seconds between two requests that are not full: each takes time from the user's threads, however little it holds."""

ADOPTION_INTERVAL = 30.0
"""Seconds between looks for what processes left that ended meanwhile."""

ADOPTED_AT_ONCE = 16
"""Folders of dead processes that are sent at a time: each is an open file of the user's process."""

BACK_OFF_FIRST, BACK_OFF_MOST = 0.5, 60.0
FAILURES_TO_OPEN = 3
"""After so many failures in a row nobody waits for a flush any more, until an event gets through."""


def back_off(failures: int, chance: float) -> float:
    """Seconds to wait after so many failures in a row.

    Args:
        failures: At least 1.
        chance: Uniform in 0…1: half of the wait is jitter, so that many processes do not come back at once.
    """
    most = min(BACK_OFF_MOST, BACK_OFF_FIRST * 2.0 ** min(failures - 1, 30))
    return most * (0.5 + chance / 2)


@attrs.define(eq=False)
class Marker:
    """Somebody waits until sending has come this far.

    Args:
        until: The place in our own segments.
        all: Whether what dead processes left counts too; who wants that is patient, whatever fails meanwhile.
        reached: Whether it has.
        answered: Set once it has, or once waiting has become pointless.
    """

    until: Position
    all: bool = False
    reached: bool = False
    answered: threading.Event = attrs.field(factory=threading.Event)


class Sender:
    """One thread and what it sends; ends when told to and lets the next process have what is left.

    Args:
        claim: Our own folder, which somebody else appends to.
        destination: Where left-overs of dead processes are looked for.
        receiver: The other end.
        ended: Called on the thread when it has ended for good.
    """

    def __init__(
        self, claim: Claim, destination: Destination, receiver: Receiver, ended: Callable[[], None]
    ) -> None:
        self._own = Backlog(claim)
        self._destination = destination
        self._receiver = receiver
        self._ended = ended
        self._adopted: list[Backlog] = []
        self._adopt_at = 0.0
        self._more_to_adopt = False
        # SimpleQueue.put can be called again while it runs, by a signal handler (Python's manual).
        self._messages: SimpleQueue[Marker | None] = SimpleQueue()
        self._markers: list[Marker] = []
        self._failures = 0
        self._retry_at = 0.0
        self._stopping = False
        self._timed_out = False
        self._full = False
        self._wants_to_know = True
        self.thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)

    @property
    def circuit_open(self) -> bool:
        """Whether waiting is pointless: a flush ran out of time or several requests failed, and none succeeded since."""
        return self._timed_out or self._failures >= FAILURES_TO_OPEN

    def wake(self) -> None:
        """There is something new to send; costs nothing while the thread will look anyway."""
        if self._wants_to_know and self._messages.empty():
            self._messages.put(None)

    def wait_for(self, marker: Marker, timeout: float) -> bool:
        """Wait until sending has come to the marker, at most until the circuit opens; whether it has."""
        self._messages.put(marker)
        if not self.thread.is_alive():
            return False
        if not marker.answered.wait(0.0 if self.circuit_open and not marker.all else timeout):
            self._timed_out = True
        return marker.reached

    def stop(self) -> None:
        """End after the request on the way, if any."""
        self._stopping = True
        self._messages.put(None)

    def abandon(self) -> None:
        """In a forked child, where the thread is none: close our copies of the locks, which stay the parent's."""
        for backlog in (self._own, *self._adopted):
            backlog.claim.release()

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._step()
        finally:
            self._end()

    def _step(self) -> None:
        # Said before looking: what is appended after the look finds it said.
        self._wants_to_know = not self._failures
        try:
            self._adopt_when_due()
            more = time.monotonic() >= self._retry_at and self._turn()
            self._tell_markers()
        except Exception as error:
            log.logger.debug("The spool's sender stumbled", exc_info=True)
            self._fail(f"{type(error).__name__}: {error}")
            more = False
        if not more:
            self._listen(self._pause())
        self._take_messages()

    def _pause(self) -> float:
        now = time.monotonic()
        return max(0.0, self._retry_at - now if self._failures else self._adopt_at - now)

    def _listen(self, timeout: float) -> None:
        """Wait for a message at most ``timeout`` seconds; after the news of an event, for its company."""
        try:
            message = self._messages.get(timeout=timeout)
        except Empty:
            return
        self._heed(message)
        self._rest(LINGER)

    def _take_messages(self) -> None:
        with contextlib.suppress(Empty):
            while True:
                self._heed(self._messages.get_nowait())

    def _rest(self, seconds: float) -> None:
        """Let events come together, unless somebody waits for them."""
        self._wants_to_know = False
        until = time.monotonic() + seconds
        with contextlib.suppress(Empty):
            while not self._stopping and not self._markers and (left := until - time.monotonic()) > 0:
                self._heed(self._messages.get(timeout=left))

    def _heed(self, message: Marker | None) -> None:
        if message is None:
            return
        self._markers.append(message)
        if message.all:
            self._adopt_at = 0.0
        # Somebody waits: worth one attempt before its time, unless several have failed already.
        if not self.circuit_open:
            self._retry_at = 0.0

    def _adopt_when_due(self) -> None:
        if time.monotonic() >= self._adopt_at:
            self._adopt_at = time.monotonic() + ADOPTION_INTERVAL
            found = islice(self._destination.adopt(), ADOPTED_AT_ONCE - len(self._adopted))
            self._adopted += map(Backlog, found)
            self._more_to_adopt = len(self._adopted) == ADOPTED_AT_ONCE

    def _turn(self) -> bool:
        """Send one request from our own events and one from each that was adopted; whether to go on at once."""
        failures = self._failures
        sent = self._send_some(self._own)
        for backlog in list(self._adopted):
            if self._failures or self._stopping:
                break
            if self._send_some(backlog):
                sent = True
            elif not self._failures:
                self._adopted.remove(backlog)
                backlog.claim.delete()
                if self._more_to_adopt:
                    self._adopt_at = 0.0
        if not sent and self._failures == failures:
            # Whatever had failed: nothing waits any more.
            self._failures = 0
        if sent and self._caught_up:
            self._tell_markers()
            self._rest(REST)
        return sent

    @property
    def _caught_up(self) -> bool:
        """Whether the last request from our own events took all there were, and nothing else is to be sent."""
        return not self._adopted and not self._more_to_adopt and not self._full and not self._own.followed

    def _send_some(self, backlog: Backlog) -> bool:
        room = self._receiver.room
        lines, ends = backlog.peek(room, BATCH_BYTES)
        if not lines:
            return False
        self._full = len(lines) == room or ends[-1][1] - backlog.position[1] >= BATCH_BYTES
        answer = self._receiver.send(lines)
        for index, reason in answer.refused:
            self._set_aside(lines[index], reason)
        if answer.settled:
            backlog.commit(ends[answer.settled - 1])
        if answer.failure is not None:
            self._fail(answer.failure)
            return False
        self._full = self._full or answer.settled < len(lines)
        self._failures, self._timed_out, self._retry_at = 0, False, 0.0
        return True

    def _set_aside(self, line: bytes, reason: str) -> None:
        self._destination.reject(line, reason)
        log.once(
            logging.WARNING,
            "The OpenLineage receiver refused an event (%s); it is set aside in %s",
            reason,
            self._destination.folder,
        )

    def _fail(self, reason: str) -> None:
        self._failures += 1
        wait = back_off(self._failures, random.random())  # noqa: S311  # jitter
        self._retry_at = time.monotonic() + wait
        log.once(
            logging.WARNING,
            "OpenLineage events wait in %s until %s takes them: %s",
            self._destination.folder,
            self._destination.url,
            reason,
        )

    def _tell_markers(self) -> None:
        empty = not self._adopted and not self._more_to_adopt
        for marker in list(self._markers):
            marker.reached = marker.until <= self._own.position and (empty or not marker.all)
            if marker.reached or (self.circuit_open and not marker.all):
                self._markers.remove(marker)
                marker.answered.set()

    def _end(self) -> None:
        """Give up what was claimed; a folder in which nothing is left goes away."""
        try:
            for backlog in (self._own, *self._adopted):
                _give_up(backlog)
            self._receiver.close()
        finally:
            self._ended()


def _give_up(backlog: Backlog) -> None:
    try:
        lines, _ = backlog.peek(1, 1)
        if not lines:
            backlog.claim.delete()
            return
    except OSError:
        log.logger.debug("Could not delete a spool folder that is finished", exc_info=True)
    backlog.claim.release()
