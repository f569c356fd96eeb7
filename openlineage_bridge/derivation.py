"""What has to be derived again because of changed facts, and deriving it.

* A **run** depends on its own facts, on its job's identity, and on what the catalog calls the datasets it used.
* A **job** depends on its own facts, and on the uses and column lineage of the runs that speak for it.
* A **dataset** depends on its own facts, and on those of the datasets that are the same entity in the catalog.

A facet whose content did not change touches nothing: a job's hundredth run costs the translation of a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from openlineage_bridge import events
from openlineage_bridge.events import DatasetKey, Facets, JobKey
from openlineage_bridge.facts import (
    MOMENT,
    RUN_STATES,
    TERMINAL,
    Kind,
    Role,
    RunKey,
    Subject,
    accumulated_lineage,
)
from openlineage_bridge.lineage import dependencies, lineage_of, speakers, timeless_dependencies
from openlineage_bridge.store import Store
from openlineage_bridge.store.facts import Changes, Mark, UseRow
from openlineage_bridge.store.identity import subject_id
from openlineage_bridge.store.jobs import RunRow, Used
from openlineage_bridge.translation import (
    Aspect,
    DatasetState,
    JobIdentity,
    JobState,
    RunState,
    Translator,
    Use,
)

NAMING_FACETS = ("catalog", "symlinks")
"""Dataset facets that may decide what the catalog calls a dataset."""

COLUMN_FACETS = (*NAMING_FACETS, "schema")
"""Dataset facets that a *job's* aspects may depend on: how a catalog writes a nested column depends on the schema."""

LINEAGE_FACETS = frozenset({"@used", "columnLineage"})
"""Facets of a use that a *job's* aspects may depend on: not those that differ from run to run, like statistics."""

JOB_RUN_FACETS = ("jobDependencies", "lineage", "processing_engine")
"""Facets of the speaking run that a job's aspects may depend on."""

RUN_JOB_FACETS = ("jobType",)
"""Job facets that a *run's* aspects may depend on: a new description of a job is no news about its runs."""

STREAMING = frozenset({"STREAMING", "SERVICE"})
"""Values of ``jobType.processingType`` whose runs have no reliable end (OpenLineage, "Run Cycle")."""

UsesByRole = dict[Role, dict[DatasetKey, dict[str, bytes]]]


