"""Subjects and their facts: what OpenLineage now says, one row per subject and facet; equal contents stand once."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable

import attrs

from openlineage_bridge.events import DatasetKey, Facets, JobKey
from openlineage_bridge.facts import Fact, FactKey, Facts, Kind, Role, RunKey, Subject, newer
from openlineage_bridge.store.identity import SubjectId, subject_id
from openlineage_bridge.store.run_ids import RunIds

_NO_DATASET = b""
_SAYING = "FROM facts f JOIN bodies b USING (digest) WHERE f.subject = ? AND f.role = '' AND f.dataset = x''"


@attrs.frozen
class Mark:
    """A fact that the envelope made (``@START``, ``@parent``, …)."""

    time: int
    body: bytes


@attrs.frozen
class UseRow:
    """A facet of one run's use of a dataset; ``@used`` stands for the use itself."""

    role: Role
    dataset: DatasetKey
    facet: str
    digest: bytes
    body: bytes


@attrs.frozen
class Changes:
    """What merging facts changed.

    Args:
        content: Facts that say something new.
        confirmed: Datasets of which something known was said again, at a later time.
    """

    content: list[FactKey] = attrs.field(factory=list)
    confirmed: set[DatasetKey] = attrs.field(factory=set)


class FactTable:
    """The tables ``subjects``, ``facts`` and ``bodies``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.run_ids = RunIds(connection)

    def identity(self, kind: Kind, subject: Subject) -> SubjectId:
        """What the subject is called in this store."""
        return self.run_ids.of(subject) if isinstance(subject, RunKey) else subject_id(kind, subject)

    # --- writing

    def merge(self, incoming: Facts) -> Changes:
        """Merge facts into the stored ones by the rule of ``openlineage_bridge.facts``."""
        by_subject: dict[tuple[Kind, Subject], list[tuple[FactKey, Fact]]] = {}
        for key, fact in incoming.items():
            by_subject.setdefault((key.kind, key.subject), []).append((key, fact))
        self.register(by_subject)
        self.register({(Kind.DATASET, key.dataset) for key in incoming if key.dataset})
        changes = Changes()
        for (kind, subject), facts in by_subject.items():
            self._merge_subject(self.identity(kind, subject), facts, changes)
        return changes

    def _merge_subject(self, subject: SubjectId, facts: list[tuple[FactKey, Fact]], changes: Changes) -> None:
        known = self._known(subject)
        rows, bodies = [], []
        for key, fact in facts:
            dataset = subject_id(Kind.DATASET, key.dataset) if key.dataset else _NO_DATASET
            before = known.get((key.role, dataset, key.facet))
            if before is not None and not newer(fact, before):
                continue
            rows.append((subject, key.role, dataset, key.facet, fact.time, fact.digest))
            if before is None or before.digest != fact.digest:
                bodies.append((fact.digest, fact.body))
                changes.content.append(key)
            elif _time_is_content(key):
                changes.content.append(key)
            elif key.kind is Kind.DATASET:
                changes.confirmed.add(DatasetKey(*key.subject))
        self._connection.executemany("INSERT OR IGNORE INTO bodies (digest, body) VALUES (?, ?)", bodies)
        self._connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _known(self, subject: SubjectId) -> dict[tuple[str, bytes, str], Fact]:
        rows = self._connection.execute(
            "SELECT role, dataset, facet, time, digest FROM facts WHERE subject = ?", (subject,)
        )
        return {
            (role, dataset, facet): Fact(time, digest, b"") for role, dataset, facet, time, digest in rows
        }

    def register(self, subjects: Collection[tuple[Kind, Subject]]) -> None:
        """Make subjects known by their identity."""
        self._connection.executemany(
            "INSERT OR IGNORE INTO subjects (id, kind, namespace, name, run_id) VALUES (?, ?, ?, ?, ?)",
            [(self.identity(*each), *_names(*each)) for each in subjects],
        )

    def set_urn(self, kind: Kind, subject: Subject, urn: str | None) -> None:
        """Remember what the catalog calls the subject."""
        self._connection.execute(
            "UPDATE subjects SET urn = ? WHERE id = ?", (urn, self.identity(kind, subject))
        )

    # --- reading

    def about(self, kind: Kind, subject: Subject) -> tuple[Facets, dict[str, Mark]]:
        """The subject's own facets, and its marks."""
        facets: dict[str, bytes] = {}
        marks: dict[str, Mark] = {}
        for facet, time, body in self._connection.execute(
            f"SELECT f.facet, f.time, b.body {_SAYING}", (self.identity(kind, subject),)
        ):
            if facet.startswith("@"):
                marks[facet] = Mark(time, body)
            elif body:
                facets[facet] = body
        return Facets(facets), marks

    def united(self, datasets: Iterable[DatasetKey]) -> Facets:
        """The facets of datasets that are one entity in the catalog: per facet, the newest."""
        newest: dict[str, tuple[int, bytes, bytes]] = {}
        for dataset in datasets:
            for facet, *fact in self._connection.execute(
                f"SELECT f.facet, f.time, f.digest, b.body {_SAYING}", (subject_id(Kind.DATASET, dataset),)
            ):
                time, digest_, body = fact
                newest[facet] = max(newest.get(facet, (-1 << 63, b"", b"")), (time, digest_, body))
        return Facets({facet: body for facet, (_, _, body) in sorted(newest.items()) if body})

    def some(self, dataset: DatasetKey, facets: Collection[str]) -> Facets:
        """Only the named facets of a dataset."""
        rows = self._connection.execute(
            f"SELECT f.facet, b.body {_SAYING} AND f.facet IN ({', '.join('?' * len(facets))})",
            (subject_id(Kind.DATASET, dataset), *facets),
        )
        return Facets({facet: body for facet, body in rows if body})

    def uses(self, run: RunKey) -> list[UseRow]:
        """What a run read and wrote, one row per facet, removed facets left out."""
        rows = self._connection.execute(
            "SELECT f.role, s.namespace, s.name, f.facet, f.digest, b.body FROM facts f "
            "JOIN subjects s ON s.id = f.dataset JOIN bodies b ON b.digest = f.digest "
            "WHERE f.subject = ? AND f.role <> '' ORDER BY f.role, s.namespace, s.name, f.facet",
            (self.run_ids.of(run),),
        )
        return [
            UseRow(Role(role), DatasetKey(namespace, name), facet, digest_, body)
            for role, namespace, name, facet, digest_, body in rows
            if body
        ]

    def urn(self, kind: Kind, subject: Subject) -> str | None:
        """What the catalog calls the subject, as far as it was translated."""
        row = self._connection.execute(
            "SELECT urn FROM subjects WHERE id = ?", (self.identity(kind, subject),)
        ).fetchone()
        return row[0] if row else None

    def shares_its_urn(self, dataset: DatasetKey) -> bool:
        """Whether another dataset is the same entity in the catalog."""
        return bool(
            self._connection.execute(
                "SELECT EXISTS (SELECT 1 FROM subjects a JOIN subjects b ON b.urn = a.urn AND b.id <> a.id WHERE a.id = ?)",
                (subject_id(Kind.DATASET, dataset),),
            ).fetchone()[0]
        )

    def datasets_called(self, urn: str) -> list[DatasetKey]:
        """The datasets that are this one entity in the catalog, as far as anything still speaks of them; sorted."""
        rows = self._connection.execute(
            "SELECT namespace, name FROM subjects WHERE urn = ? AND kind = 'dataset' AND ("
            "EXISTS (SELECT 1 FROM facts WHERE subject = subjects.id) "
            "OR EXISTS (SELECT 1 FROM facts WHERE dataset = subjects.id AND facet = '@used') "
            "OR EXISTS (SELECT 1 FROM edges WHERE dataset = subjects.id)) ORDER BY namespace, name",
            (urn,),
        )
        return [DatasetKey(*row) for row in rows]

    def runs_using(self, dataset: DatasetKey) -> list[RunKey]:
        """Every run that mentioned the dataset."""
        rows = self._connection.execute(
            "SELECT s.namespace, s.name, s.run_id FROM facts f JOIN subjects s ON s.id = f.subject "
            "WHERE f.dataset = ? AND f.facet = '@used'",
            (subject_id(Kind.DATASET, dataset),),
        )
        return [RunKey(JobKey(namespace, name), run_id) for namespace, name, run_id in rows]

    def everything(self, kind: Kind) -> Iterable[Subject]:
        """Every subject of a kind, in order of its id; of jobs those that something was said about, and not only mentioned."""
        for namespace, name, run_id in self._connection.execute(
            "SELECT namespace, name, run_id FROM subjects WHERE kind = ? "
            "AND (kind <> 'job' OR EXISTS (SELECT 1 FROM facts WHERE subject = subjects.id)) ORDER BY id",
            (kind,),
        ).fetchall():
            yield _subject(kind, namespace, name, run_id)


def _time_is_content(key: FactKey) -> bool:
    """``@START`` and its kin have no other content than the time of the event."""
    return key.kind is Kind.RUN and key.role is Role.SELF and key.facet.startswith("@")


def _names(kind: Kind, subject: Subject) -> tuple[str, str, str, str]:
    if isinstance(subject, RunKey):
        return kind, subject.job.namespace, subject.job.name, subject.run_id
    return kind, subject.namespace, subject.name, ""


def _subject(kind: Kind, namespace: str, name: str, run_id: str) -> Subject:
    match kind:
        case Kind.RUN:
            return RunKey(JobKey(namespace, name), run_id)
        case Kind.JOB:
            return JobKey(namespace, name)
        case Kind.DATASET:
            return DatasetKey(namespace, name)
