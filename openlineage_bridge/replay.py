"""Event files into a store: the file receiver and the pipeline, in batches, on the thread of the caller.

Safe to repeat: an event that the store has seen before is recognised by its digest and changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import attrs

from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.receivers import Rejected
from openlineage_bridge.receivers.files import Found, Reading, events_in
from openlineage_bridge.store import Store
from openlineage_bridge.store.inbox import inspect

BATCH = 500
"""Events per commit."""

MOST_NOTES = 1000


@attrs.define
class Notes:
    """Things to tell about places in files: how many there are, and the first ones.

    Args:
        count: All of them.
        first: ``(place, text)`` of the first ``MOST_NOTES``: a file of any size is gone through in bounded memory.
    """

    count: int = 0
    first: list[tuple[str, str]] = attrs.field(factory=list)

    def add(self, place: str, text: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < MOST_NOTES:
            self.first.append((place, text))


@attrs.define
class Tally:
    """What a replay has done so far.

    Args:
        reading: How far it is in the files.
        new: Events stored and processed.
        known: Events that the store had already.
        rejected: What was refused; the bytes are in quarantine.
        lenient: What was read leniently.
    """

    reading: Reading = attrs.field(factory=Reading)
    new: int = 0
    known: int = 0
    rejected: Notes = attrs.field(factory=Notes)
    lenient: Notes = attrs.field(factory=Notes)

    @property
    def events(self) -> int:
        """Everything that was found, whatever became of it."""
        return self.new + self.known + self.rejected.count


def replay(files: Sequence[Path | None], store: Store, pipeline: Pipeline) -> Iterator[Tally]:
    """Take all events of the files in; yields the tally after each batch, the last one included.

    What was yielded is committed: stopping in between loses nothing, and starting again goes over it quickly.
    """
    tally = Tally(Reading(total=sum(file.stat().st_size for file in files if file)))
    source = events_in(files, tally.reading)
    while batch := list(islice(source, BATCH)):
        _take(batch, store, tally)
        pipeline.drain()
        yield tally
    pipeline.drain()  # what an interrupted replay left behind
    yield tally


def _take(batch: Iterable[Found], store: Store, tally: Tally) -> None:
    now = time.time_ns() // 1_000_000
    with store.transaction():
        for found in batch:
            [receipt] = store.inbox.put([inspect(found.body)], receiver=f"file:{found.where}", now=now)
            if isinstance(receipt, Rejected):
                tally.rejected.add(found.where, receipt.reason)
            elif receipt.duplicate:
                tally.known += 1
            else:
                tally.new += 1
                for warning in receipt.warnings:
                    tally.lenient.add(found.where, warning)