class Derivation:
    """What has to be derived again because of some changes, and deriving it; lives for one step."""

    def __init__(self, store: Store, translator: Translator, window: int) -> None:
        self._store = store
        self._translator = translator
        self._window = window
        self._entities: set[str] = set()
        self._jobs: set[JobKey] = set()
        self._runs: set[RunKey] = set()
        self._outdated: set[JobKey] = set()  # to be translated again although their own facts are the same
        self._named: dict[DatasetKey, DatasetState] = {}
        self._job_facts: dict[JobKey, tuple[Facets, dict[str, Mark]]] = {}
        self._run_facts: dict[RunKey, tuple[Facets, dict[str, Mark]]] = {}
        self._run_uses: dict[RunKey, list[UseRow]] = {}

    # --- what depends on what

    def follow(self, changes: Changes) -> None:
        """Derive everything that depends on what changed."""
        datasets = {each for each in changes.confirmed if self._store.facts.shares_its_urn(each)}
        for key in changes.content:
            match key.kind:
                case Kind.DATASET:
                    datasets.add(DatasetKey(*key.subject))
                    if key.facet in COLUMN_FACETS:
                        self._renew(self._store.jobs.jobs_using(DatasetKey(*key.subject)))
                case Kind.JOB:
                    self._jobs.add(JobKey(*key.subject))
                case Kind.RUN:
                    assert isinstance(key.subject, RunKey)
                    self._runs.add(key.subject)
            if (
                key.facet == "@used"
                and key.dataset
                and self._store.facts.urn(Kind.DATASET, key.dataset) is None
            ):
                datasets.add(key.dataset)
        self._derive(datasets)

    def renew(self, subjects: Iterable[tuple[Kind, Subject]]) -> None:
        """Derive these again, whether anything changed or not, and whatever depends on a name that changed."""
        datasets: set[DatasetKey] = set()
        for kind, subject in subjects:
            match kind:
                case Kind.DATASET:
                    datasets.add(DatasetKey(*subject))
                case Kind.JOB:
                    self._renew([JobKey(*subject)])
                case Kind.RUN:
                    assert isinstance(subject, RunKey)
                    self._runs.add(subject)
        self._derive(datasets)

    def _renew(self, jobs: Iterable[JobKey]) -> None:
        jobs = set(jobs)
        self._jobs |= jobs
        self._outdated |= jobs

    def _derive(self, datasets: Iterable[DatasetKey]) -> None:
        for dataset in sorted(datasets):
            self._name(dataset)
        for run in sorted(self._runs):
            self._store.jobs.set_run(run, self._run_row(run))
            self._jobs.add(run.job)
        for job in sorted(self._jobs):
            self._derive_job(job)
        for entity in sorted(self._entities):
            self._derive_dataset(entity)
        for run in sorted(self._runs):
            self._derive_run(run)

    # --- datasets

    def _name(self, dataset: DatasetKey) -> None:
        """Ask what the catalog calls the dataset; when that changed, all that mentions it has to be derived again."""
        before = self._store.facts.urn(Kind.DATASET, dataset)
        urn = self._translator.resolve(self._state_for_naming(dataset)).urn
        self._entities |= {each for each in (before, urn) if each}
        if urn != before:
            self._store.facts.set_urn(Kind.DATASET, dataset, urn)
            self._renew(self._store.jobs.jobs_using(dataset))
            self._runs.update(self._store.facts.runs_using(dataset))

    def _state_for_naming(self, dataset: DatasetKey) -> DatasetState:
        """The dataset with the facets that may decide its name, and no others."""
        if dataset not in self._named:
            self._named[dataset] = DatasetState(dataset, self._store.facts.some(dataset, NAMING_FACETS))
        return self._named[dataset]

    def _derive_dataset(self, urn: str) -> None:
        members = self._store.facts.datasets_called(urn)
        aspects: Iterable[Aspect] = ()
        if members:
            aspects = self._translator.dataset(_dataset_state(members[0], self._store.facts.united(members)))
        self._store.aspects.claim(events.digest(urn.encode()), aspects)

    # --- jobs

    def _derive_job(self, job: JobKey) -> None:
        """Translate the job, unless everything that its aspects are derived from is as it was."""
        facets, marks = self._about_job(job)
        identity = _identity(job, facets, marks)
        spoken = self._spoken(job, facets, marks.get("@declared"))
        told = (identity.producer, identity.parent, identity.root, identity.engine)
        signature = events.digest(repr((_shape(facets), told, spoken.shape)).encode())
        if signature == self._store.jobs.signature(job) and job not in self._outdated:
            return
        self._store.jobs.set_signature(job, signature)
        self._store.facts.register([(Kind.JOB, job)])
        self._name_job(identity)
        state = self._job_state(identity, spoken)
        reads, writes = state.lineage.inputs, state.lineage.outputs
        dropped = self._store.jobs.set_edges(
            job, [(Role.INPUT, each) for each in reads] + [(Role.OUTPUT, each) for each in writes]
        )
        self._store.jobs.set_upstream(job, self._upstream(job, state))
        self._entities |= {urn for each in dropped if (urn := self._store.facts.urn(Kind.DATASET, each))}
        self._store.aspects.claim(subject_id(Kind.JOB, job), self._translator.job(state))

    def _about_job(self, job: JobKey) -> tuple[Facets, dict[str, Mark]]:
        """The job's own facts, read once for all its runs in the step."""
        if job not in self._job_facts:
            self._job_facts[job] = self._store.facts.about(Kind.JOB, job)
        return self._job_facts[job]

    def _name_job(self, job: JobIdentity) -> None:
        """Ask what the catalog calls the job; when what its runs take from it changed, they are derived again."""
        urn = self._translator.job_urn(job)
        naming = events.digest(repr((urn, [job.facets.raw.get(facet) for facet in RUN_JOB_FACETS])).encode())
        self._store.facts.set_urn(Kind.JOB, job.key, urn)
        if self._store.jobs.set_naming(job.key, naming):
            self._runs.update(self._store.jobs.runs_of(job.key))

    def _spoken(self, job: JobKey, facets: Facets, declared: Mark | None) -> Spoken:
        """What the job reads and writes, as the runs that speak for it, or its newest JobEvent, say."""
        processing = _processing_type(facets)
        chosen = speakers(
            self._store.jobs.candidates(
                job, self._window, streaming=processing in STREAMING, batch=processing == "BATCH"
            ),
            declared.time if declared else None,
            self._window,
        )
        if chosen is None:
            assert declared is not None
            return Spoken.declared(declared.body)
        spoken = Spoken()
        for speaker in reversed(chosen):  # the newest last: its word stands
            run = RunKey(job, speaker.run_id)
            spoken.add(self._uses_of(run), self._about(run)[0])
        return spoken

    def _job_state(self, job: JobIdentity, spoken: Spoken) -> JobState:
        lineage = lineage_of(
            job.key,
            inputs={key: Facets(facets) for key, facets in spoken.uses[Role.INPUT].items()},
            outputs={key: Facets(facets) for key, facets in spoken.uses[Role.OUTPUT].items()},
            explicit=spoken.run_facets.get("lineage"),
        )
        for key in sorted({*lineage.inputs, *lineage.outputs}):
            # It may be that only a facet or a JobEvent names it.
            self._store.facts.register([(Kind.DATASET, key)])
            self._name(key)
        return JobState(
            job=job,
            inputs=self._uses_with_columns(lineage.inputs, spoken.uses[Role.INPUT]),
            outputs=self._uses_with_columns(lineage.outputs, spoken.uses[Role.OUTPUT]),
            lineage=lineage,
            run_facets=spoken.run_facets,
        )

    def _upstream(self, job: JobKey, state: JobState) -> set[JobKey]:
        """The jobs whose results this one takes, as the ``lineage`` and ``jobDependencies`` facets say."""
        depended = dependencies(state.run_facets.get("jobDependencies"))
        found = {*state.lineage.upstream_jobs, *depended} - {job}
        self._store.facts.register([(Kind.JOB, each) for each in sorted(found)])
        return found

    def _uses(
        self, datasets: Iterable[DatasetKey], facets: Mapping[DatasetKey, Mapping[str, bytes]]
    ) -> tuple[Use, ...]:
        return tuple(Use(self._state_for_naming(key), Facets(facets.get(key))) for key in datasets)

    def _uses_with_columns(
        self, datasets: Iterable[DatasetKey], facets: Mapping[DatasetKey, Mapping[str, bytes]]
    ) -> tuple[Use, ...]:
        return tuple(
            Use(DatasetState(key, self._store.facts.some(key, COLUMN_FACETS)), Facets(facets.get(key)))
            for key in datasets
        )

    # --- runs

    def _run_row(self, run: RunKey) -> RunRow:
        facets, marks = self._about(run)
        if self._uses_of(run) or "lineage" in facets:
            return run_row(marks, Used.DATASETS)
        return run_row(marks, Used.RESULTS if "jobDependencies" in facets else Used.NOTHING)

    def _about(self, run: RunKey) -> tuple[Facets, dict[str, Mark]]:
        """The run's own facts; within a step they are merged already and stay the same."""
        if run not in self._run_facts:
            facets, marks = self._store.facts.about(Kind.RUN, run)
            lineage = accumulated_lineage({name: mark.body for name, mark in marks.items()})
            if lineage is not None:
                facets = Facets({**facets.raw, "lineage": lineage})
            self._run_facts[run] = facets, marks
        return self._run_facts[run]

    def _uses_of(self, run: RunKey) -> list[UseRow]:
        if run not in self._run_uses:
            self._run_uses[run] = self._store.facts.uses(run)
        return self._run_uses[run]

    def _derive_run(self, run: RunKey) -> None:
        facets, _ = self._about(run)
        job_facets, job_marks = self._about_job(run.job)
        visible = Facets(
            {facet: job_facets.raw[facet] for facet in RUN_JOB_FACETS if facet in job_facets.raw}
        )
        uses, row = uses_by_role(self._uses_of(run)), self._run_row(run)
        state = RunState(
            run_id=run.run_id,
            job=_identity(run.job, visible, job_marks),
            facets=facets,
            started=row.started,
            ended=row.ended,
            result=row.result,
            inputs=self._uses(uses[Role.INPUT], uses[Role.INPUT]),
            outputs=self._uses(uses[Role.OUTPUT], uses[Role.OUTPUT]),
        )
        self._store.aspects.claim(self._store.facts.run_ids.of(run), self._translator.run(state))


