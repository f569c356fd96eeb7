"""Inbox → facts → aspects → outbox, one transaction per step.

A step takes the oldest events, merges what they say into the facts, and derives again what depends on a fact that
changed (``openlineage_bridge.derivation``). An event that cannot be processed is set aside in quarantine with the reason;
the others go on.
"""

from __future__ import annotations

import logging
import traceback

from openlineage_bridge.derivation import Derivation
from openlineage_bridge.errors import RejectedEvent, StorageError
from openlineage_bridge.facts import Facts, facts_of, merge
from openlineage_bridge.store import Store
from openlineage_bridge.store.inbox import Pending
from openlineage_bridge.translation import Translator

log = logging.getLogger(__name__)


class Pipeline:
    """Processes the inbox of one store; to be used on the thread that owns the store.

    Args:
        store: Where events wait and results go.
        translator: From OpenLineage states to aspects.
        window: How many of a job's last completed runs are united into its lineage.
    """

    def __init__(self, store: Store, translator: Translator, window: int = 1) -> None:
        self._store = store
        self._translator = translator
        self._window = window

    def step(self, limit: int = 200) -> int:
        """Process up to ``limit`` events; how many were taken. 0 means that the inbox is empty."""
        taken = self._store.inbox.pending(limit)
        if taken:
            self._process(taken)
        return len(taken)

    def drain(self) -> int:
        """Process everything that waits; how many events."""
        return sum(iter(self.step, 0))

    def _process(self, taken: list[Pending]) -> None:
        """All in one transaction; when that fails, one by one, so that only the culprit is set aside."""
        failure = self._attempt(taken)
        if failure is None:
            return
        if len(taken) == 1:
            self._set_aside(taken[0], failure)
            return
        for each in taken:
            self._process([each])

    def _attempt(self, taken: list[Pending]) -> Exception | None:
        try:
            with self._store.transaction():
                self._apply(taken)
        except StorageError:
            raise  # not the events' fault
        except Exception as error:
            return error
        return None

    def _set_aside(self, event: Pending, error: Exception) -> None:
        rejected = isinstance(error, RejectedEvent)
        stage, reason = (
            ("parse", str(error)) if rejected else ("translate", "".join(traceback.format_exception(error)))
        )
        log.error(
            "event set aside in quarantine", extra={"seq": event.seq, "stage": stage, "reason": repr(error)}
        )
        with self._store.transaction():
            self._store.inbox.quarantine(
                stage,
                reason,
                event.body,
                digest=event.digest,
                receiver=event.receiver,
                received=event.received,
            )
            self._store.inbox.done([event])

    def _apply(self, taken: list[Pending]) -> None:
        incoming: Facts = {}
        for each in taken:
            merge(incoming, facts_of(self._store.inbox.event(each)))
        changes = self._store.facts.merge(incoming)
        Derivation(self._store, self._translator, self._window).follow(changes)
        self._store.inbox.done(taken)

    def retranslate(self) -> None:
        """Derive every aspect again, after a change of configuration; the difference goes to the outbox."""
        with self._store.transaction():
            Derivation(self._store, self._translator, self._window).everything()
