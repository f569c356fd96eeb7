"""A bounded background thread between the user's code and the OpenLineage client.

The caller hands over a function that builds the event; building (which parses SQL), serialising and the append to the spool,
or sending where nothing is spooled, happen on the thread. Handing over never blocks, never raises and drops (counted, said
once) when the queue is full.

What dies with a process that is killed is therefore what was handed over and not built yet: the events of some milliseconds,
or of the half second that the client's modules take to be imported for the process's first. From then on the spool has it.

Life cycle: the thread starts with the first event, is a daemon, and ends with ``close``; after a fork the child begins
with an empty queue and no thread, because what was queued before is the parent's to send. At exit everything is bounded
by ``EXIT_TIMEOUT`` in all, and no thread is started there.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import multiprocessing.util
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from queue import SimpleQueue

from openlineage.client.client import OpenLineageClient

from openlineage_bridge_capture import log
from openlineage_bridge_capture.client import Event, NotConfiguredError, background_client, spool_of

__all__ = ["Emitter", "Event", "emitter"]

CAPACITY = 10_000
"""Events that may wait; a further one is dropped."""

EXIT_TIMEOUT = 2.0
"""Seconds that the end of the process waits for the events on the way, in all."""

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
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._client: OpenLineageClient | None = None
        self._circuit_open = False
        self.sent = 0
        self.dropped = 0
        self.failed = 0

    def emit(self, build: Build) -> None:
        """Hand over an event to be built and sent in the background; order is kept."""
        try:
            if self._queue.qsize() >= self._capacity:
                self._drop()
                return
            self._queue.put(build)
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
        client = self._client
        spool = spool_of(client) if client is not None else None
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
            self._queue.put(marker)
            return False
        return self._wait_for(marker, timeout) and marker.delivered

    def _running(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def _wait_for(self, marker: _Marker, timeout: float) -> bool:
        self._queue.put(marker)
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
        if self._running():
            return
        # Whoever holds the lock is starting the thread right now; waiting for it could deadlock in a signal handler.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if not self._running():
                self._thread = threading.Thread(target=self._work, name=THREAD_NAME, daemon=True)
                self._thread.start()
                self._flush_when_worker_process_ends()
        finally:
            self._starting.release()

    def _flush_when_worker_process_ends(self) -> None:
        # multiprocessing's children leave through os._exit, which skips atexit but runs these finalisers.
        if multiprocessing.parent_process() is not None:
            multiprocessing.util.Finalize(None, self.close, exitpriority=10)

    def _work(self) -> None:
        queue = self._queue
        while True:
            work = queue.get()
            if not isinstance(work, _Marker):
                self._build_and_send(work)
                continue
            ends = False
            if work.close_by is not None:
                # A little earlier than the one who waits gives up.
                work.delivered = self._disconnect(max(0.0, 0.9 * (work.close_by - time.monotonic())))
                ends = self._may_end()
            work.reached.set()
            if ends:
                return

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

    def _build_and_send(self, build: Build) -> None:
        try:
            built = build()
            if built is not None:
                for event in built if isinstance(built, Iterable) else (built,):
                    self._send(event)
        except Exception:
            self.failed += 1
            log.once(logging.WARNING, "Could not build an OpenLineage event; it is left out", exc_info=True)

    def _send(self, event: Event) -> None:
        try:
            if self._client is None:
                self._client = self._connect()
            self._client.emit(event)
        except NotConfiguredError:
            self.dropped += 1
            log.once(logging.INFO, "No OpenLineage backend is configured; events are dropped")
        except Exception as error:
            self.failed += 1
            log.once(logging.WARNING, "Could not send an OpenLineage event; it is lost: %s", error)
            log.logger.debug("The event that was lost", exc_info=True)
        else:
            self.sent += 1
            self._circuit_open = False

    def _disconnect(self, timeout: float) -> bool:
        client, self._client = self._client, None
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
                atexit.register(created.close)
                _the_emitter = created
    return _the_emitter


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
