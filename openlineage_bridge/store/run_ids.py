"""What runs are called inside a store: by when it first heard of them, so that what is written of new runs stands together.

A digest alone would put each row of a run on another page, anywhere in the file: in a large store that is what writing
costs. An id is as long as a digest, the first bytes are a time, the others those of the digest; it never leaves the store,
and nothing depends on its order. Runs of a store that is older than this keep the digests that they have.
"""

from __future__ import annotations

import sqlite3
from time import time_ns

from openlineage_bridge.facts import Kind, RunKey
from openlineage_bridge.store.identity import SubjectId, subject_id

TIME_BYTES = 6
"""Milliseconds since the epoch, as in a UUIDv7."""

MOST_KNOWN = 8192
"""Ids that are kept in memory: more than one step of the pipeline needs."""


class RunIds:
    """The ids of a store's runs."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: dict[RunKey, SubjectId] = {}

    def of(self, run: RunKey) -> SubjectId:
        """The id of a run; of one that is not in the store, the id that it will have."""
        identity = self._known.get(run)
        if identity is None:
            if len(self._known) >= MOST_KNOWN:
                del self._known[next(iter(self._known))]
            identity = self._known[run] = self._stored(run) or _new(run)
        return identity

    def _stored(self, run: RunKey) -> SubjectId | None:
        row = self._connection.execute(
            f"SELECT id FROM subjects WHERE kind = 'run' AND substr(id, {TIME_BYTES + 1}) = ?",
            (content(run),),
        ).fetchone()
        return row[0] if row else None


def content(run: RunKey) -> bytes:
    """The part of a run's id that says which run it is."""
    return subject_id(Kind.RUN, run)[TIME_BYTES:]


def _new(run: RunKey) -> SubjectId:
    return (time_ns() // 1_000_000).to_bytes(TIME_BYTES) + content(run)
