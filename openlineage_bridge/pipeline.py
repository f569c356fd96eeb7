"""Inbox → facts → aspects → outbox, one transaction per step.

A step takes the oldest events, merges what they say into the facts, and derives again what depends on a fact that
changed (``openlineage_bridge.derivation``). An event that cannot be processed is set aside in quarantine with the reason;
the others go on.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterable

from openlineage_bridge.derivation import Derivation
from openlineage_bridge.errors import PoisonEvent, RejectedEvent, StorageError
from openlineage_bridge.facts import Facts, Kind, Subject, facts_of, merge
from openlineage_bridge.store import Store
from openlineage_bridge.store.inbox import Pending
from openlineage_bridge.store.quarantine import Failure
from openlineage_bridge.translation import Translator

log = logging.getLogger(__name__)

FROM_NOTHING = (Kind.DATASET, Kind.RUN, Kind.JOB)
"""The order of ``retranslate`` for a store that holds nothing but facts."""

SLICE = 200
"""Subjects derived again in one transaction."""


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
        if self._attempt(lambda: self._apply(taken)) is None:
            return
        for each in taken:
            poison = self._attempt(lambda: self._apply([each]))  # noqa: B023  - called at once
            if poison is not None:
                self._set_aside(each, poison)

    def _attempt(self, work: Callable[[], None]) -> PoisonEvent | None:
        """Do the work in a transaction; what went wrong, unless the store is to blame.

        Raises:
            StorageError: The store cannot be written: nobody's fault but the disk's, and to be tried again.
        """
        try:
            with self._store.transaction():
                work()
        except StorageError:
            raise
        except RejectedEvent as error:
            return PoisonEvent("parse", str(error), type(error).__name__)
        except Exception as error:
            return PoisonEvent("translate", "".join(traceback.format_exception(error)), type(error).__name__)
        return None

    def _set_aside(self, event: Pending, poison: PoisonEvent) -> None:
        log.error("event set aside in quarantine", extra={"seq": event.seq, "stage": poison.stage})
        with self._store.transaction():
            self._store.quarantine.keep(
                Failure(poison.stage, poison.reason, poison.error),
                event.body,
                digest=event.digest,
                receiver=event.receiver,
                received=event.received,
                failed=time.time_ns() // 1_000_000,
            )
            self._store.inbox.done([event])

    def _apply(self, taken: list[Pending]) -> None:
        incoming: Facts = {}
        for each in taken:
            merge(incoming, facts_of(self._store.inbox.event(each)))
        changes = self._store.facts.merge(incoming)
        self._derivation().follow(changes)
        self._store.inbox.done(taken)

    def retranslate(self, order: Iterable[Kind] = (Kind.DATASET, Kind.JOB, Kind.RUN)) -> list[str]:
        """Derive every aspect again, after a change of configuration; the difference goes to the outbox.

        In slices, each in a transaction of its own; it may be stopped and started again.

        Args:
            order: What is derived first. Where nothing was derived from the facts before, runs come before jobs, which take
                from them what they read and write.

        Returns:
            Per subject that cannot be translated what it is and why.
        """
        failures: list[str] = []
        for kind in order:
            subjects = [(kind, subject) for subject in self._store.facts.everything(kind)]
            for start in range(0, len(subjects), SLICE):
                failures += self._renew(subjects[start : start + SLICE])
        return failures

    def _renew(self, subjects: list[tuple[Kind, Subject]]) -> list[str]:
        """Derive a slice again; when that fails, one by one."""
        poison = self._attempt(lambda: self._derivation().renew(subjects))
        if poison is None:
            return []
        if len(subjects) == 1:
            return [f"{subjects[0][0]} {subjects[0][1]}: {poison.reason}"]
        return [failure for each in subjects for failure in self._renew([each])]

    def _derivation(self) -> Derivation:
        return Derivation(self._store, self._translator, self._window)
