"""A bounded background thread between the user's code and the OpenLineage client.

The caller hands over a function that builds the event; building (which parses SQL), serialising and the append to the spool,
or sending where nothing is spooled, happen on the thread. Handing over never blocks, never raises and drops (counted, said
once) when the queue is full.

Python runs one thread at a time, so what the thread does the user's threads wait for, and each time that it wakes up costs
them more than an event does. So the first event after a pause is dealt with at once and then the thread rests; what comes
meanwhile is built and written together.

What dies with a process that is killed is therefore what was handed over in the last ``REST`` seconds, and before the process's
first event during the half second that the client's modules take to be imported. From then on the spool has it.

Life cycle: the thread starts with the first event, is a daemon, and ends with ``close``; after a fork the child begins
with an empty queue and no thread, because what was queued before is the parent's to send. At exit everything is bounded
by ``EXIT_TIMEOUT`` in all, and no thread is started there.
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
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue

from openlineage.client.client import OpenLineageClient

from openlineage_bridge_capture import log
from openlineage_bridge_capture.client import Event, NotConfiguredError, background_client, spool_of
from openlineage_bridge_capture.emitter_client import hasten
from openlineage_bridge_capture.spool.gathering import Gathering
from openlineage_bridge_capture.spool.transport import close_all

__all__ = ["Emitter", "Event", "emitter"]

CAPACITY = 10_000
"""Events that may wait; a further one is dropped."""

EXIT_TIMEOUT = 2.0
"""Seconds that the end of the process waits for the events on the way, in all."""

REST = 0.1
"""Seconds between two bursts, unless somebody waits for the events or ``BURST`` of them have come."""

BURST = 200
"""Events that are built and written together at most."""

THREAD_NAME = "openlineage-emitter"

Build = Callable[[], Event | Iterable[Event] | None]


class _Marker:
    """A place in the queue: ``reached`` is set once everything before it was dealt with.

    ``delivered`` says then whether the transport, which was closed, had nothing left.
    """

    def __init__(self, *, close_by: float | None = None) -> None:
        self.reached = threading.Event()
        self.close_by = close_by
        self.delivered = True


class Emitter:
    """One per process; survives fork; flushes within a bound when asked and at exit.

    Args:
        capacity: Events that may wait.
        connect: Makes the client, on the background thread.
    """

    def __init__(
        self, capacity: int = CAPACITY, connect: Callable[[], OpenLineageClient] = background_client
    ) -> None:
        self._capacity = capacity
        self._connect = connect
        self._start_afresh()
        _emitters.add(self)

    def _start_afresh(self) -> None:
        # SimpleQueue.put neither blocks nor deadlocks when a signal handler or a finaliser calls it (Python's manual).
        self._queue: SimpleQueue[Build | _Marker] = SimpleQueue()
        self._hurry: SimpleQueue[None] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._at_work = False
        self._unfinished = 0
        self._markers = 0
        self._client: OpenLineageClient | None = None
        self._spool: Gathering | None = None
        self._circuit_open = False
        self.sent = 0
        self.dropped = 0
        self.failed = 0

    def emit(self, build: Build) -> None:
        """Hand over an event to be built and sent in the background; order is kept."""
        try:
            waiting = self._queue.qsize()
            if waiting >= self._capacity:
                self._drop()
                return
            self._queue.put(build)
            if waiting == BURST:
                self._hurry.put(None)
            self._ensure_thread()
        except Exception:
            self.dropped += 1
            log.once(
                logging.WARNING, "Could not hand over an OpenLineage event; it is dropped", exc_info=True
            )

    def flush(self, timeout: float) -> bool:
        """Wait until everything handed over so far was sent or given up, at most ``timeout`` seconds in all.

        Once a flush has run out of time the circuit is open: later flushes return at once until an event gets through.
        The spool has a circuit of its own; what waits there is safe, and is sent by this process or a later one.

        Returns:
            Whether nothing is left waiting of what was handed over before.
        """
        if not self._running():
            return self._queue.empty()
        if self._circuit_open:
            return False
        until = time.monotonic() + timeout
        return self._wait_for(_Marker(), timeout) and self._flush_spool(until)

    def _flush_spool(self, until: float) -> bool:
        spool = self._spool
        return spool is None or spool.flush(max(0.0, until - time.monotonic()))

    def close(self, timeout: float = EXIT_TIMEOUT) -> bool:
        """Flush, close the client and end the thread, all within ``timeout`` seconds; the next event begins anew.

        Returns:
            Whether everything handed over before was sent or given up in time; what the spool keeps was not.
        """
        if not self._running():
            return self._queue.empty()
        marker = _Marker(close_by=time.monotonic() + timeout)
        if self._circuit_open:
            self._put(marker)
            return False
        return self._wait_for(marker, timeout) and marker.delivered

    def _running(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    @property
    def waiting(self) -> int:
        """Events, about, that were handed over and are neither kept nor sent nor given up yet."""
        gathered = self._spool.left if self._spool is not None else 0
        return max(0, gathered + self._unfinished + self._queue.qsize() - self._markers)

    def _put(self, marker: _Marker) -> None:
        self._markers += 1
        self._queue.put(marker)
        self._hurry.put(None)

    def _wait_for(self, marker: _Marker, timeout: float) -> bool:
        self._put(marker)
        if marker.reached.wait(timeout):
            return True
        self._circuit_open = True
        log.once(
            logging.WARNING,
            "OpenLineage events are still on their way after %.1f s; going on without waiting for them",
            timeout,
        )
        return False

    def _drop(self) -> None:
        self.dropped += 1
        log.once(
            logging.WARNING,
            "The queue of %d OpenLineage events is full; further events are dropped until the backend catches up",
            self._capacity,
        )

    def _ensure_thread(self) -> None:
        # Asked for each event, and faster than the thread itself can say it.
        if self._at_work:
            return
        # Whoever holds the lock is starting the thread right now; waiting for it could deadlock in a signal handler.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if not self._running():
                self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                self._thread.start()
                self._flush_when_worker_process_ends()
        finally:
            self._starting.release()

    def _flush_when_worker_process_ends(self) -> None:
        # multiprocessing's children leave through os._exit, which skips atexit but runs these finalisers.
        if multiprocessing.parent_process() is not None:
            multiprocessing.util.Finalize(None, self.close, exitpriority=10)

    def _run(self) -> None:
        self._at_work = True
        try:
            self._work()
        finally:
            self._at_work = False

    def _work(self) -> None:
        while True:
            builds, marker = self._next_burst()
            self._unfinished = len(builds)
            # Not in turns: code that has just run runs again in three quarters of the time.
            events = [event for build in builds for event in self._built(build)]
            self._unfinished = len(events)
            for event in events:
                self._send(event)
                self._unfinished -= 1
            self._write()
            if marker is None:
                self._rest(builds)
            elif self._reach(marker):
                return

    def _next_burst(self) -> tuple[list[Build], _Marker | None]:
        """Wait for work and take all there is, up to a marker."""
        builds: list[Build] = []
        work = self._queue.get()
        with contextlib.suppress(Empty):
            while not isinstance(work, _Marker):
                builds.append(work)
                if len(builds) == BURST:
                    break
                work = self._queue.get_nowait()
            else:
                return builds, work
        return builds, None

    def _rest(self, done: list[Build]) -> None:
        """Let events come together. A hurry of a moment ago ends it at once, which does no harm."""
        if len(done) < BURST:
            with contextlib.suppress(Empty):
                self._hurry.get(timeout=REST)

    def _reach(self, marker: _Marker) -> bool:
        """Do what a marker asks for; whether the thread is to end."""
        self._markers -= 1
        ends = False
        if marker.close_by is not None:
            # A little earlier than the one who waits gives up.
            marker.delivered = self._disconnect(max(0.0, 0.9 * (marker.close_by - time.monotonic())))
            ends = self._may_end()
        marker.reached.set()
        return ends

    def _may_end(self) -> bool:
        """Whether this thread may end; what is handed over while it decides starts the next thread."""
        with self._starting:
            if not self._queue.empty():
                return False
            self._thread = None
        # Whoever handed something over meanwhile saw us running, or the lock taken: so we look for them.
        if not self._queue.empty():
            self._ensure_thread()
        return True

    def _built(self, build: Build) -> Iterator[Event]:
        try:
            built = build()
            if built is not None:
                yield from built if isinstance(built, Iterable) else (built,)
        except Exception:
            self.failed += 1
            log.once(logging.WARNING, "Could not build an OpenLineage event; it is left out", exc_info=True)

    def _send(self, event: Event) -> None:
        try:
            client = self._client or self._connected()
            client.emit(event)
        except NotConfiguredError:
            self.dropped += 1
            log.once(logging.INFO, "No OpenLineage backend is configured; events are dropped")
        except Exception as error:
            self._lose(error)
        else:
            if self._spool is None:
                self._count(1)

    def _connected(self) -> OpenLineageClient:
        client = hasten(self._connect())
        if (spool := spool_of(client)) is not None:
            client.transport = self._spool = Gathering(spool)
        self._client = client
        return client

    def _write(self) -> None:
        """Write what the spool's stand-in gathered; what is not spooled was sent already."""
        if self._spool is not None:
            kept, errors = self._spool.write()
            self._count(kept)
            for error in errors:
                self._lose(error)

    def _count(self, sent: int) -> None:
        if sent:
            self.sent += sent
            self._circuit_open = False

    def _lose(self, error: Exception) -> None:
        self.failed += 1
        log.once(logging.WARNING, "Could not send an OpenLineage event; it is lost: %s", error)
        log.logger.debug("The event that was lost", exc_info=error)

    def _disconnect(self, timeout: float) -> bool:
        client, self._client, self._spool = self._client, None, None
        try:
            return client is None or client.close(timeout) is not False
        except Exception:
            log.logger.debug("Could not close the OpenLineage client", exc_info=True)
            return False


