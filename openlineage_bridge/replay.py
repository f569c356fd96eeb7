"""Event files into a store: the file receiver and the pipeline, in batches, on the thread of the caller.

Safe to repeat: an event that the store has seen before is recognised by its digest and changes nothing. Safe to interrupt,
by ``kill -9`` too: how far each file was read is committed together with its events, so that the same replay goes on there,
if the file still begins with what was read. A replay that came to its end forgets these places.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

import attrs

from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.receivers import Rejected
from openlineage_bridge.receivers.files import EventFile, Found, Position, Reading, events_in
from openlineage_bridge.receivers.sources import Source
from openlineage_bridge.selection import Rhythm, Selection
from openlineage_bridge.store import Store
from openlineage_bridge.store.inbox import Arrival, inspect

BATCH, BATCH_BYTES = 2000, 16 * 1024 * 1024
"""Events, and bytes of them, in one commit."""

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
        reading: How far it is in the files; what an interrupted replay had read before included.
        new: Events stored and processed.
        known: Events that the store had already.
        left_out: Events that were not wanted.
        rejected: What was refused; the bytes are in quarantine.
        lenient: What was read leniently.
    """

    reading: Reading = attrs.field(factory=Reading)
    new: int = 0
    known: int = 0
    left_out: int = 0
    rejected: Notes = attrs.field(factory=Notes)
    lenient: Notes = attrs.field(factory=Notes)

    @property
    def events(self) -> int:
        """Everything that was found, whatever became of it; without what was read before an interruption."""
        return self.new + self.known + self.left_out + self.rejected.count

    @property
    def refused(self) -> int:
        """What was refused, before an interruption too."""
        return self.rejected.count + self.reading.refused_before


@attrs.define
class _Batch:
    """Events that are committed together, and how far that is in their files."""

    events: list[tuple[Found, Arrival | None]] = attrs.field(factory=list)
    positions: dict[str, Position] = attrs.field(factory=dict)
    size: int = 0

    def add(self, found: Found, arrival: Arrival | None) -> None:
        """One more; without an arrival it was not wanted."""
        self.events.append((found, arrival))
        self.size += len(found.body)
        self._note(found.file)

    def _note(self, file: EventFile) -> None:
        if file.source.again:
            self.positions[file.source.name] = file.position

    @property
    def full(self) -> bool:
        return len(self.events) >= BATCH or self.size >= BATCH_BYTES


def replay(
    sources: Sequence[Source],
    store: Store,
    pipeline: Pipeline,
    *,
    selection: Selection | None = None,
    rhythm: Rhythm | None = None,
) -> Iterator[Tally]:
    """Take the events of the files in; yields the tally after each batch, the last one included.

    What was yielded is committed: stopping in between loses nothing, and the same replay goes on from there.

    Args:
        sources: The files.
        store: Where the events go.
        pipeline: Of the store.
        selection: Which events are wanted; None for all.
        rhythm: In which rhythm; None for as fast as it goes.
    """
    selection = selection or Selection()
    taking = _Taking(
        store, f"replay {selection.key}", Tally(Reading(total=sum(each.size for each in sources)))
    )
    with store.bulk():
        for batch in _batches(events_in(sources, taking.tally.reading, taking.known), selection, rhythm):
            taking.take(batch)
            _drain(pipeline)
            yield taking.tally
        _drain(pipeline)  # what an interrupted replay left behind
        taking.forget(sources)
    yield taking.tally


def _drain(pipeline: Pipeline) -> None:
    """Process what waits in large steps: nobody is kept waiting for an acknowledgement, and each commit costs."""
    while pipeline.step(BATCH):
        pass


def _batches(found: Iterable[Found], selection: Selection, rhythm: Rhythm | None) -> Iterator[_Batch]:
    """What is to be committed together; an event that is not due yet lets what came before it go ahead."""
    batch = _Batch()
    for each in found:
        arrival = inspect(each.body)
        wanted = arrival.event is None or selection.wants(arrival.event)
        if rhythm and wanted and arrival.event and (wait := rhythm.wait(arrival.event.time)):
            if batch.events:
                yield batch
            batch = _Batch()
            time.sleep(wait)
        if isinstance(arrival.receipt, Rejected):
            each.file.refused += 1
        batch.add(each, arrival if wanted else None)
        if batch.full:
            yield batch
            batch = _Batch()
    if batch.events:
        yield batch


@attrs.frozen
class _Taking:
    """Commits batches."""

    store: Store
    reader: str
    tally: Tally

    def known(self, source: Source) -> Position | None:
        """Where an interrupted replay left the file."""
        position = self.store.positions.get(self.reader, source.name)
        return Position(**position) if position else None

    def take(self, batch: _Batch) -> None:
        """Events, positions and all in one transaction."""
        now = time.time_ns() // 1_000_000
        with self.store.transaction():
            for found, arrival in batch.events:
                if arrival is None:
                    self.tally.left_out += 1
                else:
                    self._put(found.where, arrival, now)
            for name, position in batch.positions.items():
                self.store.positions.put(self.reader, name, attrs.asdict(position))
        batch.events.clear()  # they are in the store, and processing them needs the room

    def _put(self, where: str, arrival: Arrival, now: int) -> None:
        [receipt] = self.store.inbox.put([arrival], receiver=f"file:{where}", now=now)
        if isinstance(receipt, Rejected):
            self.tally.rejected.add(where, receipt.reason)
        elif receipt.duplicate:
            self.tally.known += 1
        else:
            self.tally.new += 1
            for warning in receipt.warnings:
                self.tally.lenient.add(where, warning)

    def forget(self, sources: Iterable[Source]) -> None:
        """The files are read to their ends: the next replay of them starts over, and finds everything known."""
        with self.store.transaction():
            self.store.positions.forget(self.reader, [each.name for each in sources])
