"""What comes between the client and the spool on the emitter's thread: a burst of events goes to the file in one write.

A write lets other threads run and may have to wait for them until it can go on, and that costs the user's process more than
the write does. Between ``emit`` and ``write`` an event is in memory only; the emitter writes after each burst.
"""

from __future__ import annotations

from typing import Any

from openlineage.client.transport.transport import Transport

from openlineage_bridge_capture.spool.config import SpoolConfig
from openlineage_bridge_capture.spool.default import SpooledHttpTransport
from openlineage_bridge_capture.spool.encoding import to_line
from openlineage_bridge_capture.spool.transport import SpoolTransport


class Gathering(Transport):
    """Stands for a client's spool; used by one thread.

    Args:
        spool: Where the events go.
    """

    kind = "spool"
    config_class = SpoolConfig

    def __init__(self, spool: SpoolTransport | SpooledHttpTransport) -> None:
        self.spool = spool
        self._events: list[Any] = []
        self._writing = 0

    @property
    def left(self) -> int:
        """Events that are in memory only; may be asked by any thread."""
        return len(self._events) + self._writing

    def emit(self, event: Any) -> None:
        """Keep an event, which nobody changes any more, until ``write``."""
        self._events.append(event)

    def write(self) -> tuple[int, list[Exception]]:
        """Append what was gathered; where it does not go in as a whole, event by event, as far as they go.

        Returns:
            How many events are kept or sent, and for each of the others why it is lost.
        """
        events, self._events = self._events, []
        self._writing = len(events)
        try:
            if events:
                self.spool.append(b"".join(map(to_line, events)))
        except Exception:
            # Full, or not to be written at all, or one of them cannot be said in JSON: singly, each says for itself.
            return self._write_singly(events)
        self._writing = 0
        return len(events), []

    def _write_singly(self, events: list[Any]) -> tuple[int, list[Exception]]:
        errors: list[Exception] = []
        for event in events:
            try:
                self.spool.emit(event)
            except Exception as error:
                errors.append(error)
            self._writing -= 1
        return len(events) - len(errors), errors

    def flush(self, timeout: float | None = None) -> bool:
        """Wait as ``SpoolTransport.flush`` does."""
        return self.spool.flush(timeout)

    def close(self, timeout: float = -1) -> bool:
        """Write what was gathered and close the spool, within the time that ``SpoolTransport.close`` takes."""
        self.write()
        return self.spool.close(timeout)
