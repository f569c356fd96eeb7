"""What is derived from facts on the way to aspects: the state of each run, and what each job reads and writes now."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from enum import IntEnum

import attrs

from openlineage_bridge.events import DatasetKey, JobKey
from openlineage_bridge.facts import Kind, Role, RunKey
from openlineage_bridge.lineage import Candidate
from openlineage_bridge.store.identity import SubjectId, subject_id
from openlineage_bridge.store.run_ids import RunIds


class Used(IntEnum):
    """What a run touched. The more it is, the more its word about the job counts."""

    NOTHING = 0
    RESULTS = 1
    DATASETS = 2


@attrs.frozen
class RunRow:
    """The state of a run. Times are microseconds since the epoch.

    Args:
        started: Time of START, else of the earliest event known; None when no event carried a time.
        ended: Time of the terminal event; None while it runs.
        result: ``COMPLETE``, ``FAIL``, ``ABORT``; None while it runs.
        at: ``ended``, else the time of the last thing heard of it.
        reporting: Whether it sent RUNNING.
        used: What it touched: nothing, only other jobs' results, or datasets.
    """

    started: int | None
    ended: int | None
    result: str | None
    at: int
    reporting: bool
    used: Used


class JobTable:
    """The tables ``runs``, ``jobs``, ``edges`` and ``handovers``."""

    def __init__(self, connection: sqlite3.Connection, run_ids: RunIds) -> None:
        self._connection = connection
        self._run_ids = run_ids

    def set_run(self, run: RunKey, row: RunRow) -> None:
        """Remember the state of a run."""
        self._connection.execute(
            "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (self._run_ids.of(run), _job(run.job), run.run_id, *attrs.astuple(row)),
        )

    def run(self, run: RunKey) -> RunRow:
        """The state of a run."""
        row = self._connection.execute(
            "SELECT started, ended, result, at, reporting, used FROM runs WHERE run = ?",
            (self._run_ids.of(run),),
        ).fetchone()
        started, ended, result, at, reporting, used = row
        return RunRow(started, ended, result, at, bool(reporting), Used(used))

    def runs_of(self, job: JobKey) -> list[RunKey]:
        """Every run of a job."""
        rows = self._connection.execute("SELECT run_id FROM runs WHERE job = ?", (_job(job),))
        return [RunKey(job, run_id) for (run_id,) in rows]

    def candidates(self, job: JobKey, window: int, *, streaming: bool, batch: bool) -> list[Candidate]:
        """The runs that may speak for the job (``openlineage_bridge.lineage.speakers``): the newest of each sort.

        Where some touched datasets, those that did not are silent: a run that was answered from a cache says nothing.

        Args:
            job: The job.
            window: How many of each sort.
            streaming: Whether its runs never end properly: each of them publishes.
            batch: Whether it says that it publishes only when it is complete.
        """
        if not self._any_touched(job):
            return []
        completed = self._newest(job, "result = 'COMPLETE'", window)
        failed = [run for end in ("FAIL", "ABORT") for run in self._newest(job, f"result = '{end}'", window)]
        running = self._newest(job, "result IS NULL", window)
        reporting = [] if batch else self._newest(job, "result IS NULL AND reporting", window)
        publishing = [*failed, *running] if streaming else reporting
        return [
            *(Candidate(at, run_id, completed=True) for at, run_id in completed),
            *(Candidate(at, run_id, publishing=True) for at, run_id in publishing),
            *(Candidate(at, run_id) for at, run_id in (*failed, *running)),
        ]

    def _any_touched(self, job: JobKey) -> bool:
        query = "SELECT 1 FROM runs WHERE job = ? AND used > 0 LIMIT 1"
        return self._connection.execute(query, (_job(job),)).fetchone() is not None

    def _newest(self, job: JobKey, condition: str, limit: int) -> list[tuple[int, str]]:
        return self._connection.execute(
            "SELECT at, run_id FROM runs "
            "WHERE job = :job AND used = (SELECT used FROM runs WHERE job = :job ORDER BY used DESC LIMIT 1) "
            f"AND {condition} ORDER BY at DESC, run_id DESC LIMIT :limit",
            {"job": _job(job), "limit": limit},
        ).fetchall()

    def signature(self, job: JobKey) -> bytes | None:
        """What the job's aspects were last derived from."""
        row = self._connection.execute("SELECT signature FROM jobs WHERE job = ?", (_job(job),)).fetchone()
        return row[0] if row else None

    def set_signature(self, job: JobKey, signature: bytes) -> None:
        """Remember what the job's aspects were derived from."""
        self._connection.execute(
            "INSERT INTO jobs (job, signature) VALUES (?, ?) ON CONFLICT DO UPDATE SET signature = excluded.signature",
            (_job(job), signature),
        )

    def set_naming(self, job: JobKey, naming: bytes) -> bool:
        """Remember what the job's runs take from it; whether that is news."""
        cursor = self._connection.execute(
            "UPDATE jobs SET naming = ? WHERE job = ? AND naming IS NOT ?", (naming, _job(job), naming)
        )
        return cursor.rowcount > 0

    def set_edges(self, job: JobKey, uses: Iterable[tuple[Role, DatasetKey]]) -> list[DatasetKey]:
        """Replace what the job reads and writes; returns the datasets that it did before and does no longer."""
        before = self._connection.execute(
            "SELECT e.role, e.dataset, s.namespace, s.name FROM edges e JOIN subjects s ON s.id = e.dataset WHERE e.job = ?",
            (_job(job),),
        ).fetchall()
        known = {(role, dataset) for role, dataset, _, _ in before}
        wanted = {(role.value, subject_id(Kind.DATASET, dataset)) for role, dataset in uses}
        self._connection.executemany(
            "DELETE FROM edges WHERE job = ? AND role = ? AND dataset = ?",
            [(_job(job), *use) for use in known - wanted],
        )
        self._connection.executemany(
            "INSERT INTO edges VALUES (?, ?, ?)", [(_job(job), *use) for use in wanted - known]
        )
        return [
            DatasetKey(namespace, name)
            for role, dataset, namespace, name in before
            if (role, dataset) not in wanted
        ]

    def set_upstream(self, job: JobKey, upstream: Iterable[JobKey]) -> None:
        """Replace the jobs whose results the job takes directly."""
        self._connection.execute("DELETE FROM handovers WHERE job = ?", (_job(job),))
        self._connection.executemany(
            "INSERT INTO handovers VALUES (?, ?)", [(_job(job), _job(each)) for each in upstream]
        )

    def jobs_using(self, dataset: DatasetKey) -> list[JobKey]:
        """Every job whose lineage now touches the dataset."""
        rows = self._connection.execute(
            "SELECT DISTINCT s.namespace, s.name FROM edges e JOIN subjects s ON s.id = e.job WHERE e.dataset = ?",
            (subject_id(Kind.DATASET, dataset),),
        )
        return [JobKey(*row) for row in rows]


def _job(job: JobKey) -> SubjectId:
    return subject_id(Kind.JOB, job)