_emitters: weakref.WeakSet[Emitter] = weakref.WeakSet()
_the_emitter: Emitter | None = None
_creating = threading.Lock()


def emitter() -> Emitter:
    """The emitter of this process."""
    global _the_emitter  # noqa: PLW0603  # one per process is the point
    if _the_emitter is None:
        with _creating:
            if _the_emitter is None:
                created = Emitter()
                # After the spool, which registered when it was imported: so this one comes first at exit.
                atexit.register(_close_at_exit, created)
                _the_emitter = created
    return _the_emitter


def _close_at_exit(ending: Emitter) -> None:
    """Within ``EXIT_TIMEOUT`` in all, whatever of us is stuck; what is lost with the process is said."""
    until = time.monotonic() + EXIT_TIMEOUT
    done = ending.close(EXIT_TIMEOUT)
    # Where the emitter's thread did not come to it, now or when a flow ended, all the time there is has been spent. What is
    # in the spool is sent by a later process.
    close_all(max(0.0, until - time.monotonic()) if done else 0.0)
    if lost := ending.waiting:
        log.logger.warning(
            "%d OpenLineage events are lost: they could be neither kept on the disk nor sent before the process ended",
            lost,
        )


def _start_afresh_in_child() -> None:
    """After a fork: queue, lock and thread are the parent's; the child begins with none of them."""
    global _creating  # noqa: PLW0603  # the process's own state, and this is a new process
    _creating = threading.Lock()
    for each in list(_emitters):
        each._start_afresh()  # noqa: SLF001  # same file, same subject


# An absent backend is told once, by us; urllib3 would announce each retry of each event.
logging.getLogger("urllib3.connectionpool").addFilter(lambda record: record.threadName != THREAD_NAME)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh_in_child)
