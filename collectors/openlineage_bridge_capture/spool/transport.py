"""The OpenLineage transport whose ``emit`` is an append to a local file; a thread sends from there.

What it promises: an event whose ``emit`` returned is sent at least once, by this process or a later one with the same
URL and folder, even after ``kill -9``; one process's events arrive in the order they were emitted; ``emit`` never waits
for the network and ``close`` never longer than it was told.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import multiprocessing
import multiprocessing.util
import os
import threading
import time
import weakref
from typing import Any

from openlineage.client.transport.transport import Transport

from openlineage_bridge_capture import log
from openlineage_bridge_capture.spool.config import DROP, SpoolConfig
from openlineage_bridge_capture.spool.encoding import to_line
from openlineage_bridge_capture.spool.folders import Destination, Quota, SpoolError, SpoolFullError
from openlineage_bridge_capture.spool.receiver import Receiver
from openlineage_bridge_capture.spool.segments import SEGMENT_BYTES, Appender, Claim
from openlineage_bridge_capture.spool.sender import Marker, Sender

ABORT_WAIT = 0.2
"""Seconds that ``close`` waits for the thread when sending has been found pointless; it needs them only in a request."""


class Session:
    """One claimed folder, who appends to it and who sends from it: what a transport has between two ``close``.

    Raises:
        OSError: The folder cannot be written.
    """

    def __init__(self, config: SpoolConfig, destination: Destination) -> None:
        receiver = Receiver(config.http)
        destination.make(receiver.url)
        self._claim = destination.claim()
        self.appender = _appender(self._claim, config)
        self.sender = Sender(self._claim, destination, receiver, self._forget)
        self._started = False
        _sessions.add(self)
        self._start()

    def _start(self) -> None:
        # At the interpreter's end no thread can be started any more; the next process sends what is on the disk.
        with contextlib.suppress(RuntimeError):
            self.sender.thread.start()
            self._started = True

    def flush(self, timeout: float, *, everything: bool = False) -> bool:
        """Wait until what was appended so far was sent, and with ``everything`` what dead processes left too."""
        return self.sender.wait_for(Marker(self.appender.position, everything), timeout)

    def close(self, timeout: float) -> bool:
        """Flush and end, within ``timeout`` seconds; nobody appends any more."""
        until = time.monotonic() + timeout
        done = self.flush(timeout)
        self.appender.close()
        if not self._started:
            self._claim.release()
            self._forget()
            return False
        self.sender.stop()
        left = max(0.0, until - time.monotonic())
        # A request to a receiver that hangs would take all of it, after the flush has taken as much.
        self.sender.thread.join(min(left, ABORT_WAIT) if self.sender.circuit_open else left)
        return done

    def abandon(self) -> None:
        """In a forked child: leave everything to the parent."""
        self.appender.close()
        self.sender.abandon()

    def _forget(self) -> None:
        _sessions.discard(self)


def _appender(claim: Claim, config: SpoolConfig) -> Appender:
    segment_bytes = max(1, min(SEGMENT_BYTES, config.max_bytes // 8))
    try:
        return Appender(claim, fsync=config.fsync, segment_bytes=segment_bytes)
    except OSError:
        claim.release()
        raise


class SpoolTransport(Transport):
    """Chosen by its class path: ``type: openlineage_bridge_capture.spool.SpoolTransport``.

    Args:
        config: See SpoolConfig. Nothing is touched on the disk before the first event.

    Raises:
        ValueError: The URL is none.
    """

    kind = "spool"
    config_class = SpoolConfig

    def __init__(self, config: SpoolConfig) -> None:
        self.config = config
        self.destination = Destination.of(config.folder, Receiver(config.http).url)
        self._quota = Quota(self.destination, config.max_bytes)
        self.dropped = 0
        self._start_afresh()
        _transports.add(self)

    def _start_afresh(self) -> None:
        # A signal handler may emit while its thread does.
        self._lock = threading.RLock()
        self._session: Session | None = None

    def emit(self, event: Any) -> None:
        """Append an event to the file; it is sent in the background.

        Raises:
            SpoolFullError: ``max_bytes`` wait already and ``when_full`` is ``raise``.
            SpoolError: The file cannot be written.
        """
        self.append(to_line(event))

    def append(self, lines: bytes) -> None:
        """Append events that are lines already, with one write: all of them or none.

        Raises:
            SpoolFullError: They do not fit into ``max_bytes`` and ``when_full`` is ``raise``.
            SpoolError: The file cannot be written.
        """
        try:
            with self._lock:
                session = self._session or self._begin()
                if not self._quota.take(len(lines)):
                    self._full(lines.count(b"\n"))
                    return
                session.appender.append(lines)
        except SpoolError:
            raise
        except OSError as error:
            raise SpoolError(
                f"an OpenLineage event could not be spooled in {self.destination.folder} ({error}); free space there, or"
                " name another folder with OPENLINEAGE_BRIDGE_SPOOL_FOLDER"
            ) from error
        session.sender.wake()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything emitted so far was sent, at most ``timeout`` seconds, by default ``flush_timeout``.

        Returns at once when the receiver has been found dead; what waits is safe.

        Returns:
            Whether nothing of this transport waits any more.
        """
        with self._lock:
            session = self._session
        return session is None or session.flush(self._bound(timeout))

    def drain(self, timeout: float) -> bool:
        """Send everything that waits for this URL, what dead processes left included; whether it was done in time.

        Raises:
            OSError: The folder cannot be written.
        """
        with self._lock:
            session = self._session or self._begin()
        return session.flush(timeout, everything=True)

    def close(self, timeout: float = -1) -> bool:
        """Flush and end the thread; what was not sent in time is left to the next process. An event begins anew.

        Args:
            timeout: Seconds. Negative means ``flush_timeout`` and not, as for other transports, without limit: the
                events are safe on the disk, and a dead receiver must not keep the user's process alive.
        """
        with self._lock:
            session, self._session = self._session, None
        return session is None or session.close(self._bound(timeout))

    def _bound(self, timeout: float | None) -> float:
        return self.config.flush_timeout if timeout is None or timeout < 0 else timeout

    def _begin(self) -> Session:
        self._session = Session(self.config, self.destination)
        if multiprocessing.parent_process() is not None:
            # multiprocessing's children leave through os._exit, which skips atexit but runs these finalisers.
            multiprocessing.util.Finalize(None, close_all, exitpriority=5)
        return self._session

    def _full(self, events: int) -> None:
        if self.config.when_full != DROP:
            raise SpoolFullError(
                f"{self.config.max_bytes} bytes of OpenLineage events lie in {self.destination.folder} already, waiting or"
                " set aside: see whether the receiver is there and what it refused, or raise max_bytes"
            )
        self.dropped += events
        log.once(
            logging.WARNING,
            "%d bytes of OpenLineage events wait in %s; further events are dropped until the receiver takes some",
            self.config.max_bytes,
            self.destination.folder,
        )


_sessions: set[Session] = set()
_transports: weakref.WeakSet[SpoolTransport] = weakref.WeakSet()


def close_all(timeout: float | None = None) -> None:
    """At the end of the process: all transports within the longest of their bounds, not one after the other.

    Args:
        timeout: Seconds, for one who has waited for some of them already; what is closed is not waited for again.
    """
    transports = list(_transports)
    longest = max((each.config.flush_timeout for each in transports), default=0.0)
    until = time.monotonic() + (longest if timeout is None else timeout)
    for each in transports:
        each.close(max(0.0, until - time.monotonic()))


def _start_afresh_in_child() -> None:
    """After a fork: thread, connection and file are the parent's; the child begins with none of them."""
    for session in list(_sessions):
        session.abandon()
    _sessions.clear()
    for transport in list(_transports):
        transport._start_afresh()  # noqa: SLF001  # same file, same subject


atexit.register(close_all)
os.register_at_fork(after_in_child=_start_afresh_in_child)