class Spoken:
    """What a job's speakers say that it reads and writes.

    ``shape`` is equal exactly when everything that the job's aspects take from it is.
    """

    def __init__(self) -> None:
        self.uses: UsesByRole = {Role.INPUT: {}, Role.OUTPUT: {}}
        self.run_facets = Facets()
        self.shape: list[object] = []

    def add(self, rows: list[UseRow], run_facets: Facets) -> None:
        """Unite with what a newer run says."""
        for role, datasets in uses_by_role([row for row in rows if row.facet in LINEAGE_FACETS]).items():
            self.uses[role] |= datasets
        raw = {facet: run_facets.raw[facet] for facet in JOB_RUN_FACETS if facet in run_facets.raw}
        if "jobDependencies" in raw:
            raw["jobDependencies"] = events.encode(timeless_dependencies(run_facets["jobDependencies"]))
        self.run_facets = Facets(raw)
        self.shape += [
            (row.role, row.dataset, row.facet, row.digest) for row in rows if row.facet in LINEAGE_FACETS
        ]
        self.shape += _shape(self.run_facets)

    @classmethod
    def declared(cls, body: bytes) -> Spoken:
        """What a JobEvent says."""
        declaration = events.decode(body)
        spoken = cls()
        for role, field in ((Role.INPUT, "inputs"), (Role.OUTPUT, "outputs")):
            for item in declaration[field]:
                facets = {facet: events.encode(value) for facet, value in item["facets"].items()}
                spoken.uses[role][DatasetKey(item["namespace"], item["name"])] = facets
        if "lineage" in declaration:
            spoken.run_facets = Facets({"lineage": events.encode(declaration["lineage"])})
        spoken.shape = [events.digest(body)]
        return spoken


def uses_by_role(rows: Iterable[UseRow]) -> UsesByRole:
    """The rows of a run's uses as datasets with their facets; a dataset without facets is there as well."""
    uses: UsesByRole = {Role.INPUT: {}, Role.OUTPUT: {}}
    for row in rows:
        facets = uses[row.role].setdefault(row.dataset, {})
        if row.facet != "@used":
            facets[row.facet] = row.body
    return uses


def run_row(marks: Mapping[str, Mark], used: Used) -> RunRow:
    """The state of a run from the events that were seen of it: terminal is final (OpenLineage, "Run Cycle")."""
    times = {state: marks[f"@{state}"].time for state in RUN_STATES if f"@{state}" in marks}
    ends = sorted((times[state], state) for state in TERMINAL if state in times)
    result = ends[-1][1] if ends else None
    known = {state: time for state, time in times.items() if time != events.NO_TIME}
    latest = max(known.values(), default=0)
    return RunRow(
        started=known.get("START", min(known.values(), default=None)),
        ended=known.get(result) if result else None,
        result=result,
        at=known.get(result, 0) if result else latest,
        reporting="RUNNING" in times,
        used=used,
    )


def _dataset_state(dataset: DatasetKey, said: Facets) -> DatasetState:
    """The dataset with its facets, and the moments of those that have one."""
    times = {
        facet.removeprefix(MOMENT): said[facet]["time"] for facet in said.raw if facet.startswith(MOMENT)
    }
    facets = Facets({facet: raw for facet, raw in said.raw.items() if not facet.startswith("@")})
    return DatasetState(
        dataset, facets, {facet: time for facet, time in times.items() if time != events.NO_TIME}
    )


def _identity(job: JobKey, facets: Facets, marks: Mapping[str, Mark]) -> JobIdentity:
    parents = events.decode(marks["@parent"].body) if "@parent" in marks else {}
    return JobIdentity(
        key=job,
        facets=facets,
        producer=events.decode(marks["@producer"].body) if "@producer" in marks else "",
        parent=_job_key(parents.get("parent")),
        root=_job_key(parents.get("root")),
        engine=events.decode(marks["@engine"].body) if "@engine" in marks else "",
    )


def _job_key(pair: list[str] | None) -> JobKey | None:
    return JobKey(*pair) if pair else None


def _processing_type(facets: Facets) -> str:
    value = facets["jobType"].get("processingType") if "jobType" in facets else None
    return value.upper() if isinstance(value, str) else ""


def _shape(facets: Facets) -> list[tuple[str, bytes]]:
    return sorted((facet, events.digest(raw)) for facet, raw in facets.raw.items())
